/// The daemon under a supervisor: notifications, passed sockets, configuration file, metrics, log of QMP.
module StorageDaemon.Tests.EndToEnd.Supervision

open System
open System.IO
open System.Net.Sockets
open System.Text
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient

/// A supervisor's notification socket.
type private NotifySocket(address: string) =
    let socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified)

    do
        let name =
            if address[0] = '@' then
                "\000" + address.Substring 1
            else
                address
        socket.Bind(UnixDomainSocketEndPoint name)
        socket.ReceiveTimeout <- int Wait.defaultTimeout.TotalMilliseconds

    /// The lines of the next message.
    member _.Next() : string list =
        let buffer = Array.zeroCreate<byte> 4096
        let count = socket.Receive buffer
        Encoding.UTF8.GetString(buffer, 0, count).Split '\n' |> List.ofArray

    /// How many messages come in a time.
    member _.CountFor(time: TimeSpan) : int =
        let clock = Diagnostics.Stopwatch.StartNew()
        let buffer = Array.zeroCreate<byte> 4096
        let mutable count = 0

        while clock.Elapsed < time do
            if socket.Poll(50000, SelectMode.SelectRead) then
                socket.Receive buffer |> ignore
                count <- count + 1

        count

    /// Messages until one has a line.
    member this.Await(line: string) : string list list =
        let rec collect messages =
            let message = this.Next()
            if List.contains line message then
                List.rev (message :: messages)
            else
                collect (message :: messages)

        collect []

    interface IDisposable with
        member _.Dispose() = socket.Dispose()

let private startWith environment (directory: TempDir.TempDir) arguments =
    Daemon.startOptions {
        ChildProcess.options Binaries.daemon.Value arguments directory.Path with
            Environment = environment
    }

let private notifications name (addressIn: TempDir.TempDir -> string) =
    testCase $"notifications to {name}" (fun () ->
        use directory = new TempDir.TempDir()
        let address = addressIn directory
        use notify = new NotifySocket(address)
        let server = Daemon.nbdServer (directory.File "n.sock")

        use child =
            startWith
                [ "NOTIFY_SOCKET", address; "WATCHDOG_USEC", "400000" ]
                directory
                ([ "--blockdev"; "null-co,node-name=n" ]
                 @ server
                 @ Daemon.writableExport "n"
                 @ Daemon.monitor (directory.File "q.sock"))

        let ready = notify.Next()

        Expect.equal ready [ "READY=1"; $"MAINPID={child.Pid}"; "STATUS=Serving 1 export, 1 node" ] "the first message"

        // Clients are let in by now.
        use client = NbdClient.Connect(directory.File "n.sock")
        client.Go(Structured, "n") |> ignore
        let clock = Diagnostics.Stopwatch.StartNew()
        Expect.equal (notify.Next()) [ "WATCHDOG=1" ] "a sign of life"

        for _ in 1..4 do
            notify.Await "WATCHDOG=1" |> ignore

        Expect.isGreaterThan clock.ElapsedMilliseconds 600L "twice in each period, not more often"
        use qmp = QmpClient.Negotiated(directory.File "q.sock")
        qmp.Execute("blockdev-add", """{"driver": "null-co", "node-name": "more"}""")
        |> ignore
        notify.Await "STATUS=Serving 1 export, 2 nodes" |> ignore
        child.Signal Native.SIGTERM
        notify.Await "STOPPING=1" |> ignore
        Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) "exit code")

let private hungControlThread =
    testCase "a control thread that hangs shows no sign of life" (fun () ->
        use directory = new TempDir.TempDir()
        let address = directory.File "notify"
        use notify = new NotifySocket(address)

        use child =
            startWith
                [ "NOTIFY_SOCKET", address; "WATCHDOG_USEC", "200000" ]
                directory
                (Daemon.monitor (directory.File "q.sock"))

        notify.Await "WATCHDOG=1" |> ignore
        use qmp = QmpClient.Negotiated(directory.File "q.sock")

        // It waits for a client, and does nothing else meanwhile.
        qmp.Send(
            """{"execute": "chardev-add", "arguments": {"id": "w", "backend": {"type": "socket", "data": {"addr":"""
            + $"""{{"type": "unix", "data": {{"path": "{directory.File "w.sock"}"}}}}, "server": true, "wait": true}}}}}}}}"""
            + "\n"
        )

        Wait.orFail Wait.defaultTimeout "the socket" (fun () -> File.Exists(directory.File "w.sock"))
        Expect.isLessThan (notify.CountFor(TimeSpan.FromSeconds 1.5)) 3 "what was on its way"
        use released = connectUnix (directory.File "w.sock")
        Expect.isGreaterThan (notify.CountFor(TimeSpan.FromSeconds 1.5)) 5 "life again"
        Expect.equal (Daemon.stop child) 0 "exit code")

