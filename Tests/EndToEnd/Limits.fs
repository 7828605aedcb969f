/// Much of everything, and too little of everything: connections, nodes, descriptors, space, working disks.
module StorageDaemon.Tests.EndToEnd.Limits

open System
open System.Diagnostics
open System.IO
open System.Threading
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient

let private dispose (things: seq<#IDisposable>) : unit =
    things |> Seq.iter (fun thing -> thing.Dispose())

let private thousandConnections =
    testCase "1000 connections, all served; the end is quick" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "d.raw") MiB

        use child =
            Daemon.startOptions {
                ChildProcess.options
                    Binaries.daemon.Value
                    (Daemon.rawNode "disk" "d.raw" ""
                     @ [ "--nbd-server"; "addr.type=unix,addr.path=n.sock,max-connections=0" ]
                     @ Daemon.writableExport "disk")
                    directory.Path with
                    Limits = [ "-n 4096" ]
            }

        let before = Daemon.Proc.residentBytes child.Pid

        let clients = [
            for _ in 1..1000 ->
                let client = NbdClient.Connect(directory.File "n.sock")
                client.Go(Structured, "disk") |> ignore
                client
        ]

        clients
        |> List.iteri (fun i client ->
            Expect.equal (client.Read(uint64 i, 1000)) (TempDir.pattern (int64 i) 1000) $"client {i}")

        let grown = Daemon.Proc.residentBytes child.Pid - before
        Expect.isLessThan grown (20L * MiB) "memory for 1000 connections"
        let clock = Stopwatch.StartNew()
        Expect.equal (Daemon.stop child) 0 "exit code"
        Expect.isLessThan clock.Elapsed.TotalSeconds 10.0 "seconds to the end"
        dispose clients)

let private thousandNodes =
    testCase "1000 nodes with exports; the end is quick" (fun () ->
        use disk = new Disk(MiB)
        use qmp = disk.Qmp()
        let clock = Stopwatch.StartNew()

        for i in 1..1000 do
            qmp.Execute("blockdev-add", $"""{{"driver": "null-co", "node-name": "n{i}", "size": 65536}}""")
            |> ignore

            qmp.Execute("block-export-add", $"""{{"type": "nbd", "id": "x{i}", "node-name": "n{i}"}}""")
            |> ignore

        Expect.isLessThan clock.Elapsed.TotalSeconds 20.0 "seconds to add them"
        Expect.equal ((qmp.Execute "query-block-exports").GetArrayLength()) 1001 "exports"
        Expect.equal ((qmp.Execute "query-named-block-nodes").GetArrayLength()) 1002 "nodes"
        use client = NbdClient.Connect disk.Socket
        client.ClientFlags 3u
        Expect.equal (client.Option(Opt.LIST, [||])).Length 1002 "exports listed, and the acknowledgement"
        Expect.equal (List.last (client.Option(Opt.GO, infoPayload "n777" []))).Type Rep.ACK "one of them"
        disk.MustBeHealthy "a thousand nodes"
        clock.Restart()
        disk.Stop()
        Expect.isLessThan clock.Elapsed.TotalSeconds 10.0 "seconds to the end")

let private fewDescriptors =
    testCase "out of descriptors: no spinning, clients that are served stay served, and it recovers" (fun () ->
        exceptReal "its accept loop spins"
        use disk = new Disk(MiB, [], [ "-n 48" ])
        use early = disk.Client Structured
        let waiting = [ for _ in 1..80 -> connectUnix disk.Socket ]
        Thread.Sleep 500
        let before = Native.processCpuNs disk.Child.Pid
        let clock = Stopwatch.StartNew()
        Thread.Sleep 1000

        let used =
            float (Native.processCpuNs disk.Child.Pid - before)
            / 1e9
            / clock.Elapsed.TotalSeconds

        Expect.isLessThan used 0.25 "part of a processor used while idle"
        Expect.equal (early.Read(0UL, 4096)) (TempDir.pattern 0L 4096) "the early client"
        dispose waiting
        disk.MustBeHealthy "lack of descriptors"
        disk.Stop())

let private outOfDescriptorsReal =
    testCase "out of descriptors: served clients stay served" (fun () ->
        use disk = new Disk(MiB, [], [ "-n 48" ])
        use early = disk.Client Structured
        let waiting = [ for _ in 1..80 -> connectUnix disk.Socket ]
        Expect.equal (early.Read(0UL, 4096)) (TempDir.pattern 0L 4096) "the early client"
        dispose waiting
        disk.Stop())

