/// Raw NBD conversations: every byte that the server sends, for options and for commands, in each reply mode.
module StorageDaemon.Tests.Differential.NbdTranscripts

open System
open System.IO
open System.Net.Sockets
open System.Security.Cryptography
open System.Text
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Differential.Compare

let private imageLength = 4194304L

/// An image with data and holes, exported writable as `q`, read-only as `ro`; a null node as `null`, an odd size as `odd`.
let private serve (subject: Subject) : ChildProcess.Child =
    TempDir.striped (subject.Directory.File "r.raw") 32
    TempDir.patterned (subject.Directory.File "odd.raw") 1000001L

    let exports =
        [
            "id=e0,node-name=q,name=q,description=hello,writable=on"
            "id=e1,node-name=ro,name=ro"
            "id=e2,node-name=null,name=,writable=on"
            "id=e3,node-name=odd"
        ]
        |> List.collect (fun export -> [ "--export"; "type=nbd," + export ])

    Daemon.rawNode "q" "r.raw" ",discard=unmap"
    @ [
        "--blockdev"
        "null-co,node-name=ro,size=4194304,read-only=on,read-zeroes=on"
    ]
    @ [ "--blockdev"; "null-co,node-name=null,size=4194304,read-zeroes=on" ]
    @ [ "--blockdev"; "file,node-name=odd,filename=odd.raw,read-only=on" ]
    @ Daemon.nbdServer "n.sock"
    @ exports
    |> Daemon.start subject.Binary subject.Path

/// Bytes as hexadecimal digits; of long ones the beginning and a digest.
let private hex (data: byte[]) : string =
    if data.Length <= 128 then
        Convert.ToHexString data
    else
        let digest = Convert.ToHexString(SHA256.HashData data)
        $"{Convert.ToHexString(data, 0, 32)}… {data.Length} bytes {digest}"

/// All replies to one option on one line, so that a known difference does not shift what follows.
let private noteReplies (subject: Subject) (what: string) (replies: OptionReply list) : unit =
    let shown = replies |> List.map (fun reply -> $"0x{reply.Type:x8} {hex reply.Payload}")
    subject.Note $"""{what}: {String.Join(", ", shown)}"""

/// Sends an option and notes its replies, or that the server closed.
let private haggle (subject: Subject) (client: NbdClient) (what: string) (option: uint32) (payload: byte[]) : unit =
    try
        client.Option(option, payload) |> noteReplies subject what
    with
    | :? EndOfStreamException
    | :? SocketException -> subject.Note $"{what}: closed"

let private ascii (text: string) : byte[] = Encoding.ASCII.GetBytes text

