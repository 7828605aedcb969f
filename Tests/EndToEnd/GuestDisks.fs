/// vhost-user-blk exports as the disks of a guest: the drivers of Linux and QEMU's front end.
module StorageDaemon.Tests.EndToEnd.GuestDisks

open System
open System.IO
open System.Text.RegularExpressions
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk
open StorageDaemon.Tests.Harness.QmpClient
open StorageDaemon.Tests.Harness.TempDir

let private contents
    (script: string)
    (files: (string * string) list)
    (variables: (string * string) list)
    : Initramfs.Contents = {
    Programs = [ "fio"; "dd"; "blkdiscard" ]
    Modules = [ "virtio_blk" ]
    Files = files
    Script = script
    Variables = variables
}

/// QEMU's arguments for a disk at a socket; it comes back by itself.
let private device (socket: string) (more: string) : string list =
    let name = Path.GetFileNameWithoutExtension socket

    [
        "-chardev"
        $"socket,id={name},path={socket},reconnect-ms=50"
        "-device"
        $"vhost-user-blk-pci,chardev={name}{more}"
    ]

let private exportAt (node: string) (socket: string) = [
    "--export"
    $"vhost-user-blk,id=export-{node},node-name={node},addr.type=unix,addr.path={socket},writable=on,num-queues=2"
]

let private export (node: string) = exportAt node $"{node}.sock"

let private file (node: string) (image: string) = [
    "--blockdev"
    $"driver=file,node-name={node},filename={image},discard=unmap"
]

let private qcow2 (node: string) (image: string) =
    file (node + "-file") image
    @ [
        "--blockdev"
        $"driver=qcow2,node-name={node},file={node}-file,discard=unmap"
    ]

let private oldBytes = 24L * MiB

let private newBytes = 32L * MiB

let private createQcow2 (directory: TempDir) (name: string) : unit =
    ChildProcess.runOk directory.Path (Requires.tool "qemu-img") [ "create"; "-f"; "qcow2"; name; $"{oldBytes}" ]
    |> ignore

let private facts (console: string) (disk: string) : Map<string, string> =
    Regex.Matches(console, $@"(?m)^FACT {disk} (\S+) (.*)$")
    |> Seq.map (fun found -> found.Groups[1].Value, found.Groups[2].Value)
    |> Map.ofSeq

let private disks =
    testCase "a raw and a qcow2 image with two queues each: data, flushes, discard, cache mode, resizing" (fun () ->
        use directory = new TempDir()
        sparse (directory.File "raw.img") oldBytes
        createQcow2 directory "image.qcow2"
        patterned (directory.File "pattern") (4L * MiB)

        use daemon =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (file "raw" "raw.img"
                 @ export "raw"
                 @ qcow2 "image" "image.qcow2"
                 @ export "image"
                 @ Daemon.monitor "q.sock")

        use guest =
            new Guest.Guest(
                contents "disks.sh" [ directory.File "pattern", "/pattern" ] [
                    "DISKS", "vda vdb"
                    "NEW_SECTORS", $"{newBytes / 512L}"
                ],
                {
                    Processors = 2
                    MemoryMiB = 768
                    Arguments =
                        device (directory.File "raw.sock") ",num-queues=2"
                        @ device (directory.File "image.sock") ",num-queues=2"
                }
            )

        use monitor = QmpClient.Negotiated(directory.File "q.sock")

        for disk, node in [ "vda", "raw"; "vdb", "image" ] do
            guest.WaitFor $"RESIZE {disk}"

            monitor.Execute("block_resize", $"""{{"node-name": "{node}", "size": {newBytes}}}""")
            |> ignore

        let console = guest.Finish()

        for disk in [ "vda"; "vdb" ] do
            let facts = facts console disk

            for name, value in
                [
                    "size", $"{oldBytes / 512L}"
                    "block", "512"
                    "read-only", "0"
                    "queues", "2"
                    "serial", "vhost_user_blk"
                    // The real daemon has a cache, too, and says that it has none.
                    "cache", (if isRealDaemon.Value then "write through" else "write back")
                ] do
                Expect.equal facts[name] value $"{disk}: {name}"

            for name in [ "discard"; "zeroes" ] do
                Expect.isGreaterThan (int64 facts[name]) 0L $"{disk}: {name}"

        Expect.equal (Daemon.stop daemon) 0 "exit code"
        let qemuImg = Requires.tool "qemu-img"
        ChildProcess.runOk directory.Path qemuImg [ "check"; "image.qcow2" ] |> ignore

        ChildProcess.runOk directory.Path qemuImg [ "convert"; "-O"; "raw"; "image.qcow2"; "image.img" ]
        |> ignore

        for image in [ "raw.img"; "image.img" ] do
            let bytes = File.ReadAllBytes(directory.File image)
            Expect.equal bytes.LongLength newBytes "length"

            let holds (start: int64) (expected: byte[]) (what: string) =
                Expect.isTrue (bytes.AsSpan(int start, expected.Length).SequenceEqual expected) $"{image}: {what}"

            holds MiB (Array.zeroCreate (int MiB)) "zeroes"
            holds (2L * MiB) (pattern (2L * MiB) (int (2L * MiB))) "what was written"
            holds (newBytes - 4096L) (pattern 0L 4096) "the new end")

