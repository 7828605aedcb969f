namespace StorageDaemon.Core.Virtio

/// The block device's constants in the specification's spelling (Virtio 1.3, 5.2), and the feature bits of every
/// device (6).
module BlkWire =
    let private bit (number: int) = 1UL <<< number

    let VIRTIO_BLK_F_SIZE_MAX = bit 1
    let VIRTIO_BLK_F_SEG_MAX = bit 2
    let VIRTIO_BLK_F_RO = bit 5
    let VIRTIO_BLK_F_BLK_SIZE = bit 6
    let VIRTIO_BLK_F_FLUSH = bit 9
    let VIRTIO_BLK_F_TOPOLOGY = bit 10
    let VIRTIO_BLK_F_CONFIG_WCE = bit 11
    let VIRTIO_BLK_F_MQ = bit 12
    let VIRTIO_BLK_F_DISCARD = bit 13
    let VIRTIO_BLK_F_WRITE_ZEROES = bit 14
    let VIRTIO_F_NOTIFY_ON_EMPTY = bit 24
    let VIRTIO_F_INDIRECT_DESC = bit 28
    let VIRTIO_F_EVENT_IDX = bit 29
    let VIRTIO_F_VERSION_1 = bit 32
    let VIRTIO_F_RING_PACKED = bit 34

    [<Literal>]
    let VIRTIO_BLK_T_IN = 0u

    [<Literal>]
    let VIRTIO_BLK_T_OUT = 1u

    [<Literal>]
    let VIRTIO_BLK_T_FLUSH = 4u

    [<Literal>]
    let VIRTIO_BLK_T_GET_ID = 8u

    [<Literal>]
    let VIRTIO_BLK_T_DISCARD = 11u

    [<Literal>]
    let VIRTIO_BLK_T_WRITE_ZEROES = 13u

    /// Old drivers set it with any type; it means nothing.
    [<Literal>]
    let VIRTIO_BLK_T_BARRIER = 0x80000000u

    [<Literal>]
    let VIRTIO_BLK_S_OK = 0uy

    [<Literal>]
    let VIRTIO_BLK_S_IOERR = 1uy

    [<Literal>]
    let VIRTIO_BLK_S_UNSUPP = 2uy

    /// Flag of a segment of VIRTIO_BLK_T_WRITE_ZEROES.
    [<Literal>]
    let VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP = 1u

    /// Bytes of the answer to VIRTIO_BLK_T_GET_ID.
    [<Literal>]
    let VIRTIO_BLK_ID_BYTES = 20

    /// Bytes of a request's header: type, reserved, sector.
    [<Literal>]
    let HeaderLength = 16

    /// Bytes of a segment of discard and write zeroes: sector, count, flags.
    [<Literal>]
    let RangeLength = 16

    /// The unit of sectors and capacity, whatever the block size.
    [<Literal>]
    let SectorLength = 512UL

    // Offsets in struct virtio_blk_config.

    [<Literal>]
    let ConfigCapacity = 0

    [<Literal>]
    let ConfigSegMax = 12

    [<Literal>]
    let ConfigBlkSize = 20

    [<Literal>]
    let ConfigMinIoSize = 26

    [<Literal>]
    let ConfigOptIoSize = 28

    [<Literal>]
    let ConfigWce = 32

    [<Literal>]
    let ConfigNumQueues = 34

    [<Literal>]
    let ConfigMaxDiscardSectors = 36

    [<Literal>]
    let ConfigMaxDiscardSeg = 40

    [<Literal>]
    let ConfigDiscardSectorAlignment = 44

    [<Literal>]
    let ConfigMaxWriteZeroesSectors = 48

    [<Literal>]
    let ConfigMaxWriteZeroesSeg = 52

    [<Literal>]
    let ConfigWriteZeroesMayUnmap = 56

    /// Bytes of the structure with the fields of later features, which read as zeroes (zoned devices).
    [<Literal>]
    let ConfigLength = 96
