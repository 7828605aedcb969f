/// QMP conversations, message for message and in order, and what the schema promises.
module StorageDaemon.Tests.Differential.QmpTests

open System
open System.Collections.Generic
open System.IO
open System.Net.Sockets
open System.Security.Cryptography
open System.Text.Json
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient
open StorageDaemon.Tests.Differential.Compare

let private prepare (subject: Subject) : unit =
    Directory.CreateDirectory(subject.Directory.File "img") |> ignore
    TempDir.sparse (subject.Directory.File "img/r.raw") 4194304L
    TempDir.sparse (subject.Directory.File "img/odd.raw") 1000001L
    TempDir.sparse (subject.Directory.File "img/empty.raw") 0L
    TempDir.sparse (subject.Directory.File "img/odd2.raw") 4194304L
    TempDir.sparse (subject.Directory.File "img/c.raw") 4194304L

let private note (subject: Subject) (line: string) : unit =
    subject.Note("<- " + Normalise.message line)

let private request (subject: Subject) (qmp: QmpClient) (text: string) : unit =
    subject.Note(
        "-> "
        + (if text.Length > 300 then
               text.Substring(0, 300) + "…"
           else
               text)
    )

    let events, reply = qmp.Request text
    events |> List.iter (note subject)
    note subject reply

/// Sends text of which nobody knows how many errors it makes, and a request behind it that ends the reading. Junk that
/// swallows that request leaves the monitor waiting for more, which is an observation too.
let private junk (subject: Subject) (qmp: QmpClient) (text: string) : unit =
    subject.Note $"-> {text}"
    qmp.Send(text + "\n{\"execute\":\"query-version\",\"id\":\"behind the junk\"}\n")
    qmp.Socket.ReceiveTimeout <- 500

    let rec read () =
        match qmp.ReadLine() with
        | Some line ->
            note subject line

            if not (line.Contains "behind the junk") then
                read ()
        | None -> subject.Note "end of stream"

    try
        try
            read ()
        with :? SocketException ->
            subject.Note "no answer"
    finally
        qmp.Socket.ReceiveTimeout <- int Wait.defaultTimeout.TotalMilliseconds

/// Reads until a job has concluded.
let private concluded (subject: Subject) (qmp: QmpClient) (job: string) : unit =
    let isLast (line: string) =
        line.Contains "\"concluded\"" && line.Contains $"\"{job}\""

    let rec read () =
        match qmp.ReadLine() with
        | None -> failtest $"the end instead of the end of {job}"
        | Some line ->
            note subject line

            if not (isLast line) then
                read ()

    read ()

/// Begins a job and reads to its end. Where its work begins with I/O, the real daemon replies sooner or later.
let private wholeJob (subject: Subject) (qmp: QmpClient) (job: string) (text: string) : unit =
    subject.Note $"-> {text}"
    qmp.Send(text + "\n")

    let rec read (reply: string) (events: string list) : unit =
        let isOver = events |> List.exists (fun line -> line.Contains "\"concluded\"")

        if reply.Contains "\"error\"" || (reply <> "" && isOver) then
            reply :: List.rev events |> List.iter (note subject)
        else
            match qmp.ReadLine() with
            | None -> failtest $"the end instead of the end of {job}"
            | Some line when line.Contains "\"event\"" -> read reply (line :: events)
            | Some line -> read line events

    read "" []

/// What the real tools say of an image, but for the room that it takes.
let private image (subject: Subject) (file: string) : unit =
    let ask (arguments: string list) =
        let outcome = ChildProcess.run subject.Path (Requires.tool "qemu-img") arguments

        outcome.Output.Split '\n'
        |> Array.filter (fun line -> not (line.Contains "actual-size"))
        |> String.concat " "
        |> subject.Note

    ask [ "info"; "--output=json"; file ]
    ask [ "check"; "--output=json"; file ]
    ask [ "map"; "--output=json"; file ]

/// The NBD clients of a script, by name.
type private NbdClients = Dictionary<string, NbdClient>

let private play (subject: Subject) (qmp: QmpClient) (clients: NbdClients) (line: string) : unit =
    match line.Split(' ', 3) with
    | [| "await"; event |] -> qmp.Await event |> List.iter (note subject)
    | [| "concluded"; job |] -> concluded subject qmp job
    | [| "length"; file |] -> subject.Note $"length: {FileInfo(subject.Directory.File file).Length}"
    | [| "job"; job; text |] -> wholeJob subject qmp job text
    | [| "empty"; file |] -> TempDir.sparse (subject.Directory.File file) 0L
    | [| "bytes"; file |] ->
        let hash = Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(subject.Directory.File file)))
        subject.Note $"bytes: {hash}"
    | [| "image"; file |] -> image subject file
    | [| "raw"; count; text |] ->
        subject.Note $"-> {text}"
        qmp.Send(text + "\n")

        for _ in 1 .. int count do
            note subject (qmp.ReadLine() |> Option.defaultValue "end of stream")
    | _ when line.StartsWith "junk " -> junk subject qmp (line.Substring 5)
    | [| "nbd"; name; export |] ->
        let client = NbdClient.Connect(subject.Directory.File "n.sock")
        client.Go(Structured, export) |> ignore
        clients[name] <- client
    | [| "write"; name; count |] ->
        subject.Note $"write: {clients[name].Write(0us, 0UL, Array.create (int count) 1uy)}"
        subject.Note $"flush: {clients[name].Errno(Cmd.FLUSH, 0us, 0UL, 0UL)}"
    | [| "run"; program; arguments |] ->
        ChildProcess.run subject.Path program (List.ofArray (arguments.Split ' '))
        |> ignore
    | [| "close"; name |] ->
        clients[name].Disconnect()
        subject.Note $"closed: {clients[name].IsClosed()}"
    | _ -> request subject qmp line

