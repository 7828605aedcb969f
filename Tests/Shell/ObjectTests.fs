/// What objects stand for outside the core: secrets, threads, watched files, helpers of persistent reservations.
module StorageDaemon.Tests.Shell.ObjectTests

open System
open System.Diagnostics
open System.IO
open System.Net.Sockets
open System.Text
open System.Threading
open Expecto
open Microsoft.FSharp.Core
open StorageDaemon.Core
open StorageDaemon.Core.Daemon
open StorageDaemon.Core.PrHelper
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qom
open StorageDaemon.Shell.Crypto
open StorageDaemon.Shell.Native
open StorageDaemon.Shell.Objects
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Shell.ShellSupport

let private key = Array.init 32 byte
let private iv = Array.init 16 (fun n -> byte (n * 3))

/// What openssl makes of a text with the key and vector.
let private encrypt (folder: string) (plain: byte[]) : byte[] =
    let file (name: string) = Path.Combine(folder, name)
    File.WriteAllBytes(file "plain", plain)

    ChildProcess.runOk folder (Requires.tool "openssl") [
        "enc"
        "-aes-256-cbc"
        "-K"
        Convert.ToHexString key
        "-iv"
        Convert.ToHexString iv
        "-in"
        file "plain"
        "-out"
        file "cipher"
    ]
    |> ignore

    File.ReadAllBytes(file "cipher")

let private order source format master : SecretOrder = {
    Source = source
    Format = format
    Master = master
    Iv = Some(Convert.ToBase64String iv)
}

let private load (store: SecretStore) id order =
    let error = store.Load(id, order)
    if isNull (box error) then "" else error.Desc

let private secretOf (store: SecretStore) id =
    match store.TryGet id with
    | true, secret -> Some(secret.ToArray())
    | _ -> None

let private storeWithKey () =
    let store = SecretStore()
    let data = SecretSource.Data(Convert.ToBase64String key)
    Expect.equal (load store "key" (order data SecretFormat.Base64 None)) "" "the key"
    store

let private secrets =
    testList "secrets" [
        test "text of openssl is decrypted, from data and from a file" {
            withFolder (fun folder ->
                let store = storeWithKey ()

                for length in [ 0; 1; 15; 16; 17; 1000 ] do
                    let plain = Array.init length byte
                    let cipher = encrypt folder plain
                    let data = SecretSource.Data(Convert.ToBase64String cipher)
                    Expect.equal (load store "s" (order data SecretFormat.Base64 (Some(Ok "key")))) "" "data"
                    Expect.equal (secretOf store "s") (Some plain) "from data"
                    let file = SecretSource.File(Path.Combine(folder, "cipher"))
                    Expect.equal (load store "s" (order file SecretFormat.Raw (Some(Ok "key")))) "" "file"
                    Expect.equal (secretOf store "s") (Some plain) "from a file")
        }

        test "the real daemon's text for a wrong key" {
            let store = storeWithKey ()
            /// Some text of these has no end that could be padding.
            let errors =
                [ 0uy .. 9uy ]
                |> List.map (fun n ->
                    let text = SecretSource.Data(Convert.ToBase64String(Array.create 32 n))
                    store.Remove "s"
                    load store "s" (order text SecretFormat.Base64 (Some(Ok "key"))))
                |> List.filter (fun error -> error <> "")

            for error in errors do
                Expect.stringStarts error "Incorrect number of padding bytes (" "padding"

            Expect.isNonEmpty errors "it is noticed"
        }

        test "what cannot be decrypted is not kept" {
            let store = storeWithKey ()
            let text = SecretSource.Data "AAAA"
            Expect.isNotEmpty (load store "s" (order text SecretFormat.Base64 (Some(Ok "key")))) "no block"
            Expect.isNone (secretOf store "s") "nothing is kept"
        }

        test "secrets go with their objects" {
            let store = storeWithKey ()
            Expect.equal (secretOf store "key") (Some key) "there"
            store.Remove "key"
            Expect.isNone (secretOf store "key") "gone"
            store.Remove "key"
        }

        test "files: texts of errors, and a limit" {
            withFolder (fun folder ->
                let store = SecretStore()

                let error path =
                    load store "s" (order (SecretSource.File path) SecretFormat.Raw None)

                Expect.equal
                    (error "/nonexistent")
                    "Unable to read /nonexistent: Failed to open file “/nonexistent”: No such file or directory"
                    "missing"

                Expect.equal (error "/tmp") "Unable to read /tmp: Error reading file “/tmp”: Is a directory" "a folder"
                let long = Path.Combine(folder, "long")
                File.WriteAllBytes(long, Array.zeroCreate (Secret.MaxBytes + 1))
                Expect.equal (error long) ("Unable to read " + long + ": The file is too long") "long"
                Expect.equal (error "/dev/zero") "Unable to read /dev/zero: The file is too long" "endless")
        }

        test "keys of the kernel that are not there" {
            Expect.stringStarts
                (load (SecretStore()) "s" (order (SecretSource.Keyring 1) SecretFormat.Raw None))
                "Unable to read serial key 00000001: "
                "no key"
        }
    ]