let private daemonized =
    testCase "--daemonize: the process that stays says that it is ready, and has the passed sockets" (fun () ->
        let bash = Requires.tool "bash"
        use directory = new TempDir.TempDir()
        let address = directory.File "notify"
        use notify = new NotifySocket(address)
        use listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        listening.Bind(UnixDomainSocketEndPoint(directory.File "q.sock"))
        listening.Listen()
        let fd = int listening.Handle
        let script = $"exec 3<&{fd}; export LISTEN_PID=$$; exec \"$0\" \"$@\""

        use child =
            new ChildProcess.Child(
                {
                    ChildProcess.options
                        bash
                        [
                            "-c"
                            script
                            Binaries.daemon.Value
                            "--daemonize"
                            "--pidfile"
                            directory.File "pid"
                            "--chardev"
                            "socket,id=q,server=on,wait=off,fd=control"
                            "--monitor"
                            "q"
                        ]
                        directory.Path with
                        Environment = [ "NOTIFY_SOCKET", address; "LISTEN_FDS", "1"; "LISTEN_FDNAMES", "control" ]
                        Inherited = [ fd ]
                }
            )

        Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) ("the caller: " + child.Error)
        let pid = File.ReadAllText(directory.File "pid").Trim()
        Expect.contains (notify.Next()) $"MAINPID={pid}" "the process that stays"
        use qmp = QmpClient.Negotiated(directory.File "q.sock")
        qmp.Execute "quit" |> ignore
        notify.Await "STOPPING=1" |> ignore
        Expect.isTrue (File.Exists(directory.File "q.sock")) "the file of a passed socket stays")

/// Listening sockets in a child as descriptors 3 and up, under names, by way of a shell that becomes the daemon.
/// They stay open here until `whileOpen` has ended, for this runtime unlinks a socket's file when it closes it.
let private activate
    (directory: TempDir.TempDir)
    (listenPid: string)
    (sockets: (string * string) list)
    arguments
    whileOpen
    =
    let bash = Requires.tool "bash"

    let listening =
        sockets
        |> List.map (fun (_, path) ->
            let socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            socket.Bind(UnixDomainSocketEndPoint(directory.File path))
            socket.Listen()
            socket)

    let fds = listening |> List.map (fun socket -> int socket.Handle)
    let moves =
        fds
        |> List.mapi (fun index fd -> $"exec {3 + index}<&{fd}; ")
        |> String.concat ""
    let script = $"{moves}export LISTEN_PID={listenPid}; exec \"$0\" \"$@\""

    try
        Daemon.startWith {
            ChildProcess.options
                bash
                ([ "-c"; script; Binaries.daemon.Value ] @ arguments @ Daemon.pidFileArguments)
                directory.Path with
                Environment = [
                    "LISTEN_FDS", string fds.Length
                    "LISTEN_FDNAMES", String.Join(':', List.map fst sockets)
                ]
                Inherited = fds
        }
        |> whileOpen
    finally
        listening |> List.iter _.Dispose()

