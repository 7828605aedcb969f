/// Character devices of the published binary, each with a peer at its other end: QMP goes over all that carry bytes both
/// ways.
module StorageDaemon.Tests.EndToEnd.Chardevs

open System
open System.IO
open System.Net
open System.Net.Http
open System.Net.Sockets
open System.Net.WebSockets
open System.Text
open System.Threading
open System.Threading.Tasks
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.QmpClient

/// The peer of a device. `receive` waits for bytes, and gives none at the end.
type private Peer(receive: unit -> byte[], send: byte[] -> unit) =
    let received = StringBuilder()

    let pump () =
        try
            let mutable bytes = receive ()

            while bytes.Length > 0 do
                lock received (fun () -> received.Append(Encoding.Latin1.GetString bytes) |> ignore)
                bytes <- receive ()
        with
        | :? IOException
        | :? ObjectDisposedException
        | :? SocketException
        | :? AggregateException -> () // closed by the test or the daemon

    // A thread of its own: blocked readers would use up the thread pool.
    let thread = Thread(pump, IsBackground = true)
    do thread.Start()

    let tryTakeLine () =
        lock received (fun () ->
            let text = received.ToString()

            match text.IndexOf '\n' with
            | -1 -> None
            | stop ->
                received.Remove(0, stop + 1) |> ignore
                Some(text.Substring(0, stop).TrimEnd '\r'))

    /// Waits until nothing is read any more.
    member _.Join() : unit = thread.Join()

    member _.Send(text: string) : unit = send (Encoding.Latin1.GetBytes text)

    /// Takes bytes that have to come next.
    member _.Expect(text: string) : unit =
        Wait.orFail Wait.defaultTimeout $"{text.Length} bytes" (fun () ->
            lock received (fun () -> received.Length >= text.Length))

        lock received (fun () ->
            Expect.equal (received.ToString(0, text.Length)) text "the next bytes"
            received.Remove(0, text.Length) |> ignore)

    member _.ReadLine() : string =
        let mutable line = None

        Wait.orFail Wait.defaultTimeout "a line" (fun () ->
            line <- tryTakeLine ()
            line.IsSome)

        line.Value

    /// Sends a command; the reply, which is the next line.
    member this.Ask(command: string) : string =
        this.Send(command + "\n")
        this.ReadLine()

/// A peer at a terminal or pipes, until the body ends: then all its reading has ended, too.
let private withDevice (input: FileStream) (output: FileStream) (body: Peer -> unit) : unit =
    let buffer = Array.zeroCreate<byte> 4096
    let stopped = ref 0

    let rec receive () =
        if stopped.Value <> 0 then
            [||]
        elif Native.waitReadable input 20 then
            Array.sub buffer 0 (input.Read(buffer, 0, buffer.Length))
        else
            receive ()

    let peer = Peer(receive, (fun bytes -> output.Write(bytes, 0, bytes.Length)))

    try
        body peer
    finally
        stopped.Value <- 1
        peer.Join()

let private ofSocket (socket: Socket) : Peer =
    let buffer = Array.zeroCreate<byte> 4096
    Peer((fun () -> Array.sub buffer 0 (socket.Receive buffer)), (fun bytes -> socket.Send bytes |> ignore))

let private capabilities = """{"execute": "qmp_capabilities"}"""

let private isGreeting (line: string) =
    Expect.stringStarts line "{\"QMP\": {\"version\": " "the greeting"

/// A whole conversation: greeting, negotiation, a command with a value, one that fails.
let private converse (peer: Peer) : unit =
    isGreeting (peer.ReadLine())
    Expect.equal (peer.Ask capabilities) "{\"return\": {}}" "negotiation"

    Expect.equal (peer.Ask """{"execute": "query-block-exports", "id": 1}""") "{\"return\": [], \"id\": 1}" "a value"

    Expect.stringContains (peer.Ask """{"execute": "nonexistent"}""") "\"CommandNotFound\"" "an error"

let private quit (peer: Peer) (child: ChildProcess.Child) : unit =
    peer.Send "{\"execute\": \"quit\"}\n"
    Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) child.Error

/// A test of a daemon in a directory of its own, before which `prepare` has put there what it needs.
let private withDaemon
    (name: string)
    (prepare: TempDir.TempDir -> unit)
    (arguments: string list)
    (body: TempDir.TempDir -> ChildProcess.Child -> unit)
    : Test =
    testCase name (fun () ->
        use directory = new TempDir.TempDir()
        prepare directory
        use child = Daemon.start Binaries.daemon.Value directory.Path arguments
        body directory child)

let private nothing (_: TempDir.TempDir) : unit = ()

let private exceptReal (reason: string) (_: TempDir.TempDir) : unit = Disk.exceptReal reason

