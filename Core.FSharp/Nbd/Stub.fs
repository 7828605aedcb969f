#nowarn "1182"
namespace StorageDaemon.Core.Nbd
open System
type ContextInfo = { Name: string }
module ContextInfo =
    let baseAllocation = { Name = "base:allocation" }
type ExportInfo = { Name: string; Description: string option; SizeBytes: uint64; TransmissionFlags: uint16; MinimumBlock: uint32; PreferredBlock: uint32; MaximumBlock: uint32; Contexts: ContextInfo list; Key: int }
module Wire =
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
    let NBD_CMD_FLAG_FUA = 1us
    [<Literal>]
    let NBD_CMD_FLAG_NO_HOLE = 2us
    [<Literal>]
    let NBD_CMD_FLAG_FAST_ZERO = 16us
    [<Literal>]
    let NBD_STATE_HOLE = 1u
    [<Literal>]
    let NBD_STATE_ZERO = 2u
    [<Literal>]
    let MaxPayload = 33554432u
    let transmissionFlags (writable: bool) (multiConn: bool) = 0us
[<Struct>]
type Session = { Mode: int; ExportKey: int }
[<Struct>]
type Request =
    val mutable Cookie: uint64
    val mutable Command: uint16
    val mutable Flags: uint16
    val mutable Offset: uint64
    val mutable Length: uint64
type Reason = Ok = 0 | Bad = 1
[<Struct>]
type BlockStatusReply =
    val mutable N: int
    member _.IsFull = false
    member _.Add(l: uint64, f: uint32) = ()
    member _.Finish() = 0
module Transmission =
    let decodeRequest (s: inref<Session>) (b: ReadOnlySpan<byte>) (r: byref<Request>) = 0
    let check (s: inref<Session>) (r: inref<Request>) = Reason.Ok
    let isFatal (r: Reason) = false
    let payloadLength (r: inref<Request>) = 0UL
    let wantsHoles (s: inref<Session>) (r: inref<Request>) = false
    let readReplyHeaderLength (s: inref<Session>) = 16
    let encodeReadHeader (s: inref<Session>) (r: inref<Request>) (b: Span<byte>) = 16
    let encodeDone (s: inref<Session>) (r: inref<Request>) (b: Span<byte>) = 16
    let encodeHoleChunk (s: inref<Session>) (r: inref<Request>) (o: uint64) (l: uint64) (last: bool) (b: Span<byte>) = 16
    let encodeDataChunkHeader (s: inref<Session>) (r: inref<Request>) (o: uint64) (l: uint64) (last: bool) (b: Span<byte>) = 16
    let encodeError (s: inref<Session>) (r: inref<Request>) (e: int) (t: string) (b: Span<byte>) = 16
    let maxReplyHeaderLength = 64
    let maxErrorLength = 4096
    let reasonError (r: Reason) = 22
    let reasonText (r: Reason) (q: inref<Request>) = ""
    let errnoToNbd (e: int) = 22
    let failureText (c: uint16) = ""
    let beginBlockStatus (s: inref<Session>) (r: inref<Request>) (b: Span<byte>) = BlockStatusReply()
type Policy = NoTls | TlsRequired
module Handshake =
    type State = { A: int }
    type Output =
        | Send of byte[]
        | NeedMore
        | Enter of Session * byte[]
        | Close of byte[]
    let start (p: Policy) = struct ({ A = 0 }, Array.empty<byte>)
    let feed (e: ExportInfo list) (s: State) (b: ReadOnlySpan<byte>) = struct (0, s, NeedMore)