let private activated =
    testCase "sockets by their names: chardev, NBD server, QMP, again after a stop" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "d.raw") MiB

        let arguments =
            Daemon.rawNode "d" "d.raw" ""
            @ [
                "--nbd-server"
                "addr.type=fd,addr.str=nbd"
                "--chardev"
                "socket,id=c,fd=qmp,server=on,wait=off"
            ]
            @ [ "--monitor"; "c" ]
            @ Daemon.writableExport "d"

        activate directory "$$" [ "qmp", "q.sock"; "nbd", "n.sock"; "second", "s.sock" ] arguments
        <| function
            | Daemon.Exited(code, _, error) -> failtest $"ended with {code}: {error}"
            | Daemon.Running child ->
                use child = child
                let readFrom (path: string) =
                    use client = NbdClient.Connect(directory.File path)
                    client.Go(Structured, "d") |> ignore
                    Expect.equal (client.Read(0UL, 512)) (TempDir.pattern 0L 512) "data"
                    client.Disconnect()

                readFrom "n.sock"
                use qmp = QmpClient.Negotiated(directory.File "q.sock")

                let start name =
                    $"""{{"execute": "nbd-server-start", "arguments": {{"addr": {{"type": "fd", "data": {{"str": "{name}"}}}}}}}}"""

                let export = """{"type": "nbd", "id": "again", "node-name": "d", "name": "d"}"""

                for name, path in [ "second", "s.sock"; "nbd", "n.sock"; "second", "s.sock" ] do
                    qmp.Execute "nbd-server-stop" |> ignore
                    Expect.stringContains (snd (qmp.Request(start name))) "return" $"start on {name}"
                    qmp.Execute("block-export-add", export) |> ignore
                    readFrom path

                qmp.Execute "nbd-server-stop" |> ignore
                let _, unknown = qmp.Request(start "third")

                Expect.stringContains
                    unknown
                    "No descriptor was passed under the name 'third'; LISTEN_FDNAMES has: qmp, nbd, second"
                    "an unknown name"

                let _, number = qmp.Request(start "4")
                Expect.stringContains number "only QEMU supports file descriptor passing" "a number over QMP"
                Expect.equal (Daemon.stop child) 0 "exit code"
                Expect.isTrue (File.Exists(directory.File "q.sock")) "the supervisor's file stays")

let private refusedNames =
    testCase "unknown names, and descriptors for another process" (fun () ->
        use directory = new TempDir.TempDir()

        let errorOf pid name =
            activate directory pid [ "a", name + ".sock" ] [ "--nbd-server"; "addr.type=fd,addr.str=" + name ]
            <| function
                | Daemon.Exited(1, _, error) -> error
                | Daemon.Exited(code, _, error) -> failtest $"ended with {code}: {error}"
                | Daemon.Running child ->
                    (child :> IDisposable).Dispose()
                    failtest "it started"

        Expect.stringContains
            (errorOf "$$" "b")
            "No descriptor was passed under the name 'b'; LISTEN_FDNAMES has: a"
            "unknown"

        Expect.stringContains (errorOf "1" "a") "Unable to parse FD number a" "of another process")

let private systemdActivation =
    testCase "systemd-socket-activate as the peer" (fun () ->
        let tool = Requires.tool "systemd-socket-activate"
        use directory = new TempDir.TempDir()
        let path = directory.File "q.sock"

        use child =
            new ChildProcess.Child(
                ChildProcess.options
                    tool
                    [
                        "--listen"
                        path
                        "--fdname=control"
                        Binaries.daemon.Value
                        "--chardev"
                        "socket,id=q,fd=control,server=on,wait=off"
                        "--monitor"
                        "q"
                    ]
                    directory.Path
            )

        // The tool starts the daemon when this client comes.
        use qmp = QmpClient.Negotiated path
        qmp.Execute "query-version" |> ignore
        qmp.Execute "quit" |> ignore
        Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) child.Error)

let private uselessAddresses =
    testCase "a NOTIFY_SOCKET that is none harms nothing" (fun () ->
        use directory = new TempDir.TempDir()

        for address in [ ""; "@"; "/"; "relative"; "vsock:2:1"; "/" + String('x', 200) ] do
            use child = startWith [ "NOTIFY_SOCKET", address; "WATCHDOG_USEC", "x" ] directory []
            Expect.equal (Daemon.stop child) 0 address)

