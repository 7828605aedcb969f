/// Command lines that programs in the field start the daemon with, where they are about raw images.
module StorageDaemon.Tests.EndToEnd.InUse

open System
open System.IO
open System.Net
open System.Net.Sockets
open System.Text
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient

/// A block device over a file, or the test is skipped: containers often have none.
type private LoopDevice(file: string, isReadOnly: bool) =
    let losetup = Requires.tool "losetup"

    let device =
        let flags = if isReadOnly then [ "--read-only" ] else []
        let result = ChildProcess.run "/" losetup ([ "--find"; "--show" ] @ flags @ [ file ])

        if result.ExitCode <> 0 then
            Requires.skip $"no loop device: {result.Error.Trim()}"

        result.Output.Trim()

    member _.Path = device

    interface IDisposable with
        member _.Dispose() =
            ChildProcess.run "/" losetup [ "--detach"; device ] |> ignore

let private lxd =
    testCase "LXD: a read-only host device, JSON options, no monitor, SIGTERM" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "disk") (4L * Disk.MiB)
        use loop = new LoopDevice(directory.File "disk", true)

        use child =
            Daemon.start Binaries.daemon.Value directory.Path [
                "--nbd-server"
                "addr.type=unix,addr.path=nbd.sock"
                "--blockdev"
                $"""{{"driver":"host_device","filename":"{loop.Path}","node-name":"data0-file","read-only":true}}"""
                "--blockdev"
                """{"driver":"raw","file":"data0-file","node-name":"data0","read-only":true}"""
                "--export"
                """{"id":"export0","name":"disk","node-name":"data0","type":"nbd"}"""
            ]

        use client = NbdClient.Connect(directory.File "nbd.sock")
        client.Go(Structured, "disk") |> ignore
        Expect.equal (client.Read(12345UL, 10000)) (TempDir.pattern 12345L 10000) "data"
        Expect.equal (client.Write(0us, 0UL, Array.zeroCreate 512)) 22u "a write to a read-only export"
        client.Disconnect()
        Expect.equal (Daemon.stop child) 0 "exit code")

let private xcp =
    testCase "XCP-ng: a host device with O_DIRECT, a monitor, in the background" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "disk") (4L * Disk.MiB)
        use loop = new LoopDevice(directory.File "disk", false)
        let file (name: string) = directory.File name

        let result =
            ChildProcess.run directory.Path Binaries.daemon.Value [
                "--pidfile"
                file "daemon.pid"
                "--blockdev"
                $"driver=host_device,node-name=vol,filename={loop.Path},cache.direct=on,cache.no-flush=off,discard=unmap,read-only=off"
                "--nbd-server"
                $"""addr.type=unix,addr.path={file "nbd.sock"}"""
                "--export"
                "type=nbd,id=e0,node-name=vol,name=export,writable=on"
                "--chardev"
                $"""socket,id=qmp0,path={file "qmp.sock"},server=on,wait=off"""
                "--monitor"
                "chardev=qmp0"
                "--daemonize"
            ]

        Expect.equal (result.ExitCode, result.Error) (0, "") "the caller's exit code"
        let pid = int (File.ReadAllText(file "daemon.pid"))

        try
            use client = NbdClient.Connect(file "nbd.sock")
            client.Go(Structured, "export") |> ignore
            let data = Array.init 65536 (fun i -> byte i)
            Expect.equal (client.Write(Flag.FUA, 8192UL, data)) 0u "write"
            Expect.equal (client.Read(8192UL, 65536)) data "data"
            Expect.equal (client.Write(0us, 1UL, Array.create 3 9uy)) 0u "a write that O_DIRECT cannot do as it is"

            Expect.equal
                (client.Read(0UL, 5))
                [| TempDir.patternByte 0L; 9uy; 9uy; 9uy; TempDir.patternByte 4L |]
                "data"

            client.Disconnect()
            use qmp = QmpClient.Negotiated(file "qmp.sock")
            qmp.Execute "quit" |> ignore
            Wait.orFail Wait.defaultTimeout "the end" (fun () -> not (Directory.Exists $"/proc/{pid}"))
            Expect.isFalse (File.Exists(file "daemon.pid")) "the pid file"
        finally
            Native.kill pid Native.SIGKILL |> ignore)

let private freePort () : int =
    use probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
    probe.Bind(IPEndPoint(IPAddress.Loopback, 0))
    (probe.LocalEndPoint :?> IPEndPoint).Port

