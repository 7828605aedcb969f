namespace StorageDaemon.Core.Nbd

open System
open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Nbd.Wire

/// Encoders of replies in the transmission phase. Each writes at the start of `target` and returns the bytes written;
/// the caller provides `MaxHeaderLength` bytes. Nothing here allocates, `error` apart.
///
/// Which framing a reply has ("Simple reply message", "Structured reply chunk message", "Extended reply chunk
/// message"):
///
/// | reply                      | simple       | structured                  | extended                    |
/// |----------------------------|--------------|-----------------------------|-----------------------------|
/// | data of NBD_CMD_READ       | header, data | content chunks              | content chunks              |
/// | NBD_CMD_READ of no bytes   | header       | NONE chunk                  | NONE chunk                  |
/// | NBD_CMD_BLOCK_STATUS       | (never)      | one chunk for each context  | one chunk for each context  |
/// | other success              | header       | simple header               | NONE chunk                  |
/// | error                      | header       | ERROR chunk with text       | ERROR chunk with text       |
///
/// The last chunk of a reply carries NBD_REPLY_FLAG_DONE. An extended chunk repeats the request's offset in its header.
[<RequireQualifiedAccess>]
module Reply =

    /// Most bytes that an encoder writes: an extended header and the longest fixed part of a payload (an error with its
    /// offset).
    [<Literal>]
    let MaxHeaderLength = 46

    let private doneFlag isLast =
        if isLast then NBD_REPLY_FLAG_DONE else 0us

    /// A simple reply's header. Data of a successful NBD_CMD_READ follow.
    let writeSimple (target: Span<byte>) (error: uint32) (cookie: uint64) : int =
        BigEndian.writeU32 target 0 NBD_SIMPLE_REPLY_MAGIC
        BigEndian.writeU32 target 4 error
        BigEndian.writeU64 target 8 cookie
        SimpleReplyHeaderLength

    /// Bytes of a chunk's header in a session with structured replies or extended headers.
    let chunkHeaderLength (session: inref<Session>) =
        if session.Mode = ReplyMode.Extended then
            ExtendedReplyHeaderLength
        else
            StructuredReplyHeaderLength

    /// A chunk's header; `payloadLength` bytes follow. The session must have structured replies or extended headers.
    let writeChunkHeader
        (session: inref<Session>)
        (target: Span<byte>)
        (request: inref<Request>)
        (isLast: bool)
        (chunkType: uint16)
        (payloadLength: uint64)
        : int =
        let isExtended = (session.Mode = ReplyMode.Extended)
        BigEndian.writeU32
            target
            0
            (if isExtended then
                 NBD_EXTENDED_REPLY_MAGIC
             else
                 NBD_STRUCTURED_REPLY_MAGIC)
        BigEndian.writeU16 target 4 (doneFlag isLast)
        BigEndian.writeU16 target 6 chunkType
        BigEndian.writeU64 target 8 request.Cookie

        if isExtended then
            BigEndian.writeU64 target 16 request.Offset
            BigEndian.writeU64 target 24 payloadLength
            ExtendedReplyHeaderLength
        else
            BigEndian.writeU32 target 16 (uint32 payloadLength)
            StructuredReplyHeaderLength

    /// Success without data, as a whole reply.
    let writeSuccess (session: inref<Session>) (target: Span<byte>) (request: inref<Request>) : int =
        if session.Mode = ReplyMode.Extended then
            writeChunkHeader &session target &request true NBD_REPLY_TYPE_NONE 0UL
        else
            writeSimple target NBD_SUCCESS request.Cookie

    /// NBD_REPLY_TYPE_NONE with NBD_REPLY_FLAG_DONE: ends a reply whose chunks did not.
    let writeNone (session: inref<Session>) (target: Span<byte>) (request: inref<Request>) : int =
        writeChunkHeader &session target &request true NBD_REPLY_TYPE_NONE 0UL

    /// NBD_REPLY_TYPE_OFFSET_DATA: `length` bytes of data (at most 2^32 - 9), from `offset` of the export, follow.
    let writeDataChunk
        (session: inref<Session>)
        (target: Span<byte>)
        (request: inref<Request>)
        (isLast: bool)
        (offset: uint64)
        (length: uint32)
        : int =
        let at =
            writeChunkHeader &session target &request isLast NBD_REPLY_TYPE_OFFSET_DATA (8UL + uint64 length)

        BigEndian.writeU64 target at offset
        at + 8

    /// NBD_REPLY_TYPE_OFFSET_HOLE: a whole chunk, `length` bytes from `offset` read as zeroes.
    let writeHoleChunk
        (session: inref<Session>)
        (target: Span<byte>)
        (request: inref<Request>)
        (isLast: bool)
        (offset: uint64)
        (length: uint32)
        : int =
        let at = writeChunkHeader &session target &request isLast NBD_REPLY_TYPE_OFFSET_HOLE 12UL
        BigEndian.writeU64 target at offset
        BigEndian.writeU32 target (at + 8) length
        at + 12

    /// Bytes that stand before the data in the reply to an NBD_CMD_READ of `length` bytes in one piece.
    let readHeaderLength (session: inref<Session>) (length: uint64) : int =
        match session.Mode with
        | ReplyMode.Simple -> SimpleReplyHeaderLength
        | _ when length = 0UL -> chunkHeaderLength &session
        | _ -> chunkHeaderLength &session + 8

    /// What stands before the data when a successful NBD_CMD_READ is answered in one piece: a simple header, or a data
    /// chunk with NBD_REPLY_FLAG_DONE, or (no bytes wanted) a NONE chunk. Writes `readHeaderLength` bytes; all data
    /// must have been read, for there is no way to report an error afterwards.
    let writeRead (session: inref<Session>) (target: Span<byte>) (request: inref<Request>) : int =
        match session.Mode with
        | ReplyMode.Simple -> writeSimple target NBD_SUCCESS request.Cookie
        | _ when request.Length = 0UL -> writeNone &session target &request
        | _ -> writeDataChunk &session target &request true request.Offset (uint32 request.Length)

    /// Bytes of one block status descriptor.
    let extentLength (session: inref<Session>) =
        if session.Mode = ReplyMode.Extended then 16 else 8

    /// Bytes of a block status chunk before its descriptors.
    let statusHeaderLength (session: inref<Session>) =
        if session.Mode = ReplyMode.Extended then
            ExtendedReplyHeaderLength + 8
        else
            StructuredReplyHeaderLength + 4

    /// NBD_REPLY_TYPE_BLOCK_STATUS, or NBD_REPLY_TYPE_BLOCK_STATUS_EXT with extended headers: the chunk of one context
    /// up to its descriptors, of which `extents` (at least one) follow. Writes `statusHeaderLength` bytes.
    let writeStatusChunk
        (session: inref<Session>)
        (target: Span<byte>)
        (request: inref<Request>)
        (isLast: bool)
        (contextId: uint32)
        (extents: int)
        : int =
        if session.Mode = ReplyMode.Extended then
            let payload = 8UL + 16UL * uint64 extents
            let at = writeChunkHeader &session target &request isLast NBD_REPLY_TYPE_BLOCK_STATUS_EXT payload
            BigEndian.writeU32 target at contextId
            BigEndian.writeU32 target (at + 4) (uint32 extents)
            at + 8
        else
            let payload = 4UL + 8UL * uint64 extents
            let at = writeChunkHeader &session target &request isLast NBD_REPLY_TYPE_BLOCK_STATUS payload
            BigEndian.writeU32 target at contextId
            at + 4

    /// NBD_REPLY_TYPE_ERROR up to its text, of which `textLength` bytes follow.
    let writeErrorChunk
        (session: inref<Session>)
        (target: Span<byte>)
        (request: inref<Request>)
        (isLast: bool)
        (error: uint32)
        (textLength: uint16)
        : int =
        let payload = 6UL + uint64 textLength
        let at = writeChunkHeader &session target &request isLast NBD_REPLY_TYPE_ERROR payload
        BigEndian.writeU32 target at error
        BigEndian.writeU16 target (at + 4) textLength
        at + 6

    /// NBD_REPLY_TYPE_ERROR_OFFSET without text, a whole chunk: reading failed at `offset`.
    let writeErrorOffsetChunk
        (session: inref<Session>)
        (target: Span<byte>)
        (request: inref<Request>)
        (isLast: bool)
        (error: uint32)
        (offset: uint64)
        : int =
        let at = writeChunkHeader &session target &request isLast NBD_REPLY_TYPE_ERROR_OFFSET 14UL
        BigEndian.writeU32 target at error
        BigEndian.writeU16 target (at + 4) 0us
        BigEndian.writeU64 target (at + 6) offset
        at + 14

    /// A whole error reply with its text, in the session's framing. Allocates: for the error path only.
    let error (session: inref<Session>) (request: inref<Request>) (error: uint32) (text: string) : byte[] =
        if session.Mode = ReplyMode.Simple then
            let bytes = Array.zeroCreate<byte> SimpleReplyHeaderLength
            writeSimple (Span<byte> bytes) error request.Cookie |> ignore
            bytes
        else
            let encoded = Encoding.UTF8.GetBytes text
            let textLength = min encoded.Length NBD_MAX_STRING_SIZE
            let bytes = Array.zeroCreate<byte>(chunkHeaderLength &session + 6 + textLength)
            let at = writeErrorChunk &session (Span<byte> bytes) &request true error (uint16 textLength)
            Array.blit encoded 0 bytes at textLength
            bytes