let private contexts =
    test "threads of thread-context objects run where they may, and end" {
        leavesNoDescriptors (fun () ->
            use contexts = new ThreadContexts()

            let start wanted =
                contexts.Start("c", { Wanted = wanted; ThreadId = 0L; Cpus = [] })

            match start None with
            | ThreadPlaced(thread, cpus) ->
                Expect.isNonEmpty cpus "processors"
                Expect.isTrue (Directory.Exists("/proc/self/task/" + string thread)) "a thread of ours"
                let first = uint16 cpus.Head

                match contexts.Place("c", Affinity.Cpus [ first; first ]) with
                | ThreadPlaced(same, [ cpu ]) -> Expect.equal (same, cpu) (thread, cpus.Head) "there only"
                | _ -> failtest "it can be moved"

                match contexts.Place("c", Affinity.Cpus [ 65535us ]) with
                | Answer.Refused error ->
                    Expect.equal error.Desc "Setting CPU affinity failed: Invalid argument" "no such processor"
                | _ -> failtest "it cannot be moved"

                match contexts.Place("c", Affinity.Nodes [ 65535us ]) with
                | Answer.Refused error -> Expect.equal error.Desc "The nodes select no CPUs" "no such node"
                | _ -> failtest "it cannot be moved"

                contexts.Stop "c"

                Wait.orFail Wait.defaultTimeout "the thread to end" (fun () ->
                    not (Directory.Exists("/proc/self/task/" + string thread)))
            | _ -> failtest "it runs"

            match start (Some(Affinity.Cpus [ 65535us ])) with
            | Answer.Refused _ -> ()
            | _ -> failtest "it cannot run there")
    }

let private watches =
    test "a watched file tells of writes and of what is moved into its place" {
        leavesNoDescriptors (fun () ->
            withFolder (fun folder ->
                withReactor (fun reactor ->
                    let path = Path.Combine(folder, "rules")
                    let seen = ResizeArray<Result<string, string>>()

                    let note _ (content: Result<byte[], string>) =
                        seen.Add(Result.map (fun (bytes: byte[]) -> Encoding.UTF8.GetString bytes) content)

                    use files = new AuthzFiles(reactor, Action<_, _> note)

                    let settings = { Filename = path; Refresh = true; List = None }

                    match files.Start("a", settings) with
                    | Answer.Refused error -> Expect.stringStarts error.Desc "Could not open" "no file yet"
                    | _ -> failtest "there is no file"

                    File.WriteAllText(path, "1")

                    match files.Start("a", settings) with
                    | Bytes content -> Expect.equal (Encoding.UTF8.GetString content) "1" "content"
                    | _ -> failtest "it is read"

                    File.WriteAllText(path, "2")
                    pumpUntil reactor "it is written" (fun () -> seen.Count > 0)
                    File.WriteAllText(path + ".new", "3")
                    File.Move(path + ".new", path, true)
                    pumpUntil reactor "it is replaced" (fun () -> seen.Contains(Ok "3"))
                    let count = seen.Count
                    File.WriteAllText(Path.Combine(folder, "other"), "x")
                    pumpFor reactor 50L
                    Expect.equal seen.Count count "other files do not matter"
                    files.Stop "a"
                    File.WriteAllText(path, "4")
                    pumpFor reactor 50L
                    Expect.equal seen.Count count "nobody watches any more"
                    Expect.equal (Seq.head seen) (Ok "2") "first the write")))
    }

/// A helper of our own: `serve` gets each connection after the greeting.
let private withFakeHelper (path: string) (serve: Socket -> unit) (body: unit -> unit) =
    File.Delete path
    use listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
    listener.Bind(UnixDomainSocketEndPoint path)
    listener.Listen()

    let accept () =
        try
            while true do
                use peer = listener.Accept()
                peer.ReceiveTimeout <- 5000
                peer.Send(Array.zeroCreate<byte> Wire.FeaturesLength) |> ignore
                let wanted = Array.zeroCreate<byte> Wire.FeaturesLength

                if peer.Receive wanted = Wire.FeaturesLength then
                    serve peer
        with
        | :? SocketException
        | :? ObjectDisposedException -> ()

    let thread = Thread(accept, IsBackground = true)
    thread.Start()
    body ()
    listener.Dispose()
    thread.Join 5000 |> ignore