let private configText (directory: TempDir.TempDir) =
    $"""
{{
  "monitor": [{{"chardev": "c"}}],
  "export": {{"type": "nbd", "id": "e", "node-name": "d", "name": "d", "writable": true}},
  "nbd-server": {{"addr": {{"type": "unix", "path": "{directory.File "n.sock"}"}}, "max-connections": 5}},
  "blockdev": [{{"driver": "file", "node-name": "f", "filename": "d.raw"}},
               {{"driver": "raw", "node-name": "d", "file": "f"}}],
  "chardev": {{"id": "c", "backend": "socket", "path": "{directory.File "q,1.sock"}", "server": true, "wait": false}},
  "object": [{{"qom-type": "iothread", "id": "t", "poll-max-ns": 1000}}]
}}
"""

let private configured =
    testCase "--config: sections in any order" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "d.raw") MiB
        File.WriteAllText(directory.File "c.json", configText directory)
        use child = Daemon.start Binaries.daemon.Value directory.Path [ "--config"; "c.json" ]
        use client = NbdClient.Connect(directory.File "n.sock")
        client.Go(Structured, "d") |> ignore
        Expect.equal (client.Read(0UL, 512)) (TempDir.pattern 0L 512) "data"
        client.Disconnect()
        use qmp = QmpClient.Negotiated(directory.File "q,1.sock")
        let value = qmp.Execute("qom-get", """{"path": "/objects/t", "property": "poll-max-ns"}""")
        Expect.equal (value.GetInt64()) 1000L "the object's property"
        Expect.equal (Daemon.stop child) 0 "exit code")

let private configErrors =
    testCase "--config: errors name file and place" (fun () ->
        use directory = new TempDir.TempDir()

        for content, expected in
            [
                """{"blockdev": [{"driver": "null-co", "node-name": "a"}, {"driver": "nope"}]}""",
                ": blockdev[1]: Parameter 'driver' does not accept value 'nope'"
                "{\n\"export\": [\n1 2]}", ": line 3: JSON parse error, expected separator in list"
                """{"nbd-server": {"addr": {"type": "unix"}}}""", ": nbd-server: Parameter 'addr.path' is missing"
                """{"chardev": {"backend": "socket", "path": ["x"]}}""",
                ": chardev: Parameter 'path' expects a string, a boolean or an integer"
                """{"drive": {}}""", ": Parameter 'drive' is unexpected"
                """{"config": "x"}""", ": Parameter 'config' is unexpected"
                "[]", ": Expecting a JSON object"
                "", ": Expecting a JSON value"
                "{} {}", ": line 1: Expecting at most one JSON value"
                "{", ": line 1: JSON parse error, premature EOI"
            ] do
            File.WriteAllText(directory.File "c.json", content)
            let result = ChildProcess.run directory.Path Binaries.daemon.Value [ "--config"; "c.json" ]
            Expect.equal result.ExitCode 1 content
            Expect.stringEnds (result.Error.TrimEnd()) ("--config c.json" + expected) content

        let missing = ChildProcess.run directory.Path Binaries.daemon.Value [ "--config"; "nowhere" ]
        Expect.stringContains missing.Error "Could not open 'nowhere': No such file or directory" "no file")

let private scrape (directory: TempDir.TempDir) =
    let curl = Requires.tool "curl"

    ChildProcess.runOk directory.Path curl [
        "--silent"
        "--fail"
        "--max-time"
        "10"
        "--unix-socket"
        directory.File "m.sock"
        "http://localhost/metrics"
    ]

let private withMetrics (directory: TempDir.TempDir) =
    TempDir.patterned (directory.File "d.raw") MiB

    Daemon.rawNode "d" "d.raw" ""
    @ Daemon.nbdServer (directory.File "n.sock")
    @ Daemon.writableExport "d"
    @ Daemon.monitor (directory.File "q.sock")
    @ [ "--metrics"; "addr.type=unix,addr.path=" + directory.File "m.sock" ]

