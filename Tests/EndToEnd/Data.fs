/// Bytes go in and come out unharmed, as the field's own tools see it.
module StorageDaemon.Tests.EndToEnd.Data

open System
open System.IO
open System.Text.Json
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk

let private copyOut =
    testCase "nbdcopy out gives the image" (fun () ->
        let nbdcopy = Requires.tool "nbdcopy"
        use disk = new Disk(64L * MiB)
        let target = disk.Directory.File "out.raw"
        ChildProcess.runOk "/" nbdcopy [ disk.Uri; target ] |> ignore
        let qemuImg = Requires.tool "qemu-img"

        ChildProcess.runOk "/" qemuImg [ "compare"; "-U"; "-f"; "raw"; "-F"; "raw"; disk.Image; target ]
        |> ignore

        disk.Stop())

let private copyOddDirect =
    testCase "nbdcopy out of a file that is no multiple of a sector, with cache.direct=on" (fun () ->
        let nbdcopy = Requires.tool "nbdcopy"
        use directory = new TempDir.TempDir()
        let image = directory.File "d.raw"
        TempDir.striped image 8
        File.AppendAllText(image, "the end")

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                ([ "--blockdev"; "file,node-name=d,filename=d.raw,cache.direct=on" ]
                 @ Daemon.nbdServer "n.sock"
                 @ Daemon.writableExport "d")

        let target = directory.File "out.raw"

        ChildProcess.runOk directory.Path nbdcopy [ "nbd+unix:///d?socket=n.sock"; target ]
        |> ignore

        let copy = File.ReadAllBytes target
        let original = File.ReadAllBytes image
        Expect.equal copy.Length ((original.Length + 511) / 512 * 512) "in whole sectors"
        Expect.equal copy[.. original.Length - 1] original "content"
        Expect.all copy[original.Length ..] ((=) 0uy) "and zeroes"
        Expect.equal (Daemon.stop child) 0 "exit code")

let private copyIn =
    testCase "nbdcopy in changes the image to the source" (fun () ->
        let nbdcopy = Requires.tool "nbdcopy"
        use disk = new Disk(64L * MiB)
        let source = disk.Directory.File "in.raw"
        TempDir.striped source 512
        ChildProcess.runOk "/" nbdcopy [ "--flush"; source; disk.Uri ] |> ignore
        let qemuImg = Requires.tool "qemu-img"

        for target in [ disk.Image; disk.Uri ] do
            ChildProcess.runOk "/" qemuImg [ "compare"; "-U"; "-f"; "raw"; "-F"; "raw"; source; target ]
            |> ignore

        disk.Stop())

/// Start, length, and whether there is data, of each extent, adjacent ones of a kind joined.
let private extents (target: string) : (int64 * int64 * bool) list =
    let json =
        ChildProcess.runOk "/" (Requires.tool "qemu-img") [ "map"; "-U"; "--output=json"; "-f"; "raw"; target ]

    use document = JsonDocument.Parse json

    [
        for extent in document.RootElement.EnumerateArray() ->
            extent.GetProperty("start").GetInt64(),
            extent.GetProperty("length").GetInt64(),
            extent.GetProperty("data").GetBoolean()
    ]
    |> List.fold
        (fun joined (start, length, isData) ->
            match joined with
            | (first, sum, kind) :: rest when kind = isData && first + sum = start ->
                (first, sum + length, kind) :: rest
            | _ -> (start, length, isData) :: joined)
        []
    |> List.rev

let private map =
    testCase "qemu-img map sees the file's extents" (fun () ->
        use disk = new Disk(MiB)
        TempDir.striped disk.Image 64
        disk.Stop()

        use child =
            Daemon.start
                Binaries.daemon.Value
                disk.Directory.Path
                (Daemon.rawNode "disk" "disk.raw" ""
                 @ Daemon.nbdServer "n.sock"
                 @ Daemon.writableExport "disk")

        let expected = extents disk.Image
        Expect.hasLength expected 128 "extents of the file"
        Expect.equal (extents disk.Uri) expected "extents over NBD"
        Expect.equal (Daemon.stop child) 0 "exit code")

let private allocatedBytes (file: string) : int64 =
    512L
    * int64 ((ChildProcess.runOk "/" (Requires.tool "stat") [ "-c"; "%b"; file ]).Trim())

