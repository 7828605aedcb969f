/// Random lists of commands through the whole control plane, with a shell that fails at any call: what exists is what
/// a naive daemon says, a failed command has changed nothing, and no file, export or device is left over.
module StorageDaemon.Tests.Machines.DaemonMachine

open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Daemon
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Json
open StorageDaemon.Core.Options
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.FakeShell
open StorageDaemon.Tests.Reference.GraphChecks
open StorageDaemon.Tests.Reference.DaemonCommand

/// A command, the failable call of it that fails (mostly none), and whether it comes from the command line.
type Step' = { Command: Command; FailAt: byte; IsOption: bool }

let private text value = String value
let private nodeName number = NaiveDaemon.nodeName number
let inline private number value = Int(int64 value)

let private fileArguments name (path: string) readOnly autoReadOnly = [
    "driver", text "file"
    "node-name", text name
    "filename", text path
    "read-only", Bool readOnly
    "auto-read-only", Bool autoReadOnly
]

let private rawArguments name file sectors readOnly = [
    "driver", text "raw"
    "node-name", text name
    "file", file
    "read-only", Bool readOnly
    if NaiveDaemon.offsetOf sectors > 0L then
        "offset", Int(NaiveDaemon.offsetOf sectors)
]

let private exportArguments id node name writable iothread = [
    "type", text "nbd"
    "id", text (NaiveDaemon.exportId id)
    "node-name", text (nodeName node)
    "name", text (NaiveDaemon.exportName name)
    "writable", Bool writable
    match NaiveDaemon.threads iothread with
    | [] -> ()
    | [ id ] -> "iothread", text id
    | ids -> "iothread", List(List.map text ids)
]

let private address = Object [ "type", text "unix"; "path", text "/s" ]

let private addressOfQmp = Object [ "type", text "unix"; "data", Object [ "path", text "/s" ] ]

let private nullBackend = Object [ "type", text "null"; "data", Object [] ]

let private threadArguments id max = [
    "qom-type", text "iothread"
    "id", text (NaiveDaemon.threadId id)
    "thread-pool-max", number (NaiveDaemon.poolMax max)
]

/// The command in QMP; a monitor cannot start monitors.
let private qmp (command: Command) : (string * (string * Json) list) option =
    match command with
    | AddFile(name, readOnly, auto, isMissing) ->
        Some("blockdev-add", fileArguments (nodeName name) (if isMissing then "/nope" else "/a") readOnly auto)
    | AddNull(name, sectors) ->
        Some(
            "blockdev-add",
            [
                "driver", text "null-co"
                "node-name", text (nodeName name)
                "size", Int(int64 sectors * 512L)
            ]
        )
    | AddRaw(name, child, sectors, readOnly) ->
        Some("blockdev-add", rawArguments (nodeName name) (text (nodeName child)) sectors readOnly)
    | AddRawInline(name, child, sectors) ->
        Some(
            "blockdev-add",
            rawArguments (nodeName name) (Object(fileArguments (nodeName child) "/b" false false)) sectors false
        )
    | Del name -> Some("blockdev-del", [ "node-name", text (nodeName name) ])
    | Resize(name, sectors) ->
        Some("block_resize", [ "node-name", text (nodeName name); "size", Int(int64 sectors * 512L) ])
    | ServerStart -> Some("nbd-server-start", [ "addr", addressOfQmp ])
    | ServerStop -> Some("nbd-server-stop", [])
    | ExportAdd(id, node, name, writable, iothread) ->
        Some("block-export-add", exportArguments id node name writable iothread)
    | ServerAdd(device, name, writable) ->
        Some(
            "nbd-server-add",
            [
                "device", text (nodeName device)
                "name", text (NaiveDaemon.exportName name)
                "writable", Bool writable
            ]
        )
    | ExportDel(id, hard, older) ->
        Some(
            (if older then "nbd-server-remove" else "block-export-del"),
            [
                (if older then "name" else "id"), text (NaiveDaemon.exportId id)
                if hard then
                    "mode", text "hard"
            ]
        )
    | ObjectAdd(id, max) -> Some("object-add", threadArguments id max)
    | ObjectDel id -> Some("object-del", [ "id", text (NaiveDaemon.threadId id) ])
    | ObjectSet(id, value) ->
        Some(
            "qom-set",
            [
                "path", text ("/objects/" + NaiveDaemon.threadId id)
                "property", text "poll-grow"
                "value", number value
            ]
        )
    | MoveNode(node, thread, force) ->
        Some(
            "x-blockdev-set-iothread",
            [
                "node-name", text (nodeName node)
                "iothread", NaiveDaemon.threadOrNone thread |> Option.map text |> Option.defaultValue Null
                "force", Bool force
            ]
        )
    | ChardevAdd id -> Some("chardev-add", [ "id", text (NaiveDaemon.chardevId id); "backend", nullBackend ])
    | ChardevRemove id -> Some("chardev-remove", [ "id", text (NaiveDaemon.chardevId id) ])
    | ChardevChange id -> Some("chardev-change", [ "id", text (NaiveDaemon.chardevId id); "backend", nullBackend ])
    | StartMonitor _
    | Connect _
    | Disconnect _ -> None

