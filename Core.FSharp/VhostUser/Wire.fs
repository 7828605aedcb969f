namespace StorageDaemon.Core.VhostUser

/// The vhost-user protocol's constants (docs/interop/vhost-user.rst of the QEMU project).
module Wire =
    let private bit (number: int) = 1UL <<< number

    // Feature bits beside those of the device.
    let VHOST_F_LOG_ALL = bit 26
    let VHOST_USER_F_PROTOCOL_FEATURES = bit 30

    let VHOST_USER_PROTOCOL_F_MQ = bit 0
    let VHOST_USER_PROTOCOL_F_LOG_SHMFD = bit 1
    let VHOST_USER_PROTOCOL_F_REPLY_ACK = bit 3
    let VHOST_USER_PROTOCOL_F_BACKEND_REQ = bit 5
    let VHOST_USER_PROTOCOL_F_CONFIG = bit 9
    let VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = bit 10
    let VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = bit 11
    let VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = bit 12
    let VHOST_USER_PROTOCOL_F_RESET_DEVICE = bit 13
    let VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = bit 15
    let VHOST_USER_PROTOCOL_F_STATUS = bit 16

    [<Literal>]
    let VHOST_USER_GET_FEATURES = 1u

    [<Literal>]
    let VHOST_USER_SET_FEATURES = 2u

    [<Literal>]
    let VHOST_USER_SET_OWNER = 3u

    [<Literal>]
    let VHOST_USER_RESET_OWNER = 4u

    [<Literal>]
    let VHOST_USER_SET_MEM_TABLE = 5u

    [<Literal>]
    let VHOST_USER_SET_LOG_BASE = 6u

    [<Literal>]
    let VHOST_USER_SET_LOG_FD = 7u

    [<Literal>]
    let VHOST_USER_SET_VRING_NUM = 8u

    [<Literal>]
    let VHOST_USER_SET_VRING_ADDR = 9u

    [<Literal>]
    let VHOST_USER_SET_VRING_BASE = 10u

    [<Literal>]
    let VHOST_USER_GET_VRING_BASE = 11u

    [<Literal>]
    let VHOST_USER_SET_VRING_KICK = 12u

    [<Literal>]
    let VHOST_USER_SET_VRING_CALL = 13u

    [<Literal>]
    let VHOST_USER_SET_VRING_ERR = 14u

    [<Literal>]
    let VHOST_USER_GET_PROTOCOL_FEATURES = 15u

    [<Literal>]
    let VHOST_USER_SET_PROTOCOL_FEATURES = 16u

    [<Literal>]
    let VHOST_USER_GET_QUEUE_NUM = 17u

    [<Literal>]
    let VHOST_USER_SET_VRING_ENABLE = 18u

    [<Literal>]
    let VHOST_USER_SET_BACKEND_REQ_FD = 21u

    [<Literal>]
    let VHOST_USER_GET_CONFIG = 24u

    [<Literal>]
    let VHOST_USER_SET_CONFIG = 25u

    [<Literal>]
    let VHOST_USER_GET_INFLIGHT_FD = 31u

    [<Literal>]
    let VHOST_USER_SET_INFLIGHT_FD = 32u

    [<Literal>]
    let VHOST_USER_RESET_DEVICE = 34u

    [<Literal>]
    let VHOST_USER_GET_MAX_MEM_SLOTS = 36u

    [<Literal>]
    let VHOST_USER_ADD_MEM_REG = 37u

    [<Literal>]
    let VHOST_USER_REM_MEM_REG = 38u

    [<Literal>]
    let VHOST_USER_SET_STATUS = 39u

    [<Literal>]
    let VHOST_USER_GET_STATUS = 40u

    /// From the back end: the configuration space has changed.
    [<Literal>]
    let VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2u

    // Flags of a message.

    [<Literal>]
    let VersionMask = 3u

    [<Literal>]
    let Version = 1u

    [<Literal>]
    let ReplyFlag = 4u

    [<Literal>]
    let NeedReplyFlag = 8u

    /// Bit of the payload of SET_VRING_KICK, _CALL and _ERR: no descriptor comes along.
    [<Literal>]
    let NoFdFlag = 0x100UL

    /// Request, flags, payload's size: 32 bits each.
    [<Literal>]
    let HeaderLength = 12

    /// Longest payload, as of the real daemon: a configuration space of 256 bytes with its description.
    [<Literal>]
    let MaxPayload = 272

    /// Most regions in one SET_MEM_TABLE, and most descriptors with any message.
    [<Literal>]
    let MaxRegionsPerMessage = 8

    /// Flag of SET_VRING_ADDR: writes to the used ring are logged.
    [<Literal>]
    let VHOST_VRING_F_LOG = 1u
