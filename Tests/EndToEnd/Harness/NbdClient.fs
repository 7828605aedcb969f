/// A small NBD client that shows every byte of the answers and can send what no honest client would.
/// Numbers are those of the NBD protocol document (doc/proto.md).
module StorageDaemon.Tests.Harness.NbdClient

open System
open System.Buffers.Binary
open System.IO
open System.Net.Sockets
open System.Text

/// How replies are framed once options are negotiated.
type Mode =
    | Simple
    | Structured
    | Extended

module Opt =
    let EXPORT_NAME = 1u
    let ABORT = 2u
    let LIST = 3u
    let PEEK_EXPORT = 4u
    let STARTTLS = 5u
    let INFO = 6u
    let GO = 7u
    let STRUCTURED_REPLY = 8u
    let LIST_META_CONTEXT = 9u
    let SET_META_CONTEXT = 10u
    let EXTENDED_HEADERS = 11u

module Rep =
    let ACK = 1u
    let INFO = 3u

module Cmd =
    let READ = 0us
    let WRITE = 1us
    let DISC = 2us
    let FLUSH = 3us
    let TRIM = 4us
    let CACHE = 5us
    let WRITE_ZEROES = 6us
    let BLOCK_STATUS = 7us
    let RESIZE = 8us

module Flag =
    let FUA = 1us
    let NO_HOLE = 2us
    let DF = 4us
    let REQ_ONE = 8us
    let FAST_ZERO = 16us
    let PAYLOAD_LEN = 32us

let private optionMagic = 0x49484156454F5054UL
let private simpleRequestMagic = 0x25609513u
let private extendedRequestMagic = 0x21E41C71u
let private simpleReplyMagic = 0x67446698u
let private structuredReplyMagic = 0x668E33EFu
let private extendedReplyMagic = 0x6E8A278Cu

/// Big-endian numbers and bytes, put together.
let bytes (write: BinaryWriter -> unit) : byte[] =
    use stream = new MemoryStream()
    use writer = new BinaryWriter(stream)
    write writer
    stream.ToArray()

let u16 (value: uint16) (writer: BinaryWriter) : unit =
    writer.Write(BinaryPrimitives.ReverseEndianness value)

let u32 (value: uint32) (writer: BinaryWriter) : unit =
    writer.Write(BinaryPrimitives.ReverseEndianness value)

let u64 (value: uint64) (writer: BinaryWriter) : unit =
    writer.Write(BinaryPrimitives.ReverseEndianness value)

/// A string with its length in 32 bits before it.
let text (value: string) (writer: BinaryWriter) : unit =
    let encoded = Encoding.UTF8.GetBytes value
    u32 (uint32 encoded.Length) writer
    writer.Write encoded

/// The payload of INFO and GO: an export's name and the informations asked for.
let infoPayload (name: string) (requests: uint16 list) : byte[] =
    bytes (fun w ->
        text name w
        u16 (uint16 requests.Length) w
        requests |> List.iter (fun request -> u16 request w))

/// The payload of LIST_META_CONTEXT and SET_META_CONTEXT.
let metaPayload (name: string) (queries: string list) : byte[] =
    bytes (fun w ->
        text name w
        u32 (uint32 queries.Length) w
        queries |> List.iter (fun query -> text query w))

/// A reply to an option.
type OptionReply = { Type: uint32; Payload: byte[] }

/// One reply chunk to a command, whole as it was on the wire.
type Chunk = {
    Header: byte[]
    Payload: byte[]
    /// True when no further chunk of this request follows.
    IsLast: bool
    Cookie: uint64
    /// The error of a simple reply, or of an error chunk; 0 else.
    Error: uint32
}

