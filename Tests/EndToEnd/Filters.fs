/// Drivers for redundancy and tests on the published binary, with real clients.
module StorageDaemon.Tests.EndToEnd.Filters

open System
open System.IO
open Expecto
open StorageDaemon.Core.Filter
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir
open StorageDaemon.Tests.Harness.QmpClient

let private qemuIo (directory: TempDir) (export: string) (commands: string list) : string =
    let arguments = commands |> List.collect (fun command -> [ "-c"; command ])
    let uri = $"nbd+unix:///{export}?socket=n.sock"

    let result =
        ChildProcess.run
            directory.Path
            (Requires.tool "qemu-io")
            ([ "-f"; "raw"; "-t"; "writeback" ] @ arguments @ [ uri ])

    result.Output + result.Error

let private filled (directory: TempDir) (name: string) (value: byte) =
    File.WriteAllBytes(directory.File name, Array.create 1048576 value)

let private export (node: string) = [ "--export"; $"nbd,id=e-{node},node-name={node},name={node},writable=on" ]

let private start (directory: TempDir) (nodes: string list) (exports: string list) =
    Daemon.start
        Binaries.daemon.Value
        directory.Path
        (Daemon.monitor "q.sock"
         @ Daemon.nbdServer "n.sock"
         @ (nodes |> List.collect (fun node -> [ "--blockdev"; node ]))
         @ (exports |> List.collect export))

/// Replays a log as far as its super block says onto an image of zeroes.
let private replay (log: byte[]) (size: int) : byte[] =
    let image = Array.zeroCreate size

    match LogWrites.decodeSuper (ReadOnlySpan log) with
    | Error text -> failtest text
    | Ok super ->
        let sector = int super.SectorBytes
        let mutable at = sector

        for index in 0 .. int super.Entries - 1 do
            match LogWrites.decodeEntry (uint64 index) (ReadOnlySpan(log, at, sector)) with
            | Error text -> failtest text
            | Ok entry ->
                let length = int (LogWrites.dataSectors entry) * sector
                Array.blit log (at + sector) image (int entry.Sector * sector) length
                at <- at + sector + length

        image

