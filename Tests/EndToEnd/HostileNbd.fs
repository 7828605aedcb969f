/// NBD clients that break the rules, break off or do not read. The daemon lives on and others are served.
module StorageDaemon.Tests.EndToEnd.HostileNbd

open System
open System.Diagnostics
open System.IO
open System.Net.Sockets
open System.Threading
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk
open StorageDaemon.Tests.Harness.NbdClient

/// What an honest client sends up to transmission and a write, as one stream of bytes.
let private honest: byte[] =
    let option (number: uint32) (payload: byte[]) (writer: BinaryWriter) =
        u64 0x49484156454F5054UL writer
        u32 number writer
        u32 (uint32 payload.Length) writer
        writer.Write payload

    bytes (fun w ->
        u32 3u w
        option Opt.STRUCTURED_REPLY [||] w
        option Opt.LIST [||] w
        option Opt.SET_META_CONTEXT (metaPayload "disk" [ "base:allocation" ]) w
        option Opt.GO (infoPayload "disk" [ 3us ]) w
        // A write of 512 bytes at 1 MiB, where no other test looks.
        u32 0x25609513u w
        u16 0us w
        u16 Cmd.WRITE w
        u64 1UL w
        u64 (uint64 MiB) w
        u32 512u w
        w.Write(Array.zeroCreate<byte> 512))

/// Sends what the server takes; it may close at any time.
let private trySend (client: NbdClient) (data: byte[]) : unit =
    try
        client.Send data
    with :? SocketException ->
        ()

let private breakOff =
    testCase "clients that leave after any number of bytes" (fun () ->
        use disk = new Disk(2L * MiB)

        for length in 0..3 .. honest.Length do
            use client = NbdClient.Connect disk.Socket
            trySend client honest[.. length - 1]

        disk.MustBeHealthy "broken off clients"
        disk.Stop())

let private byteByByte =
    testCase "a client that sends single bytes" (fun () ->
        use disk = new Disk(2L * MiB)
        use client = NbdClient.Connect disk.Socket

        for value in honest do
            client.Send [| value |]

        let rec untilWritten () =
            // Option replies first, 0x0003E889045565A9; the reply to the write, simple or structured, begins otherwise.
            let magic = client.Receive 4

            if magic[0] = 0uy then
                let rest = client.Receive 16
                let length = Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(ReadOnlySpan(rest, 12, 4))
                client.Receive(int length) |> ignore
                untilWritten ()

        untilWritten ()
        disk.MustBeHealthy "a slow client"
        disk.Stop())

/// Replaces bytes of the honest stream, the same ones at every run.
let private mutations =
    testCase "honest streams with wrong bytes" (fun () ->
        use disk = new Disk(2L * MiB)
        let random = Random 20260101
        let rounds = if Binaries.isLongRun then 20000 else 400

        for _ in 1..rounds do
            let data = Array.copy honest

            for _ in 0 .. random.Next 4 do
                data[random.Next data.Length] <- byte (random.Next 256)

            use client = NbdClient.Connect disk.Socket
            trySend client data

        // A wrong byte may make a write to anywhere out of the honest one, so the pattern is no measure here.
        use client = disk.Client Structured
        Expect.equal (client.Write(0us, 4096UL, TempDir.pattern 4096L 4096)) 0u "write"
        disk.MustBeHealthy "mutations"
        disk.Stop())

let private garbage =
    testCase "random bytes instead of options and of requests" (fun () ->
        use disk = new Disk(2L * MiB)
        let random = Random 7

        for round in 1..100 do
            let data = Array.zeroCreate<byte>(random.Next 5000)
            random.NextBytes data

            use client =
                if round % 2 = 0 then
                    NbdClient.Connect disk.Socket
                else
                    disk.Client Extended

            trySend client data

        disk.MustBeHealthy "garbage"
        disk.Stop())

let private silent =
    testCase "silent clients are dropped at the handshake's limit, transmitting ones are not" (fun () ->
        use directory = new TempDir.TempDir()

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                ([ "--blockdev"; "null-co,node-name=disk,size=1048576" ]
                 @ [ "--nbd-server"; "addr.type=unix,addr.path=n.sock,handshake-max-seconds=1" ]
                 @ Daemon.writableExport "disk")

        use working = NbdClient.Connect(directory.File "n.sock")
        working.Go(Structured, "disk") |> ignore
        let silent = [ for _ in 1..10 -> NbdClient.Connect(directory.File "n.sock") ]
        let clock = Stopwatch.StartNew()

        for client in silent do
            Expect.isTrue (client.IsClosed()) "dropped"

        Expect.isGreaterThan clock.Elapsed.TotalSeconds 0.5 "not before its time"
        Expect.isLessThan clock.Elapsed.TotalSeconds 5.0 "not long after its time"
        Expect.equal (working.Errno(Cmd.FLUSH, 0us, 0UL, 0UL)) 0u "the working client"
        silent |> List.iter (fun client -> (client :> IDisposable).Dispose())
        Expect.equal (Daemon.stop child) 0 "exit code")