/// A connection. After construction the server's greeting is read and nothing is sent.
type NbdClient(socket: Socket) =
    let mutable mode = Simple
    let mutable nextCookie = 0UL

    let receive (count: int) : byte[] =
        let buffer = Array.zeroCreate<byte> count
        let mutable filled = 0

        while filled < count do
            let got = socket.Receive(buffer, filled, count - filled, SocketFlags.None)

            if got = 0 then
                raise (EndOfStreamException $"the server closed after {filled} of {count} bytes")

            filled <- filled + got

        buffer

    let beU16 (source: byte[]) (at: int) =
        BinaryPrimitives.ReadUInt16BigEndian(ReadOnlySpan(source, at, 2))

    let beU32 (source: byte[]) (at: int) =
        BinaryPrimitives.ReadUInt32BigEndian(ReadOnlySpan(source, at, 4))

    let beU64 (source: byte[]) (at: int) =
        BinaryPrimitives.ReadUInt64BigEndian(ReadOnlySpan(source, at, 8))

    let send (data: byte[]) : unit =
        let mutable sent = 0

        while sent < data.Length do
            sent <- sent + socket.Send(data, sent, data.Length - sent, SocketFlags.None)

    /// Chunk types with bit 15 are errors, and their payload begins with the error.
    let chunk (header: byte[]) (flagsAt: int) (payload: byte[]) : Chunk =
        let isError = beU16 header (flagsAt + 2) &&& 0x8000us <> 0us

        {
            Header = header
            Payload = payload
            IsLast = beU16 header flagsAt &&& 1us <> 0us
            Cookie = beU64 header (flagsAt + 4)
            Error = if isError then beU32 payload 0 else 0u
        }

    do
        socket.ReceiveTimeout <- int Wait.defaultTimeout.TotalMilliseconds
        socket.SendTimeout <- int Wait.defaultTimeout.TotalMilliseconds

    let greeting = receive 18

    static member Connect(path: string) : NbdClient =
        new NbdClient(QmpClient.connectUnix path)

    member _.Socket = socket
    /// NBDMAGIC, IHAVEOPT and the handshake flags.
    member _.Greeting = greeting
    member _.Mode = mode
    member _.Send(data: byte[]) : unit = send data
    member _.Receive(count: int) : byte[] = receive count

    /// True when the server closes within the time limit; what it still sends is thrown away.
    member _.IsClosed() : bool =
        let buffer = Array.zeroCreate<byte> 65536

        try
            while socket.Receive buffer > 0 do
                ()

            true
        with :? SocketException as error ->
            error.SocketErrorCode <> SocketError.TimedOut
            && error.SocketErrorCode <> SocketError.WouldBlock

    /// Answers the greeting: bit 0 fixed newstyle, bit 1 no zeroes.
    member _.ClientFlags(flags: uint32) : unit = send (bytes (u32 flags))

    /// Sends an option whose stated length need not be that of the payload.
    member _.SendOption(option: uint32, statedLength: uint32, payload: byte[]) : unit =
        send (
            bytes (fun w ->
                u64 optionMagic w
                u32 option w
                u32 statedLength w
                w.Write payload)
        )

    /// Reads one reply to an option.
    member _.OptionReply() : OptionReply =
        let header = receive 20

        {
            Type = beU32 header 12
            Payload = receive (int (beU32 header 16))
        }

    /// Sends an option and reads its replies up to the acknowledgement or an error.
    member this.Option(option: uint32, payload: byte[]) : OptionReply list =
        this.SendOption(option, uint32 payload.Length, payload)

        let rec collect (replies: OptionReply list) =
            let reply = this.OptionReply()

            if reply.Type = Rep.ACK || reply.Type >= 0x80000000u then
                List.rev (reply :: replies)
            else
                collect (reply :: replies)

        let replies = collect []

        if (List.last replies).Type = Rep.ACK then
            if option = Opt.EXTENDED_HEADERS then
                mode <- Extended
            elif option = Opt.STRUCTURED_REPLY then
                mode <- Structured

        replies

    /// The usual negotiation: the mode, one meta context unless simple, and GO.
    member this.Go(wanted: Mode, export: string) : OptionReply list =
        this.ClientFlags 3u

        match wanted with
        | Simple -> ()
        | Structured -> this.Option(Opt.STRUCTURED_REPLY, [||]) |> ignore
        | Extended -> this.Option(Opt.EXTENDED_HEADERS, [||]) |> ignore

        if wanted <> Simple then
            this.Option(Opt.SET_META_CONTEXT, metaPayload export [ "base:allocation" ])
            |> ignore

        let replies = this.Option(Opt.GO, infoPayload export [ 3us ])

        if (List.last replies).Type <> Rep.ACK then
            failwith $"GO of export '{export}' was refused"

        replies

    /// Sends a request and returns its cookie. `length` is the wire's field, whatever the payload.
    member _.SendRequest(command: uint16, flags: uint16, offset: uint64, length: uint64, payload: byte[]) : uint64 =
        nextCookie <- nextCookie + 1UL
        let cookie = nextCookie

        send (
            bytes (fun w ->
                u32
                    (if mode = Extended then
                         extendedRequestMagic
                     else
                         simpleRequestMagic)
                    w

                u16 flags w
                u16 command w
                u64 cookie w
                u64 offset w

                if mode = Extended then
                    u64 length w
                else
                    u32 (uint32 length) w

                w.Write payload)
        )

        cookie

    /// Reads one chunk. `readLength` is the length of the data that a successful simple reply to a READ carries.
    member _.ReadChunk(readLength: int) : Chunk =
        let magicBytes = receive 4
        let magic = beU32 magicBytes 0

        if magic = simpleReplyMagic then
            let rest = receive 12
            let error = beU32 rest 0

            {
                Header = Array.append magicBytes rest
                Payload = if error = 0u then receive readLength else [||]
                IsLast = true
                Cookie = beU64 rest 4
                Error = error
            }
        elif magic = structuredReplyMagic then
            let header = Array.append magicBytes (receive 16)
            chunk header 4 (receive (int (beU32 header 16)))
        elif magic = extendedReplyMagic then
            let header = Array.append magicBytes (receive 28)
            chunk header 4 (receive (int (beU64 header 24)))
        else
            failwith $"unknown reply magic 0x{magic:x8}"

    /// Reads all chunks of one request. Only for one request in flight.
    member this.ReadReply(readLength: int) : Chunk list =
        let rec collect (chunks: Chunk list) =
            let next = this.ReadChunk readLength

            if next.IsLast then
                List.rev (next :: chunks)
            else
                collect (next :: chunks)

        collect []

    /// One request and all its chunks.
    member this.Command(command: uint16, flags: uint16, offset: uint64, length: uint64, payload: byte[]) : Chunk list =
        this.SendRequest(command, flags, offset, length, payload) |> ignore
        this.ReadReply(if command = Cmd.READ then int length else 0)

    /// A request without payload of which only the error counts.
    member this.Errno(command: uint16, flags: uint16, offset: uint64, length: uint64) : uint32 =
        this.Command(command, flags, offset, length, [||])
        |> List.map (fun chunk -> chunk.Error)
        |> List.max

    /// Writes bytes; the error.
    member this.Write(flags: uint16, offset: uint64, data: byte[]) : uint32 =
        // Extended headers ask for this flag on every request with a payload.
        let flags =
            if mode = Extended then
                flags ||| Flag.PAYLOAD_LEN
            else
                flags

        this.Command(Cmd.WRITE, flags, offset, uint64 data.Length, data)
        |> List.map (fun chunk -> chunk.Error)
        |> List.max

    /// The data of a READ's chunks, holes as zeroes; a failed test on an error.
    member _.Assemble(offset: uint64, length: int, chunks: Chunk list) : byte[] =
        let result = Array.zeroCreate<byte> length

        for chunk in chunks do
            if chunk.Error <> 0u then
                failwith $"READ of {length} bytes at {offset}: error {chunk.Error}"

            if mode = Simple then
                chunk.Payload.CopyTo(result, 0)
            elif beU16 chunk.Header 6 = 1us then
                let at = int (beU64 chunk.Payload 0 - offset)
                Array.blit chunk.Payload 8 result at (chunk.Payload.Length - 8)

        result

    /// Reads bytes, holes as zeroes; a failed test on an error.
    member this.Read(offset: uint64, length: int) : byte[] =
        this.Assemble(offset, length, this.Command(Cmd.READ, 0us, offset, uint64 length, [||]))

    /// Says goodbye; the server closes without a reply.
    member this.Disconnect() : unit =
        this.SendRequest(Cmd.DISC, 0us, 0UL, 0UL, [||]) |> ignore

    interface IDisposable with
        member _.Dispose() = socket.Dispose()
