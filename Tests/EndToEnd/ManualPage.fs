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

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: manual page" [ qmpSocket; qmpDescriptor; nbdDescriptor; nbdSocket; fileDescriptor ]