let private cloudbase =
    testCase "cloudbase: a raw image with O_DIRECT over TCP" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "x.raw") (4L * Disk.MiB)
        let port = freePort ()

        use child =
            Daemon.start Binaries.daemon.Value directory.Path [
                "--blockdev"
                "driver=file,node-name=file,filename=x.raw,cache.direct=on"
                "--blockdev"
                "driver=raw,node-name=raw,file=file"
                "--nbd-server"
                $"addr.type=inet,addr.host=127.0.0.1,addr.port={port}"
                "--export"
                "type=nbd,id=export,node-name=raw,name=x,writable=on"
            ]

        use socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
        socket.Connect(IPAddress.Loopback, port)
        use client = new NbdClient(socket)
        client.Go(Structured, "x") |> ignore
        Expect.equal (client.Read(1UL, 100000)) (TempDir.pattern 1L 100000) "data"
        Expect.equal (client.Write(0us, 4095UL, Array.create 4098 1uy)) 0u "write"
        Expect.equal (client.Read(4095UL, 4098)) (Array.create 4098 1uy) "data"
        client.Disconnect()
        Expect.equal (Daemon.stop child) 0 "exit code")

let private kubevirt =
    testCase "KubeVirt: QMP over standard input, commands written at once, input closed" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.sparse (directory.File "disk") Disk.MiB

        use child =
            new ChildProcess.Child(
                ChildProcess.options
                    Binaries.daemon.Value
                    [
                        "--chardev"
                        "stdio,id=stdio"
                        "--monitor"
                        "stdio"
                        "--blockdev"
                        "file,node-name=file,filename=disk"
                    ]
                    directory.Path
            )

        let commands =
            """{"execute": "qmp_capabilities"}{"execute": "query-named-block-nodes", "id": "nodes"}"""

        child.Input.Write(Encoding.ASCII.GetBytes commands)
        child.Input.Flush()
        Wait.orFail Wait.defaultTimeout "the answer" (fun () -> child.Output.Contains "\"id\": \"nodes\"")
        child.Input.Write(Encoding.ASCII.GetBytes """{"execute": "quit"}""")
        child.CloseInput()
        Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) "exit code"

        for line in child.Output.Split("\r\n", StringSplitOptions.RemoveEmptyEntries) do
            parse line |> ignore)

let private inputEnds =
    testCase "the end of standard input does not end the daemon" (fun () ->
        use directory = new TempDir.TempDir()

        use child =
            Daemon.start Binaries.daemon.Value directory.Path [ "--chardev"; "stdio,id=c"; "--monitor"; "c" ]

        child.CloseInput()
        Expect.isNone (child.WaitExit(TimeSpan.FromMilliseconds 300.0)) "it runs on"
        Expect.equal (Daemon.stop child) 0 "exit code")

let private eventsAfterInput =
    testCase "events go on after the end of standard input" (fun () ->
        use directory = new TempDir.TempDir()

        use child =
            Daemon.start Binaries.daemon.Value directory.Path [
                "--blockdev"
                "null-co,node-name=n"
                "--nbd-server"
                "addr.type=unix,addr.path=nbd.sock"
                "--export"
                "nbd,id=e0,node-name=n"
                "--chardev"
                "stdio,id=c"
                "--monitor"
                "c"
            ]

        child.Input.Write("{'execute': 'qmp_capabilities'}\n"B)
        child.Input.Flush()
        child.CloseInput()
        Wait.orFail Wait.defaultTimeout "the reply" (fun () -> child.Output.Contains "return")
        Expect.equal (Daemon.stop child) 0 "exit code"
        Expect.stringContains child.Output "BLOCK_EXPORT_DELETED" "the event")

let private clientMonitor =
    testCase "a monitor that connects out" (fun () ->
        use directory = new TempDir.TempDir()
        use listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        listener.Bind(UnixDomainSocketEndPoint(directory.File "out.sock"))
        listener.Listen 1

        use child =
            Daemon.start Binaries.daemon.Value directory.Path [
                "--chardev"
                "socket,path=out.sock,id=m"
                "--monitor"
                "m"
            ]

        use qmp = new QmpClient(listener.Accept())
        Expect.isSome (qmp.ReadLine()) "the greeting"
        qmp.Execute "qmp_capabilities" |> ignore
        qmp.Execute "quit" |> ignore
        Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) "exit code")

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: in use" [ lxd; xcp; cloudbase; kubevirt; inputEnds; eventsAfterInput; clientMonitor ]
