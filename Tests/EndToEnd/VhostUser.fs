/// vhost-user-blk exports, used by a front end of the tests' own.
module StorageDaemon.Tests.EndToEnd.VhostUser

open System
open System.IO
open System.Text
open Expecto
open StorageDaemon.Core.VhostUser
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk
open StorageDaemon.Tests.Harness.TempDir
open StorageDaemon.Tests.Harness.VhostUserClient

let private export (more: string) = [
    "--export"
    "vhost-user-blk,id=e,node-name=disk,addr.type=unix,addr.path=v.sock,num-queues=2"
    + more
]

let private disk () =
    new Disk(8L * MiB, export ",writable=on", [])

let private connect (disk: Disk) =
    new Connection(disk.Directory.File "v.sock")

let private ok (status: byte, data: byte[]) : byte[] =
    Expect.equal status 0uy "status"
    data

/// A new front end reads what is there.
let private mustServe (disk: Disk) =
    use guest = new Guest(2)
    use connection = connect disk
    connection.Start guest

    for queue in 0..1 do
        Expect.equal (ok (guest.Ask(queue, Kind.read, 8UL, Array.zeroCreate 8192))) (pattern 4096L 8192) "a read"

let private range (sector: uint64) (sectors: uint32) : byte[] =
    Array.concat [
        BitConverter.GetBytes sector
        BitConverter.GetBytes sectors
        BitConverter.GetBytes 0u
    ]

let private data =
    testCase "what a front end writes is in the image, and the other way round" (fun () ->
        use disk = disk ()
        use guest = new Guest(2)
        use connection = connect disk
        connection.Start guest
        Expect.equal (connection.Capacity()) 16384UL "capacity"
        let model = pattern 0L (8 * int MiB)
        let random = Random 42

        for round in 1..40 do
            let queue = round % 2

            let written = [
                for slot in 0 .. Slots - 1 do
                    let length = 512 * random.Next(1, MaxData / 512)
                    // Slots write to places of their own: their order does not matter.
                    let sector = slot * 1024 + random.Next(0, 1024 - length / 512)
                    let bytes = Array.zeroCreate<byte> length
                    random.NextBytes bytes
                    bytes.CopyTo(model, sector * 512)
                    guest.Submit(queue, slot, Kind.write, uint64 sector, bytes)
                    sector, length
            ]

            guest.Await(queue, Slots)

            for slot in 0 .. Slots - 1 do
                Expect.equal (guest.Status(queue, slot)) 0uy "written"

            written
            |> List.iteri (fun slot (sector, length) ->
                guest.Submit(1 - queue, slot, Kind.read, uint64 sector, Array.zeroCreate length))

            guest.Await(1 - queue, Slots)

            written
            |> List.iteri (fun slot (sector, length) ->
                Expect.isTrue
                    (guest.Data(1 - queue, slot, length) = model[sector * 512 .. sector * 512 + length - 1])
                    "read back")

        ok (guest.Ask(0, Kind.writeZeroes, 0UL, range 64UL 128u)) |> ignore
        Array.Clear(model, 64 * 512, 128 * 512)
        ok (guest.Ask(1, Kind.discard, 0UL, range 1024UL 128u)) |> ignore
        ok (guest.Ask(0, Kind.flush, 0UL, [||])) |> ignore
        let id = ok (guest.Ask(1, Kind.getId, 0UL, Array.zeroCreate 20))
        Expect.equal (Encoding.ASCII.GetString(id).TrimEnd '\000') "vhost_user_blk" "the identifier"
        Expect.equal (fst (guest.Ask(0, Kind.read, 16384UL, Array.zeroCreate 512))) 1uy "behind the end"
        Expect.equal (fst (guest.Ask(0, 77u, 0UL, Array.zeroCreate 512))) 2uy "an unknown request"

        for queue in 0..1 do
            let position = connection.Ask(GetVringBase(uint32 queue))
            Expect.equal (BitConverter.ToUInt16(position, 4)) (guest.UsedIndex queue) "nothing is left behind"

        let image = File.ReadAllBytes disk.Image
        // What a discard leaves behind is up to the file.
        Array.Clear(image, 1024 * 512, 128 * 512)
        Array.Clear(model, 1024 * 512, 128 * 512)
        Expect.isTrue (image = model) "the image"
        disk.Stop())