/// One daemon is asked to end, the other one is killed. QEMU connects to what comes after them; the log of requests in
/// flight says which ones have yet to be carried out. It is the one with the qcow2 image that ends in order: mappings
/// that no flush has asked for yet are in the daemon's memory only.
let private restarts =
    testCase "daemons that end and come back while a guest writes, two by SIGTERM, two by SIGKILL" (fun () ->
        use directory = new TempDir()
        sparse (directory.File "raw.img") oldBytes
        createQcow2 directory "image.qcow2"

        let start (arguments: string list) (pidFile: string) =
            // Both run in one directory; they need pid files of their own.
            let folder = Directory.CreateDirectory(directory.File pidFile).FullName
            Daemon.start Binaries.daemon.Value folder arguments

        let startRaw () =
            start (file "raw" "../raw.img" @ exportAt "raw" (directory.File "raw.sock")) "first"

        let startImage () =
            start (qcow2 "image" "../image.qcow2" @ exportAt "image" (directory.File "image.sock")) "second"

        let mutable raw = startRaw ()
        let mutable image = startImage ()

        try
            use guest =
                new Guest.Guest(
                    contents "reconnect.sh" [] [ "DISKS", "vda vdb"; "SECONDS_OF_LOAD", "8" ],
                    {
                        Processors = 2
                        MemoryMiB = 768
                        Arguments =
                            device (directory.File "raw.sock") ",num-queues=2"
                            @ device (directory.File "image.sock") ",num-queues=2"
                    }
                )

            guest.WaitFor "LOAD"

            for _ in 1..2 do
                Threading.Thread.Sleep 1500
                raw.Signal Native.SIGKILL
                raw.WaitExit Wait.defaultTimeout |> ignore
                // The socket's file is still there, and must not be in the way.
                raw <- startRaw ()
                Threading.Thread.Sleep 500
                Expect.equal (Daemon.stop image) 0 "exit code"
                image <- startImage ()

            Expect.isFalse (guest.HasSaid "VERIFY") "the guest was still writing"
            guest.Finish() |> ignore

            for daemon in [ raw; image ] do
                Expect.equal (Daemon.stop daemon) 0 "exit code"

            ChildProcess.runOk directory.Path (Requires.tool "qemu-img") [ "check"; "image.qcow2" ]
            |> ignore
        finally
            (raw :> IDisposable).Dispose()
            (image :> IDisposable).Dispose())

[<Tests>]
let tests = testSequenced <| testList "end to end: guests" [ disks; restarts ]
