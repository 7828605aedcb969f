namespace StorageDaemon.Core.Chardev

open System
open System.Buffers.Binary
open System.Text

/// What a WebSocket server makes of its input.
[<RequireQualifiedAccess; NoComparison>]
type WebSocketOutput =
    /// The handshake is done: the connection is open.
    | Opened
    /// To the client, as it is.
    | Send of ReadOnlyMemory<byte>
    /// Data of the client.
    | Data of ReadOnlyMemory<byte>
    /// Close the connection, once everything is sent.
    | Finish

/// Where a WebSocket server stands. Between two inputs it keeps less than `WebSocketHandshake.MaxRequestBytes` bytes.
[<NoComparison>]
type WebSocketState =
    /// The request so far.
    | Handshaking of byte[]
    /// A frame's header so far. `message` is the opcode of the last frame that was not a control frame: frames that
    /// continue it have none of their own.
    | Header of message: byte * byte[]
    /// In a frame's payload: what is left of it, its mask, where that stands, and the payload of a ping so far.
    | Payload of message: byte * opcode: byte * left: uint64 * mask: uint32 * position: int * ping: byte[]
    | Finished

/// The server's side of the WebSocket protocol (RFC 6455) over any chunks of bytes. Data is in binary frames.
module WebSocket =
    [<Literal>]
    let private Binary = 2uy

    [<Literal>]
    let private Close = 8uy

    [<Literal>]
    let private Ping = 9uy

    [<Literal>]
    let private Pong = 10uy

    /// The longest payload that is sent in one frame.
    [<Literal>]
    let MaxFrameBytes = 8192

    [<Literal>]
    let private MaxControlBytes = 125

    let initial = Handshaking [||]

    /// A frame of the server, not masked and not fragmented.
    let private frame (opcode: byte) (payload: ReadOnlySpan<byte>) : byte[] =
        let headerBytes = if payload.Length <= MaxControlBytes then 2 else 4
        let result = Array.zeroCreate<byte>(headerBytes + payload.Length)
        result[0] <- 0x80uy ||| opcode

        if headerBytes = 2 then
            result[1] <- byte payload.Length
        else
            result[1] <- 126uy
            BinaryPrimitives.WriteUInt16BigEndian(result.AsSpan 2, uint16 payload.Length)

        payload.CopyTo(result.AsSpan headerBytes)
        result

    /// The frames that carry data to the client.
    let encode (data: ReadOnlySpan<byte>) : byte[] list =
        let mutable frames = []
        let mutable position = 0

        while position < data.Length do
            let length = min MaxFrameBytes (data.Length - position)
            frames <- frame Binary (data.Slice(position, length)) :: frames
            position <- position + length

        List.rev frames

    /// A close frame with a status (section 7.4.1) and its reason.
    let private closing (status: uint16) (reason: string) =
        let payload = Array.zeroCreate<byte>(2 + reason.Length)
        BinaryPrimitives.WriteUInt16BigEndian(payload.AsSpan(), status)
        Encoding.ASCII.GetBytes(reason, payload.AsSpan 2) |> ignore

        [
            WebSocketOutput.Send(ReadOnlyMemory(frame Close (ReadOnlySpan payload)))
            WebSocketOutput.Finish
        ]

    let private protocolError = 1002us
    let private policyViolation = 1008us

    /// Why the first two bytes of a header end the connection, if they do.
    let private refusal (first: byte) opcode (second: byte) =
        let isFinal = first &&& 0x80uy <> 0uy
        let isMasked = second &&& 0x80uy <> 0uy

        if opcode = Close then
            ValueSome(closing 1000us "peer requested close")
        elif not isFinal && opcode <> Binary then
            ValueSome(closing policyViolation "only binary frames may be fragmented")
        elif opcode <> Binary && opcode <> Ping && opcode <> Pong then
            ValueSome(closing 1003us "only binary, close, ping, and pong frames are supported")
        elif not isMasked then
            ValueSome(closing protocolError "client frames must be masked")
        elif opcode >= Close && int (second &&& 0x7Fuy) > MaxControlBytes then
            ValueSome(closing protocolError "control frame is too large")
        else
            ValueNone

    let private headerBytes (second: byte) =
        match second &&& 0x7Fuy with
        | 126uy -> 8
        | 127uy -> 14
        | _ -> 6

    let private payloadLength (header: ReadOnlySpan<byte>) =
        match header[1] &&& 0x7Fuy with
        | 126uy -> uint64 (BinaryPrimitives.ReadUInt16BigEndian(header.Slice 2))
        | 127uy -> BinaryPrimitives.ReadUInt64BigEndian(header.Slice 2)
        | length -> uint64 length

    let private pong payload = [
        WebSocketOutput.Send(ReadOnlyMemory(frame Pong (ReadOnlySpan<byte>(payload: byte[]))))
    ]

    /// A whole header: the payload begins. A ping without payload is answered at once.
    let private beginPayload message opcode (header: ReadOnlySpan<byte>) =
        let length = payloadLength header
        let mask = BinaryPrimitives.ReadUInt32LittleEndian(header.Slice(header.Length - 4))

        if length > 0UL then
            struct (Payload(message, opcode, length, mask, 0, [||]), [])
        else
            struct (Header(message, [||]), (if opcode = Ping then pong [||] else []))

    /// One byte of a header.
    let private headerByte message (soFar: byte[]) (b: byte) =
        let header = Array.append soFar [| b |]
        let own = header[0] &&& 0x0Fuy
        let opcode = if own = 0uy then message else own
        let message = if opcode < Close then opcode else message

        if header.Length < 2 then
            struct (Header(message, header), [])
        else
            match
                (if header.Length = 2 then
                     refusal header[0] opcode b
                 else
                     ValueNone)
            with
            | ValueSome outputs -> struct (Finished, outputs)
            | ValueNone when header.Length < headerBytes header[1] -> struct (Header(message, header), [])
            | ValueNone -> beginPayload message opcode (ReadOnlySpan header)

    let private unmask (mask: uint32) position (bytes: ReadOnlySpan<byte>) =
        let result = Array.zeroCreate<byte> bytes.Length

        for i in 0 .. bytes.Length - 1 do
            result[i] <- bytes[i] ^^^ byte (mask >>> ((position + i) % 4 * 8))

        result

    /// Payload that came in one piece, `bytes` being no longer than what is left.
    let private payloadPiece message opcode left mask position (ping: byte[]) (bytes: ReadOnlySpan<byte>) =
        let plain = unmask mask position bytes
        let left = left - uint64 bytes.Length
        let ping = if opcode = Ping then Array.append ping plain else [||]

        let outputs =
            if opcode = Binary then
                [ WebSocketOutput.Data(ReadOnlyMemory plain) ]
            elif opcode = Ping && left = 0UL then
                pong ping
            else
                []

        if left = 0UL then
            struct (Header(message, [||]), outputs)
        else
            struct (Payload(message, opcode, left, mask, (position + bytes.Length) % 4, ping), outputs)

    let private emptyLine = "\r\n\r\n"B

    /// The request with another piece: how many bytes of the piece belong to it.
    let private handshake now (request: byte[]) (bytes: ReadOnlySpan<byte>) =
        let room = WebSocketHandshake.MaxRequestBytes - request.Length
        let taken = bytes.Slice(0, min room bytes.Length)
        let whole = Array.append request (taken.ToArray())
        let ending = ReadOnlySpan(whole).IndexOf(ReadOnlySpan emptyLine)

        if ending >= 0 then
            let struct (reply, isAccepted) = WebSocketHandshake.answer now (ReadOnlySpan(whole, 0, ending))
            let sent = [ WebSocketOutput.Send(ReadOnlyMemory reply) ]
            let used = ending + emptyLine.Length - request.Length

            if isAccepted then
                struct (used, Header(0uy, [||]), sent @ [ WebSocketOutput.Opened ])
            else
                struct (used, Finished, sent @ [ WebSocketOutput.Finish ])
        elif whole.Length = WebSocketHandshake.MaxRequestBytes then
            let reply = WebSocketOutput.Send(ReadOnlyMemory(WebSocketHandshake.tooLarge now))
            struct (taken.Length, Finished, [ reply; WebSocketOutput.Finish ])
        else
            struct (taken.Length, Handshaking whole, [])

    /// Takes input that came at a time (UTC). All of it is used; behind the end it is dropped.
    let feed (now: DateTime) (state: WebSocketState) (bytes: ReadOnlySpan<byte>) =
        let mutable state = state
        let mutable outputs: WebSocketOutput list = []
        let mutable position = 0

        while position < bytes.Length do
            let rest = bytes.Slice position

            let struct (used, next, more) =
                match state with
                | Handshaking request -> handshake now request rest
                | Header(message, soFar) ->
                    let struct (next, more) = headerByte message soFar rest[0]
                    struct (1, next, more)
                | Payload(message, opcode, left, mask, at, ping) ->
                    let piece = rest.Slice(0, int (min left (uint64 rest.Length)))
                    let length = piece.Length
                    let struct (next, more) = payloadPiece message opcode left mask at ping piece
                    struct (length, next, more)
                | Finished -> struct (rest.Length, Finished, [])

            state <- next
            outputs <- List.rev more @ outputs
            position <- position + used

        struct (state, List.rev outputs)