let private readOnly =
    testCase "nothing is written through an export that is not writable" (fun () ->
        use disk = new Disk(8L * MiB, export "", [])
        use guest = new Guest(2)
        use connection = connect disk
        connection.Start guest
        Expect.equal (fst (guest.Ask(0, Kind.write, 0UL, Array.zeroCreate 512))) 1uy "a write"
        Expect.equal (fst (guest.Ask(0, Kind.discard, 0UL, range 0UL 8u))) 1uy "a discard"
        Expect.equal (ok (guest.Ask(0, Kind.read, 0UL, Array.zeroCreate 512))) (pattern 0L 512) "a read"
        disk.Stop())

let private oneAtATime =
    testCase "the next front end waits until the first has gone" (fun () ->
        use disk = disk ()
        use guest = new Guest(2)
        use second = new Guest(2)
        let first = connect disk
        first.Start guest
        use waiting = connect disk
        waiting.Send GetFeatures
        Expect.isFalse (waiting.Socket.Poll(200_000, Net.Sockets.SelectMode.SelectRead)) "no answer yet"
        Expect.equal (ok (guest.Ask(1, Kind.read, 0UL, Array.zeroCreate 512))) (pattern 0L 512) "the first"
        (first :> IDisposable).Dispose()
        waiting.Reply() |> ignore
        waiting.Start second
        Expect.equal (ok (second.Ask(1, Kind.read, 0UL, Array.zeroCreate 512))) (pattern 0L 512) "the second"
        disk.Stop())

/// Requests that a daemon had taken when it was killed are carried out by the next one, once.
let private killed =
    testCase "requests in flight outlive the daemon" (fun () ->
        exceptReal "it has no area for them"
        use directory = new TempDir()
        let image = directory.File "disk.raw"
        patterned image (8L * MiB)

        let start throttled =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (Daemon.rawNode "raw" "disk.raw" ""
                 @ [
                     "--object"
                     "throttle-group,id=t,x-iops-total=" + (if throttled then "1" else "0")
                     "--blockdev"
                     "throttle,node-name=disk,file=raw,throttle-group=t"
                 ]
                 @ export ",writable=on")

        use guest = new Guest(2)

        let area =
            let area = {
                LengthBytes = 0UL
                OffsetBytes = 0UL
                QueueCount = 2us
                QueueSize = 64us
            }

            use child = start true
            use connection = new Connection(directory.File "v.sock")
            connection.Negotiate()
            connection.Send(GetInflightFd area)
            let payload, fd = connection.Reply()
            let area = {
                area with
                    LengthBytes = BitConverter.ToUInt64(payload, 0)
            }
            connection.Do(SetMemTable [ guest.Region ], [ guest.MemoryFd ])
            connection.Do(SetInflightFd area, [ fd.Value ])
            connection.StartQueue(guest, 0, 0us)

            for slot in 0 .. Slots - 1 do
                guest.Submit(0, slot, Kind.write, uint64 (slot * 8), Array.create 4096 (byte (slot + 1)))

            // Some may have ended; the others wait for the throttle group.
            Threading.Thread.Sleep 300
            Expect.isLessThan (guest.Returned 0) Slots "some are in flight"
            child.Signal Native.SIGKILL
            child.WaitExit Wait.defaultTimeout |> ignore
            area, fd.Value

        use child = start false
        use connection = new Connection(directory.File "v.sock")
        connection.Negotiate()
        connection.Do(SetMemTable [ guest.Region ], [ guest.MemoryFd ])
        connection.Do(SetInflightFd(fst area), [ snd area ])
        // The base is what the front end knows; the log knows better.
        connection.StartQueue(guest, 0, guest.UsedIndex 0)
        guest.Await(0, Slots)

        for slot in 0 .. Slots - 1 do
            Expect.equal (guest.Status(0, slot)) 0uy "written"

        let bytes = File.ReadAllBytes image

        for slot in 0 .. Slots - 1 do
            Expect.equal bytes[slot * 4096] (byte (slot + 1)) "in the image"

        Expect.equal
            (BitConverter.ToUInt16(connection.Ask(GetVringBase 0u), 4))
            (uint16 Slots)
            "each was given back once"

        close (snd area)
        Expect.equal (Daemon.stop child) 0 "exit code")