let private optionHaggling (subject: Subject) : unit =
    use _ = serve subject
    use client = NbdClient.Connect(subject.Directory.File "n.sock")
    subject.Note $"greeting {hex client.Greeting}"
    client.ClientFlags 3u
    let option = haggle subject client
    option "STARTTLS" Opt.STARTTLS [||]
    option "STARTTLS with payload" Opt.STARTTLS [| 1uy |]
    option "unknown 99" 99u [||]
    option "unknown 99 with payload" 99u (Array.zeroCreate 100)
    option "unknown 0" 0u [||]
    option "unknown max" UInt32.MaxValue [||]
    option "PEEK_EXPORT" Opt.PEEK_EXPORT [||]
    option "LIST" Opt.LIST [||]
    option "LIST with payload" Opt.LIST [| 1uy |]
    option "LIST_META_CONTEXT early" Opt.LIST_META_CONTEXT (metaPayload "q" [])
    option "SET_META_CONTEXT early" Opt.SET_META_CONTEXT (metaPayload "q" [ "base:allocation" ])
    option "STRUCTURED_REPLY with payload" Opt.STRUCTURED_REPLY [| 1uy |]
    option "STRUCTURED_REPLY" Opt.STRUCTURED_REPLY [||]
    option "STRUCTURED_REPLY again" Opt.STRUCTURED_REPLY [||]
    option "EXTENDED_HEADERS with payload" Opt.EXTENDED_HEADERS [| 1uy |]
    option "EXTENDED_HEADERS" Opt.EXTENDED_HEADERS [||]
    option "EXTENDED_HEADERS again" Opt.EXTENDED_HEADERS [||]
    option "STRUCTURED_REPLY after EXTENDED_HEADERS" Opt.STRUCTURED_REPLY [||]

    for queries in
        [
            []
            [ "base:" ]
            [ "base:allocation" ]
            [ "base:other" ]
            [ "nonsense" ]
            [ "" ]
            [ "BASE:allocation" ]
            [ "base:allocation"; "base:allocation" ]
            [ "x:y"; "base:allocation" ]
        ] do
        let shown = String.Join("|", queries)
        option $"LIST_META_CONTEXT [{shown}]" Opt.LIST_META_CONTEXT (metaPayload "q" queries)
        option $"SET_META_CONTEXT [{shown}]" Opt.SET_META_CONTEXT (metaPayload "q" queries)

    option "LIST_META_CONTEXT of nothing" Opt.LIST_META_CONTEXT (metaPayload "nope" [])
    option "SET_META_CONTEXT of nothing" Opt.SET_META_CONTEXT (metaPayload "nope" [ "base:allocation" ])

    for name in [ "q"; "ro"; ""; "odd"; "nope" ] do
        option $"INFO {name}" Opt.INFO (infoPayload name [])
        option $"INFO {name} all" Opt.INFO (infoPayload name [ 0us; 1us; 2us; 3us ])

    option "INFO unknown information" Opt.INFO (infoPayload "q" [ 77us ])
    option "INFO twice the same" Opt.INFO (infoPayload "q" [ 3us; 3us; 1us; 1us ])
    option "GO unknown" Opt.GO (infoPayload "nope" [ 3us ])
    option "GO" Opt.GO (infoPayload "q" [ 3us ])

/// Payloads that contradict themselves, each on a connection of its own.
let private malformed: (string * uint32 * byte[]) list = [
    "LIST_META_CONTEXT empty", Opt.LIST_META_CONTEXT, [||]
    "LIST_META_CONTEXT too short", Opt.LIST_META_CONTEXT, [| 0uy; 0uy; 0uy; 9uy; 1uy |]
    "LIST_META_CONTEXT count too large",
    Opt.LIST_META_CONTEXT,
    bytes (fun w ->
        text "q" w
        u32 1000u w)
    "LIST_META_CONTEXT query length lies",
    Opt.LIST_META_CONTEXT,
    bytes (fun w ->
        text "q" w
        u32 1u w
        u32 100u w)
    "LIST_META_CONTEXT query of 4097", Opt.LIST_META_CONTEXT, metaPayload "q" [ String('n', 4097) ]
    "LIST_META_CONTEXT trailing byte", Opt.LIST_META_CONTEXT, Array.append (metaPayload "q" []) [| 1uy |]
    "SET_META_CONTEXT trailing byte", Opt.SET_META_CONTEXT, Array.append (metaPayload "q" []) [| 1uy |]
    "INFO empty", Opt.INFO, [||]
    "INFO count too large",
    Opt.INFO,
    bytes (fun w ->
        text "q" w
        u16 9us w)
    "INFO trailing byte", Opt.INFO, Array.append (infoPayload "q" []) [| 1uy |]
    "INFO name length lies",
    Opt.INFO,
    bytes (fun w ->
        u32 1000u w
        w.Write(ascii "q")
        u16 0us w)
    "INFO name length 2^32-1",
    Opt.INFO,
    bytes (fun w ->
        u32 UInt32.MaxValue w
        w.Write(ascii "q")
        u16 0us w)
    "INFO name of 4096", Opt.INFO, infoPayload (String('n', 4096)) []
    "INFO name of 4097", Opt.INFO, infoPayload (String('n', 4097)) []
    "INFO name with NUL", Opt.INFO, infoPayload "q\000x" []
    "INFO name not UTF-8",
    Opt.INFO,
    bytes (fun w ->
        u32 2u w
        w.Write [| 255uy; 254uy |]
        u16 0us w)
]

