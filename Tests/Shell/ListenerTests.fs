module StorageDaemon.Tests.Shell.ListenerTests

open System
open System.Collections.Generic
open System.IO
open System.Net
open System.Net.Sockets
open Expecto
open StorageDaemon.Core.Chardev
open StorageDaemon.Shell.Native
open StorageDaemon.Shell.Net
open StorageDaemon.Tests.Shell.ShellSupport

let private openOk (address: SocketAddress) =
    let outcome = Listener.Open(address, 8)
    Expect.isNull outcome.Error "listens"
    outcome.Value

let private errorOf (address: SocketAddress) =
    let outcome = Listener.Open(address, 8)

    if isNull outcome.Error then
        outcome.Value.Dispose()
        "listens"
    else
        outcome.Error

let private inet host port =
    InetAddress(host, port, Nullable(), Nullable(), Nullable(), false, false, false)

let private portOf (listener: Listener) =
    match listener.Label with
    | InetLabel(_, port) -> port
    | _ -> failtest "no port"

[<Tests>]
let tests =
    testSequenced
    <| testList "Shell.Listener" [
        test "accepts on a unix socket, stops when told, unlinks its file" {
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let path = Path.Combine(folder, "s")
                    let listener = openOk (UnixAddress(path, false, true))
                    let accepted = List<int>()
                    listener.StartAccepting(reactor, (fun fd -> accepted.Add fd))
                    use first = connectUnix path
                    pumpUntil reactor "the first client is accepted" (fun () -> accepted.Count = 1)
                    listener.StopAccepting()
                    use second = connectUnix path
                    pumpFor reactor 30L
                    Expect.equal accepted.Count 1 "the second waits"
                    listener.StartAccepting(reactor, (fun fd -> accepted.Add fd))
                    pumpUntil reactor "the second client is accepted" (fun () -> accepted.Count = 2)
                    accepted.ForEach(fun fd -> Libc.Close fd |> ignore)
                    listener.Dispose()
                    Expect.isFalse (File.Exists path) "unlinked"))
        }

        test "a live unix socket is refused, a dead one replaced" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "s")
                let live = openOk (UnixAddress(path, false, true))

                Expect.equal
                    (errorOf (UnixAddress(path, false, true)))
                    ("Failed to bind socket to "
                     + path
                     + ": Address already in use (another process is listening on it)")
                    "live"

                live.Dispose()
                use dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
                dead.Bind(UnixDomainSocketEndPoint path)
                Expect.equal (errorOf (UnixAddress(path, false, true))) "listens" "dead")
        }

        test "a full backlog still counts as live" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "s")
                let outcome = Listener.Open(UnixAddress(path, false, true), 0)
                use client = connectUnix path
                Expect.stringContains (errorOf (UnixAddress(path, false, true))) "already in use" "full"
                outcome.Value.Dispose())
        }

        test "a file with contents is never removed" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "precious")
                File.WriteAllText(path, "x")

                Expect.equal
                    (errorOf (UnixAddress(path, false, true)))
                    ("Failed to bind socket to " + path + ": File exists")
                    "refused"

                Expect.isTrue (File.Exists path) "kept")
        }

        test "a file that took the socket's place is left alone" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "s")
                let listener = openOk (UnixAddress(path, false, true))
                File.Delete path
                File.WriteAllText(path, "")
                listener.Dispose()
                Expect.isTrue (File.Exists path) "kept")
        }

        test "unix error texts" {
            Expect.equal
                (errorOf (UnixAddress("/nonexist/x", false, true)))
                "Failed to bind socket to /nonexist/x: No such file or directory"
                "no folder"

            let long = String('x', 109)
            let tooLong = "UNIX socket path '" + long + "' is too long"
            Expect.equal (errorOf (UnixAddress(long, false, true))) tooLong "too long"

            withFolder (fun folder ->
                Expect.equal
                    (errorOf (UnixAddress(folder, false, true)))
                    ("Failed to unlink socket " + folder + ": Is a directory")
                    "folder")
        }

        test "abstract names, tight and padded, are different sockets" {
            let name = "sd-test-" + string (Random.Shared.Next())
            use tight = openOk (UnixAddress(name, true, true))
            use padded = openOk (UnixAddress(name, true, false))
            Expect.equal tight.Label (UnixLabel(name, true, true)) "tight label"
            Expect.equal padded.Label (UnixLabel(name, true, false)) "padded label"
            let taken = "Failed to bind socket to " + name + ": Address already in use"
            Expect.equal (errorOf (UnixAddress(name, true, true))) taken "taken"
        }

        test "TCP: a chosen port, a range, all taken" {
            use first = openOk (inet "127.0.0.1" "0")
            let port = portOf first

            Expect.equal
                (errorOf (inet "127.0.0.1" port))
                "Failed to find an available port: Address already in use"
                "taken"

            let range last =
                InetAddress("127.0.0.1", port, Nullable last, Nullable(), Nullable(), false, false, false)

            use second = openOk (range 65535us)
            Expect.isGreaterThan (int (portOf second)) (int port) "the next free one"

            Expect.equal
                (errorOf (range 1us))
                "Failed to create a socket: Transport endpoint is not connected"
                "empty range"
        }

        test "TCP error texts" {
            let bothOff =
                InetAddress("localhost", "0", Nullable(), Nullable false, Nullable false, false, false, false)

            Expect.equal (errorOf bothOff) "Cannot disable IPv4 and IPv6 at same time" "no family"

            Expect.equal
                (errorOf (inet "localhost" "nosuchservice"))
                "address resolution failed for localhost:nosuchservice: Servname not supported for ai_socktype"
                "service"

            Expect.equal
                (errorOf (inet "192.0.2.1" "0"))
                "Failed to bind socket: Cannot assign requested address"
                "foreign address"
        }

        test "descriptors by number" {
            let error name = errorOf (FdAddress(name, false))
            Expect.equal (error "9999") "File descriptor '9999' is not a socket" "closed"
            Expect.equal (error "foo") "Unable to parse FD number foo" "no number"

            Expect.equal (errorOf (FdAddress("3", true))) "only QEMU supports file descriptor passing" "from a monitor"

            use server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
            server.Bind(IPEndPoint(IPAddress.Loopback, 0))
            let copy = Libc.Fcntl(int server.Handle, 0 (* F_DUPFD *) , 100n)
            use listener = openOk (FdAddress(string copy, false))
            let port = (server.LocalEndPoint :?> IPEndPoint).Port
            Expect.equal listener.Label (InetLabel("127.0.0.1", string port)) "its own address"
        }

        test "connecting: refused, absent" {
            let error (address: SocketAddress) = Connector.Connect(address).Error
            use taken = openOk (inet "127.0.0.1" "0")
            let port = portOf taken
            taken.Dispose()

            Expect.equal
                (error (inet "127.0.0.1" port))
                ("Failed to connect to '127.0.0.1:" + port + "': Connection refused")
                "tcp"

            Expect.equal
                (error (UnixAddress("/nonexist/x", false, true)))
                "Failed to connect to '/nonexist/x': No such file or directory"
                "unix"
        }

        test "listeners and connectors leave no descriptor behind" {
            withFolder (fun folder ->
                leavesNoDescriptors (fun () ->
                    let path = Path.Combine(folder, "s")
                    use listener = openOk (UnixAddress(path, false, true))
                    let fd = Connector.Connect(UnixAddress(path, false, true)).Value
                    Libc.Close fd |> ignore
                    errorOf (UnixAddress(path, false, true)) |> ignore
                    errorOf (inet "192.0.2.1" "0") |> ignore
                    Connector.Connect(UnixAddress("/nonexist/x", false, true)) |> ignore))
        }
    ]