/// Ends the conversation by `quit` and notes everything up to the end.
let private quit (subject: Subject) (qmp: QmpClient) (child: ChildProcess.Child) : unit =
    qmp.Send "{\"execute\": \"quit\"}\n"

    let rec drain () =
        match qmp.ReadLine() with
        | Some line ->
            note subject line
            drain ()
        | None -> ()

    drain ()
    subject.Note $"exit code {child.WaitExit Wait.defaultTimeout}"
    subject.Note(Normalise.text child.Error)

let private converse (script: QmpScripts.QmpScript) (subject: Subject) : unit =
    prepare subject

    let more =
        script.Arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)
        |> List.ofArray

    use child = Daemon.start subject.Binary subject.Path (more @ Daemon.monitor "qmp.sock")
    use qmp = QmpClient.Connect(subject.Directory.File "qmp.sock")
    note subject (qmp.ReadLine() |> Option.get)

    if script.Negotiate then
        request subject qmp "{\"execute\": \"qmp_capabilities\"}"

    let clients = NbdClients()

    script.Lines.Split('\n', StringSplitOptions.RemoveEmptyEntries)
    |> Array.iter (play subject qmp clients)

    quit subject qmp child
    clients.Values |> Seq.iter (fun client -> (client :> IDisposable).Dispose())

/// `pretty=on` prints the same text, spaces and line ends included; the monitor's package is cut out.
let private pretty =
    differential "pretty printing" (fun subject ->
        use child =
            new ChildProcess.Child(
                ChildProcess.options
                    subject.Binary
                    [ "--chardev"; "stdio,id=c"; "--monitor"; "chardev=c,pretty=on" ]
                    subject.Path
            )

        let send (text: string) =
            child.Input.Write(Text.Encoding.UTF8.GetBytes text)
            child.Input.Flush()

        send "{\"execute\":\"qmp_capabilities\"}"
        send "{\"execute\":\"query-block\"}"
        send "{\"execute\":\"query-version\",\"id\":[{},[],1.5,null,true,\"x\\n\"]}"
        send "{\"execute\":\"query-block-exports\", \"id\": {\"a\":[1,[2]]}}"
        send "{\"execute\":\"quit\"}"
        subject.Note $"exit code {child.WaitExit Wait.defaultTimeout}"

        child.Output.Split '\n'
        |> Array.filter (fun line -> not (line.Contains "\"package\""))
        |> Array.iter (fun line -> subject.Note(line.Replace("\r", "<CR>"))))

let private answer (binary: string) (command: string) : JsonElement =
    use directory = new TempDir.TempDir()
    use child = Daemon.start binary directory.Path (Daemon.monitor "qmp.sock")
    use qmp = QmpClient.Negotiated(directory.File "qmp.sock")
    qmp.Execute command

let private names (key: string) (answer: JsonElement) : Set<string> =
    answer.EnumerateArray()
    |> Seq.map (fun item -> item.GetProperty(key).GetString())
    |> Set.ofSeq

/// What the daemon lists must be something the real one lists too, but for what is our own.
let private isSubset (command: string) (key: string) : Test =
    testCase $"{command} lists nothing that the real one does not" (fun () ->
        let real = answer (Requires.realDaemon ()) command |> names key
        let ours = answer Binaries.daemon.Value command |> names key
        Expect.isNonEmpty ours "the list"
        Expect.isEmpty (ours - real - KnownDifferences.additions) "names that the real daemon does not list")

let private commandsAndSchema =
    testCase "query-commands and the schema name the same commands" (fun () ->
        let listed = answer Binaries.daemon.Value "query-commands" |> names "name"

        let described =
            (answer Binaries.daemon.Value "query-qmp-schema").EnumerateArray()
            |> Seq.filter (fun entity -> entity.GetProperty("meta-type").GetString() = "command")
            |> Seq.map (fun entity -> entity.GetProperty("name").GetString())
            |> Set.ofSeq

        Expect.equal listed described "commands")

let private schema =
    testCase "query-qmp-schema agrees in what both have" (fun () ->
        let real = answer (Requires.realDaemon ()) "query-qmp-schema"
        let ours = answer Binaries.daemon.Value "query-qmp-schema"

        let isMeant contradiction =
            KnownDifferences.schema |> List.exists (fun (known, _) -> known = contradiction)

        match SchemaComparison.contradictions ours real |> List.filter (isMeant >> not) with
        | [] -> ()
        | found -> failtest (String.Join("\n", List.truncate 40 found)))

[<Tests>]
let tests =
    testSequenced
    <| testList "differential QMP" [
        testList
            "scripts"
            ([
                ProtocolScripts.all
                NodeScripts.all
                ExportScripts.all
                IothreadScripts.all
                ObjectScripts.all
                ChardevScripts.all
                GraphScripts.all
                FilterScripts.all
                Qcow2Scripts.all
                JobScripts.all
                CreateScripts.all
             ]
             |> List.concat
             |> List.map (fun script -> differential script.Name (converse script)))
        pretty
        isSubset "query-commands" "name"
        isSubset "query-chardev-backends" "name"
        isSubset "qom-list-types" "name"
        commandsAndSchema
        schema
    ]