let private malformedOptions (subject: Subject) : unit =
    use _ = serve subject

    for what, option, payload in malformed do
        use client = NbdClient.Connect(subject.Directory.File "n.sock")
        client.ClientFlags 3u
        haggle subject client "STRUCTURED_REPLY" Opt.STRUCTURED_REPLY [||]
        haggle subject client what option payload
        haggle subject client $"LIST after {what}" Opt.LIST [||]

/// Options that end the connection, each on its own.
let private endings: (string * (NbdClient -> unit)) list = [
    "EXPORT_NAME", (fun client -> client.SendOption(Opt.EXPORT_NAME, 1u, ascii "q"))
    "EXPORT_NAME unknown", (fun client -> client.SendOption(Opt.EXPORT_NAME, 4u, ascii "nope"))
    "EXPORT_NAME empty", (fun client -> client.SendOption(Opt.EXPORT_NAME, 0u, [||]))
    "EXPORT_NAME 4096", (fun client -> client.SendOption(Opt.EXPORT_NAME, 4096u, Array.create 4096 110uy))
    "EXPORT_NAME 4097", (fun client -> client.SendOption(Opt.EXPORT_NAME, 4097u, Array.create 4097 110uy))
    "ABORT", (fun client -> client.SendOption(Opt.ABORT, 0u, [||]))
    "ABORT with payload", (fun client -> client.SendOption(Opt.ABORT, 1u, [| 1uy |]))
    "bad magic", (fun client -> client.Send(Array.create 16 255uy))
    "option of 33 MiB", (fun client -> client.SendOption(99u, 33u <<< 20, [||]))
    "option of 4 GiB", (fun client -> client.SendOption(Opt.LIST, UInt32.MaxValue, [||]))
]

/// What the server says up to its end of the stream.
let private remainder (client: NbdClient) : byte[] =
    use received = new MemoryStream()
    let buffer = Array.zeroCreate<byte> 65536

    let rec read () =
        let count =
            try
                client.Socket.Receive buffer
            with :? SocketException ->
                0

        if count > 0 then
            received.Write(buffer, 0, count)
            read ()

    read ()
    received.ToArray()

let private handshakeEnds (flags: uint32) (subject: Subject) : unit =
    use _ = serve subject

    for name, send in endings do
        use client = NbdClient.Connect(subject.Directory.File "n.sock")
        client.ClientFlags flags
        send client
        client.Socket.Shutdown SocketShutdown.Send
        subject.Note $"{name}: {hex (remainder client)}"

let private badClientFlags (subject: Subject) : unit =
    use _ = serve subject

    for flags in [ 0u; 1u; 2u; 3u; 4u; 7u; UInt32.MaxValue ] do
        use client = NbdClient.Connect(subject.Directory.File "n.sock")
        client.ClientFlags flags

        try
            client.SendOption(Opt.LIST, 0u, [||])
            client.Socket.Shutdown SocketShutdown.Send
        with :? SocketException ->
            ()

        subject.Note $"client flags {flags}: {hex (remainder client)}"

type private Request = {
    What: string
    Command: uint16
    Flags: uint16
    Offset: uint64
    Length: uint64
}

let private request (what: string) (command: uint16) (flags: uint16) (offset: uint64) (length: uint64) : Request = {
    What = what
    Command = command
    Flags = flags
    Offset = offset
    Length = length
}