let private metrics =
    testCase "--metrics: what curl gets is right, and promtool has nothing against it" (fun () ->
        use directory = new TempDir.TempDir()
        use child = Daemon.start Binaries.daemon.Value directory.Path (withMetrics directory)
        use client = NbdClient.Connect(directory.File "n.sock")
        client.Go(Structured, "d") |> ignore
        client.Read(0UL, 512) |> ignore
        use qmp = QmpClient.Negotiated(directory.File "q.sock")
        qmp.Execute "query-version" |> ignore
        qmp.Request """{"execute": "nope"}""" |> ignore
        let text = scrape directory

        for line in
            [
                "storage_daemon_nbd_connections 1"
                "storage_daemon_nbd_accepted_connections_total 1"
                "storage_daemon_nbd_handshakes_total{result=\"transmission\"} 1"
                "storage_daemon_export_connections{export=\"export-d\",type=\"nbd\"} 1"
                "storage_daemon_export_requests_total{export=\"export-d\",type=\"nbd\",operation=\"read\"} 1"
                "storage_daemon_export_request_bytes_total{export=\"export-d\",type=\"nbd\",operation=\"read\"} 512"
                "storage_daemon_node_requests_total{node=\"d-file\",operation=\"read\"} 1"
                "storage_daemon_node_request_duration_seconds_count{node=\"d\",operation=\"read\"} 1"
                "storage_daemon_export_requests_in_flight{export=\"export-d\",type=\"nbd\"} 0"
                "storage_daemon_nodes{node=\"d-file\",driver=\"file\"} 1"
                "storage_daemon_qmp_commands_total{chardev=\"qmp\"} 3"
                "storage_daemon_qmp_replies_total{chardev=\"qmp\",result=\"return\"} 2"
                "storage_daemon_qmp_replies_total{chardev=\"qmp\",result=\"error\"} 1"
                "storage_daemon_qmp_events_total{chardev=\"qmp\"} 0"
            ] do
            Expect.contains (text.Split '\n') line "the sample"

        let number (name: string) =
            text.Split '\n'
            |> Array.find (fun line -> line.StartsWith(name + " "))
            |> fun line -> Double.Parse(line.Split(' ')[1], Globalization.CultureInfo.InvariantCulture)

        Expect.floatClose
            { absolute = 8e6; relative = 0.2 }
            (number "process_resident_memory_bytes")
            (float (Daemon.Proc.residentBytes child.Pid))
            "resident memory"

        let now = float (DateTimeOffset.UtcNow.ToUnixTimeSeconds())
        Expect.isLessThan (abs (number "process_start_time_seconds" - now)) 60.0 "start"
        let promtool = Requires.tool "promtool"
        File.WriteAllText(directory.File "m.txt", text)
        let check = ChildProcess.run directory.Path "/bin/sh" [ "-c"; promtool + " check metrics < m.txt" ]
        Expect.equal (check.ExitCode, check.Output, check.Error) (0, "", "") "promtool"
        client.Disconnect()
        Expect.equal (Daemon.stop child) 0 "exit code"
        Expect.isFalse (File.Exists(directory.File "m.sock")) "the socket is gone")

let private hostileScrapers =
    testCase "--metrics: slow, endless and odd clients are let go, others are served" (fun () ->
        use directory = new TempDir.TempDir()
        use child = Daemon.start Binaries.daemon.Value directory.Path (withMetrics directory)

        let connect () =
            let socket = connectUnix (directory.File "m.sock")
            socket.ReceiveTimeout <- 15000
            socket

        let answer (socket: Socket) (request: string) =
            socket.Send(Encoding.Latin1.GetBytes request) |> ignore
            let buffer = Array.zeroCreate<byte> 4096
            let count =
                try
                    socket.Receive buffer
                with :? SocketException ->
                    0
            Encoding.Latin1.GetString(buffer, 0, count)

        for request, status in
            [
                "POST /metrics HTTP/1.1\r\n\r\n", "405"
                "GET / HTTP/1.1\r\n\r\n", "404"
                "GET /metrics HTTP/2.0\r\n\r\n", "505"
                "GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "413"
                "nonsense\r\n\r\n", "400"
                "GET /metrics HTTP/1.1\r\nX: " + String('x', 9000), "431"
            ] do
            use socket = connect ()
            Expect.stringStarts (answer socket request) ("HTTP/1.1 " + status) request

        // As many as may be connected say nothing: nobody else is let in until they are cut off, which takes 5 s.
        let silent = List.init 16 (fun _ -> connect ())
        let clock = Diagnostics.Stopwatch.StartNew()
        use late = connect ()
        Expect.stringStarts (answer late "GET /metrics HTTP/1.1\r\n\r\n") "HTTP/1.1 200" "after the silent ones"
        Expect.isGreaterThan clock.ElapsedMilliseconds 3000L "they had their time"

        for socket in silent do
            Expect.equal (socket.Receive(Array.zeroCreate<byte> 1)) 0 "cut off"
            socket.Dispose()

        Expect.equal (Daemon.stop child) 0 "exit code")