let private chardev (options: string) = [ "--chardev"; options ]

let private pipes (directory: TempDir.TempDir) : unit =
    ChildProcess.runOk directory.Path (Requires.tool "mkfifo") [ "p.in"; "p.out" ]
    |> ignore

let private pipe =
    withDaemon "pipe" pipes (chardev "pipe,id=c,path=p" @ [ "--monitor"; "c" ]) (fun directory child ->
        use input = Native.openDevice (directory.File "p.in")
        use output = Native.openDevice (directory.File "p.out")

        withDevice output input (fun peer ->
            converse peer
            quit peer child))

let private file =
    withDaemon
        "file, with input"
        (fun directory -> File.WriteAllText(directory.File "in", capabilities + "\n{\"execute\": \"query-block\"}\n"))
        (chardev "file,id=c,path=out,input-path=in,logfile=log" @ [ "--monitor"; "c" ])
        (fun directory child ->
            let lines () =
                if File.Exists(directory.File "out") then
                    File.ReadAllLines(directory.File "out")
                else
                    [||]

            Wait.orFail Wait.defaultTimeout "both replies" (fun () -> (lines ()).Length = 3)
            isGreeting (Array.head (lines ()))
            Expect.equal (Array.tail (lines ())) [| "{\"return\": {}}"; "{\"return\": []}" |] "the replies"
            Expect.equal (Daemon.stop child) 0 child.Error)

let private freeUdpPort () : int =
    use socket = new UdpClient(IPEndPoint(IPAddress.Loopback, 0))
    (socket.Client.LocalEndPoint :?> IPEndPoint).Port

let private udp =
    testCase "udp" (fun () ->
        Disk.exceptReal "QMP over datagrams"
        use directory = new TempDir.TempDir()
        use client = new UdpClient(IPEndPoint(IPAddress.Loopback, 0))
        let port = (client.Client.LocalEndPoint :?> IPEndPoint).Port
        let daemonPort = freeUdpPort ()

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (chardev $"udp,id=c,host=127.0.0.1,port={port},localaddr=127.0.0.1,localport={daemonPort}"
                 @ [ "--monitor"; "c" ])

        let receive () =
            let mutable sender = IPEndPoint(IPAddress.Any, 0)
            client.Receive &sender

        let peer =
            Peer(receive, (fun bytes -> client.Send(bytes, bytes.Length, "127.0.0.1", daemonPort) |> ignore))

        // The first datagram opens the connection.
        peer.Send "\n"
        converse peer
        quit peer child)

let private pty =
    withDaemon
        "pty"
        nothing
        (Daemon.monitor "q.sock" @ chardev "pty,id=c,path=link" @ [ "--monitor"; "c" ])
        (fun directory child ->
            use qmp = QmpClient.Negotiated(directory.File "q.sock")

            let name =
                (qmp.Execute "query-chardev").EnumerateArray()
                |> Seq.find (fun entry -> entry.GetProperty("label").GetString() = "c")
                |> fun entry -> entry.GetProperty("filename").GetString()

            Expect.stringStarts name "pty:/dev/pts/" "the terminal's name"
            Expect.equal (FileInfo(directory.File "link").LinkTarget) (name.Substring 4) "the link to it"
            let told = $"char device redirected to {name.Substring 4} (label c)\n"
            Wait.orFail Wait.defaultTimeout $"'{child.Output}' to tell of it" (fun () -> child.Output = told)

            let talk () =
                use terminal = Native.openDevice (directory.File "link")
                withDevice terminal terminal converse

            talk ()
            // The terminal is looked at once a second: who comes sooner would go on where the last one has left.
            Thread.Sleep 1500
            talk ()
            Expect.equal (Daemon.stop child) 0 child.Error
            Expect.isNull (FileInfo(directory.File "link").LinkTarget) "the link has gone")

let private serial =
    testCase "serial" (fun () ->
        let terminal, path = Native.newTerminal ()
        use terminal = terminal
        use directory = new TempDir.TempDir()

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (chardev $"serial,id=c,path={path}" @ [ "--monitor"; "c" ])

        withDevice terminal terminal (fun peer ->
            converse peer
            quit peer child))

let private parallelPort =
    testCase "parallel: a device that is no port" (fun () ->
        use directory = new TempDir.TempDir()
        let options = chardev "parallel,id=c,path=/dev/null"
        let result = ChildProcess.run directory.Path Binaries.daemon.Value options
        Expect.equal result.ExitCode 1 "exit code"
        Expect.stringContains result.Error "not a parallel port: Inappropriate ioctl for device" result.Error)