let private resized =
    testCase "a front end is told of another length, and without one nothing happens" (fun () ->
        exceptReal "without a front end it crashes"
        use disk = disk ()
        use monitor = disk.Qmp()

        let resize (bytes: int64) =
            monitor.Execute("block_resize", $"""{{"node-name": "disk", "size": {bytes}}}""")
            |> ignore

        // Exports over NBD forbid it.
        monitor.Execute("block-export-del", """{"id": "export-disk"}""") |> ignore
        resize (9L * MiB)
        use guest = new Guest(2)
        use connection = connect disk
        connection.Start guest
        Expect.equal (connection.Capacity()) 18432UL "resized before"
        let listener = disk.Directory.File "channel"
        use server =
            new Net.Sockets.Socket(
                Net.Sockets.AddressFamily.Unix,
                Net.Sockets.SocketType.Stream,
                Net.Sockets.ProtocolType.Unspecified
            )
        server.Bind(Net.Sockets.UnixDomainSocketEndPoint listener)
        server.Listen 1
        use theirs = QmpClient.connectUnix listener
        use ours = server.Accept()
        connection.Do(SetBackendReqFd, [ int theirs.Handle ])
        resize (16L * MiB)
        let message, _ = receive ours 12
        Expect.equal (BitConverter.ToUInt32(message, 0)) 2u "the configuration has changed"
        Expect.equal (connection.Capacity()) 32768UL "the new length"
        ok (guest.Ask(0, Kind.write, 32767UL, Array.create 512 7uy)) |> ignore
        Expect.equal (fst (guest.Ask(0, Kind.read, 32768UL, Array.zeroCreate 512))) 1uy "behind the new end"
        disk.Stop())

let private hostile =
    testCase "front ends that break the rules harm nobody else" (fun () ->
        exceptReal "it maps more than there is"
        use disk = disk ()
        use guest = new Guest(2)

        let mustClose what (act: Connection -> unit) =
            use connection = connect disk
            act connection
            Expect.isTrue (connection.IsClosed()) what
            Expect.isFalse disk.Child.HasExited what

        mustClose "garbage" (fun connection -> send connection.Socket (Array.create 100 0xa5uy) [])

        mustClose "too many descriptors" (fun connection ->
            send connection.Socket (VhostUserFrontend.encode false SetOwner) [ for _ in 1..20 -> guest.MemoryFd ])

        mustClose "a region that is longer than its file" (fun connection ->
            let small = memoryFile 4096L
            connection.SendWith(SetMemTable [ guest.Region ], [ small ])
            close small)

        mustClose "memory that is none" (fun connection ->
            connection.SendWith(SetMemTable [ guest.Region ], [ int connection.Socket.Handle ]))

        mustClose "a ring outside the memory" (fun connection ->
            connection.Negotiate()
            connection.Do(SetMemTable [ guest.Region ], [ guest.MemoryFd ])
            connection.Send(SetVringNum(0u, 64u))
            connection.Send(SetVringAddr(0u, { guest.Address 0 with Desc = 16UL })))

        // Descriptors that are no events, closed ones, and other kinds of files.
        do
            use connection = connect disk
            connection.Negotiate()
            connection.Do(SetMemTable [ guest.Region ], [ guest.MemoryFd ])
            connection.Do(SetVringKick(0u, true), [ guest.MemoryFd ])
            connection.Do(SetVringCall(0u, true), [ guest.MemoryFd ])

        // A chain that leads out of the memory: the ring is broken, the connection is not.
        do
            use guest = new Guest(2)
            use connection = connect disk
            connection.Start guest
            guest.Descriptor(0, 0, 0xffff_ffff_0000UL, 16, 1us)
            guest.Descriptor(0, 1, 0UL, 1, 2us)
            guest.Offer(0, 0)
            Expect.equal (ok (guest.Ask(1, Kind.read, 0UL, Array.zeroCreate 512))) (pattern 0L 512) "the other queue"
            Expect.equal (guest.Returned 0) 0 "nothing comes back"
            connection.Ask(GetVringBase 0u) |> ignore

        mustServe disk
        disk.Stop())