/// Requests without a payload, in order; later ones see what earlier ones did.
let private requests: Request list =
    let size = uint64 imageLength
    let mib = 1UL <<< 20

    [
        request "READ 512" Cmd.READ 0us 0UL 512UL
        request "READ over data and hole" Cmd.READ 0us 32768UL 65536UL
        request "READ hole" Cmd.READ 0us 65536UL 65536UL
        request "READ whole" Cmd.READ 0us 0UL size
        request "READ whole DF" Cmd.READ Flag.DF 0UL size
        request "READ hole DF" Cmd.READ Flag.DF 65536UL 65536UL
        request "READ 3 at 1" Cmd.READ 0us 1UL 3UL
        request "READ of length 0" Cmd.READ 0us 0UL 0UL
        request "READ of length 0 at the end" Cmd.READ 0us size 0UL
        request "READ of length 0 past the end" Cmd.READ 0us (size + 1UL) 0UL
        request "READ last byte" Cmd.READ 0us (size - 1UL) 1UL
        request "READ past the end" Cmd.READ 0us size 512UL
        request "READ across the end" Cmd.READ 0us (size - 256UL) 512UL
        request "READ at 2^63" Cmd.READ 0us (1UL <<< 63) 512UL
        request "READ wraps" Cmd.READ 0us (UInt64.MaxValue - 255UL) 512UL
        request "READ 64 MiB" Cmd.READ 0us 0UL (64UL * mib)
        request "READ 32 MiB" Cmd.READ 0us 0UL (32UL * mib)
        request "READ FUA" Cmd.READ Flag.FUA 0UL 512UL
        request "READ bad flag" Cmd.READ 0x80us 0UL 512UL
        request "READ REQ_ONE" Cmd.READ Flag.REQ_ONE 0UL 512UL
        request "READ NO_HOLE" Cmd.READ Flag.NO_HOLE 0UL 512UL
        request "BLOCK_STATUS" Cmd.BLOCK_STATUS 0us 0UL size
        request "BLOCK_STATUS REQ_ONE" Cmd.BLOCK_STATUS Flag.REQ_ONE 0UL size
        request "BLOCK_STATUS inside" Cmd.BLOCK_STATUS 0us 1000UL 100000UL
        request "BLOCK_STATUS one byte" Cmd.BLOCK_STATUS 0us 70000UL 1UL
        request "BLOCK_STATUS of length 0" Cmd.BLOCK_STATUS 0us 0UL 0UL
        request "BLOCK_STATUS past the end" Cmd.BLOCK_STATUS 0us 0UL (size + 1UL)
        request "BLOCK_STATUS FUA" Cmd.BLOCK_STATUS Flag.FUA 0UL 512UL
        request "BLOCK_STATUS bad flag" Cmd.BLOCK_STATUS Flag.NO_HOLE 0UL 512UL
        request "BLOCK_STATUS bad flag, of length 0" Cmd.BLOCK_STATUS Flag.NO_HOLE 0UL 0UL
        request "WRITE_ZEROES" Cmd.WRITE_ZEROES 0us 0UL 4096UL
        request "WRITE_ZEROES NO_HOLE" Cmd.WRITE_ZEROES Flag.NO_HOLE 131072UL 65536UL
        request "WRITE_ZEROES FAST" Cmd.WRITE_ZEROES Flag.FAST_ZERO 262144UL 65536UL
        request "WRITE_ZEROES FUA" Cmd.WRITE_ZEROES Flag.FUA 393216UL 4096UL
        request "WRITE_ZEROES unaligned" Cmd.WRITE_ZEROES 0us 524289UL 5000UL
        request "WRITE_ZEROES past the end" Cmd.WRITE_ZEROES 0us size 512UL
        request "WRITE_ZEROES across the end" Cmd.WRITE_ZEROES 0us (size - 256UL) 512UL
        request "WRITE_ZEROES of length 0" Cmd.WRITE_ZEROES 0us 0UL 0UL
        request "WRITE_ZEROES bad flag" Cmd.WRITE_ZEROES Flag.DF 0UL 512UL
        request "BLOCK_STATUS after zeroes" Cmd.BLOCK_STATUS 0us 0UL (size / 2UL)
        request "TRIM" Cmd.TRIM 0us 655360UL 65536UL
        request "TRIM FUA" Cmd.TRIM Flag.FUA 786432UL 65536UL
        request "TRIM unaligned" Cmd.TRIM 0us 917505UL 9000UL
        request "TRIM past the end" Cmd.TRIM 0us 0UL 0xFFFFFE00UL
        request "TRIM of length 0" Cmd.TRIM 0us 0UL 0UL
        request "TRIM bad flag" Cmd.TRIM Flag.NO_HOLE 0UL 512UL
        request "BLOCK_STATUS after trim" Cmd.BLOCK_STATUS 0us 0UL size
        request "CACHE" Cmd.CACHE 0us 0UL size
        request "CACHE 64 MiB" Cmd.CACHE 0us 0UL (64UL * mib)
        request "CACHE past the end" Cmd.CACHE 0us size 512UL
        request "CACHE bad flag" Cmd.CACHE Flag.FUA 0UL 512UL
        request "FLUSH" Cmd.FLUSH 0us 0UL 0UL
        request "FLUSH with offset and length" Cmd.FLUSH 0us 5UL 7UL
        request "FLUSH FUA" Cmd.FLUSH Flag.FUA 0UL 0UL
        request "FLUSH bad flag" Cmd.FLUSH Flag.DF 0UL 0UL
        request "RESIZE" Cmd.RESIZE 0us 0UL 512UL
        request "command 77" 77us 0us 0UL 512UL
        request "command 65535" 65535us (0xFFFFus - Flag.PAYLOAD_LEN) UInt64.MaxValue 512UL
        request "READ after all this" Cmd.READ 0us 0UL size
    ]