let private overTcp =
    testCase "--metrics over TCP" (fun () ->
        let curl = Requires.tool "curl"
        use directory = new TempDir.TempDir()
        use probe = new TcpListener(Net.IPAddress.Loopback, 0)
        probe.Start()
        let port = (probe.LocalEndpoint :?> Net.IPEndPoint).Port
        probe.Stop()

        use child =
            Daemon.start Binaries.daemon.Value directory.Path [
                "--metrics"
                $"addr.type=inet,addr.host=127.0.0.1,addr.port={port}"
            ]

        let text = ChildProcess.runOk directory.Path curl [ "-sf"; "-m10"; $"http://127.0.0.1:{port}/metrics" ]
        Expect.stringContains text "process_open_fds" "text"

        let second =
            ChildProcess.run directory.Path Binaries.daemon.Value [
                "--metrics"
                $"addr.type=inet,addr.host=127.0.0.1,addr.port={port}"
            ]

        Expect.equal second.ExitCode 1 "the port is taken"
        Expect.stringContains second.Error "Address already in use" "and that is said")

let private tracedQmp =
    testCase "the log of QMP: arguments and errors, but no secrets" (fun () ->
        use directory = new TempDir.TempDir()

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (Daemon.monitor (directory.File "q.sock") @ [ "--trace"; "qmp_*,file=log" ])

        use qmp = QmpClient.Negotiated(directory.File "q.sock")
        qmp.Request """{"execute": "blockdev-del", "arguments": {"node-name": "none"}}"""
        |> ignore

        qmp.Request
            """{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s", "data": "hidden-word"}}"""
        |> ignore

        Expect.equal (Daemon.stop child) 0 "exit code"
        let log = File.ReadAllText(directory.File "log")
        Expect.stringContains log "qmp_command blockdev-del {\"node-name\": \"none\"}" "command with arguments"
        Expect.stringContains log "qmp_reply {\"error\": {\"class\": \"GenericError\"" "reply with its error"
        Expect.stringContains log "\"data\": \"***\"" "a secret's place"
        Expect.isFalse (log.Contains "hidden-word") "not the secret")

let private documentation =
    testCase "docs: pages that man takes, completions that bash takes" (fun () ->
        use directory = new TempDir.TempDir()
        let docs (words: string list) =
            ChildProcess.runOk directory.Path Binaries.daemon.Value ("docs" :: words)
        let bash = Requires.tool "bash"
        File.WriteAllText(directory.File "completions", docs [ "completions"; "bash" ])
        ChildProcess.runOk directory.Path bash [ "-n"; "completions" ] |> ignore
        Expect.stringStarts (docs [ "completions"; "zsh" ]) "#compdef storage-daemon\n" "zsh"
        Expect.stringContains (docs [ "completions"; "fish" ]) "complete -c storage-daemon -l blockdev" "fish"
        let wrong = ChildProcess.run directory.Path Binaries.daemon.Value [ "docs"; "nothing" ]
        Expect.notEqual wrong.ExitCode 0 "an unknown word"
        let man = Requires.tool "groff"

        for word, name in [ "man", "sd.1"; "qmp-ref", "sd.7" ] do
            File.WriteAllText(directory.File name, docs [ word ])
            let result = ChildProcess.run directory.Path man [ "-man"; "-ww"; "-Tutf8"; "-z"; name ]
            Expect.equal (result.ExitCode, result.Error) (0, "") name)

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: supervision" [
        notifications "a path" (fun directory -> directory.File "notify")
        notifications "an abstract name" (fun _ -> "@storage-daemon-test-" + string Environment.ProcessId)
        hungControlThread
        daemonized
        activated
        refusedNames
        systemdActivation
        uselessAddresses
        configured
        configErrors
        metrics
        hostileScrapers
        overTcp
        tracedQmp
        documentation
    ]