let private memoryChanges =
    testCase "the memory may change while requests are in flight" (fun () ->
        use disk = disk ()
        use guest = new Guest(2)
        use connection = connect disk
        connection.Start guest

        for _ in 1..20 do
            for slot in 0 .. Slots - 1 do
                guest.Submit(0, slot, Kind.read, uint64 slot, Array.zeroCreate 65024)

            connection.Do(SetMemTable [ guest.Region ], [ guest.MemoryFd ])
            guest.Await(0, Slots)

            for slot in 0 .. Slots - 1 do
                Expect.isTrue (guest.Data(0, slot, 65024) = pattern (int64 slot * 512L) 65024) "data"

        disk.Stop())

let private passed =
    testCase "a listening socket that the parent passes" (fun () ->
        use directory = new TempDir()
        patterned (directory.File "disk.raw") MiB

        use listener =
            new Net.Sockets.Socket(
                Net.Sockets.AddressFamily.Unix,
                Net.Sockets.SocketType.Stream,
                Net.Sockets.ProtocolType.Unspecified
            )

        listener.Bind(Net.Sockets.UnixDomainSocketEndPoint(directory.File "v.sock"))
        listener.Listen 1
        // Connected before the daemon runs.
        use connection = new Connection(directory.File "v.sock")
        let fd = int (listener.SafeHandle.DangerousGetHandle())

        use child =
            Daemon.startOptions {
                ChildProcess.options
                    Binaries.daemon.Value
                    [
                        "--blockdev"
                        "driver=file,node-name=file,filename=disk.raw"
                        "--export"
                        $"type=vhost-user-blk,id=export,addr.type=fd,addr.str={fd},node-name=file"
                    ]
                    directory.Path with
                    Inherited = [ fd ]
            }

        use guest = new Guest(1)
        connection.Start guest
        Expect.equal (ok (guest.Ask(0, Kind.read, 1UL, Array.zeroCreate 512))) (pattern 512L 512) "a read"
        Expect.equal (Daemon.stop child) 0 "exit code")

let private refusals =
    testCase "options that are refused" (fun () ->
        use directory = new TempDir()
        patterned (directory.File "disk.raw") MiB

        for address, more, text in
            [
                "unix,addr.path=v.sock", ",num-queues=0", "num-queues must be greater than 0"
                "unix,addr.path=v.sock",
                ",logical-block-size=513,num-queues=0",
                "parameter logical-block-size must be a power of 2 between 512 and 2097152"
                "inet,addr.host=localhost,addr.port=1", "", "Only socket address types 'unix' and 'fd' are supported"
                "unix,addr.path=/no/where", "", "Failed to bind socket to /no/where: No such file or directory"
                "unix,addr.path=v.sock", ",allow-inactive=on", "Export type does not support inactive exports"
            ] do
            match
                Daemon.startWith (
                    ChildProcess.options
                        Binaries.daemon.Value
                        (Daemon.rawNode "disk" "disk.raw" ""
                         @ [ "--export"; $"vhost-user-blk,id=e,node-name=disk,addr.type={address}{more}" ]
                         @ Daemon.pidFileArguments)
                        directory.Path
                )
            with
            | Daemon.Exited(1, _, error) -> Expect.stringContains error text "the reason"
            | _ -> failtest ("not refused: " + text))

let private removed =
    testCase "an export that is taken away ends the connection and removes the socket's file" (fun () ->
        use disk = disk ()
        use guest = new Guest(2)
        use connection = connect disk
        connection.Start guest
        use monitor = disk.Qmp()
        monitor.Execute("block-export-del", """{"id": "e", "mode": "hard"}""") |> ignore
        Expect.isTrue (connection.IsClosed()) "closed"
        Wait.orFail Wait.defaultTimeout "the file to go" (fun () -> not (File.Exists(disk.Directory.File "v.sock")))

        monitor.Execute(
            "block-export-add",
            """{"type": "vhost-user-blk", "id": "e", "node-name": "disk", "num-queues": 2,
                "addr": {"type": "unix", "path": "v.sock"}}"""
        )
        |> ignore

        mustServe disk
        disk.Stop())

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: vhost-user" [
        data
        readOnly
        oneAtATime
        killed
        resized
        memoryChanges
        hostile
        passed
        refusals
        removed
    ]
