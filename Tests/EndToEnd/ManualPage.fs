/// The examples of the manual page, but for the program's name.
module StorageDaemon.Tests.EndToEnd.ManualPage

open System
open System.IO
open System.Net.Sockets
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient

/// A listening socket, and its descriptor to hand down. It must live as long as the test: disposing it unlinks the path.
let private listen (path: string) : Socket * int =
    let socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
    socket.Bind(UnixDomainSocketEndPoint path)
    socket.Listen 1
    socket, int (socket.SafeHandle.DangerousGetHandle())

let private launch (directory: string) (inherited: int list) (arguments: string list) : ChildProcess.Child =
    new ChildProcess.Child(
        {
            ChildProcess.options Binaries.daemon.Value arguments directory with
                Inherited = inherited
        }
    )

let private qmpSocket =
    testCase "QMP over a socket path" (fun () ->
        use directory = new TempDir.TempDir()

        use child =
            Daemon.start Binaries.daemon.Value directory.Path [
                "--chardev"
                "socket,path=qmp.sock,server=on,wait=off,id=char1"
                "--monitor"
                "chardev=char1"
            ]

        use qmp = QmpClient.Connect(directory.File "qmp.sock")
        let greeting = (qmp.ReadLine() |> Option.get |> parse).GetProperty "QMP"
        let version = greeting.GetProperty("version").GetProperty("qemu")
        Expect.equal (version.GetProperty("major").GetInt32()) 10 "major version"
        qmp.Execute "qmp_capabilities" |> ignore
        qmp.Execute "quit" |> ignore
        Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) "exit code")

let private qmpDescriptor =
    testCase "QMP over a listening descriptor, connected before the daemon runs" (fun () ->
        use directory = new TempDir.TempDir()
        let socket, fd = listen (directory.File "qmp.sock")
        use _ = socket
        use early = new QmpClient(connectUnix (directory.File "qmp.sock"))

        use child =
            launch directory.Path [ fd ] [
                "--chardev"
                $"socket,fd={fd},server=on,id=char1"
                "--monitor"
                "chardev=char1"
            ]

        Expect.isSome (early.ReadLine()) "the greeting"
        early.Execute "qmp_capabilities" |> ignore
        early.Execute "quit" |> ignore
        Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) "exit code")

let private nbdDescriptor =
    testCase "NBD over a listening descriptor" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "disk.img") Disk.MiB
        let socket, fd = listen (directory.File "nbd.sock")
        use _ = socket

        use child =
            launch directory.Path [ fd ] [
                "--blockdev"
                "driver=file,node-name=disk,filename=disk.img"
                "--nbd-server"
                $"addr.type=fd,addr.str={fd}"
                "--export"
                "type=nbd,id=export,node-name=disk,writable=on"
            ]

        use client = NbdClient.Connect(directory.File "nbd.sock")
        client.Go(Structured, "disk") |> ignore
        Expect.equal (client.Read(1000UL, 5000)) (TempDir.pattern 1000L 5000) "data"
        client.Disconnect()
        Expect.equal (Daemon.stop child) 0 "exit code")

let private nbdSocket =
    testCase "a raw image over an NBD socket" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "disk.img") Disk.MiB

        use child =
            Daemon.start Binaries.daemon.Value directory.Path [
                "--blockdev"
                "driver=file,node-name=disk,filename=disk.img"
                "--nbd-server"
                "addr.type=unix,addr.path=nbd.sock"
                "--export"
                "type=nbd,id=export,node-name=disk,writable=on"
            ]

        use client = NbdClient.Connect(directory.File "nbd.sock")
        client.Go(Extended, "disk") |> ignore
        Expect.equal (client.Write(Flag.FUA, 4096UL, Array.create 512 7uy)) 0u "write"
        let written = File.ReadAllBytes(directory.File "disk.img")
        Expect.equal written[4096..4607] (Array.create 512 7uy) "the file"
        client.Disconnect()
        Expect.equal (Daemon.stop child) 0 "exit code")

let private fileDescriptor =
    testCase "an image opened by a parent, by its /proc/self/fd name" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "disk.img") Disk.MiB

        use image =
            File.OpenHandle(directory.File "disk.img", FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite)

        let fd = int (image.DangerousGetHandle())

        use child =
            launch
                directory.Path
                [ fd ]
                ([ "--blockdev"; $"driver=file,node-name=disk,filename=/proc/self/fd/{fd}" ]
                 @ Daemon.nbdServer "nbd.sock"
                 @ Daemon.writableExport "disk")

        use client = NbdClient.Connect(directory.File "nbd.sock")
        client.Go(Simple, "disk") |> ignore
        Expect.equal (client.Read(0UL, 4096)) (TempDir.pattern 0L 4096) "data"
        client.Disconnect()
        Expect.equal (Daemon.stop child) 0 "exit code")