let private telnetGreeting =
    // IAC WILL ECHO, IAC WILL SUPPRESS-GO-AHEAD, IAC WILL BINARY, IAC DO BINARY (RFC 854, 856, 857, 858).
    "\u00ff\u00fb\u0001\u00ff\u00fb\u0003\u00ff\u00fb\u0000\u00ff\u00fd\u0000"

let private telnet =
    withDaemon
        "telnet"
        nothing
        (chardev "socket,id=c,path=t.sock,server=on,wait=off,telnet=on"
         @ [ "--monitor"; "c" ])
        (fun directory child ->
            use socket = connectUnix (directory.File "t.sock")
            let peer = ofSocket socket
            peer.Expect telnetGreeting
            isGreeting (peer.ReadLine())
            // The client's own negotiation in the midst of a command is no part of it.
            peer.Send "{\"execute\":\u00ff\u00fd\u0003 \"qmp_capa\u00ff\u00fb\u0000bilities\"}\n"
            Expect.equal (peer.ReadLine()) "{\"return\": {}}" "negotiation"
            Expect.equal (peer.Ask """{"execute": "query-block"}""") "{\"return\": []}" "a command"
            quit peer child)

let private connectWebSocket (path: string) : ClientWebSocket =
    let connect (_: SocketsHttpConnectionContext) (_: CancellationToken) =
        ValueTask<Stream>(new NetworkStream(connectUnix path, true) :> Stream)

    let invoker = new HttpMessageInvoker(new SocketsHttpHandler(ConnectCallback = Func<_, _, _>(connect)))
    let socket = new ClientWebSocket()
    socket.Options.AddSubProtocol "binary"
    socket.ConnectAsync(Uri "ws://localhost/", invoker, CancellationToken.None).Wait()
    socket

let private ofWebSocket (socket: ClientWebSocket) : Peer =
    let buffer = Array.zeroCreate<byte> 4096

    let receive () =
        let result = socket.ReceiveAsync(ArraySegment buffer, CancellationToken.None).Result
        Array.sub buffer 0 result.Count

    let send (bytes: byte[]) =
        socket.SendAsync(ArraySegment bytes, WebSocketMessageType.Binary, true, CancellationToken.None).Wait()

    Peer(receive, send)

let private webSocket =
    withDaemon
        "websocket"
        (exceptReal "QMP over a WebSocket")
        (chardev "socket,id=c,path=w.sock,server=on,wait=off,websocket=on"
         @ [ "--monitor"; "c" ])
        (fun directory child ->
            use first = connectWebSocket (directory.File "w.sock")
            let peer = ofWebSocket first
            converse peer
            // Pings are answered between commands; .NET answers and asks by itself, so this closes in order.
            first.CloseAsync(WebSocketCloseStatus.NormalClosure, "", CancellationToken.None).Wait()
            use second = connectWebSocket (directory.File "w.sock")
            let peer = ofWebSocket second
            converse peer
            quit peer child)

let private mux =
    withDaemon
        "mux: two monitors on one socket"
        (exceptReal "the focus at the start")
        (chardev "socket,id=c,path=m.sock,server=on,wait=off,mux=on"
         @ [ "--monitor"; "c"; "--monitor"; "c" ])
        (fun directory child ->
            use socket = connectUnix (directory.File "m.sock")
            let peer = ofSocket socket
            isGreeting (peer.ReadLine())
            isGreeting (peer.ReadLine())
            Expect.equal (peer.Ask capabilities) "{\"return\": {}}" "the monitor that has the focus"
            Expect.equal (peer.Ask """{"execute": "query-block"}""") "{\"return\": []}" "it has negotiated"
            peer.Send "\u0001c"
            let refused = peer.Ask """{"execute": "query-block"}"""
            Expect.stringContains refused "Expecting capabilities negotiation" "the other one has not"
            peer.Send "\u0001c"
            Expect.equal (peer.Ask """{"execute": "query-block"}""") "{\"return\": []}" "the first again"
            quit peer child)

let private muxOnStdio =
    testCase "mux: stdio" (fun () ->
        use directory = new TempDir.TempDir()

        use child =
            new ChildProcess.Child(
                ChildProcess.options
                    Binaries.daemon.Value
                    (chardev "stdio,id=c,mux=on" @ [ "--monitor"; "c" ])
                    directory.Path
            )

        let lines () =
            child.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries)

        let line (number: int) = (lines ()).[number]

        let send (text: string) =
            child.Input.Write(Encoding.UTF8.GetBytes text)
            child.Input.Flush()

        Wait.orFail Wait.defaultTimeout "the greeting" (fun () -> (lines ()).Length = 1)
        isGreeting (Array.head (lines ()))
        send (capabilities + "\n")
        Wait.orFail Wait.defaultTimeout "the reply" (fun () -> (lines ()).Length = 2)
        // Twice the escape character is the character itself, which JSON knows in no place.
        send "\u0001\u0001{\"execute\": \"query-block\"}\n"
        Wait.orFail Wait.defaultTimeout "an error and a reply" (fun () -> (lines ()).Length = 4)
        Expect.stringContains (line 2) "JSON parse error" "the escaped character"
        Expect.stringContains (line 3) "{\"return\": []}" "the command"
        send "\u0001x"
        Wait.orFail Wait.defaultTimeout "good-bye" (fun () -> child.Output.Contains "QEMU: Terminated")
        Disk.exceptReal "it ends at the next event of its main loop"
        Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) "Ctrl-A x ends the daemon")

