namespace StorageDaemon.Core.Nbd

open System
open System.Text
open StorageDaemon.Core

/// The NBD protocol's constants, in the specification's spelling (doc/proto.md of the NBD project, "Values"), and the
/// layouts of its fixed-size messages. All integers on the wire are big-endian and unsigned.
module Wire =

    // Magic numbers -------------------------------------------------------------------------------------------------

    /// ASCII "NBDMAGIC", the first eight bytes that the server sends.
    [<Literal>]
    let NBD_MAGIC = 0x4e42444d41474943UL

    /// ASCII "IHAVEOPT": the newstyle greeting, and the start of every option.
    [<Literal>]
    let NBD_OPTS_MAGIC = 0x49484156454f5054UL

    [<Literal>]
    let NBD_REP_MAGIC = 0x0003e889045565a9UL

    [<Literal>]
    let NBD_REQUEST_MAGIC = 0x25609513u

    [<Literal>]
    let NBD_EXTENDED_REQUEST_MAGIC = 0x21e41c71u

    [<Literal>]
    let NBD_SIMPLE_REPLY_MAGIC = 0x67446698u

    [<Literal>]
    let NBD_STRUCTURED_REPLY_MAGIC = 0x668e33efu

    [<Literal>]
    let NBD_EXTENDED_REPLY_MAGIC = 0x6e8a278cu

    // Handshake flags (server) and client flags ---------------------------------------------------------------------

    [<Literal>]
    let NBD_FLAG_FIXED_NEWSTYLE = 0x0001us

    [<Literal>]
    let NBD_FLAG_NO_ZEROES = 0x0002us

    [<Literal>]
    let NBD_FLAG_C_FIXED_NEWSTYLE = 0x00000001u

    [<Literal>]
    let NBD_FLAG_C_NO_ZEROES = 0x00000002u

    // Transmission flags --------------------------------------------------------------------------------------------

    [<Literal>]
    let NBD_FLAG_HAS_FLAGS = 0x0001us

    [<Literal>]
    let NBD_FLAG_READ_ONLY = 0x0002us

    [<Literal>]
    let NBD_FLAG_SEND_FLUSH = 0x0004us

    [<Literal>]
    let NBD_FLAG_SEND_FUA = 0x0008us

    [<Literal>]
    let NBD_FLAG_ROTATIONAL = 0x0010us

    [<Literal>]
    let NBD_FLAG_SEND_TRIM = 0x0020us

    [<Literal>]
    let NBD_FLAG_SEND_WRITE_ZEROES = 0x0040us

    [<Literal>]
    let NBD_FLAG_SEND_DF = 0x0080us

    [<Literal>]
    let NBD_FLAG_CAN_MULTI_CONN = 0x0100us

    [<Literal>]
    let NBD_FLAG_SEND_RESIZE = 0x0200us

    [<Literal>]
    let NBD_FLAG_SEND_CACHE = 0x0400us

    [<Literal>]
    let NBD_FLAG_SEND_FAST_ZERO = 0x0800us

    [<Literal>]
    let NBD_FLAG_BLOCK_STAT_PAYLOAD = 0x1000us

    // Option types --------------------------------------------------------------------------------------------------

    [<Literal>]
    let NBD_OPT_EXPORT_NAME = 1u

    [<Literal>]
    let NBD_OPT_ABORT = 2u

    [<Literal>]
    let NBD_OPT_LIST = 3u

    [<Literal>]
    let NBD_OPT_STARTTLS = 5u

    [<Literal>]
    let NBD_OPT_INFO = 6u

    [<Literal>]
    let NBD_OPT_GO = 7u

    [<Literal>]
    let NBD_OPT_STRUCTURED_REPLY = 8u

    [<Literal>]
    let NBD_OPT_LIST_META_CONTEXT = 9u

    [<Literal>]
    let NBD_OPT_SET_META_CONTEXT = 10u

    [<Literal>]
    let NBD_OPT_EXTENDED_HEADERS = 11u

    // Option reply types --------------------------------------------------------------------------------------------

    [<Literal>]
    let NBD_REP_ACK = 1u

    [<Literal>]
    let NBD_REP_SERVER = 2u

    [<Literal>]
    let NBD_REP_INFO = 3u

    [<Literal>]
    let NBD_REP_META_CONTEXT = 4u

    [<Literal>]
    let NBD_REP_ERR_UNSUP = 0x80000001u

    [<Literal>]
    let NBD_REP_ERR_POLICY = 0x80000002u

    [<Literal>]
    let NBD_REP_ERR_INVALID = 0x80000003u

    [<Literal>]
    let NBD_REP_ERR_PLATFORM = 0x80000004u

    [<Literal>]
    let NBD_REP_ERR_TLS_REQD = 0x80000005u

    [<Literal>]
    let NBD_REP_ERR_UNKNOWN = 0x80000006u

    [<Literal>]
    let NBD_REP_ERR_SHUTDOWN = 0x80000007u

    [<Literal>]
    let NBD_REP_ERR_BLOCK_SIZE_REQD = 0x80000008u

    [<Literal>]
    let NBD_REP_ERR_TOO_BIG = 0x80000009u

    [<Literal>]
    let NBD_REP_ERR_EXT_HEADER_REQD = 0x8000000au

    // Information types of NBD_OPT_INFO and NBD_OPT_GO --------------------------------------------------------------

    [<Literal>]
    let NBD_INFO_EXPORT = 0us

    [<Literal>]
    let NBD_INFO_NAME = 1us

    [<Literal>]
    let NBD_INFO_DESCRIPTION = 2us

    [<Literal>]
    let NBD_INFO_BLOCK_SIZE = 3us

    // Request types and command flags -------------------------------------------------------------------------------

    [<Literal>]
    let NBD_CMD_READ = 0us

    [<Literal>]
    let NBD_CMD_WRITE = 1us

    [<Literal>]
    let NBD_CMD_DISC = 2us

    [<Literal>]
    let NBD_CMD_FLUSH = 3us

    [<Literal>]
    let NBD_CMD_TRIM = 4us

    [<Literal>]
    let NBD_CMD_CACHE = 5us

    [<Literal>]
    let NBD_CMD_WRITE_ZEROES = 6us

    [<Literal>]
    let NBD_CMD_BLOCK_STATUS = 7us

    [<Literal>]
    let NBD_CMD_FLAG_FUA = 0x0001us

    [<Literal>]
    let NBD_CMD_FLAG_NO_HOLE = 0x0002us

    [<Literal>]
    let NBD_CMD_FLAG_DF = 0x0004us

    [<Literal>]
    let NBD_CMD_FLAG_REQ_ONE = 0x0008us

    [<Literal>]
    let NBD_CMD_FLAG_FAST_ZERO = 0x0010us

    [<Literal>]
    let NBD_CMD_FLAG_PAYLOAD_LEN = 0x0020us

    // Structured and extended reply chunks --------------------------------------------------------------------------

    [<Literal>]
    let NBD_REPLY_FLAG_DONE = 0x0001us

    [<Literal>]
    let NBD_REPLY_TYPE_NONE = 0us

    [<Literal>]
    let NBD_REPLY_TYPE_OFFSET_DATA = 1us

    [<Literal>]
    let NBD_REPLY_TYPE_OFFSET_HOLE = 2us

    [<Literal>]
    let NBD_REPLY_TYPE_BLOCK_STATUS = 5us

    [<Literal>]
    let NBD_REPLY_TYPE_BLOCK_STATUS_EXT = 6us

    [<Literal>]
    let NBD_REPLY_TYPE_ERROR = 0x8001us

    [<Literal>]
    let NBD_REPLY_TYPE_ERROR_OFFSET = 0x8002us

    /// `base:allocation`: the extent is not allocated.
    [<Literal>]
    let NBD_STATE_HOLE = 1u

    /// `base:allocation`: the extent reads as zeroes.
    [<Literal>]
    let NBD_STATE_ZERO = 2u

    // Error values --------------------------------------------------------------------------------------------------

    [<Literal>]
    let NBD_SUCCESS = 0u

    [<Literal>]
    let NBD_EPERM = 1u

    [<Literal>]
    let NBD_EIO = 5u

    [<Literal>]
    let NBD_ENOMEM = 12u

    [<Literal>]
    let NBD_EINVAL = 22u

    [<Literal>]
    let NBD_ENOSPC = 28u

    [<Literal>]
    let NBD_EOVERFLOW = 75u

    [<Literal>]
    let NBD_ENOTSUP = 95u

    [<Literal>]
    let NBD_ESHUTDOWN = 108u

    // Limits --------------------------------------------------------------------------------------------------------

    /// Longest name, description, query or error text, in bytes ("Conventions").
    [<Literal>]
    let NBD_MAX_STRING_SIZE = 4096

    /// Longest option payload, and longest read, write, prefetch or request payload, in bytes.
    [<Literal>]
    let NBD_MAX_BUFFER_SIZE = 33554432

    /// Most extents in one reply for one metadata context (1 MiB of 32-bit descriptors).
    [<Literal>]
    let NBD_MAX_BLOCK_STATUS_EXTENTS = 131072

    // Sizes of fixed parts, in bytes --------------------------------------------------------------------------------

    [<Literal>]
    let GreetingLength = 18

    [<Literal>]
    let ClientFlagsLength = 4

    [<Literal>]
    let OptionHeaderLength = 16

    [<Literal>]
    let OptionReplyHeaderLength = 20

    [<Literal>]
    let RequestHeaderLength = 28

    [<Literal>]
    let ExtendedRequestHeaderLength = 32

    [<Literal>]
    let SimpleReplyHeaderLength = 16

    [<Literal>]
    let StructuredReplyHeaderLength = 20

    [<Literal>]
    let ExtendedReplyHeaderLength = 32

    /// Zeroes after the export's size and flags that a client without NBD_FLAG_C_NO_ZEROES gets.
    [<Literal>]
    let ReservedZeroesLength = 124

    // Encoders and decoders -----------------------------------------------------------------------------------------

    /// The server's greeting of fixed newstyle negotiation ("Newstyle negotiation"), 18 bytes.
    let greeting () =
        let bytes = Array.zeroCreate<byte> GreetingLength
        let span = Span<byte> bytes
        BigEndian.writeU64 span 0 NBD_MAGIC
        BigEndian.writeU64 span 8 NBD_OPTS_MAGIC
        BigEndian.writeU16 span 16 (NBD_FLAG_FIXED_NEWSTYLE ||| NBD_FLAG_NO_ZEROES)
        bytes

    /// Header and payload of one option reply ("Fixed newstyle negotiation").
    let optionReply (option: uint32) (replyType: uint32) (payload: ReadOnlySpan<byte>) =
        let bytes = Array.zeroCreate<byte>(OptionReplyHeaderLength + payload.Length)
        let span = Span<byte> bytes
        BigEndian.writeU64 span 0 NBD_REP_MAGIC
        BigEndian.writeU32 span 8 option
        BigEndian.writeU32 span 12 replyType
        BigEndian.writeU32 span 16 (uint32 payload.Length)
        payload.CopyTo(span.Slice OptionReplyHeaderLength)
        bytes

    /// An option reply without payload that grants the option or ends a list of replies.
    let optionAck option =
        optionReply option NBD_REP_ACK ReadOnlySpan.Empty

    /// An error reply; the text is cut to the protocol's limit for strings.
    let optionError option replyType (text: ReadOnlySpan<byte>) =
        optionReply option replyType (text.Slice(0, min text.Length NBD_MAX_STRING_SIZE))

    /// NBD_REP_SERVER: one entry of the export list; `description` may be empty.
    let serverReply option (name: string) (description: string) =
        let nameBytes = Encoding.UTF8.GetBytes name
        let descriptionBytes = Encoding.UTF8.GetBytes description
        let payload = Array.zeroCreate<byte>(4 + nameBytes.Length + descriptionBytes.Length)
        BigEndian.writeU32 (Span<byte> payload) 0 (uint32 nameBytes.Length)
        nameBytes.CopyTo(payload, 4)
        descriptionBytes.CopyTo(payload, 4 + nameBytes.Length)
        optionReply option NBD_REP_SERVER (ReadOnlySpan<byte> payload)

    /// NBD_REP_INFO with an information type and its text.
    let infoTextReply option (infoType: uint16) (text: string) =
        let textBytes = Encoding.UTF8.GetBytes text
        let payload = Array.zeroCreate<byte>(2 + textBytes.Length)
        BigEndian.writeU16 (Span<byte> payload) 0 infoType
        textBytes.CopyTo(payload, 2)
        optionReply option NBD_REP_INFO (ReadOnlySpan<byte> payload)

    /// NBD_REP_INFO with NBD_INFO_EXPORT.
    let infoExportReply option (sizeBytes: uint64) (transmissionFlags: uint16) =
        let payload = Array.zeroCreate<byte> 12
        let span = Span<byte> payload
        BigEndian.writeU16 span 0 NBD_INFO_EXPORT
        BigEndian.writeU64 span 2 sizeBytes
        BigEndian.writeU16 span 10 transmissionFlags
        optionReply option NBD_REP_INFO (ReadOnlySpan<byte> payload)

    /// NBD_REP_INFO with NBD_INFO_BLOCK_SIZE.
    let infoBlockSizeReply option (minimum: uint32) (preferred: uint32) (maximum: uint32) =
        let payload = Array.zeroCreate<byte> 14
        let span = Span<byte> payload
        BigEndian.writeU16 span 0 NBD_INFO_BLOCK_SIZE
        BigEndian.writeU32 span 2 minimum
        BigEndian.writeU32 span 6 preferred
        BigEndian.writeU32 span 10 maximum
        optionReply option NBD_REP_INFO (ReadOnlySpan<byte> payload)

    /// NBD_REP_META_CONTEXT: a context's identifier (0 in a listing) and its name.
    let metaContextReply option (id: uint32) (name: string) =
        let nameBytes = Encoding.UTF8.GetBytes name
        let payload = Array.zeroCreate<byte>(4 + nameBytes.Length)
        BigEndian.writeU32 (Span<byte> payload) 0 id
        nameBytes.CopyTo(payload, 4)
        optionReply option NBD_REP_META_CONTEXT (ReadOnlySpan<byte> payload)

    /// The answer to NBD_OPT_EXPORT_NAME: size, flags and, for clients that did not refuse them, 124 zeroes.
    let exportNameReply (sizeBytes: uint64) (transmissionFlags: uint16) noZeroes =
        let bytes = Array.zeroCreate<byte>(if noZeroes then 10 else 10 + ReservedZeroesLength)
        let span = Span<byte> bytes
        BigEndian.writeU64 span 0 sizeBytes
        BigEndian.writeU16 span 8 transmissionFlags
        bytes

    /// A request header of 28 bytes ("Request message"): for clients and tests. Returns the bytes written.
    let writeRequest (target: Span<byte>) flags command (cookie: uint64) (offset: uint64) (length: uint32) =
        BigEndian.writeU32 target 0 NBD_REQUEST_MAGIC
        BigEndian.writeU16 target 4 flags
        BigEndian.writeU16 target 6 command
        BigEndian.writeU64 target 8 cookie
        BigEndian.writeU64 target 16 offset
        BigEndian.writeU32 target 24 length
        RequestHeaderLength

    /// A request header of 32 bytes ("Extended request message"): for clients and tests. Returns the bytes written.
    let writeExtendedRequest (target: Span<byte>) flags command (cookie: uint64) (offset: uint64) (length: uint64) =
        BigEndian.writeU32 target 0 NBD_EXTENDED_REQUEST_MAGIC
        BigEndian.writeU16 target 4 flags
        BigEndian.writeU16 target 6 command
        BigEndian.writeU64 target 8 cookie
        BigEndian.writeU64 target 16 offset
        BigEndian.writeU64 target 24 length
        ExtendedRequestHeaderLength

    /// Whether these bytes are the UTF-8 form of a text.
    let isUtf8Of (text: string) (bytes: ReadOnlySpan<byte>) =
        Encoding.UTF8.GetByteCount text = bytes.Length
        && bytes.SequenceEqual(ReadOnlySpan<byte>(Encoding.UTF8.GetBytes text))
