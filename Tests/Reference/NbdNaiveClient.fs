/// The opposite side of the NBD server, written for clarity: encodes what a client sends, decodes what it receives.
module StorageDaemon.Tests.Reference.NbdNaiveClient

open System
open System.Text
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire

let private bigEndian (width: int) (value: uint64) = [| for i in width - 1 .. -1 .. 0 -> byte (value >>> (8 * i)) |]
let u16 (value: uint16) = bigEndian 2 (uint64 value)
let u32 (value: uint32) = bigEndian 4 (uint64 value)
let u64 (value: uint64) = bigEndian 8 value
let text (value: string) = Encoding.UTF8.GetBytes value

let number (bytes: byte[]) at width =
    Array.fold (fun sum b -> (sum <<< 8) ||| uint64 b) 0UL bytes[at .. at + width - 1]

// Handshake -----------------------------------------------------------------------------------------------------------

let option (code: uint32) (payload: byte[]) =
    Array.concat [ text "IHAVEOPT"; u32 code; u32 (uint32 payload.Length); payload ]

/// Payload of NBD_OPT_INFO and NBD_OPT_GO.
let infoPayload (name: string) (requests: uint16 list) =
    Array.concat [
        u32 (uint32 (text name).Length)
        text name
        u16 (uint16 requests.Length)
        Array.concat (List.map u16 requests)
    ]

/// Payload of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT.
let metaPayload (name: string) (queries: string list) =
    Array.concat [
        u32 (uint32 (text name).Length)
        text name
        u32 (uint32 queries.Length)
        Array.concat [
            for query in queries -> Array.append (u32 (uint32 (text query).Length)) (text query)
        ]
    ]

type OptionReply = { Option: uint32; Type: uint32; Data: byte[] }

/// Option replies back to back; fails on anything else.
let rec optionReplies (bytes: byte[]) : OptionReply list =
    if bytes.Length = 0 then
        []
    else
        if number bytes 0 8 <> NBD_REP_MAGIC then
            failwith "not an option reply"

        let length = int (number bytes 16 4)

        {
            Option = uint32 (number bytes 8 4)
            Type = uint32 (number bytes 12 4)
            Data = bytes[20 .. 19 + length]
        }
        :: optionReplies bytes[20 + length ..]

/// How the server's side of a handshake came out.
[<NoEquality; NoComparison>]
type HandshakeEnd =
    | Waiting
    | Entered of Session
    | Upgrading
    | Closed

/// All that the server sent, how it came out, and the input that it left.
[<NoEquality; NoComparison>]
type HandshakeRun = {
    Sent: byte[]
    End: HandshakeEnd
    Unread: byte[]
    State: Handshake.State
}

/// Feeds one chunk as the shell does: again and again until the machine wants more or is done.
let rec private feedChunk exports (run: HandshakeRun) (chunk: byte[]) : HandshakeRun =
    let struct (consumed, state, output) = Handshake.feed exports run.State (ReadOnlySpan<byte> chunk)
    let rest = chunk[consumed..]
    let sent more = Array.append run.Sent more

    match output with
    | NeedMore when rest.Length > 0 -> failwith "more wanted but input left"
    | NeedMore -> { run with State = state }
    | Send bytes -> feedChunk exports { run with Sent = sent bytes; State = state } rest
    | Enter(bytes, session) -> {
        Sent = sent bytes
        End = Entered session
        Unread = rest
        State = state
      }
    | StartTls bytes -> {
        Sent = sent bytes
        End = Upgrading
        Unread = rest
        State = state
      }
    | Close bytes -> {
        Sent = sent bytes
        End = Closed
        Unread = [||]
        State = state
      }

let continueWith exports (run: HandshakeRun) (chunks: byte[] list) =
    let feed (run: HandshakeRun) chunk =
        match run.End with
        | Waiting -> feedChunk exports run chunk
        | Closed
        | Upgrading -> run
        | Entered _ -> { run with Unread = Array.append run.Unread chunk }

    List.fold feed run chunks

/// A connection's handshake, from the client flags on; the greeting is not among the bytes sent.
let handshake policy exports (chunks: byte[] list) =
    let struct (state, _) = Handshake.start policy
    continueWith exports { Sent = [||]; End = Waiting; Unread = [||]; State = state } chunks