let private tooMany =
    testCase "clients beyond max-connections wait until one leaves" (fun () ->
        use directory = new TempDir.TempDir()

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                ([ "--blockdev"; "null-co,node-name=disk,size=1048576" ]
                 @ [ "--nbd-server"; "addr.type=unix,addr.path=n.sock,max-connections=3" ]
                 @ Daemon.writableExport "disk")

        let connect () =
            let client = NbdClient.Connect(directory.File "n.sock")
            client.Go(Structured, "disk") |> ignore
            client

        let first = [ for _ in 1..3 -> connect () ]
        use fourth = QmpClient.connectUnix (directory.File "n.sock")
        Expect.isFalse (fourth.Poll(TimeSpan.FromMilliseconds 300.0, SelectMode.SelectRead)) "no greeting"
        first.Head.Disconnect()
        (first.Head :> IDisposable).Dispose()
        use fourth = new NbdClient(fourth)
        fourth.Go(Structured, "disk") |> ignore
        first.Tail |> List.iter (fun client -> (client :> IDisposable).Dispose())
        Expect.equal (Daemon.stop child) 0 "exit code")

let private stopWhileNegotiating =
    testCase "the server is stopped while clients negotiate (CVE-2024-7409)" (fun () ->
        use disk = new Disk(2L * MiB)
        use qmp = disk.Qmp()

        for round in 1..20 do
            let path = disk.Directory.File $"round{round}.sock"
            qmp.Execute "nbd-server-stop" |> ignore
            let address = $"""{{"addr": {{"type": "unix", "data": {{"path": "{path}"}}}}}}"""
            qmp.Execute("nbd-server-start", address) |> ignore
            let clients = [ for _ in 1..10 -> QmpClient.connectUnix path ]

            clients
            |> List.iter (fun client -> client.Send [| 0uy; 0uy; 0uy; 3uy |] |> ignore)

            clients |> List.iter (fun client -> client.Dispose())

        qmp.Execute "query-block-exports" |> ignore
        qmp.Execute "nbd-server-stop" |> ignore
        disk.Stop())

let private vanishing =
    testCase "clients that vanish with requests in flight" (fun () ->
        use disk = new Disk(16L * MiB)

        for round in 1..30 do
            use client = disk.Client(if round % 2 = 0 then Structured else Extended)

            for i in 0..15 do
                client.SendRequest(Cmd.READ, 0us, uint64 i * 1048576UL, 1048576UL, [||])
                |> ignore

            // Sometimes after half of a reply, sometimes before any.
            if round % 3 = 0 then
                client.Receive 100000 |> ignore

        disk.MustBeHealthy "vanished clients"
        disk.Stop())

/// Requests of 32 MiB each until the server no longer takes them.
let private flood (client: NbdClient) : unit =
    client.Socket.SendTimeout <- 300

    try
        for _ in 1..5000 do
            client.SendRequest(Cmd.READ, 0us, 0UL, 33554432UL, [||]) |> ignore
    with :? SocketException ->
        ()

let private notReading =
    testCase "clients that do not read their replies take bounded memory" (fun () ->
        exceptReal "16 requests of 32 MiB each for every connection"
        use disk = new Disk(32L * MiB)
        let clients = [ for _ in 1..16 -> disk.Client Structured ]
        clients |> List.iter flood
        Thread.Sleep 500
        let resident = Daemon.Proc.residentBytes disk.Child.Pid
        Expect.isLessThan resident (700L * MiB) "resident bytes, with a budget of 512 MiB for requests"
        disk.MustBeHealthy "clients that do not read"
        clients |> List.iter (fun client -> (client :> IDisposable).Dispose())
        disk.MustBeHealthy "clients that left"
        disk.Stop())

let private manyNotReading =
    testCase "nobody gets much beyond the budget: 80 clients that do not read" (fun () ->
        exceptReal "16 requests of 32 MiB each for every connection"
        use disk =
            new Disk(
                32L * MiB,
                [
                    "--blockdev"
                    "file,node-name=direct,filename=disk.raw,cache.direct=on,force-share=on,read-only=on"
                    "--export"
                    "type=nbd,id=x,node-name=direct,name=direct"
                ],
                []
            )
        // Not from the page cache: each read takes a buffer. Simple replies cannot be cut in chunks.
        let connect (i: int) =
            let client = NbdClient.Connect disk.Socket
            client.Go((if i % 2 = 0 then Simple else Structured), "direct") |> ignore
            client.SendRequest(Cmd.READ, 0us, 0UL, 33554432UL, [||]) |> ignore
            client

        let clients = List.init 80 connect
        Thread.Sleep 1000
        let resident = Daemon.Proc.residentBytes disk.Child.Pid
        Expect.isLessThan resident (620L * MiB) "resident bytes, with a budget of 512 MiB for requests"
        disk.MustBeHealthy "clients that do not read"

        // One that reads gets its data meanwhile, large requests too.
        for mode in [ Simple; Structured; Extended ] do
            use client = NbdClient.Connect disk.Socket
            client.Go(mode, "direct") |> ignore
            let length = int (4L * MiB)
            Expect.equal (client.Read(4096UL, length)) (TempDir.pattern 4096L length) "data in pieces"

        clients |> List.iter (fun client -> (client :> IDisposable).Dispose())
        disk.Stop())