[<Tests>]
let tests =
    testList "filters end to end" [
        testCase "a quorum outvotes a damaged copy, tells of it and mends it"
        <| fun () ->
            use directory = new TempDir()
            filled directory "a.raw" 0x41uy
            filled directory "b.raw" 0x42uy
            filled directory "c.raw" 0x41uy

            use daemon =
                start directory [
                    "file,node-name=a,filename=a.raw"
                    "file,node-name=b,filename=b.raw"
                    "file,node-name=c,filename=c.raw"
                    "quorum,node-name=q,children.0=a,children.1=b,children.2=c,vote-threshold=2,rewrite-corrupted=on"
                ] [ "q" ]

            use qmp = QmpClient.Negotiated(directory.File "q.sock")
            let output = qemuIo directory "q" [ "read -P 0x41 0 64k"; "write -P 0x55 128k 4k"; "flush" ]
            Expect.stringContains output "read 65536/65536" "the majority is right"
            Expect.isFalse (output.Contains "failed") output
            let events, _ = qmp.Request """{"execute": "query-version"}"""

            Expect.exists
                events
                (fun event -> event.Contains "QUORUM_REPORT_BAD" && event.Contains "\"b\"")
                "the damaged copy is named"

            let mended = File.ReadAllBytes(directory.File "b.raw")
            Expect.equal mended[0] 0x41uy "mended where it was read"
            Expect.equal mended[65536] 0x42uy "and only there"
            Expect.equal mended[131072] 0x55uy "written"
            Expect.equal (Daemon.stop daemon) 0 "a good end"

        testCase "blkdebug fails what its rules say, through a format driver and without"
        <| fun () ->
            use directory = new TempDir()
            filled directory "a.raw" 0x41uy

            File.WriteAllText(
                directory.File "rules",
                "[inject-error]\nevent = \"read_aio\"\nerrno = \"28\"\nonce = \"on\"\nsector = \"8\"\n"
            )

            use daemon =
                start directory [
                    "file,node-name=a,filename=a.raw"
                    "blkdebug,node-name=d,image=a,config=rules"
                    "raw,node-name=r,file=d"
                ] [ "r" ]

            let output = qemuIo directory "r" [ "read 0 4k"; "read 4k 512"; "read -P 0x41 4k 512" ]
            Expect.stringContains output "read failed: No space left on device" "the rule's error"
            Expect.stringContains output "read 4096/4096" "another sector"
            Expect.stringContains output "read 512/512" "only once"
            Expect.equal (Daemon.stop daemon) 0 "a good end"

        testCase "blkverify finds a difference, says where, and goes on"
        <| fun () ->
            use directory = new TempDir()
            filled directory "a.raw" 0x41uy
            filled directory "b.raw" 0x41uy
            use damaged = File.OpenWrite(directory.File "b.raw")
            damaged.Position <- 5000L
            damaged.WriteByte 0uy
            damaged.Dispose()

            use daemon =
                start directory [
                    "file,node-name=a,filename=a.raw"
                    "file,node-name=b,filename=b.raw"
                    "blkverify,node-name=v,test=b,raw=a"
                ] [ "v" ]

            let output =
                qemuIo directory "v" [ "read -P 0x41 0 4k"; "read 4k 4k"; "write -P 7 4k 4k"; "read -P 7 4k 4k" ]
            Expect.stringContains output "read failed: Input/output error" "the difference"
            Expect.equal (output.Split("read 4096/4096").Length - 1) 2 "the rest is right"
            Expect.equal (Daemon.stop daemon) 0 "a good end"
            Expect.stringContains daemon.Error "contents mismatch at offset 5000" "where it is"

        testCase "a log of blklogwrites replays to the image"
        <| fun () ->
            use directory = new TempDir()
            File.WriteAllBytes(directory.File "a.raw", Array.zeroCreate 1048576)
            File.WriteAllBytes(directory.File "log", [||])

            let nodes more = [
                "file,node-name=a,filename=a.raw"
                "file,node-name=l,filename=log"
                "blklogwrites,node-name=w,file=a,log=l" + more
            ]

            use daemon = start directory (nodes "") [ "w" ]

            let output =
                qemuIo directory "w" [
                    "write -P 1 1000 700"
                    "aio_write -P 2 64k 64k"
                    "aio_write -P 3 128k 100"
                    "aio_flush"
                    "write -z 70k 3000"
                    "write -f -P 4 200k 4k"
                    "flush"
                ]

            Expect.isFalse (output.Contains "failed") output
            Expect.equal (Daemon.stop daemon) 0 "a good end"
            let image = File.ReadAllBytes(directory.File "a.raw")
            Expect.equal (replay (File.ReadAllBytes(directory.File "log")) image.Length) image "the replayed image"
            use again = start directory (nodes ",log-append=on") [ "w" ]
            let output = qemuIo directory "w" [ "write -P 9 3000 5000"; "flush" ]
            Expect.isFalse (output.Contains "failed") output
            Expect.equal (Daemon.stop again) 0 "a good end"
            let image = File.ReadAllBytes(directory.File "a.raw")
            Expect.equal (replay (File.ReadAllBytes(directory.File "log")) image.Length) image "with what was appended"

        testCase "a log over preallocate grows ahead, and ends with its data when its parent goes"
        <| fun () ->
            use directory = new TempDir()
            File.WriteAllBytes(directory.File "a.raw", Array.zeroCreate 1048576)
            File.WriteAllBytes(directory.File "log", [||])
            let length () = FileInfo(directory.File "log").Length
            let grown = PreallocateOptions.grownEnd PreallocateOptions.defaults 67072L

            let nodes more = [
                "file,node-name=a,filename=a.raw"
                "file,node-name=l,filename=log"
                "preallocate,node-name=p,file=l"
                "blklogwrites,node-name=w,file=a,log=p" + more
            ]

            use daemon = start directory (nodes "") [ "w" ]
            use qmp = QmpClient.Negotiated(directory.File "q.sock")
            let write commands =
                let output = qemuIo directory "w" commands
                Expect.isFalse (output.Contains "failed") output

            write [ "write -P 1 0 64k"; "flush" ]
            Expect.equal (length ()) grown "ahead of the data"
            let request text = snd (qmp.Request text)

            Expect.stringContains
                (request """{"execute": "blockdev-set-active", "arguments": {"node-name": "p", "active": false}}""")
                "Node has active parent node"
                "not without its parent"

            Expect.stringContains
                (request """{"execute": "block-export-del", "arguments": {"id": "e-w", "mode": "hard"}}""")
                "return"
                "the export goes"

            Expect.equal (length ()) grown "the parent is still there"

            let setActive (active: string) =
                Expect.stringContains
                    (request (
                        """{"execute": "blockdev-set-active", "arguments": {"node-name": "w", "active": """
                        + active
                        + "}}"
                    ))
                    "return"
                    "its activity changes"

            setActive "false"
            let data = length ()
            Expect.isLessThan data 70000L "only data are left"
            setActive "true"

            Expect.stringContains
                (request
                    """{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "w", "writable": true}}""")
                "return"
                "exported again"

            write [
                "aio_write -P 2 64k 64k"
                "aio_write -P 3 200k 1000"
                "write -z 300k 9k"
                "flush"
            ]
            Expect.isGreaterThan (length ()) 134217728L "it has grown again"
            Expect.equal (Daemon.stop daemon) 0 "a good end"
            Expect.isLessThan (length ()) 300000L "at the end the file is cut"
            let image () =
                File.ReadAllBytes(directory.File "a.raw")
            Expect.equal (replay (File.ReadAllBytes(directory.File "log")) 1048576) (image ()) "the log is whole"

            // Once more, killed: the file stays long, and nothing is lost.
            use again = start directory (nodes ",log-append=on") [ "w" ]
            write [ "write -P 4 400k 100k"; "flush" ]
            again.Signal Native.SIGKILL
            Expect.isSome (again.WaitExit Wait.defaultTimeout) "killed"
            Expect.isGreaterThan (length ()) 134217728L "nobody cuts it"
            Expect.equal (replay (File.ReadAllBytes(directory.File "log")) 1048576) (image ()) "the log is whole"

            use last = start directory (nodes ",log-append=on") [ "w" ]
            write [ "write -P 5 500k 100k"; "flush" ]
            Expect.equal (Daemon.stop last) 0 "a good end"
            Expect.equal (replay (File.ReadAllBytes(directory.File "log")) 1048576) (image ()) "it goes on"

        testCase "a log goes on after its node has been inactive, whatever was asked meanwhile"
        <| fun () ->
            use directory = new TempDir()
            File.WriteAllBytes(directory.File "a.raw", Array.zeroCreate 1048576)
            File.WriteAllBytes(directory.File "log", [||])

            use daemon =
                Daemon.start
                    Binaries.daemon.Value
                    directory.Path
                    (Daemon.monitor "q.sock"
                     @ Daemon.nbdServer "n.sock"
                     @ [
                         "--blockdev"
                         "file,node-name=a,filename=a.raw"
                         "--blockdev"
                         "file,node-name=l,filename=log"
                         "--blockdev"
                         "preallocate,node-name=p,file=l"
                         "--blockdev"
                         "blklogwrites,node-name=w,file=a,log=p"
                         "--export"
                         "nbd,id=e,node-name=w,name=w,writable=on,allow-inactive=on"
                     ])

            use qmp = QmpClient.Negotiated(directory.File "q.sock")

            let setActive (active: string) =
                let _, reply =
                    qmp.Request(
                        """{"execute": "blockdev-set-active", "arguments": {"active": """
                        + active
                        + "}}"
                    )

                Expect.stringContains reply "return" "its activity changes"

            setActive "false"
            let refused = qemuIo directory "w" [ "write -P 1 0 4k"; "flush" ]
            Expect.stringContains refused "write failed: Operation not permitted" "nobody writes"
            Expect.isFalse (refused.Contains "flush failed") "there is nothing to flush"
            setActive "true"
            let output = qemuIo directory "w" [ "write -P 2 8k 4k"; "flush" ]
            Expect.isFalse (output.Contains "failed") output
            Expect.equal (Daemon.stop daemon) 0 "a good end"
            let image = File.ReadAllBytes(directory.File "a.raw")
            Expect.equal (replay (File.ReadAllBytes(directory.File "log")) image.Length) image "the log is whole"
    ]