let private hub =
    withDaemon
        "hub: a monitor with two sockets, a ring buffer and a log"
        (exceptReal "a monitor on a hub")
        (Daemon.monitor "q.sock"
         @ chardev "socket,id=a,path=a.sock,server=on,wait=off"
         @ chardev "socket,id=b,path=b.sock,server=on,wait=off"
         @ chardev "ringbuf,id=r,size=64k,logfile=log"
         @ chardev "hub,id=h,chardevs.0=a,chardevs.1=b,chardevs.2=r"
         @ [ "--monitor"; "h" ])
        (fun directory child ->
            use qmp = QmpClient.Negotiated(directory.File "q.sock")
            use first = connectUnix (directory.File "a.sock")
            use second = connectUnix (directory.File "b.sock")
            let peers = [ ofSocket first; ofSocket second ]

            let ring () =
                qmp.Execute("ringbuf-read", """{"device": "r", "size": 65536}""").GetString()

            // Who connects after the greeting does not see it; both ask, and both are told all replies.
            Thread.Sleep 200
            ring () |> ignore
            peers[0].Send(capabilities + "\n")

            for peer in peers do
                let mutable line = peer.ReadLine()

                while line.StartsWith "{\"QMP\"" do
                    line <- peer.ReadLine()

                Expect.equal line "{\"return\": {}}" "negotiation"

            peers[1].Send "{\"execute\": \"query-block\", \"id\": 2}\n"

            for peer in peers do
                Expect.equal (peer.ReadLine()) "{\"return\": [], \"id\": 2}" "a reply to the other one"

            Expect.stringContains (ring ()) "{\"return\": [], \"id\": 2}" "the ring buffer"
            Expect.stringContains (File.ReadAllText(directory.File "log")) "\"id\": 2" "its log"
            quit peers[0] child)

let private ringBuffer =
    withDaemon
        "ringbuf: written, read, overflowing"
        nothing
        (Daemon.monitor "q.sock" @ chardev "ringbuf,id=r,size=8")
        (fun directory child ->
            use qmp = QmpClient.Negotiated(directory.File "q.sock")

            let write (data: string) (more: string) =
                qmp.Execute("ringbuf-write", $"{{\"device\": \"r\", \"data\": \"{data}\"{more}}}")
                |> ignore

            let read (size: int) (more: string) =
                qmp.Execute("ringbuf-read", $"{{\"device\": \"r\", \"size\": {size}{more}}}").GetString()

            write "abcdef" ""
            Expect.equal (read 4 "") "abcd" "the oldest first"
            write "ghijklmn" ""
            Expect.equal (read 100 "") "ghijklmn" "the newest eight"
            Expect.equal (read 100 "") "" "nothing more"
            write "AP+A" ", \"format\": \"base64\""
            Expect.equal (read 100 ", \"format\": \"base64\"") "AP+A" "bytes that are no text"
            Expect.equal (Daemon.stop child) 0 child.Error)

let private log =
    testCase "logfile: what the monitor has said, cut or continued" (fun () ->
        use directory = new TempDir.TempDir()
        let log = directory.File "log"
        File.WriteAllText(log, "before\n")

        let session (append: string) =
            use child =
                Daemon.start
                    Binaries.daemon.Value
                    directory.Path
                    (chardev $"socket,id=c,path=q.sock,server=on,wait=off,logfile=log{append}"
                     @ [ "--monitor"; "c" ])

            use socket = connectUnix (directory.File "q.sock")
            let peer = ofSocket socket
            converse peer
            quit peer child

        session ",logappend=on"
        let lines = File.ReadAllLines log
        Expect.equal lines[0] "before" "what was there"
        isGreeting lines[1]
        Expect.equal lines[2] "{\"return\": {}}" "negotiation"
        session ""
        isGreeting (Array.head (File.ReadAllLines log)))

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: chardevs" [
        pipe
        file
        udp
        pty
        serial
        parallelPort
        telnet
        webSocket
        mux
        muxOnStdio
        hub
        ringBuffer
        log
    ]
