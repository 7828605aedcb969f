/// Conversations with the real daemon, repeated with the control plane and a pretended shell.
module StorageDaemon.Tests.Reference.Transcript

open System
open System.IO
open System.Reflection
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Daemon
open StorageDaemon.Core.Json
open StorageDaemon.Tests.Reference.FakeShell

/// One daemon's life: a title and its lines.
type Scene = { Title: string; Lines: string list }

/// Reads a file that is part of the tests: lines, "=== title" before each scene, '#' before remarks.
let read (name: string) : Scene list =
    let lines =
        use stream = Assembly.GetExecutingAssembly().GetManifestResourceStream name
        use reader = new StreamReader(stream)
        reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries)

    let add scenes (line: string) =
        match scenes with
        | _ when line.StartsWith '#' -> scenes
        | _ when line.StartsWith "=== " -> { Title = line.Substring 4; Lines = [] } :: scenes
        | scene :: rest -> { scene with Lines = line :: scene.Lines } :: rest
        | [] -> failtest "a scene begins with its title"

    lines
    |> Array.fold add []
    |> List.rev
    |> List.map (fun scene -> { scene with Lines = List.rev scene.Lines })

let private parse (text: string) =
    match JsonParser.parse text with
    | Ok json -> json
    | Error error -> failtest (text + ": " + error.Desc)

/// Members in the order of their names: the real daemon's order is that of a hash table.
let rec private sorted (json: Json) =
    match json with
    | Object members ->
        members
        |> List.map (fun (key, value) -> key, sorted value)
        |> List.sortBy fst
        |> Object
    | List items -> List(List.map sorted items)
    | scalar -> scalar

let private text json = JsonPrinter.toString (sorted json)

[<NoComparison; NoEquality>]
type private Stage = {
    Shell: FakeShell
    State: State
    /// What the daemon has said and the transcript not yet, the oldest first.
    Said: string list
    Request: string
}

let private eventsSince (shell: FakeShell) (count: int) =
    shell.Events
    |> List.skip count
    |> List.map (fun (name, data) -> "EV " + text (Object [ "event", String name; "data", Object data ]))

let private reply (result: Result<Json, QapiError>) =
    match result with
    | Ok value -> Object [ "return", value ]
    | Error error ->
        let members = [ "class", String(QapiError.className error); "desc", String error.Desc ]

        Object [ "error", Object members ]

/// The exports that were told to end have lost their clients by now.
let private settleStopping (shell: FakeShell) (state: State) =
    [
        for KeyValue(key, export) in shell.Exports do
            if export.Stopping then
                key
    ]
    |> List.fold
        (fun state key ->
            shell.Disconnect key |> ignore
            let struct (next, _) = shell.Settle(Step.exportStopped state key)
            next)
        state

let private request (stage: Stage) (line: string) =
    Expect.equal stage.Said [] ("nothing more after " + stage.Request)
    let before = stage.Shell.Events.Length

    let name, arguments =
        match parse line with
        | Object [ "execute", String name ] -> name, []
        | Object [ "execute", String name; "arguments", Object arguments ] -> name, arguments
        | _ -> failtest ("a request: " + line)

    let struct (state, result) = stage.Shell.Settle(Step.execute stage.State name arguments)

    let events = eventsSince stage.Shell before
    let after = stage.Shell.Events.Length
    let state = settleStopping stage.Shell state

    {
        stage with
            State = state
            Said = events @ [ "<- " + text (reply result) ] @ eventsSince stage.Shell after
            Request = line
    }

let private key (stage: Stage) name =
    match State.tryNbdExport name stage.State with
    | Some info -> info.Key * 1<exportKey>
    | None -> failtest ("no export " + name)

let private play (stage: Stage) (line: string) : Stage =
    match line.IndexOf ' ' with
    | -1 -> failtest line
    | space ->
        let rest = line.Substring(space + 1)

        match line.Substring(0, space), stage.Said with
        | "->", _ -> request stage rest
        | "!connect", _ ->
            stage.Shell.Connect(key stage rest, 1)
            stage
        | "!disconnect", _ ->
            stage.Shell.Disconnect(key stage rest) |> ignore
            stage
        | mark, said :: more ->
            Expect.equal said (mark + " " + text (parse rest)) stage.Request
            { stage with Said = more }
        | _, [] -> failtest ("missing after " + stage.Request + ": " + line)

/// One test for each scene of a file.
let tests (name: string) (files: (string * int64) list) : Test list =
    read name
    |> List.map (fun scene ->
        test scene.Title {
            let start = {
                Shell = FakeShell files
                State = State.create 1UL "test"
                Said = []
                Request = ""
            }

            let last = List.fold play start scene.Lines
            Expect.equal last.Said [] ("nothing more after " + last.Request)
        })
