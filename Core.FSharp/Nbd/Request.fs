namespace StorageDaemon.Core.Nbd

open System
open StorageDaemon.Core
open StorageDaemon.Core.Nbd.Wire

/// A request of the transmission phase as it came from the client ("Request message"): not valid before
/// `Request.check` says so.
[<Struct; NoEquality; NoComparison>]
type Request =
    /// Repeated in every reply (the specification's "handle" or "cookie"). Any value is allowed.
    [<DefaultValue>]
    val mutable Cookie: uint64

    /// First byte of the range.
    [<DefaultValue>]
    val mutable Offset: uint64

    /// Bytes of the range that the command affects.
    [<DefaultValue>]
    val mutable Length: uint64

    /// Bytes that follow the header, whatever becomes of the request.
    [<DefaultValue>]
    val mutable PayloadLength: uint64

    /// NBD_CMD_BLOCK_STATUS: bit i stands for context i of the session.
    [<DefaultValue>]
    val mutable ContextMask: uint64

    [<DefaultValue>]
    val mutable Magic: uint32

    /// NBD_CMD_*, or anything else.
    [<DefaultValue>]
    val mutable Command: uint16

    /// NBD_CMD_FLAG_*, or anything else.
    [<DefaultValue>]
    val mutable Flags: uint16

/// Why a request is refused or has failed. `Reason.None` is success.
type Reason =
    | None = 0
    /// The client lost its place in the stream: the connection cannot go on.
    | BadMagic = 1
    /// The payload is too long to be received or skipped: the connection cannot go on.
    | PayloadTooLong = 2
    | LengthTooLong = 3
    | ReadOnlyExport = 4
    | PastEnd = 5
    | StatusNotNegotiated = 6
    | StatusPayloadInvalid = 7
    | StatusOfNothing = 8
    | UnsupportedFlags = 9
    | UnknownCommand = 10
    | ReadFailed = 11
    | WriteFailed = 12
    | FlushFailed = 13
    | TrimFailed = 14
    | CacheFailed = 15
    | StatusFailed = 16