/// A small file system of its own, or the test is skipped: mounting takes root.
type private SmallFileSystem(sizeBytes: int64) =
    let directory = new TempDir.TempDir()

    do
        let result =
            ChildProcess.run "/" (Requires.tool "mount") [
                "-t"
                "tmpfs"
                "-o"
                $"size={sizeBytes}"
                "tmpfs"
                directory.Path
            ]

        if result.ExitCode <> 0 then
            (directory :> IDisposable).Dispose()
            Requires.skip $"cannot mount a tmpfs: {result.Error.Trim()}"

    member _.Path = directory.Path

    interface IDisposable with
        member _.Dispose() =
            ChildProcess.run "/" (Requires.tool "umount") [ "-l"; directory.Path ] |> ignore
            (directory :> IDisposable).Dispose()

let private noSpace =
    testCase "no space left: ENOSPC to the client, and all is well once there is space" (fun () ->
        use small = new SmallFileSystem(4L * MiB)
        use directory = new TempDir.TempDir()
        let image = Path.Combine(small.Path, "d.raw")
        let filler = Path.Combine(small.Path, "filler")
        TempDir.sparse image (16L * MiB)
        File.WriteAllBytes(filler, Array.create (1 <<< 20) 1uy)

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (Daemon.rawNode "disk" image ",discard=unmap"
                 @ Daemon.nbdServer "n.sock"
                 @ Daemon.writableExport "disk")

        for mode in [ Simple; Structured; Extended ] do
            use client = NbdClient.Connect(directory.File "n.sock")
            client.Go(mode, "disk") |> ignore
            let block = Array.create (1 <<< 20) 5uy
            Expect.equal (client.Write(0us, 0UL, block)) 0u "a write that fits"
            let errors = [ for i in 1..7 -> client.Write(0us, uint64 i * 1048576UL, block) ]
            Expect.contains errors 28u "ENOSPC"
            Expect.equal (client.Read(0UL, 1 <<< 20)) block "what was written before"
            Expect.equal (client.Errno(Cmd.FLUSH, 0us, 0UL, 0UL)) 0u "flush"
            Expect.equal (client.Errno(Cmd.TRIM, 0us, 0UL, 8388608UL)) 0u "trim"
            Expect.equal (client.Write(0us, 2097152UL, block)) 0u "a write that fits again"
            Expect.equal (client.Errno(Cmd.TRIM, 0us, 0UL, 8388608UL)) 0u "trim"
            client.Disconnect()

        Expect.equal (Daemon.stop child) 0 "exit code")

/// A block device of which every access fails, or the test is skipped.
type private BrokenDevice() =
    let name = $"sd-broken-{Environment.ProcessId}"
    let dmsetup = Requires.tool "dmsetup"

    do
        let result = ChildProcess.run "/" dmsetup [ "create"; name; "--table"; "0 8192 error" ]

        if result.ExitCode <> 0 then
            Requires.skip $"no device mapper: {result.Error.Trim()}"

    member _.Path = "/dev/mapper/" + name

    interface IDisposable with
        member _.Dispose() =
            ChildProcess.run "/" dmsetup [ "remove"; "--force"; name ] |> ignore

let private broken =
    testCase "a broken device: EIO to the client, and the daemon lives" (fun () ->
        use device = new BrokenDevice()
        use directory = new TempDir.TempDir()

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                ([ "--blockdev"; $"host_device,node-name=disk,filename={device.Path}" ]
                 @ Daemon.nbdServer "n.sock"
                 @ Daemon.writableExport "disk")

        use client = NbdClient.Connect(directory.File "n.sock")
        client.Go(Structured, "disk") |> ignore
        Expect.equal (client.Errno(Cmd.READ, 0us, 0UL, 4096UL)) 5u "read"
        Expect.equal (client.Write(Flag.FUA, 0UL, Array.create 4096 1uy)) 5u "write"
        Expect.equal (client.Errno(Cmd.READ, 0us, 65536UL, 4096UL)) 5u "read again"
        Expect.equal (Daemon.stop child) 0 "exit code")

let private shrunk =
    testCase "an image that somebody cut off: reads beyond its end give zeroes or errors, never a crash" (fun () ->
        use disk = new Disk(4L * MiB)
        use client = disk.Client Structured
        TempDir.sparse disk.Image MiB
        client.Errno(Cmd.READ, 0us, uint64 (2L * MiB), 65536UL) |> ignore
        client.Errno(Cmd.BLOCK_STATUS, 0us, 0UL, uint64 (4L * MiB)) |> ignore
        Expect.equal (client.Write(0us, uint64 (3L * MiB), Array.create 512 3uy)) 0u "write"
        Expect.equal (client.Read(uint64 (3L * MiB), 512)) (Array.create 512 3uy) "read"
        client.Disconnect()
        disk.Stop())

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: limits" [
        thousandConnections
        thousandNodes
        fewDescriptors
        outOfDescriptorsReal
        noSpace
        broken
        shrunk
    ]