// Transmission --------------------------------------------------------------------------------------------------------

let request (mode: ReplyMode) (flags: uint16) (command: uint16) (cookie: uint64) (offset: uint64) (length: uint64) =
    let magic, lengthBytes =
        match mode with
        | ReplyMode.Extended -> NBD_EXTENDED_REQUEST_MAGIC, u64 length
        | _ -> NBD_REQUEST_MAGIC, u32 (uint32 length)

    Array.concat [ u32 magic; u16 flags; u16 command; u64 cookie; u64 offset; lengthBytes ]

type Chunk =
    | SimpleReply of error: uint32
    | NoContent
    | Data of offset: uint64 * data: byte[]
    | Hole of offset: uint64 * length: uint32
    | Status of context: uint32 * extents: (uint64 * uint64) list
    | Error of error: uint32 * text: string
    | ErrorOffset of error: uint32 * text: string * offset: uint64

type ReplyMessage = {
    Cookie: uint64
    IsLast: bool
    /// Only extended headers repeat it.
    Offset: uint64 option
    Chunk: Chunk
}

let private chunkOf chunkType (payload: byte[]) =
    let pairs width start = [
        for at in start .. 2 * width .. payload.Length - 1 -> number payload at width, number payload (at + width) width
    ]

    let errorText () =
        Encoding.UTF8.GetString payload[6 .. 5 + int (number payload 4 2)]

    match chunkType with
    | NBD_REPLY_TYPE_NONE when payload.Length = 0 -> NoContent
    | NBD_REPLY_TYPE_OFFSET_DATA when payload.Length > 8 -> Data(number payload 0 8, payload[8..])
    | NBD_REPLY_TYPE_OFFSET_HOLE when payload.Length = 12 -> Hole(number payload 0 8, uint32 (number payload 8 4))
    | NBD_REPLY_TYPE_BLOCK_STATUS when payload.Length % 8 = 4 -> Status(uint32 (number payload 0 4), pairs 4 4)
    | NBD_REPLY_TYPE_BLOCK_STATUS_EXT when payload.Length = 8 + 16 * int (number payload 4 4) ->
        Status(uint32 (number payload 0 4), pairs 8 8)
    | NBD_REPLY_TYPE_ERROR when payload.Length = 6 + int (number payload 4 2) ->
        Error(uint32 (number payload 0 4), errorText ())
    | NBD_REPLY_TYPE_ERROR_OFFSET when payload.Length = 14 + int (number payload 4 2) ->
        ErrorOffset(uint32 (number payload 0 4), errorText (), number payload (payload.Length - 8) 8)
    | _ -> failwith "malformed chunk"

/// One reply message at the start of the bytes and what follows it. Data of a simple reply are not taken.
let replyMessage (bytes: byte[]) : ReplyMessage * byte[] =
    let chunk headerLength offset =
        let lengthWidth = if Option.isSome offset then 8 else 4
        let length = int (number bytes (headerLength - lengthWidth) lengthWidth)

        {
            Cookie = number bytes 8 8
            IsLast = number bytes 4 2 &&& uint64 NBD_REPLY_FLAG_DONE <> 0UL
            Offset = offset
            Chunk = chunkOf (uint16 (number bytes 6 2)) bytes[headerLength .. headerLength + length - 1]
        },
        bytes[headerLength + length ..]

    match uint32 (number bytes 0 4) with
    | NBD_SIMPLE_REPLY_MAGIC ->
        {
            Cookie = number bytes 8 8
            IsLast = true
            Offset = None
            Chunk = SimpleReply(uint32 (number bytes 4 4))
        },
        bytes[16..]
    | NBD_STRUCTURED_REPLY_MAGIC -> chunk 20 None
    | NBD_EXTENDED_REPLY_MAGIC -> chunk 32 (Some(number bytes 16 8))
    | _ -> failwith "not a reply"

let rec replyMessages bytes =
    if Array.isEmpty bytes then
        []
    else
        let message, rest = replyMessage bytes
        message :: replyMessages rest
