/// Character devices on real descriptors: pipes, datagrams, terminals, memory, shared ones, WebSocket.
module StorageDaemon.Tests.Shell.ChardevKindTests

open System
open System.Collections.Generic
open System.IO
open System.Net
open System.Net.Sockets
open System.Net.WebSockets
open System.Text
open System.Threading
open Expecto
open StorageDaemon.Shell.Chardev
open StorageDaemon.Shell.Control
open StorageDaemon.Shell.Net
open StorageDaemon.Tests.Shell.ShellSupport

type private Listening() =
    let input = StringBuilder()
    let events = List<string>()
    member _.Input = input.ToString()
    member _.Events = String.Join(' ', events)

    interface IChardevFrontend with
        member _.OnOpened() = events.Add "opened"
        member _.OnBytes bytes =
            input.Append(Encoding.Latin1.GetString bytes) |> ignore
        member _.OnClosed() = events.Add "closed"
        member _.OnDrained() = ()

let private openAs (reactor: Reactor) id (options: ChardevOptions) =
    let report = Action<string>(ignore)
    let outcome = ChardevFactory.Open(ChardevContext(reactor, report, report, false), id, options)
    Expect.isNull outcome.Error "opens"
    outcome.Value

let private openDevice reactor options = openAs reactor "c" options

let private attach (device: CharacterDevice) =
    let listening = Listening()
    Expect.isTrue (device.AttachFrontend listening) "attaches"
    listening

let private write (device: CharacterDevice) (text: string) =
    device.Write(ReadOnlySpan(Encoding.Latin1.GetBytes text))

let private readRing (device: CharacterDevice) =
    Encoding.Latin1.GetString((device :?> RingBufferChardev).Read Int64.MaxValue)

let private ring reactor id =
    openAs reactor id (RingBufferOptions(4096, "ringbuf"))

let private server path webSocket =
    SocketOptions(UnixAddress(path, false, true), true, false, false, false, false, 0L, webSocket)

let private receiveText (socket: Socket) =
    let buffer = Array.zeroCreate<byte> 65536
    Encoding.Latin1.GetString(buffer, 0, socket.Receive buffer)

let private portTests =
    testList "ports" [
        test "a named pipe for each direction" {
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let path = Path.Combine(folder, "p")

                    for name in [ path + ".in"; path + ".out" ] do
                        Diagnostics.Process.Start("mkfifo", name).WaitForExit()

                    use device = openDevice reactor (PipeOptions path)
                    Expect.equal device.Filename "pipe" "label"
                    let listening = attach device
                    File.WriteAllText(path + ".in", "from the other side")
                    pumpUntil reactor "input came" (fun () -> listening.Input = "from the other side")
                    use output = new FileStream(path + ".out", FileMode.Open, FileAccess.ReadWrite)
                    write device "reply"
                    let buffer = Array.zeroCreate<byte> 5
                    output.ReadExactly(buffer, 0, 5)
                    Expect.equal buffer "reply"B "output"))
        }

        test "datagrams open the device with the first" {
            withReactor (fun reactor ->
                use peer = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp)

                peer.Bind(IPEndPoint(IPAddress.Loopback, 0))
                peer.ReceiveTimeout <- 5000
                let port (socket: Socket) =
                    (socket.LocalEndPoint :?> IPEndPoint).Port

                let own =
                    use probe = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp)
                    probe.Bind(IPEndPoint(IPAddress.Loopback, 0))
                    port probe

                let address (port: int) =
                    InetAddress("127.0.0.1", string port, Nullable(), Nullable(), Nullable(), false, false, false)

                use device = openDevice reactor (UdpOptions(address (port peer), address own))
                let listening = attach device
                Expect.equal listening.Events "" "closed at first"
                peer.SendTo("one"B, IPEndPoint(IPAddress.Loopback, own)) |> ignore
                peer.SendTo([||], IPEndPoint(IPAddress.Loopback, own)) |> ignore
                peer.SendTo("two"B, IPEndPoint(IPAddress.Loopback, own)) |> ignore
                pumpUntil reactor "input came" (fun () -> listening.Input = "onetwo")
                Expect.equal listening.Events "opened" "once"
                write device "answer"
                Expect.equal (receiveText peer) "answer" "output"
                write device (String('x', 70_000))
                Expect.equal (receiveText peer).Length 65507 "the largest datagram"
                Expect.equal (receiveText peer).Length (70_000 - 65507) "the rest")
        }

        test "a serial line is set to raw" {
            withReactor (fun reactor ->
                use terminal = openAs reactor "t" (PtyOptions null)
                let other = attach terminal
                use device = openDevice reactor (SerialOptions terminal.PtyPath)
                let listening = attach device
                pumpUntil reactor "the terminal is open" (fun () -> other.Events = "opened")
                write terminal "\003a\rb\n"
                pumpUntil reactor "input came as it is" (fun () -> listening.Input = "\003a\rb\n")
                write device "x\ny"
                pumpUntil reactor "output came as it is" (fun () -> other.Input = "x\ny"))
        }

        test "what is no parallel port is refused, and nothing stays open" {
            withReactor (fun reactor ->
                leavesNoDescriptors (fun () ->
                    let report = Action<string>(ignore)
                    let context = ChardevContext(reactor, report, report, false)
                    let outcome = ChardevFactory.Open(context, "c", ParallelOptions "/dev/null")
                    Expect.equal outcome.Error "not a parallel port: Inappropriate ioctl for device" "error"))
        }
    ]