/// PERSISTENT RESERVE IN, READ KEYS, of at most 16 bytes.
let private readKeys = [| 0x5Euy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 16uy; 0uy |]

let private reply (status: byte) (payload: byte[]) : byte[] =
    let head = Array.zeroCreate<byte> Wire.ReplyLength
    head[3] <- status
    head[7] <- byte payload.Length
    Array.append head payload

let private connected (path: string) : PrHelperClient =
    let client = PrHelperClient.Connect path

    if isNull client.Error then
        client.Value
    else
        failtest client.Error

let private helpers =
    testList "helpers of persistent reservations" [
        test "a command and its answer; a lost connection is made again" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "s")
                let received = ResizeArray<byte[]>()

                // One command for each connection, then it hangs up.
                let serve (peer: Socket) =
                    let buffer = Array.zeroCreate<byte> 64
                    let count = peer.Receive buffer
                    received.Add(Array.truncate count buffer)
                    peer.Send(reply 0uy [| 1uy; 2uy |]) |> ignore

                withFakeHelper path serve (fun () ->
                    use client = connected path
                    let changes = ResizeArray<bool>()
                    client.StatusChanged <- Action<bool> changes.Add
                    let first = client.Execute(0, readKeys, [||])
                    Expect.isNull first.Error "answered"
                    Expect.equal first.Value.Status Wire.Good "status"
                    Expect.equal first.Value.Payload [| 1uy; 2uy |] "keys"
                    Expect.equal (Seq.head received) (Array.append readKeys (Array.zeroCreate 6)) "the command"
                    Expect.isNotNull (client.Execute(0, readKeys, [||])).Error "it has hung up"
                    Expect.isFalse client.IsConnected "and that is noticed"
                    Expect.isNull (client.Execute(0, readKeys, [||])).Error "connected again"
                    Expect.equal (List.ofSeq changes) [ false; true ] "status"))
        }

        test "a helper that breaks the protocol is left" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "s")
                let buffer = Array.zeroCreate<byte> 64

                let serve (peer: Socket) =
                    peer.Receive buffer |> ignore
                    peer.Send(reply 2uy [| 1uy |]) |> ignore

                withFakeHelper path serve (fun () ->
                    use client = connected path

                    Expect.equal
                        (client.Execute(0, readKeys, [||])).Error
                        "The helper of persistent reservations violates the protocol"
                        "a payload with an error"

                    Expect.isFalse client.IsConnected "left"))
        }

        test "other commands are not sent" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "s")

                withFakeHelper path ignore (fun () ->
                    use client = connected path

                    Expect.equal
                        (client.Execute(0, Array.zeroCreate 10, [||])).Error
                        "Not a command for the helper of persistent reservations"
                        "TEST UNIT READY"))
        }

        test "no helper" {
            Expect.equal
                (PrHelperClient.Connect "/nonexistent").Error
                "Failed to connect to '/nonexistent': No such file or directory"
                "the real daemon's text"
        }

        test "qemu-pr-helper itself" {
            let helper = Requires.tool "qemu-pr-helper"

            withFolder (fun folder ->
                let path = Path.Combine(folder, "s")
                use child = new ChildProcess.Child(ChildProcess.options helper [ "-k"; path ] folder)
                Wait.orFail Wait.defaultTimeout "the helper to listen" (fun () -> child.HasExited || File.Exists path)

                if child.HasExited then
                    Requires.skip "qemu-pr-helper does not run here"

                use client = connected path
                let file = Path.Combine(folder, "disk")
                File.WriteAllBytes(file, Array.zeroCreate 4096)
                let fd = Libc.Open(file, Libc.O_RDWR ||| Libc.O_CLOEXEC, 0u)
                let result = client.Execute(fd, readKeys, [||])
                Libc.Close fd |> ignore

                // A regular file knows no reservations: the helper answers, with an error of SCSI.
                Expect.isNull result.Error "an answer in the protocol"
                Expect.equal result.Value.Status Wire.CheckCondition "no device"
                Expect.isEmpty result.Value.Payload "no keys")
        }
    ]

[<Tests>]
let tests =
    testSequenced
    <| testList "Shell.Objects" [ secrets; contexts; watches; helpers ]