/// All chunks of a reply on one line; of what was read also the data alone, however it was cut.
let private noteChunks (subject: Subject) (what: string) (chunks: Chunk list) : unit =
    let shown = chunks |> List.map (fun chunk -> $"{hex chunk.Header} {hex chunk.Payload}")
    subject.Note $"""{what}: {String.Join(", ", shown)}"""

let private perform (subject: Subject) (client: NbdClient) (item: Request) : unit =
    let chunks = client.Command(item.Command, item.Flags, item.Offset, item.Length, [||])

    noteChunks subject item.What chunks

    if
        item.Command = Cmd.READ
        && item.Length > 0UL
        && chunks |> List.forall (fun chunk -> chunk.Error = 0u)
    then
        subject.Note $"{item.What}, the data: {hex (client.Assemble(item.Offset, int item.Length, chunks))}"

let private writes (subject: Subject) (client: NbdClient) : unit =
    let size = uint64 imageLength

    for what, flags, offset, length in
        [
            "WRITE 512", 0us, 0UL, 512
            "WRITE FUA", Flag.FUA, 4096UL, 512
            "WRITE unaligned", 0us, 10001UL, 777
            "WRITE of length 0", 0us, 0UL, 0
            "WRITE 1 MiB", 0us, 1048576UL, 1048576
            "WRITE past the end", 0us, size, 512
            "WRITE across the end", 0us, size - 256UL, 512
            "WRITE bad flag", Flag.DF, 0UL, 512
        ] do
        let flags =
            if client.Mode = Extended then
                flags ||| Flag.PAYLOAD_LEN
            else
                flags

        let payload = TempDir.pattern (int64 offset) length

        client.Command(Cmd.WRITE, flags, offset, uint64 length, payload)
        |> noteChunks subject what

    perform subject client (request "READ what was written" Cmd.READ 0us 0UL size)

let private transmission (mode: Mode) (export: string) (subject: Subject) : unit =
    use child = serve subject
    use client = NbdClient.Connect(subject.Directory.File "n.sock")
    client.Go(mode, export) |> noteReplies subject "GO"
    requests |> List.iter (perform subject client)
    writes subject client
    client.Disconnect()
    subject.Note $"closed after DISC: {client.IsClosed()}"
    subject.Note $"exit code {Daemon.stop child}"

