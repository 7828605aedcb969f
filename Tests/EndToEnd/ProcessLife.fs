/// The daemon as a process: pid file, background, signals, sockets left behind, death and restart.
module StorageDaemon.Tests.EndToEnd.ProcessLife

open System
open System.Diagnostics
open System.IO
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient

let private pidFile =
    testCase "the pid file: content, mode, lock, removal" (fun () ->
        use directory = new TempDir.TempDir()
        use child = Daemon.start Binaries.daemon.Value directory.Path [ "--blockdev"; "null-co,node-name=n" ]
        let path = directory.File "daemon.pid"
        Expect.equal (File.ReadAllText(path).Trim()) (string child.Pid) "content"
        Expect.equal (File.GetUnixFileMode path) (UnixFileMode.UserRead ||| UnixFileMode.UserWrite) "mode"
        let second = ChildProcess.run directory.Path Binaries.daemon.Value [ "--pidfile"; "daemon.pid" ]
        Expect.equal second.ExitCode 1 "a second daemon with the same pid file"
        Expect.stringContains second.Error "Cannot lock pid file" "its message"
        Expect.isTrue (File.Exists path) "the file is still there"
        Expect.equal (Daemon.stop child) 0 "exit code"
        Expect.isFalse (File.Exists path) "removed at the end")

let private closedDescriptors =
    [ "<&-"; ">&-"; "2>&-"; "<&- >&-"; "<&- >&- 2>&-" ]
    |> List.map (fun closed ->
        testCase $"--daemonize with {closed}" (fun () ->
            use directory = new TempDir.TempDir()
            let file (name: string) = directory.File name

            let result =
                ChildProcess.run
                    directory.Path
                    "/bin/sh"
                    ([
                        "-c"
                        $"exec \"$0\" \"$@\" {closed}"
                        Binaries.daemon.Value
                        "--daemonize"
                        "--pidfile"
                        file "d.pid"
                        "--blockdev"
                        "null-co,node-name=d,size=1048576"
                     ]
                     @ Daemon.nbdServer (file "n.sock")
                     @ Daemon.writableExport "d")

            Expect.equal result.ExitCode 0 "the caller"
            let pid = int (File.ReadAllText(file "d.pid"))
            use client = NbdClient.Connect(file "n.sock")
            client.Go(Structured, "d") |> ignore
            Expect.equal (client.Errno(Cmd.FLUSH, 0us, 0UL, 0UL)) 0u "a request"

            for fd in 0..2 do
                let target = File.ResolveLinkTarget($"/proc/{pid}/fd/{fd}", false).FullName
                Expect.equal target "/dev/null" $"descriptor {fd}"

            Native.kill pid Native.SIGTERM |> ignore
            Expect.isTrue (client.IsClosed()) "the client is let go"
            Wait.orFail Wait.defaultTimeout "its end" (fun () -> not (File.Exists(file "d.pid")))))

let private falseChild =
    testCase "--daemonize in an environment that claims a waiting parent" (fun () ->
        exceptReal "the variable is this daemon's own"
        use directory = new TempDir.TempDir()

        for value in [ ""; "0"; "99"; "x" ] do
            use child =
                new ChildProcess.Child(
                    {
                        ChildProcess.options
                            Binaries.daemon.Value
                            [ "--daemonize"; "--blockdev"; "null-co,node-name=d" ]
                            directory.Path with
                            Environment = [ "STORAGE_DAEMON_READY_FD", value ]
                    }
                )

            Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 1) $"exit code with '{value}'"
            Expect.stringContains child.Error "names no pipe of a parent" "message")

let private signals =
    [ "SIGTERM", Native.SIGTERM; "SIGINT", Native.SIGINT; "SIGHUP", Native.SIGHUP ]
    |> List.map (fun (name, signal) ->
        testCase $"{name} ends it cleanly" (fun () ->
            use disk = new Disk(MiB)
            use client = disk.Client Structured
            disk.Child.Signal signal
            Expect.equal (disk.Child.WaitExit Wait.defaultTimeout) (Some 0) "exit code"
            Expect.isTrue (client.IsClosed()) "the client is let go"
            Expect.isFalse (File.Exists(disk.Directory.File "q.sock")) "the monitor's socket"))