let private sharedTests =
    testList "shared" [
        test "two frontends on one socket" {
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let path = Path.Combine(folder, "s")
                    use below = openAs reactor "base" (server path false)
                    let mux = openAs reactor "mux" (MuxOptions(below.NewPort()))
                    Expect.isFalse below.FrontendOpen "nobody uses it yet"
                    let ports = [ mux.NewPort(); mux.NewPort() ]
                    let first = attach ports[0]
                    let second = attach ports[1]
                    Expect.isTrue below.FrontendOpen "in use"
                    use client = connectUnix path
                    pumpUntil reactor "both are open" (fun () -> first.Events = "opened" && second.Events = "opened")
                    client.Send "two\001cone"B |> ignore
                    pumpUntil reactor "each has its own" (fun () -> second.Input = "two" && first.Input = "one")
                    ports[0].SuspendInput()
                    client.Send "later"B |> ignore
                    pumpFor reactor 30L
                    Expect.equal first.Input "one" "suspended"
                    ports[0].ResumeInput()
                    pumpUntil reactor "resumed" (fun () -> first.Input = "onelater")
                    write ports[0] "a"
                    write ports[1] "b"
                    Expect.equal (receiveText client) "ab" "output of both"
                    Expect.isNotNull (mux.NewPort()) "a third"
                    Expect.isNotNull (mux.NewPort()) "a fourth"
                    Expect.isNull (mux.NewPort()) "no fifth"
                    mux.Dispose()
                    Expect.isFalse below.FrontendOpen "free again"))
        }

        test "the key for the end" {
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let path = Path.Combine(folder, "s")
                    let mutable quits = 0
                    let report = Action<string>(ignore)
                    let quit = Action(fun () -> quits <- quits + 1)
                    let context = ChardevContext(reactor, report, report, false, Quit = quit)
                    use below = openAs reactor "base" (server path false)
                    use mux = ChardevFactory.Open(context, "mux", MuxOptions(below.NewPort())).Value
                    attach (mux.NewPort()) |> ignore
                    use client = connectUnix path
                    client.Send "\001x"B |> ignore
                    pumpUntil reactor "it is asked for" (fun () -> quits = 1)
                    Expect.equal (receiveText client) "QEMU: Terminated\n\r" "farewell"))
        }

        test "a hub gives one frontend several devices" {
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let path = Path.Combine(folder, "s")
                    use socket = openAs reactor "s" (server path false)
                    use memory = ring reactor "r"
                    let hub = openAs reactor "h" (HubOptions [| socket; memory |])
                    Expect.isFalse socket.FrontendOpen "nobody uses it yet"
                    let listening = attach hub
                    Expect.equal listening.Events "opened" "one of them is open"
                    use client = connectUnix path
                    client.Send "input"B |> ignore
                    pumpUntil reactor "input came" (fun () -> listening.Input = "input")
                    write hub "output"
                    Expect.equal (receiveText client) "output" "to the socket"
                    Expect.equal (readRing memory) "output" "to the memory"
                    client.Dispose()
                    pumpUntil reactor "the client is gone" (fun () -> not socket.HasPeer)
                    Expect.equal listening.Events "opened" "the other stays"
                    hub.Dispose()
                    Expect.isFalse socket.FrontendOpen "free again"))
        }

        test "a mux on a mux gives its place back" {
            withReactor (fun reactor ->
                use memory = ring reactor "r"
                use lower = openAs reactor "l" (MuxOptions(memory.NewPort()))

                for _ in 1..9 do
                    use upper = openAs reactor "u" (MuxOptions(lower.NewPort()))
                    attach (upper.NewPort()) |> ignore
                    write upper "x"

                Expect.equal (readRing memory) (String('x', 9)) "all of them wrote")
        }
    ]

let private webSocketTests =
    testList "websocket" [
        test "a client of .NET" {
            withReactor (fun reactor ->
                let address = InetAddress("127.0.0.1", "0", Nullable(), Nullable(), Nullable(), false, false, false)
                let options = SocketOptions(address, true, false, false, false, false, 0L, true)
                use device = openDevice reactor options
                let listening = attach device
                let port = device.Filename.Split(':', ',')[3]
                use client = new ClientWebSocket()
                client.Options.AddSubProtocol "binary"
                use limit = new CancellationTokenSource(10_000)
                let connecting = client.ConnectAsync(Uri("ws://127.0.0.1:" + port + "/"), limit.Token)
                pumpUntil reactor "connected" (fun () -> connecting.IsCompleted)
                connecting.GetAwaiter().GetResult()
                Expect.equal listening.Events "opened" "after the handshake"
                let data = Array.init 100_000 (fun i -> byte (i * 7))

                let sending = client.SendAsync(ArraySegment data, WebSocketMessageType.Binary, true, limit.Token)

                pumpUntil reactor "input came" (fun () -> listening.Input.Length = data.Length)
                sending.GetAwaiter().GetResult()
                Expect.equal listening.Input (Encoding.Latin1.GetString data) "as sent"
                device.Write(ReadOnlySpan data)
                let received = new MemoryStream()

                while received.Length < int64 data.Length do
                    let buffer = Array.zeroCreate<byte> 65536
                    let receiving = client.ReceiveAsync(ArraySegment buffer, limit.Token)
                    pumpUntil reactor "output came" (fun () -> receiving.IsCompleted)
                    received.Write(buffer, 0, receiving.Result.Count)

                Expect.equal (received.ToArray()) data "as written"
                let closing = client.CloseAsync(WebSocketCloseStatus.NormalClosure, "", limit.Token)
                pumpUntil reactor "closed" (fun () -> closing.IsCompleted)
                pumpUntil reactor "the device knows" (fun () -> listening.Events = "opened closed")
                Expect.equal client.CloseStatus (Nullable WebSocketCloseStatus.NormalClosure) "status")
        }
    ]

[<Tests>]
let tests =
    testSequenced
    <| testList "Shell.Chardev.Kinds" [ portTests; sharedTests; webSocketTests ]