/// `disk.qcow2` with the pattern, and nodes `file` and `qcow2` over it.
let private qcow2 (directory: TempDir.TempDir) : string list =
    TempDir.patterned (directory.File "source.img") Disk.MiB

    ChildProcess.runOk directory.Path (Requires.tool "qemu-img") [
        "convert"
        "-O"
        "qcow2"
        "source.img"
        "disk.qcow2"
    ]
    |> ignore

    [
        "--blockdev"
        "driver=file,node-name=file,filename=disk.qcow2"
        "--blockdev"
        "driver=qcow2,node-name=qcow2,file=file"
    ]

/// A driver reads, and cannot write.
let private mustRead (connection: VhostUserClient.Connection) : unit =
    use guest = new VhostUserClient.Guest(1)
    connection.Start guest
    let status, data = guest.Ask(0, VhostUserClient.Kind.read, 5UL, Array.zeroCreate 4096)
    Expect.equal status 0uy "status"
    Expect.equal data (TempDir.pattern 2560L 4096) "data"
    Expect.equal (fst (guest.Ask(0, VhostUserClient.Kind.write, 0UL, Array.zeroCreate 512))) 1uy "read-only"

let private vhostUserSocket =
    testCase "a qcow2 image as a vhost-user-blk device" (fun () ->
        use directory = new TempDir.TempDir()
        let nodes = qcow2 directory

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (nodes
                 @ [
                     "--export"
                     "type=vhost-user-blk,id=export,addr.type=unix,addr.path=vhost-user-blk.sock,node-name=qcow2"
                 ])

        do
            use connection = new VhostUserClient.Connection(directory.File "vhost-user-blk.sock")
            mustRead connection

        Expect.equal (Daemon.stop child) 0 "exit code")

let private vhostUserDescriptor =
    testCase "a vhost-user-blk device over a listening descriptor, connected before the daemon runs" (fun () ->
        use directory = new TempDir.TempDir()
        let nodes = qcow2 directory
        let socket, fd = listen (directory.File "vhost-user-blk.sock")
        use _ = socket
        use early = new VhostUserClient.Connection(directory.File "vhost-user-blk.sock")

        use child =
            launch
                directory.Path
                [ fd ]
                (nodes
                 @ [
                     "--export"
                     $"type=vhost-user-blk,addr.type=fd,addr.str={fd},id=export,node-name=qcow2"
                 ])

        mustRead early
        Expect.equal (Daemon.stop child) 0 "exit code")

let private fuseOnItself =
    testCase "a qcow2 image over FUSE on itself" (fun () ->
        Requires.that Environment.IsPrivilegedProcess "requires root, to mount"
        Requires.that (File.Exists "/dev/fuse") "requires /dev/fuse"
        use directory = new TempDir.TempDir()
        let nodes = qcow2 directory
        let image = directory.File "disk.qcow2"

        do
            use child =
                Daemon.start
                    Binaries.daemon.Value
                    directory.Path
                    (nodes
                     @ [
                         "--export"
                         "type=fuse,id=export,node-name=qcow2,mountpoint=disk.qcow2,writable=on"
                     ])

            Expect.isTrue (File.ReadAllBytes image = TempDir.pattern 0L (int Disk.MiB)) "it appears as a raw image"

            do
                use file = File.OpenWrite image
                file.Write(Array.create 512 7uy, 0, 512)

            Expect.equal (Daemon.stop child) 0 "exit code"

        let dump =
            ChildProcess.runOk directory.Path (Requires.tool "qemu-img") [
                "convert"
                "-O"
                "raw"
                "disk.qcow2"
                "out"
            ]

        Expect.equal dump "" "it is a qcow2 image again"
        let bytes = File.ReadAllBytes(directory.File "out")
        Expect.equal bytes[..511] (Array.create 512 7uy) "what was written"
        Expect.equal bytes[512..1023] (TempDir.pattern 512L 512) "what was not")

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: manual page" [
        qmpSocket
        qmpDescriptor
        nbdDescriptor
        nbdSocket
        fileDescriptor
        vhostUserSocket
        vhostUserDescriptor
        fuseOnItself
    ]