let private manySending =
    testCase "nobody gets much beyond the budget: 40 writes that do not end" (fun () ->
        exceptReal "32 MiB for every write"
        use directory = new TempDir.TempDir()
        TempDir.sparse (directory.File "d.raw") (64L * MiB)

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                // All zeroes or not: that is known only when all of a write is there.
                ([ "--blockdev"; "file,node-name=d,filename=d.raw,detect-zeroes=on" ]
                 @ Daemon.nbdServer "n.sock"
                 @ Daemon.writableExport "d")

        let most = Array.create (31 <<< 20) 1uy

        let send (_: int) =
            let client = NbdClient.Connect(directory.File "n.sock")
            client.Go(Simple, "d") |> ignore
            client.Socket.SendTimeout <- 5000

            try
                client.SendRequest(Cmd.WRITE, 0us, 0UL, 33554432UL, most) |> ignore
            with :? SocketException ->
                ()

            client

        let clients = List.init 40 send
        let resident = Daemon.Proc.residentBytes child.Pid
        Expect.isLessThan resident (620L * MiB) "resident bytes, with a budget of 512 MiB for requests"
        use other = NbdClient.Connect(directory.File "n.sock")
        other.Go(Structured, "d") |> ignore
        let data = TempDir.pattern 0L (int (3L * MiB))
        Expect.equal (other.Write(0us, 40UL * uint64 MiB, data)) 0u "a write in pieces"
        Expect.equal (other.Read(40UL * uint64 MiB, data.Length)) data "its data"
        clients |> List.iter (fun client -> (client :> IDisposable).Dispose())
        Expect.equal (Daemon.stop child) 0 "exit code")

/// Requests of which the client sends one and then nothing more.
let private lastRequests: (string * (NbdClient -> unit) * int) list = [
    "READ of 4 KiB", (fun client -> client.SendRequest(Cmd.READ, 0us, 0UL, 4096UL, [||]) |> ignore), 4096
    "READ of 1 MiB", (fun client -> client.SendRequest(Cmd.READ, 0us, 0UL, 1048576UL, [||]) |> ignore), 1048576
    "FLUSH", (fun client -> client.SendRequest(Cmd.FLUSH, 0us, 0UL, 0UL, [||]) |> ignore), 0
    "WRITE with FUA",
    (fun client ->
        client.SendRequest(Cmd.WRITE, Flag.FUA, 0UL, 65536UL, TempDir.pattern 0L 65536)
        |> ignore),
    0
]

let private halfClosed =
    testCase "a client that closes its sending side gets its replies" (fun () ->
        exceptReal "replies may be dropped"
        use disk = new Disk(2L * MiB)

        for mode in [ Simple; Structured ] do
            for what, send, length in lastRequests do
                use client = disk.Client mode
                send client
                client.Socket.Shutdown SocketShutdown.Send
                Expect.all (client.ReadReply length) (fun chunk -> chunk.Error = 0u) what
                Expect.isTrue (client.IsClosed()) "then the server closes"

        // A request that has come in parts is dropped.
        use client = disk.Client Simple
        client.SendRequest(Cmd.WRITE, 0us, 0UL, 65536UL, Array.zeroCreate 100) |> ignore
        client.Socket.Shutdown SocketShutdown.Send
        Expect.isTrue (client.IsClosed()) "half a write"
        disk.Stop())

let private manyNames =
    testCase "long names: 4096 bytes work, in a description too" (fun () ->
        use disk = new Disk(2L * MiB)
        use qmp = disk.Qmp()
        let name = String('n', 4096)

        qmp.Execute(
            "block-export-add",
            $"""{{"type": "nbd", "id": "long", "node-name": "disk", "name": "{name}", "description": "{name}"}}"""
        )
        |> ignore

        let tooLong = String('n', 4097)

        let _, reply =
            qmp.Request
                $"""{{"execute": "block-export-add", "arguments": {{"type": "nbd", "id": "longer", "node-name": "disk", "name": "{tooLong}"}}}}"""

        Expect.stringContains reply "error" "a name of 4097 bytes"
        use client = NbdClient.Connect disk.Socket
        client.ClientFlags 3u
        let listed = client.Option(Opt.LIST, [||])
        Expect.exists listed (fun one -> one.Payload.Length = 4 + 4096 + 4096) "the list"
        let information = client.Option(Opt.GO, infoPayload name [ 1us; 2us; 3us ])
        Expect.equal (List.last information).Type Rep.ACK "GO"
        client.Disconnect()
        disk.Stop())

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: hostile NBD" [
        breakOff
        byteByByte
        mutations
        garbage
        silent
        tooMany
        stopWhileNegotiating
        vanishing
        notReading
        manyNotReading
        manySending
        halfClosed
        manyNames
    ]
