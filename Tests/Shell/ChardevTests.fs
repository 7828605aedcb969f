module StorageDaemon.Tests.Shell.ChardevTests

open System
open System.Collections.Generic
open System.IO
open System.Net.Sockets
open System.Text
open Expecto
open StorageDaemon.Shell.Chardev
open StorageDaemon.Shell.Control
open StorageDaemon.Shell.Native
open StorageDaemon.Shell.Net
open StorageDaemon.Tests.Shell.ShellSupport

/// A frontend that remembers what it hears and can send it back.
type private Recorder(device: CharacterDevice, echo: bool) =
    let events = List<string>()
    let input = StringBuilder()
    member _.Events = events
    member _.Input = input.ToString()

    interface IChardevFrontend with
        member _.OnOpened() = events.Add "opened"

        member _.OnBytes bytes =
            input.Append(Encoding.Latin1.GetString bytes) |> ignore

            if echo then
                device.Write bytes

        member _.OnClosed() = events.Add "closed"
        member _.OnDrained() = events.Add "drained"

let private context reactor (reports: List<string>) =
    ChardevContext(reactor, Action<string>(reports.Add), Action<string>(reports.Add), false)

let private openDevice (reactor: Reactor) (options: ChardevOptions) =
    let outcome = ChardevFactory.Open(context reactor (List()), "c", options)
    Expect.isNull outcome.Error "opens"
    outcome.Value

let private errorOf (reactor: Reactor) (options: ChardevOptions) =
    let outcome = ChardevFactory.Open(context reactor (List()), "c", options)

    if isNull outcome.Error then
        outcome.Value.Dispose()
        "opens"
    else
        outcome.Error

let private server path =
    SocketOptions(UnixAddress(path, false, true), true, false, false, false, false, 0L)

let private attach (device: CharacterDevice) echo =
    let recorder = Recorder(device, echo)
    Expect.isTrue (device.AttachFrontend recorder) "attaches"
    recorder

let private receive (socket: Socket) count =
    let buffer = Array.zeroCreate<byte> count
    let mutable got = 0
    let mutable ended = false

    while got < count && not ended do
        let n = socket.Receive(buffer, got, count - got, SocketFlags.None)
        got <- got + n
        ended <- n = 0

    Encoding.Latin1.GetString(buffer, 0, got)

let private withServer (body: Reactor -> string -> CharacterDevice -> unit) =
    withFolder (fun folder ->
        withReactor (fun reactor ->
            let path = Path.Combine(folder, "c")
            use device = openDevice reactor (server path)
            body reactor path device))