let private background =
    testCase "--daemonize: the caller waits until connections are accepted" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "d.raw") MiB
        let file (name: string) = directory.File name

        let result =
            ChildProcess.run
                directory.Path
                Binaries.daemon.Value
                ([ "--daemonize"; "--pidfile"; file "d.pid" ]
                 @ Daemon.rawNode "d" "d.raw" ""
                 @ Daemon.nbdServer (file "n.sock")
                 @ Daemon.writableExport "d"
                 @ Daemon.monitor (file "q.sock"))

        Expect.equal (result.ExitCode, result.Output, result.Error) (0, "", "") "the caller"
        let pid = int (File.ReadAllText(file "d.pid"))

        try
            let link (name: string) =
                File.ResolveLinkTarget($"/proc/{pid}/{name}", false).FullName

            Expect.equal (link "cwd") "/" "working directory"

            for fd in 0..2 do
                Expect.equal (link $"fd/{fd}") "/dev/null" $"descriptor {fd}"

            let stat =
                File.ReadAllText($"/proc/{pid}/stat").Split(')')
                |> Array.last
                |> _.Trim().Split(' ')
            // Fields after the name: state, parent, process group, session.
            Expect.notEqual stat[3] "0" "a session of its own"
            Expect.notEqual (int stat[3]) Environment.ProcessId "not the caller's session"

            let umask =
                File.ReadLines $"/proc/{pid}/status"
                |> Seq.find (fun line -> line.StartsWith "Umask:")

            Expect.stringEnds umask "0027" "umask"
            use client = NbdClient.Connect(file "n.sock")
            client.Go(Structured, "d") |> ignore
            Expect.equal (client.Read(0UL, 512)) (TempDir.pattern 0L 512) "data"
            client.Disconnect()
            use qmp = QmpClient.Negotiated(file "q.sock")
            qmp.Execute "quit" |> ignore
            Wait.orFail Wait.defaultTimeout "the end" (fun () -> not (Directory.Exists $"/proc/{pid}"))
            Expect.isFalse (File.Exists(file "d.pid")) "the pid file"
        finally
            Native.kill pid Native.SIGKILL |> ignore)

let private quitOrder =
    testCase "quit with clients: exports end, their events come, clients see the end at once" (fun () ->
        use disk = new Disk(MiB)
        use one = disk.Client Structured
        use another = disk.Client Simple
        use negotiating = NbdClient.Connect disk.Socket
        use qmp = disk.Qmp()
        let clock = Stopwatch.StartNew()
        qmp.Send "{\"execute\": \"quit\"}\n"

        let rec read (lines: string list) =
            match qmp.ReadLine() with
            | Some line -> read (line :: lines)
            | None -> List.rev lines

        let lines = read []
        Expect.exists lines (fun line -> line.Contains "BLOCK_EXPORT_DELETED") "the event"
        Expect.exists lines (fun line -> line.Contains "\"return\"") "the reply"
        Expect.equal (disk.Child.WaitExit Wait.defaultTimeout) (Some 0) "exit code"
        Expect.isLessThan clock.Elapsed.TotalSeconds 5.0 "seconds"

        for client in [ one; another; negotiating ] do
            Expect.isTrue (client.IsClosed()) "closed")

let private ownSockets =
    testCase "its own sockets are gone at the end" (fun () ->
        exceptReal "it leaves the NBD server's socket behind"
        use disk = new Disk(MiB)
        disk.Stop()
        Expect.isFalse (File.Exists disk.Socket) "the NBD server's socket"
        Expect.isFalse (File.Exists(disk.Directory.File "q.sock")) "the monitor's socket")

let private staleSocket =
    testCase "dead sockets are replaced after kill -9, and nothing else blocks the restart" (fun () ->
        use directory = new TempDir.TempDir()
        TempDir.patterned (directory.File "d.raw") MiB

        for round in 1..5 do
            // The pid file is this test's own subject, so readiness is told by the monitor.
            use child =
                new ChildProcess.Child(
                    ChildProcess.options
                        Binaries.daemon.Value
                        (Daemon.rawNode "d" "d.raw" ""
                         @ Daemon.nbdServer "n.sock"
                         @ Daemon.writableExport "d"
                         @ Daemon.monitor "q.sock"
                         @ [ "--pidfile"; "own.pid" ])
                        directory.Path
                )

            use client = NbdClient.Connect(directory.File "n.sock")
            client.Go(Structured, "d") |> ignore
            Expect.equal (client.Write(0us, 0UL, Array.create 4096 (byte round))) 0u $"write in round {round}"
            client.SendRequest(Cmd.READ, 0us, 0UL, 1048576UL, [||]) |> ignore
            child.Signal Native.SIGKILL
            Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 137) "killed"
            Expect.isTrue (File.Exists(directory.File "own.pid")) "its pid file is left"

        Expect.equal (File.ReadAllBytes(directory.File "d.raw")[..4095]) (Array.create 4096 5uy) "the last write")

let private liveSocket =
    testCase "a live socket of another daemon is refused" (fun () ->
        exceptReal "it takes the path away from the other"
        use disk = new Disk(MiB)
        use directory = new TempDir.TempDir()
        let others = [ Daemon.nbdServer disk.Socket; Daemon.monitor (disk.Directory.File "q.sock") ]

        for arguments in others do
            let result = ChildProcess.run directory.Path Binaries.daemon.Value arguments
            Expect.equal result.ExitCode 1 "exit code"
            Expect.stringContains result.Error "Failed to bind socket" "message"

        disk.MustBeHealthy "an attempt to take its socket"
        use qmp = disk.Qmp()
        qmp.Execute "query-version" |> ignore
        disk.Stop())

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: process" [
        pidFile
        testList "signals" signals
        background
        testList "closed descriptors" closedDescriptors
        falseChild
        quitOrder
        ownSockets
        staleSocket
        liveSocket
    ]