/// The same as a step of the command line, where there is one.
let private option' (command: Command) : StartupStep option =
    let json arguments = JsonPrinter.toString (Object arguments)

    match command, qmp command with
    | (AddFile _ | AddNull _ | AddRaw _ | AddRawInline _), Some(_, arguments) ->
        Some(StartupStep.Blockdev(json arguments))
    | ExportAdd _, Some(_, arguments) -> Some(StartupStep.Export(json arguments))
    | ObjectAdd _, Some(_, arguments) -> Some(StartupStep.Object(json arguments))
    | ServerStart, _ -> Some(StartupStep.NbdServer(json [ "addr", address ]))
    | ChardevAdd id, _ -> Some(StartupStep.Chardev("null,id=" + NaiveDaemon.chardevId id))
    | StartMonitor id, _ -> Some(StartupStep.Monitor(NaiveDaemon.chardevId id))
    | _ -> None

[<NoComparison; NoEquality>]
type private Machine = {
    Shell: FakeShell
    State: State
    Naive: NaiveDaemon.Daemon
}

let private query (machine: Machine) name arguments : Json =
    match machine.Shell.Settle(Step.execute machine.State name arguments) with
    | struct (_, Ok value) -> value
    | struct (_, Error error) -> failtest (name + ": " + error.Desc)

let private items (json: Json) =
    match json with
    | List items -> items
    | _ -> failtest "a list"

let private field name (json: Json) =
    match json with
    | Object members -> members |> List.find (fun (key, _) -> key = name) |> snd
    | _ -> failtest "an object"

let private names (json: Json) =
    items json
    |> List.map (field "name")
    |> List.choose (function
        | String "type" -> None
        | String name -> Some name
        | _ -> failtest "a name")

/// Everything that queries show.
let private observe (machine: Machine) : Json list = [
    query machine "query-named-block-nodes" []
    query machine "query-block-exports" []
    query machine "query-blockstats" [ "query-nodes", Bool true ]
    query machine "query-chardev" []
    query machine "qom-list" [ "path", text "/objects" ]
    query machine "qom-list" [ "path", text "/chardevs" ]
    for id in machine.State.Objects.Keys do
        for property in [ "poll-grow"; "thread-pool-max" ] do
            query machine "qom-get" [ "path", text ("/objects/" + id); "property", text property ]
]

let private checkListings (machine: Machine) (observed: Json list) =
    let naive = machine.Naive

    let nodes =
        items observed[0]
        |> List.map (fun node -> field "node-name" node, field "virtual-size" (field "image" node), field "ro" node)

    let expected =
        NaiveGraph.listing naive.Graph
        |> List.map (fun (name, bytes, readOnly) -> text name, Int bytes, Bool readOnly)

    Expect.equal nodes expected "nodes"

    let exports =
        items observed[1]
        |> List.map (fun export -> field "id" export, field "node-name" export, field "shutting-down" export)

    let expected =
        naive.Exports
        |> List.map (fun export -> text export.Id, text export.Node, Bool export.ShuttingDown)

    Expect.equal exports expected "exports"

    Expect.equal
        (State.exports machine.State |> List.map _.Iothreads)
        (naive.Exports |> List.map _.Iothreads)
        "and who serves them"

    Expect.equal (Set.ofList (names observed[4])) naive.Iothreads "objects"
    Expect.equal (names observed[5]) (List.ofSeq naive.Chardevs.Keys) "chardevs"

    let offered =
        naive.Exports
        |> List.filter (fun export -> not export.ShuttingDown)
        |> List.map _.Name
        |> List.rev

    let infos = State.nbdExports machine.State
    Expect.equal (infos |> List.map _.Name) offered "what NBD clients may ask for"

    for info in infos do
        Expect.equal (State.tryNbdExport info.Name machine.State |> Option.map _.Key) (Some info.Key) "by name too"