[<Tests>]
let tests =
    testSequenced
    <| testList "Shell.Chardev" [
        test "a socket server echoes, one client at a time, with the labels of query-chardev" {
            withServer (fun reactor path device ->
                let idle = "disconnected:unix:" + path + ",server=on"
                Expect.equal device.Filename idle "before"
                let recorder = attach device true
                let first = connectUnix path
                pumpUntil reactor "the first client is there" (fun () -> recorder.Events.Count = 1)
                Expect.equal device.Filename ("unix:" + path + ",server=on") "connected"
                use second = connectUnix path
                first.Send "hello"B |> ignore
                second.Send "second"B |> ignore
                pumpUntil reactor "input came" (fun () -> recorder.Input = "hello")
                Expect.equal (receive first 5) "hello" "echo"
                first.Dispose()
                pumpUntil reactor "the second had its turn" (fun () -> recorder.Input = "hellosecond")
                Expect.sequenceEqual recorder.Events [ "opened"; "closed"; "opened" ] "events"
                device.Disconnect()
                pumpUntil reactor "it is disconnected" (fun () -> recorder.Events.Count = 4)
                Expect.equal device.Filename idle "after")
        }

        test "output that the client does not read yet is kept, and drained later in full" {
            withServer (fun reactor path device ->
                let recorder = attach device false
                use client = connectUnix path
                pumpUntil reactor "the client is there" (fun () -> recorder.Events.Count = 1)
                let data = Array.init 3_000_000 (fun i -> byte (i * 7))
                device.Write(ReadOnlySpan(data, 0, 1_000_000))
                device.Write(ReadOnlySpan(data, 1_000_000, 2_000_000))
                Expect.isGreaterThan device.PendingBytes 1_000_000 "pending"
                let received = new MemoryStream()
                client.ReceiveTimeout <- 20
                let buffer = Array.zeroCreate<byte> 65536

                let readSome () =
                    if client.Available > 0 then
                        received.Write(buffer, 0, client.Receive buffer)

                    received.Length = int64 data.Length

                pumpUntil reactor "all is received" readSome
                Expect.isTrue (received.ToArray().AsSpan().SequenceEqual(ReadOnlySpan data)) "the same bytes"
                Expect.equal device.PendingBytes 0 "nothing left"
                Expect.contains recorder.Events "drained" "told so")
        }

        test "suspended input waits, nested, and survives that the client has gone" {
            withServer (fun reactor path device ->
                let recorder = attach device false
                let client = connectUnix path
                pumpUntil reactor "the client is there" (fun () -> recorder.Events.Count = 1)
                device.SuspendInput()
                device.SuspendInput()
                client.Send "late"B |> ignore
                client.Dispose()
                device.ResumeInput()
                pumpFor reactor 30L
                Expect.equal recorder.Input "" "still suspended"
                Expect.sequenceEqual recorder.Events [ "opened" ] "not closed before it is read"
                device.ResumeInput()
                pumpUntil reactor "it is closed" (fun () -> recorder.Events.Count = 2)
                Expect.equal recorder.Input "late" "nothing lost")
        }

        test "without a frontend a client that goes is noticed" {
            withServer (fun reactor path device ->
                let client = connectUnix path
                pumpUntil reactor "connected" (fun () -> device.Filename.StartsWith "unix:")
                client.Dispose()
                pumpUntil reactor "disconnected" (fun () -> device.Filename.StartsWith "disconnected:"))
        }

        test "a frontend moves to another device" {
            withServer (fun reactor path device ->
                use other = openDevice reactor (NullOptions())
                let recorder = attach device false
                Expect.isFalse (device.AttachFrontend(Recorder(device, false))) "busy"
                Expect.isTrue (other.AttachFrontend(device.DetachFrontend())) "moved"
                Expect.isFalse device.FrontendOpen "left"
                Expect.sequenceEqual recorder.Events [ "opened" ] "the null device is open")
        }

        test "a failing write is reported as closed, but later" {
            withServer (fun reactor path device ->
                let recorder = attach device false
                let client = connectUnix path
                pumpUntil reactor "the client is there" (fun () -> recorder.Events.Count = 1)
                client.Dispose()
                device.Write "x"B
                Expect.equal recorder.Events.Count 1 "not from within Write"
                pumpUntil reactor "closed" (fun () -> recorder.Events.Count = 2)
                pumpFor reactor 20L
                Expect.sequenceEqual recorder.Events [ "opened"; "closed" ] "once")
        }

        test "a client reconnects and reports only the first failure" {
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let path = Path.Combine(folder, "c")
                    let reports = List<string>()

                    let options =
                        SocketOptions(UnixAddress(path, false, true), false, false, false, false, false, 10L)

                    let outcome = ChardevFactory.Open(context reactor reports, "c", options)
                    use device = outcome.Value
                    let recorder = attach device false
                    pumpUntil reactor "the failure is reported" (fun () -> reports.Count > 0)
                    pumpFor reactor 60L

                    Expect.sequenceEqual
                        reports
                        [
                            "Unable to connect character device c: Failed to connect to '"
                            + path
                            + "': No such file or directory"
                        ]
                        "once"

                    use listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
                    listening.Bind(UnixDomainSocketEndPoint path)
                    listening.Listen 4
                    pumpUntil reactor "connected" (fun () -> recorder.Events.Count = 1)
                    Expect.equal device.Filename ("unix:" + path) "label"
                    listening.Accept().Dispose()
                    pumpUntil reactor "connected again" (fun () -> recorder.Events.Count = 3)))
        }

        test "telnet commands are taken out of the input" {
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let path = Path.Combine(folder, "c")
                    let options = SocketOptions(UnixAddress(path, false, true), true, false, false, true, false, 0L)
                    use device = openDevice reactor options
                    let recorder = attach device false
                    use client = connectUnix path
                    pumpUntil reactor "the client is there" (fun () -> recorder.Events.Count = 1)
                    Expect.equal (receive client 12).Length 12 "negotiation"
                    client.Send [| 65uy; 255uy; 251uy; 3uy; 66uy; 255uy; 255uy |] |> ignore
                    pumpUntil reactor "input came" (fun () -> recorder.Input.Length = 3)
                    Expect.equal recorder.Input "AB\255" "data only"))
        }

        test "files: output, log, input to its end" {
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let output = Path.Combine(folder, "out")
                    let input = Path.Combine(folder, "in")
                    File.WriteAllText(input, "from file")
                    let log = Path.Combine(folder, "log")
                    use device = openDevice reactor (FileOptions(output, input, false, LogFile = log))
                    Expect.equal device.Filename "file" "label"
                    let recorder = attach device false
                    device.Write "written"B
                    pumpUntil reactor "the input ended" (fun () -> recorder.Events.Contains "closed")
                    Expect.equal recorder.Input "from file" "input"
                    Expect.equal (File.ReadAllText output) "written" "output"
                    Expect.equal (File.ReadAllText log) "written" "log"
                    device.Dispose()
                    (openDevice reactor (FileOptions(output, null, true))).Dispose()
                    Expect.equal (File.ReadAllText output) "written" "appending keeps"
                    (openDevice reactor (FileOptions(output, null, false))).Dispose()
                    Expect.equal (File.ReadAllText output) "" "truncated"))
        }

        test "a pseudo-terminal opens and closes with its slave" {
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let link = Path.Combine(folder, "pty")
                    let device = openDevice reactor (PtyOptions link)
                    Expect.equal device.Filename ("pty:" + device.PtyPath) "label"
                    Expect.equal (FileInfo(link).LinkTarget) device.PtyPath "link"
                    let recorder = attach device true

                    for round in 1..2 do
                        let slave = Libc.Open(link, Libc.O_RDWR ||| Libc.O_NOCTTY ||| Libc.O_CLOEXEC, 0u)
                        pumpUntil reactor "opened" (fun () -> recorder.Events.Count = round * 2 - 1)
                        let mutable b = 90uy
                        Libc.Write(slave, NativeInterop.NativePtr.toVoidPtr &&b, 1un) |> ignore
                        pumpUntil reactor "input came" (fun () -> recorder.Input.Length = round)
                        Libc.Close slave |> ignore
                        pumpUntil reactor "closed" (fun () -> recorder.Events.Count = round * 2)

                    device.Dispose()
                    Expect.isFalse (File.Exists link) "link removed"))
        }

        test "error texts" {
            withReactor (fun reactor ->
                Expect.equal
                    (errorOf reactor (FileOptions("/nonexist/o", null, false)))
                    "Could not open '/nonexist/o': No such file or directory"
                    "file"

                Expect.equal
                    (errorOf reactor (NullOptions(LogFile = "/nonexist/l")))
                    "Could not create '/nonexist/l': No such file or directory"
                    "log"

                Expect.equal
                    (errorOf reactor (PipeOptions "/nonexist/p"))
                    "Could not open '/nonexist/p': No such file or directory"
                    "pipe"

                Expect.equal
                    (errorOf reactor (PtyOptions "/nonexist/l"))
                    "Failed to create PTY symlink: No such file or directory"
                    "pty"

                let daemonized = ChardevContext(reactor, Action<string>(ignore), Action<string>(ignore), true)

                Expect.equal
                    (ChardevFactory.Open(daemonized, "c", StdioOptions true).Error)
                    "cannot use stdio with -daemonize"
                    "stdio")
        }

        test "devices leave no descriptor behind" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "c")

                leavesNoDescriptors (fun () ->
                    withReactor (fun reactor ->
                        use device = openDevice reactor (server path)
                        let recorder = attach device true
                        use client = connectUnix path
                        pumpUntil reactor "the client is there" (fun () -> recorder.Events.Count = 1)
                        (openDevice reactor (PtyOptions())).Dispose()

                        let file = FileOptions(Path.Combine(folder, "o"), null, false, LogFile = path + "l")
                        (openDevice reactor file).Dispose()

                        errorOf reactor (FileOptions("/nonexist/o", "/dev/null", false, LogFile = path + "l"))
                        |> ignore)))
        }
    ]
