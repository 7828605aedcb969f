/// The command lines with which others run the daemon, as they are in their sources, but for the program's name, for
/// paths, and for drivers of storage that a test does not have: `file` takes their place.
module StorageDaemon.Tests.EndToEnd.CommandLines

open System
open System.IO
open Expecto
open StorageDaemon.Core.VhostUser
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk
open StorageDaemon.Tests.Harness.QmpClient
open StorageDaemon.Tests.Harness.TempDir
open StorageDaemon.Tests.Harness.VhostUserClient

/// Runs a daemon with --daemonize until `act` has ended; it must end by itself, or by the signal that follows.
let private inBackground (directory: TempDir) (pidFile: string) (arguments: string list) (act: unit -> unit) : unit =
    let started = ChildProcess.run directory.Path Binaries.daemon.Value arguments
    Expect.equal started.ExitCode 0 (started.Output + started.Error)
    let pid = int (File.ReadAllText(directory.File pidFile))

    try
        act ()
        Native.kill pid Native.SIGTERM |> ignore
        Wait.orFail Wait.defaultTimeout "the daemon to end" (fun () -> not (File.Exists(directory.File pidFile)))
    finally
        if File.Exists(directory.File pidFile) then
            Native.kill pid Native.SIGKILL |> ignore

let private ok (status: byte, data: byte[]) : byte[] =
    Expect.equal status 0uy "status"
    data

/// The TPM state of a machine: a daemon with nothing, then a throttled image as a file for swtpm.
let private proxmox (format: string) =
    testCase $"Proxmox VE: the TPM state in a {format} image" (fun () ->
        Requires.that Environment.IsPrivilegedProcess "requires root, to mount"
        Requires.that (File.Exists "/dev/fuse") "requires /dev/fuse"
        use directory = new TempDir()
        let image = directory.File "vm-100-disk-1"
        let qemuImg = Requires.tool "qemu-img"

        ChildProcess.runOk directory.Path qemuImg [ "create"; "-f"; format; image; "4M" ]
        |> ignore

        // Where a daemon before this one died, its file is still there.
        let mount = directory.File "tpmstate0"
        File.WriteAllBytes(mount, [||])
        File.SetUnixFileMode(mount, UnixFileMode.UserRead ||| UnixFileMode.UserWrite)

        let arguments = [
            "--daemonize"
            "--chardev"
            $"""socket,id=qmp,path={directory.File "100.qmp"},server=on,wait=off"""
            "--monitor"
            "chardev=qmp,mode=control"
            "--pidfile"
            directory.File "100.pid"
        ]

        inBackground directory "100.pid" arguments (fun () ->
            use qmp = QmpClient.Negotiated(directory.File "100.qmp")
            let execute (command: string) (arguments: string) =
                qmp.Execute(command, arguments) |> ignore

            // The group may be left from before; that it is not is no failure.
            qmp.Request """{"execute": "object-del", "arguments": {"id": "throttle-drive-tpmstate0"}}"""
            |> ignore

            execute
                "object-add"
                """{"id": "throttle-drive-tpmstate0", "qom-type": "throttle-group",
                    "limits": {"iops-total": 0, "bps-read": 100000000}}"""

            let discardNoUnref =
                if format = "qcow2" then
                    """, "discard-no-unref": true"""
                else
                    ""

            execute
                "blockdev-add"
                $$"""{"driver": "throttle", "node-name": "drive-tpmstate0", "throttle-group": "throttle-drive-tpmstate0",
                      "file": {"driver": "{{format}}", "node-name": "fmt-tpmstate0", "read-only": false,
                               "cache": {"direct": true, "no-flush": false}, "detect-zeroes": "on"{{discardNoUnref}},
                               "file": {"driver": "file", "node-name": "file-tpmstate0", "filename": "{{image}}",
                                        "read-only": false, "aio": "io_uring", "detect-zeroes": "on",
                                        "cache": {"direct": true, "no-flush": false} } } }"""

            let export () =
                execute
                    "block-export-add"
                    $$"""{"type": "fuse", "id": "export-tpmstate0", "mountpoint": "{{mount}}", "node-name": "drive-tpmstate0",
                          "writable": true, "growable": false, "allow-other": "off"}"""

            export ()
            Expect.equal (FileInfo(mount).Length) (4L * MiB) "the file is as long as the disk"
            patterned (directory.File "state") (256L * 1024L)

            ChildProcess.runOk directory.Path (Requires.tool "dd") [
                "if=state"
                $"of={mount}"
                "bs=64k"
                "conv=notrunc,fsync"
            ]
            |> ignore

            let nodes =
                qmp.Execute("query-named-block-nodes").EnumerateArray()
                |> Seq.map (fun node ->
                    node.GetProperty("node-name").GetString(), node.GetProperty("drv").GetString())
                |> Map.ofSeq

            Expect.equal
                nodes
                (Map [
                    "drive-tpmstate0", "throttle"
                    "fmt-tpmstate0", format
                    "file-tpmstate0", "file"
                ])
                "nodes"

            execute "block-export-del" """{"id": "export-tpmstate0"}"""
            Wait.orFail Wait.defaultTimeout "the file to be as it was" (fun () -> FileInfo(mount).Length = 0L)
            execute "blockdev-del" """{"node-name": "drive-tpmstate0"}"""
            let _, answer =
                qmp.Request """{"execute": "blockdev-del", "arguments": {"node-name": "drive-tpmstate0"}}"""
            Expect.stringContains answer "Failed to find node with node-name" "the text that is looked for"
            execute "quit" "{}")

        ChildProcess.runOk directory.Path qemuImg [ "convert"; "-f"; format; "-O"; "raw"; image; "out" ]
        |> ignore

        let bytes = File.ReadAllBytes(directory.File "out")
        Expect.isTrue (bytes.AsSpan(0, 256 * 1024).SequenceEqual(pattern 0L (256 * 1024))) "what was written")

let private vitastor =
    testCase "Vitastor: a volume over vhost-user" (fun () ->
        use directory = new TempDir()
        patterned (directory.File "volume") (4L * MiB)
        let socket = directory.File "vitastor1-user-blk.sock"
        let volume = directory.File "volume"

        let arguments = [
            "--daemonize"
            "--pidfile"
            directory.File "1.pid"
            "--blockdev"
            $$"""{"node-name":"drive-virtio-disk1","driver":"file","filename":"{{volume}}","cache":{"direct":true,"no-flush":false},"discard":"unmap"}"""
            "--export"
            $"type=vhost-user-blk,id=vitastor1,node-name=drive-virtio-disk1,addr.type=unix,addr.path={socket},writable=on,num-queues=1"
        ]

        inBackground directory "1.pid" arguments (fun () ->
            use guest = new Guest(1)
            use connection = new Connection(socket)
            connection.Start guest
            Expect.equal (ok (guest.Ask(0, Kind.read, 3UL, Array.zeroCreate 2048))) (pattern 1536L 2048) "a read"
            ok (guest.Ask(0, Kind.write, 8UL, Array.create 4096 7uy)) |> ignore
            ok (guest.Ask(0, Kind.flush, 0UL, [||])) |> ignore
            let bytes = File.ReadAllBytes volume
            Expect.equal bytes[4096] 7uy "a write"))

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: command lines" [ proxmox "raw"; proxmox "qcow2"; vitastor ]