/// The shell has what the state says, no more.
let private checkShell (machine: Machine) =
    let shell, state, naive = machine.Shell, machine.State, machine.Naive

    checkInvariants { Graph = state.Graph; Files = shell.Files; Cut = [] }

    Expect.equal shell.Unadopted 0 "no opened file is left over"
    Expect.equal (shell.Openings - shell.Closings) shell.Files.Count "every file was closed once or is open"
    Expect.equal (Set.ofSeq shell.Exports.Keys) (Set.ofSeq state.Exports.Keys) "exports are served"
    Expect.equal shell.Iothreads naive.Iothreads "threads run"
    Expect.equal shell.Chardevs (Set.ofSeq naive.Chardevs.Keys) "devices are open"
    Expect.equal shell.Listening naive.Server "the server listens"
    Expect.equal state.NbdServer.IsSome naive.Server "and the state knows"

/// The ids in the events since `before`.
let private deleted (machine: Machine) (before: int) =
    machine.Shell.Events
    |> List.skip before
    |> List.map (fun (name, data) ->
        Expect.equal name "BLOCK_EXPORT_DELETED" "the only event"
        field "id" (Object data))

/// The exports that this step ended, the newest first, as the real daemon ends them.
let private ended (before: NaiveDaemon.Daemon) (after: NaiveDaemon.Daemon) =
    before.Exports
    |> List.filter (fun export -> after.Exports |> List.forall (fun other -> other.Key <> export.Key))
    |> List.map (fun export -> text export.Id)