/// Decoding and checking requests. Nothing here allocates or throws, `reasonText` apart.
///
/// Framing: header, then `PayloadLength` bytes, then the next header. The payload of a refused request must be received
/// and dropped before the refusal is sent; only the reasons of `closesConnection` end the connection instead.
/// NBD_CMD_DISC has no payload and no reply: the connection closes once the requests in flight are answered.
[<RequireQualifiedAccess>]
module Request =

    /// Bytes of a request header in this session.
    let headerLength (session: inref<Session>) =
        if session.Mode = ReplyMode.Extended then
            ExtendedRequestHeaderLength
        else
            RequestHeaderLength

    /// Reads a request header at the start of `bytes`. Returns its length; 0 if more bytes are needed; -1 if it is not
    /// a header, in which case `request` is filled nevertheless: answer with `Reason.BadMagic`, then close.
    let decode (session: inref<Session>) (bytes: ReadOnlySpan<byte>) (request: byref<Request>) : int =
        let isExtended = (session.Mode = ReplyMode.Extended)
        let length =
            if isExtended then
                ExtendedRequestHeaderLength
            else
                RequestHeaderLength

        if bytes.Length < length then
            0
        else
            request.Magic <- BigEndian.readU32 bytes 0
            request.Flags <- BigEndian.readU16 bytes 4
            request.Command <- BigEndian.readU16 bytes 6
            request.Cookie <- BigEndian.readU64 bytes 8
            request.Offset <- BigEndian.readU64 bytes 16

            request.Length <-
                if isExtended then
                    BigEndian.readU64 bytes 24
                else
                    uint64 (BigEndian.readU32 bytes 24)

            request.PayloadLength <- 0UL
            request.ContextMask <- UInt64.MaxValue

            let hasPayload =
                request.Command = NBD_CMD_WRITE
                || isExtended && request.Flags &&& NBD_CMD_FLAG_PAYLOAD_LEN <> 0us

            if hasPayload && request.Command <> NBD_CMD_DISC then
                request.PayloadLength <- request.Length

                // The length counts the payload and no range; that of a block status is in the payload.
                if request.Command <> NBD_CMD_WRITE then
                    request.Length <- 0UL

                if request.Command = NBD_CMD_BLOCK_STATUS then
                    request.ContextMask <- 0UL

            let magic =
                if isExtended then
                    NBD_EXTENDED_REQUEST_MAGIC
                else
                    NBD_REQUEST_MAGIC
            if request.Magic = magic then length else -1

    /// Bytes that follow the header: the data of NBD_CMD_WRITE or, with extended headers, whatever
    /// NBD_CMD_FLAG_PAYLOAD_LEN announces.
    let payloadLength (request: inref<Request>) = request.PayloadLength

    /// Longest payload of NBD_CMD_BLOCK_STATUS that can be valid in this session; a longer one need not be kept.
    let maxStatusPayloadLength (session: inref<Session>) = 8 + 4 * session.Contexts.Length

    /// Position of a context in the session, or -1.
    let private contextPosition (contexts: ContextInfo[]) (id: uint32) =
        let mutable position = -1
        let mutable i = 0

        while i < contexts.Length do
            if contexts[i].Id = id then
                position <- i

            i <- i + 1

        position

    /// Reads the payload of an NBD_CMD_BLOCK_STATUS request with NBD_CMD_FLAG_PAYLOAD_LEN: the length of the range,
    /// then the identifiers of the wanted contexts ("NBD_CMD_BLOCK_STATUS"). Call it when the payload is complete and
    /// before `check`, which then refuses a request whose payload is not valid.
    let decodeStatusPayload (session: inref<Session>) (payload: ReadOnlySpan<byte>) (request: byref<Request>) : unit =
        let isWhole =
            uint64 payload.Length = request.PayloadLength
            && payload.Length >= 8
            && payload.Length <= 8 + 4 * session.Contexts.Length
            && payload.Length % 4 = 0

        request.Length <- 0UL
        request.ContextMask <- 0UL

        if isWhole then
            let mutable mask = 0UL
            let mutable isValid = true
            let mutable at = 8

            while isValid && at < payload.Length do
                let position = contextPosition session.Contexts (BigEndian.readU32 payload at)

                if position < 0 || mask &&& (1UL <<< position) <> 0UL then
                    isValid <- false
                else
                    mask <- mask ||| (1UL <<< position)
                    at <- at + 4

            if isValid then
                request.Length <- BigEndian.readU64 payload 0
                request.ContextMask <- mask

    /// Whether an NBD_CMD_BLOCK_STATUS request wants the session's context at this position.
    let wantsContext (request: inref<Request>) position =
        request.ContextMask &&& (1UL <<< position) <> 0UL

    /// Flags that may accompany a command in this session; FUA is allowed with every one ("Command flags").
    let private allowedFlags (session: inref<Session>) command =
        let isExtended = (session.Mode = ReplyMode.Extended)

        match command with
        | NBD_CMD_READ when session.Mode >= ReplyMode.Structured -> NBD_CMD_FLAG_FUA ||| NBD_CMD_FLAG_DF
        | NBD_CMD_WRITE when isExtended -> NBD_CMD_FLAG_FUA ||| NBD_CMD_FLAG_PAYLOAD_LEN
        | NBD_CMD_WRITE_ZEROES -> NBD_CMD_FLAG_FUA ||| NBD_CMD_FLAG_NO_HOLE ||| NBD_CMD_FLAG_FAST_ZERO
        | NBD_CMD_BLOCK_STATUS when isExtended -> NBD_CMD_FLAG_FUA ||| NBD_CMD_FLAG_REQ_ONE ||| NBD_CMD_FLAG_PAYLOAD_LEN
        | NBD_CMD_BLOCK_STATUS -> NBD_CMD_FLAG_FUA ||| NBD_CMD_FLAG_REQ_ONE
        | _ -> NBD_CMD_FLAG_FUA

    let private isKnown command = command <= NBD_CMD_BLOCK_STATUS

    /// Whether the length is bounded by what a buffer holds; commands that move no data may affect more.
    let private movesData command =
        command = NBD_CMD_READ || command = NBD_CMD_WRITE || command = NBD_CMD_CACHE

    let private modifies command =
        command = NBD_CMD_WRITE
        || command = NBD_CMD_TRIM
        || command = NBD_CMD_WRITE_ZEROES

    let private checkStatus (session: inref<Session>) (request: inref<Request>) =
        if session.Contexts.Length = 0 then
            Reason.StatusNotNegotiated
        elif request.ContextMask = 0UL then
            Reason.StatusPayloadInvalid
        elif request.Length = 0UL then
            Reason.StatusOfNothing
        else
            Reason.None

    /// Whether a decoded request may be carried out. Only the first violation is told, in this order: length, export
    /// is read-only, range, flags, block status, command. The range may be empty, at the export's end too.
    let check (session: inref<Session>) (request: inref<Request>) : Reason =
        let command = request.Command
        let maxLength = uint64 NBD_MAX_BUFFER_SIZE

        if command = NBD_CMD_DISC then
            Reason.None
        elif request.PayloadLength > maxLength then
            Reason.PayloadTooLong
        elif movesData command && request.Length > maxLength then
            Reason.LengthTooLong
        elif session.ReadOnly && modifies command then
            Reason.ReadOnlyExport
        elif
            request.Offset > session.SizeBytes
            || request.Length > session.SizeBytes - request.Offset
        then
            Reason.PastEnd
        else if request.Flags &&& ~~~(allowedFlags &session command) <> 0us then
            Reason.UnsupportedFlags
        elif command = NBD_CMD_BLOCK_STATUS then
            checkStatus &session &request
        elif not (isKnown command) then
            Reason.UnknownCommand
        else
            Reason.None

    /// Whether the connection must be closed after the error reply, because the next header cannot be found.
    let closesConnection (reason: Reason) =
        reason = Reason.BadMagic || reason = Reason.PayloadTooLong

    /// The NBD error of a refused request. The real daemon answers every violation with EINVAL, writes to a read-only
    /// export and writes past the end too, where the specification asks for EPERM and ENOSPC ("Error values").
    let refusalError (reason: Reason) =
        if reason = Reason.None then NBD_SUCCESS else NBD_EINVAL

    /// The NBD error for a Linux error number of failed I/O ("Error values"); 0 is success.
    let errorOfErrno (errno: int) =
        match errno with
        | 0 -> NBD_SUCCESS
        | Errno.EPERM
        | Errno.EROFS -> NBD_EPERM
        | Errno.EIO -> NBD_EIO
        | Errno.ENOMEM -> NBD_ENOMEM
        | Errno.ENOSPC
        | Errno.EDQUOT
        | Errno.EFBIG -> NBD_ENOSPC
        | Errno.EOVERFLOW -> NBD_EOVERFLOW
        | Errno.ENOTSUP -> NBD_ENOTSUP
        | Errno.ESHUTDOWN -> NBD_ESHUTDOWN
        | _ -> NBD_EINVAL

    /// The reason to give when the I/O of a command has failed.
    let failureReason (command: uint16) =
        match command with
        | NBD_CMD_READ -> Reason.ReadFailed
        | NBD_CMD_FLUSH -> Reason.FlushFailed
        | NBD_CMD_TRIM -> Reason.TrimFailed
        | NBD_CMD_CACHE -> Reason.CacheFailed
        | NBD_CMD_BLOCK_STATUS -> Reason.StatusFailed
        | _ -> Reason.WriteFailed

    let private commandName command =
        match command with
        | NBD_CMD_READ -> "read"
        | NBD_CMD_WRITE -> "write"
        | NBD_CMD_DISC -> "disconnect"
        | NBD_CMD_FLUSH -> "flush"
        | NBD_CMD_TRIM -> "trim"
        | NBD_CMD_CACHE -> "cache"
        | NBD_CMD_WRITE_ZEROES -> "write zeroes"
        | NBD_CMD_BLOCK_STATUS -> "block status"
        | _ -> "<unknown>"

    let private badMagicText (session: inref<Session>) (magic: uint32) =
        let expected =
            if session.Mode = ReplyMode.Extended then
                NBD_EXTENDED_REQUEST_MAGIC
            else
                NBD_REQUEST_MAGIC

        "invalid magic (got 0x"
        + magic.ToString "x"
        + ", expected 0x"
        + expected.ToString "x"
        + ")"

    let private tooLongText (length: uint64) =
        "len ("
        + string length
        + ") is larger than max len ("
        + string NBD_MAX_BUFFER_SIZE
        + ")"

    /// The text of an error reply, the same as the real daemon's. Allocates: for the error path only.
    let reasonText (session: inref<Session>) (reason: Reason) (request: inref<Request>) : string =
        match reason with
        | Reason.BadMagic -> badMagicText &session request.Magic
        | Reason.PayloadTooLong -> tooLongText request.PayloadLength
        | Reason.LengthTooLong -> tooLongText request.Length
        | Reason.ReadOnlyExport -> "Export is read-only"
        | Reason.PastEnd ->
            "operation past EOF; From: "
            + string request.Offset
            + ", Len: "
            + string request.Length
            + ", Size: "
            + string session.SizeBytes
        | Reason.StatusNotNegotiated -> "CMD_BLOCK_STATUS not negotiated"
        | Reason.StatusPayloadInvalid -> "CMD_BLOCK_STATUS payload not valid"
        | Reason.StatusOfNothing -> "need non-zero length"
        | Reason.UnsupportedFlags ->
            "unsupported flags for command "
            + commandName request.Command
            + " (got 0x"
            + request.Flags.ToString "x"
            + ")"
        | Reason.UnknownCommand -> "invalid request type (" + string request.Command + ") received"
        | Reason.ReadFailed -> "reading from file failed"
        | Reason.WriteFailed -> "writing to file failed"
        | Reason.FlushFailed -> "flush failed"
        | Reason.TrimFailed -> "discard failed"
        | Reason.CacheFailed -> "caching data failed"
        | Reason.StatusFailed -> "can't get block status"
        | _ -> ""