/// Only with extended headers: payload flags, BLOCK_STATUS with a payload, lengths beyond 32 bits.
let private extendedOnly (subject: Subject) : unit =
    use _ = serve subject
    use client = NbdClient.Connect(subject.Directory.File "n.sock")
    client.Go(Extended, "q") |> noteReplies subject "GO"
    perform subject client (request "WRITE_ZEROES of 2^40" Cmd.WRITE_ZEROES 0us 0UL (1UL <<< 40))
    perform subject client (request "TRIM of 2^63" Cmd.TRIM 0us 0UL (1UL <<< 63))
    perform subject client (request "BLOCK_STATUS of 2^40" Cmd.BLOCK_STATUS 0us 0UL (1UL <<< 40))
    perform subject client (request "READ of 2^40" Cmd.READ 0us 0UL (1UL <<< 40))

    let withPayload (what: string) (command: uint16) (flags: uint16) (length: uint64) (payload: byte[]) =
        client.Command(command, flags ||| Flag.PAYLOAD_LEN, 0UL, length, payload)
        |> noteChunks subject what

    let effect (length: uint64) (ids: uint32 list) =
        bytes (fun w ->
            u64 length w
            ids |> List.iter (fun id -> u32 id w))

    let status (what: string) (payload: byte[]) =
        withPayload $"BLOCK_STATUS with payload, {what}" Cmd.BLOCK_STATUS 0us (uint64 payload.Length) payload

    status "the known id" (effect 65536UL [ 0u ])
    status "an unknown id" (effect 65536UL [ 7u ])
    status "no id" (effect 65536UL [])
    status "no id, past the end" (effect (1UL <<< 40) [])
    status "the known id, past the end" (effect (1UL <<< 40) [ 0u ])
    status "an unknown id, past the end" (effect (1UL <<< 40) [ 7u ])
    status "the id twice" (effect 65536UL [ 0u; 0u ])
    status "of length 0" (effect 0UL [ 0u ])
    status "odd length" (Array.append (effect 65536UL [ 0u ]) [| 1uy |])
    status "too short" [| 1uy; 2uy |]
    withPayload "FLUSH with payload" Cmd.FLUSH 0us 16UL (Array.zeroCreate 16)
    withPayload "BLOCK_STATUS with payload and a bad flag" Cmd.BLOCK_STATUS Flag.NO_HOLE 12UL (effect 65536UL [ 0u ])
    // Longer than the export: the length is that of the payload.
    let long = Array.zeroCreate<byte>(int imageLength + 512)
    withPayload "TRIM with a long payload" Cmd.TRIM 0us (uint64 long.Length) long
    withPayload "READ with a long payload" Cmd.READ 0us (uint64 long.Length) long
    perform subject client (request "READ after all this" Cmd.READ 0us 0UL 512UL)

/// Requests whose framing the server cannot trust end the connection.
let private fatal (subject: Subject) : unit =
    use _ = serve subject

    let play (what: string) (mode: Mode) (send: NbdClient -> unit) =
        use client = NbdClient.Connect(subject.Directory.File "n.sock")
        client.Go(mode, "q") |> ignore
        send client
        client.Socket.Shutdown SocketShutdown.Send
        subject.Note $"{what}: {hex (remainder client)}"

    play "bad request magic" Structured (fun client -> client.Send(Array.create 28 255uy))
    play "half a header" Structured (fun client -> client.Send(Array.create 13 0uy))

    play "half a payload" Structured (fun client ->
        client.SendRequest(Cmd.WRITE, 0us, 0UL, 4096UL, [| 1uy |]) |> ignore)

    play "WRITE of 33 MiB" Structured (fun client ->
        client.SendRequest(Cmd.WRITE, 0us, 0UL, 33UL <<< 20, [||]) |> ignore)

    play "WRITE of 4 GiB" Structured (fun client ->
        client.SendRequest(Cmd.WRITE, 0us, 0UL, 0xFFFFFFFFUL, [||]) |> ignore)

    // Exactly one header each: bytes left unread would turn the end of the stream into a reset, which may swallow the reply.
    let header (magic: uint32) (length: int) (client: NbdClient) =
        client.Send(
            bytes (fun w ->
                u32 magic w
                w.Write(Array.zeroCreate<byte>(length - 4)))
        )

    play "compact magic in extended mode" Extended (header 0x25609513u 32)
    play "extended magic in structured mode" Structured (header 0x21E41C71u 28)

[<Tests>]
let tests =
    testSequenced
    <| testList "differential NBD" [
        differential "option haggling" optionHaggling
        differential "malformed options" malformedOptions
        differential "options that end the handshake" (handshakeEnds 3u)
        differential "options that end the handshake, zeroes wanted" (handshakeEnds 1u)
        differential "client flags" badClientFlags
        differential "transmission, simple replies" (transmission Simple "q")
        differential "transmission, structured replies" (transmission Structured "q")
        differential "transmission, extended headers" (transmission Extended "q")
        differential "transmission, simple, null" (transmission Simple "")
        differential "transmission, structured, read-only" (transmission Structured "ro")
        differential "transmission, extended, read-only" (transmission Extended "ro")
        differential "transmission, structured, odd size" (transmission Structured "odd")
        differential "extended headers only" extendedOnly
        differential "requests that end the connection" fatal
    ]