let private qemuIo =
    testCase "qemu-io: patterns, FUA, zeroes, discard, flush" (fun () ->
        let tool = Requires.tool "qemu-io"
        use disk = new Disk(8L * MiB)

        let io (commands: string list) =
            let arguments = commands |> List.collect (fun command -> [ "-c"; command ])
            let output = ChildProcess.runOk "/" tool ([ "-f"; "raw" ] @ arguments @ [ disk.Uri ])
            Expect.isFalse (output.Contains "failed") output

        io [
            "write -P 0xab 0 64k"
            "read -P 0xab 0 64k"
            "write -f -P 0xcd 65000 100000"
            "read -P 0xcd 65000 100000"
            "read -P 0xab 0 65000"
            "flush"
            "write -z 1M 1M"
            "read -P 0 1M 1M"
            "write -z -u 2M 1M"
            "read -P 0 2M 1M"
            "write -z -f 3M 512"
            "read -P 0 3M 512"
            "aio_write -P 0x11 4M 1M"
            "aio_write -P 0x22 5M 1M"
            "aio_flush"
            "read -P 0x11 4M 1M"
            "read -P 0x22 5M 1M"
        ]

        let before = allocatedBytes disk.Image
        io [ "discard 4M 2M"; "flush" ]
        let after = allocatedBytes disk.Image
        Expect.isLessThanOrEqual after (before - MiB) "a discard frees space"
        io [ "read -P 0 4M 2M"; "read -P 0xab 0 65000" ]
        disk.Stop())

let private zeroesUnmappedBelow =
    testCase "detect-zeroes=unmap of a node holds below one that ignores discards" (fun () ->
        use directory = new TempDir.TempDir()
        let image = directory.File "d.raw"
        TempDir.patterned image (2L * MiB)

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                ([
                    "--blockdev"
                    "file,node-name=f,filename=d.raw,discard=unmap,detect-zeroes=unmap"
                    "--blockdev"
                    "raw,node-name=d,file=f"
                 ]
                 @ Daemon.nbdServer "n.sock"
                 @ Daemon.writableExport "d")

        use client = NbdClient.NbdClient.Connect(directory.File "n.sock")
        client.Go(NbdClient.Structured, "d") |> ignore
        let before = allocatedBytes image
        Expect.equal (client.Write(0us, 0UL, Array.zeroCreate (int MiB))) 0u "zeroes"
        Expect.equal (client.Errno(NbdClient.Cmd.TRIM, 0us, uint64 MiB, uint64 MiB)) 0u "trim"
        Expect.equal (client.Errno(NbdClient.Cmd.FLUSH, 0us, 0UL, 0UL)) 0u "flush"
        Expect.equal (allocatedBytes image) (before - MiB) "the zeroes have become a hole, the trim has not"
        client.Disconnect()
        Expect.equal (Daemon.stop child) 0 "exit code")

let private discardIgnored =
    testCase "discard=ignore, the default, keeps the data" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "d.raw") MiB

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (Daemon.rawNode "d" "d.raw" ""
                 @ Daemon.nbdServer "n.sock"
                 @ Daemon.writableExport "d")

        use client = NbdClient.NbdClient.Connect(directory.File "n.sock")
        client.Go(NbdClient.Structured, "d") |> ignore
        Expect.equal (client.Errno(NbdClient.Cmd.TRIM, 0us, 0UL, uint64 MiB)) 0u "trim"
        Expect.equal (client.Read(0UL, 65536)) (TempDir.pattern 0L 65536) "data"
        client.Disconnect()
        Expect.equal (Daemon.stop child) 0 "exit code")

/// fio writes blocks with checksums and reads them back while it goes on, over `jobs` connections.
let private fioVerify (name: string) (jobs: int) (blockSize: int) (more: string list) : Test =
    testCase $"fio verifies {name}" (fun () ->
        let fio = Requires.tool "fio"
        use disk = new Disk(128L * MiB)
        // A part of the disk for each job, in whole blocks: fio would write a last one beyond it.
        let share = 128 * int MiB / jobs / blockSize * blockSize
        let seconds = if Binaries.isLongRun then 600 else 5

        let arguments =
            [
                "--name=verify"
                "--ioengine=nbd"
                $"--uri={disk.Uri}"
                $"--numjobs={jobs}"
                $"--size={share}"
                $"--offset_increment={share}"
                $"--bs={blockSize}"
                "--group_reporting"
                "--iodepth=16"
                "--verify=crc32c"
                "--verify_fatal=1"
                "--verify_backlog=256"
                "--time_based"
                $"--runtime={seconds}"
            ]
            @ more

        let result = ChildProcess.runFor (TimeSpan.FromSeconds(float seconds + 60.0)) "/" fio arguments
        Expect.equal result.ExitCode 0 (result.Output + result.Error)
        Expect.isFalse (result.Error.Contains "verify:") result.Error
        disk.Stop())

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: data" [
        copyOut
        copyOddDirect
        copyIn
        map
        qemuIo
        zeroesUnmappedBelow
        discardIgnored
        fioVerify "random writes of 4 KiB" 1 4096 [ "--rw=randwrite" ]
        fioVerify "four connections" 4 4096 [ "--rw=randwrite" ]
        fioVerify "odd sizes" 2 70656 [ "--rw=write" ]
    ]