let private execute (machine: Machine) (step: Step') (transition: Transition) : Machine =
    let before = observe machine
    let events = machine.Shell.Events.Length
    machine.Shell.Script(
        if step.FailAt < 200uy then
            0
        else
            int (step.FailAt % 4uy) + 1
    )
    let struct (state, result) = machine.Shell.Settle transition
    let injected = machine.Shell.Failed
    machine.Shell.Script 0

    let expected =
        if injected then
            None
        else
            NaiveDaemon.run machine.Naive step.Command

    let next = {
        machine with
            State = state
            Naive = defaultArg expected machine.Naive
    }

    match result, expected with
    | Ok _, Some _
    | Error _, None -> ()
    | Ok _, None -> failtest "the daemon did what the naive one refuses, or overlooked a failure"
    | Error error, Some _ -> failtest ("the daemon refused what the naive one does: " + error.Desc)

    let after = observe next
    checkListings next after
    checkShell next
    Expect.equal (deleted next events) (ended machine.Naive next.Naive) "one event for each export that went"

    if result.IsError then
        Expect.equal after before "a failed command has changed nothing"

    next

/// Clients come and go beside the commands.
let private clients (machine: Machine) (command: Command) : Machine =
    let pick (index: byte) =
        let exports = machine.Naive.Exports

        if exports.IsEmpty then
            None
        else
            let export = exports[int index % exports.Length]
            let key = machine.State.ExportKeys[export.Id]
            Some(export, key)

    let put clients (export: NaiveDaemon.Export) (naive: NaiveDaemon.Daemon) = {
        naive with
            Exports =
                naive.Exports
                |> List.map (fun other ->
                    if other.Key = export.Key then
                        { other with Clients = clients }
                    else
                        other)
    }

    match command with
    | Connect(index, count) ->
        match pick index with
        | Some(export, key) when not export.ShuttingDown ->
            let count = int (count % 4uy)
            machine.Shell.Connect(key, count)
            { machine with Naive = put count export machine.Naive }
        | _ -> machine
    | Disconnect index ->
        match pick index with
        | Some(export, key) ->
            let events = machine.Shell.Events.Length

            if machine.Shell.Disconnect key then
                let struct (state, _) = machine.Shell.Settle(Step.exportStopped machine.State key)
                // A second report of the same is nothing.
                let struct (state, _) = machine.Shell.Settle(Step.exportStopped state key)

                let next = {
                    machine with
                        State = state
                        Naive = NaiveDaemon.gone [ export.Key ] machine.Naive
                }

                Expect.equal (deleted next events) [ text export.Id ] "its event"
                checkListings next (observe next)
                checkShell next
                next
            else
                { machine with Naive = put 0 export machine.Naive }
        | None -> machine
    | _ -> machine

let private run (machine: Machine) (step: Step') : Machine =
    match (if step.IsOption then option' step.Command else None), qmp step.Command, step.Command with
    | Some startup, _, _ ->
        match Startup.step machine.State startup with
        | struct (_, Run transition) -> execute machine step transition
        | _ -> failtest "the option is to be run"
    | None, Some(name, arguments), _ -> execute machine step (Step.execute machine.State name arguments)
    | None, None, StartMonitor id ->
        match Startup.step machine.State (StartupStep.Monitor(NaiveDaemon.chardevId id)) with
        | struct (_, Run transition) -> execute machine step transition
        | _ -> failtest "the option is to be run"
    | None, None, command -> clients machine command

let private start () = {
    Shell = FakeShell [ "/a", mib; "/b", mib ]
    State = State.create 1UL "test"
    Naive = NaiveDaemon.empty
}

/// Ends the daemon: all events come, the newest export's first, and nothing but files of nodes stays.
let private finish (machine: Machine) =
    let events = machine.Shell.Events.Length
    let struct (state, _) = machine.Shell.Settle(Step.finish machine.State)

    let next = {
        machine with
            State = state
            Naive = NaiveDaemon.gone (machine.Naive.Exports |> List.map _.Key) machine.Naive
    }

    Expect.equal (deleted next events) (ended machine.Naive next.Naive) "one event for each export"
    checkShell next

/// Most of what can go wrong needs a server and something to export.
let private prelude =
    [ ServerStart; AddFile(0uy, false, true, false); AddRaw(1uy, 0uy, 0uy, false) ]
    |> List.map (fun command -> { Command = command; FailAt = 0uy; IsOption = false })

let private genCommand =
    gen {
        let byte' = Gen.choose (0, 255) |> Gen.map byte
        let flag = Gen.elements [ false; true ]
        let! a = byte'
        let! b = byte'
        let! c = byte'
        let! p = flag
        let! q = flag

        return!
            Gen.frequency [
                6, Gen.constant (AddFile(a, b < 60uy, p, c < 30uy))
                3, Gen.constant (AddNull(a, b))
                6, Gen.constant (AddRaw(a, b, c, p && q))
                3, Gen.constant (AddRawInline(a, b, c))
                5, Gen.constant (Del a)
                5, Gen.constant (Resize(a, b))
                4, Gen.constant ServerStart
                1, Gen.constant ServerStop
                9, Gen.constant (ExportAdd(a, b, c, p, a + c))
                4, Gen.constant (ServerAdd(a, b, p))
                8, Gen.constant (ExportDel(a, p, q))
                8, Gen.constant (Connect(a, b))
                4, Gen.constant (Disconnect a)
                4, Gen.constant (ObjectAdd(a, b))
                2, Gen.constant (ObjectDel a)
                2, Gen.constant (ObjectSet(a, sbyte (int b - 128)))
                4, Gen.constant (MoveNode(a, b, p || q))
                3, Gen.constant (ChardevAdd a)
                2, Gen.constant (ChardevRemove a)
                2, Gen.constant (ChardevChange a)
                1, Gen.constant (StartMonitor a)
            ]
    }

let private genStep =
    gen {
        let! command = genCommand
        let! failAt = Gen.choose (0, 255)
        let! isOption = Gen.elements [ false; false; true ]

        return {
            Command = command
            FailAt = byte failAt
            IsOption = isOption
        }
    }

type private Steps =
    static member Steps() : Arbitrary<Step'> = Arb.fromGen genStep

let private config = {
    FsCheckConfig.defaultConfig with
        maxTest = 300
        endSize = 120
        arbitrary = [ typeof<Steps> ]
}

[<Tests>]
let tests =
    testList "DaemonMachine" [
        testPropertyWithConfig config "the daemon is the naive daemon, whatever fails"
        <| fun (steps: Step' list) -> List.fold run (start ()) (prelude @ steps) |> finish
    ]
