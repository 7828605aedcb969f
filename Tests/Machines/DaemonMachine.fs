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

/// Names are numbers modulo a few, so that they collide.
type Command =
    | AddFile of name: byte * readOnly: bool * autoReadOnly: bool * isMissing: bool
    | AddNull of name: byte * sectors: byte
    | AddRaw of name: byte * child: byte * sectors: byte * readOnly: bool
    | AddRawInline of name: byte * child: byte * sectors: byte
    | Del of name: byte
    | Resize of name: byte * sectors: byte
    | ServerStart
    | ServerStop
    | ExportAdd of id: byte * node: byte * name: byte * writable: bool * iothread: byte
    | ServerAdd of device: byte * name: byte * writable: bool
    | ExportDel of id: byte * hard: bool * older: bool
    | Connect of index: byte * clients: byte
    | Disconnect of index: byte
    | ObjectAdd of id: byte * poolMax: byte
    | ObjectDel of id: byte
    | ObjectSet of id: byte * value: sbyte
    | ChardevAdd of id: byte
    | ChardevRemove of id: byte
    | ChardevChange of id: byte
    | StartMonitor of id: byte

/// A command, the failable call of it that fails (mostly none), and whether it comes from the command line.
type Step' = {
    Command: Command
    FailAt: byte
    IsOption: bool
}

type private NaiveExport = {
    Key: int
    Id: string
    Name: string
    Node: string
    Iothreads: string list
    Clients: int
    ShuttingDown: bool
}

/// The naive daemon; lists are newest first.
[<NoComparison>]
type private Naive = {
    Graph: NaiveGraph.NaiveGraph
    Nulls: Set<string>
    Exports: NaiveExport list
    NextKey: int
    Server: bool
    Iothreads: Set<string>
    /// And whether a monitor has it.
    Chardevs: Map<string, bool>
}

let private nodeName (number: byte) = "n" + string (number % 6uy)
let private exportId (number: byte) = "e" + string (number % 5uy)
let private threadId (number: byte) = "t" + string (number % 3uy)
let private chardevId (number: byte) = "c" + string (number % 3uy)
let private offsetOf (sectors: byte) = if sectors < 160uy then 0L else int64 (sectors % 3uy) * 512L

let private naiveFile name readOnly : NaiveGraph.NaiveNode = {
    Name = name
    ReadOnly = readOnly
    Child = None
    Offset = 0L
    Bytes = mib
    MonitorOwned = true
}

let private withGraph (naive: Naive) graph = { naive with Graph = graph }

/// The end of exports that nobody uses any more.
let private gone (keys: int list) (naive: Naive) : Naive =
    let node = List.fold (fun graph key -> NaiveGraph.detach key graph) naive.Graph keys

    {
        naive with
            Graph = node
            Exports = naive.Exports |> List.filter (fun export -> not (List.contains export.Key keys))
    }

let private leafIsNull (naive: Naive) name =
    let rec walk name =
        match NaiveGraph.tryNode name naive.Graph with
        | Some { Child = Some child } -> walk child
        | Some node -> naive.Nulls.Contains node.Name
        | None -> false

    walk name

let private exportAdd (naive: Naive) id node name writable iothreads : Naive option =
    let perms = Perm.forNbdExport writable

    let isFree =
        naive.Server
        && naive.Exports
           |> List.forall (fun export -> export.Id <> id && (export.Name <> name || export.ShuttingDown))
        && iothreads |> List.forall naive.Iothreads.Contains

    if not isFree then
        None
    else
        let user: NaiveGraph.NaiveUser = {
            Key = naive.NextKey
            Node = node
            Perms = perms
        }

        let export = {
            Key = naive.NextKey
            Id = id
            Name = name
            Node = node
            Iothreads = iothreads
            Clients = 0
            ShuttingDown = false
        }

        NaiveGraph.attach user naive.Graph
        |> Option.map (fun graph -> {
            naive with
                Graph = graph
                Exports = export :: naive.Exports
                NextKey = naive.NextKey + 1
        })

let private exportDel (naive: Naive) id hard : Naive option =
    match naive.Exports |> List.tryFind (fun export -> export.Id = id) with
    | None
    | Some { ShuttingDown = true } -> None
    | Some export when export.Clients = 0 -> Some(gone [ export.Key ] naive)
    | Some _ when not hard -> None
    | Some export ->
        Some {
            naive with
                Exports =
                    naive.Exports
                    |> List.map (fun other ->
                        if other.Key = export.Key then { other with ShuttingDown = true } else other)
        }

/// A poolMax of zero is no pool.
let private poolMax (number: byte) = number % 4uy

let private naiveThreads (iothread: byte) =
    match iothread % 8uy with
    | 0uy -> [ threadId 0uy ]
    | 1uy -> [ threadId 1uy; threadId 2uy ]
    | _ -> []

/// What the naive daemon makes of a command of the graph; nothing when it refuses.
let private graphCommand (naive: Naive) (command: Command) : Naive option =
    match command with
    | AddFile(_, _, _, true) -> None
    | AddFile(name, readOnly, _, false) ->
        NaiveGraph.add [ naiveFile (nodeName name) readOnly ] naive.Graph
        |> Option.map (fun graph -> {
            withGraph naive graph with
                Nulls = naive.Nulls.Remove(nodeName name)
        })
    | AddNull(name, sectors) ->
        let node = {
            naiveFile (nodeName name) false with
                Bytes = int64 sectors * 512L
        }

        NaiveGraph.add [ node ] naive.Graph
        |> Option.map (fun graph -> {
            withGraph naive graph with
                Nulls = naive.Nulls.Add node.Name
        })
    | AddRaw(name, child, sectors, readOnly) ->
        let node = {
            naiveFile (nodeName name) readOnly with
                Child = Some(nodeName child)
                Offset = offsetOf sectors
        }

        NaiveGraph.add [ node ] naive.Graph |> Option.map (withGraph naive)
    | AddRawInline(name, child, sectors) ->
        let file = {
            naiveFile (nodeName child) false with
                MonitorOwned = false
        }

        let node = {
            naiveFile (nodeName name) false with
                Child = Some file.Name
                Offset = offsetOf sectors
        }

        NaiveGraph.add [ file; node ] naive.Graph
        |> Option.map (fun graph -> {
            withGraph naive graph with
                Nulls = naive.Nulls.Remove file.Name
        })
    | Del name -> NaiveGraph.del (nodeName name) naive.Graph |> Option.map (withGraph naive)
    | Resize(name, _) when leafIsNull naive (nodeName name) -> None
    | Resize(name, sectors) ->
        NaiveGraph.resize (nodeName name) (int64 sectors * 512L) naive.Graph
        |> Option.map (withGraph naive)
    | _ -> None

let private objectCommand (naive: Naive) (command: Command) : Naive option =
    match command with
    | ObjectAdd(id, max) when naive.Iothreads.Contains(threadId id) || poolMax max = 0uy -> None
    | ObjectAdd(id, _) ->
        Some {
            naive with
                Iothreads = naive.Iothreads.Add(threadId id)
        }
    | ObjectDel id ->
        let isUsed =
            naive.Exports
            |> List.exists (fun export -> List.contains (threadId id) export.Iothreads)

        if naive.Iothreads.Contains(threadId id) && not isUsed then
            Some {
                naive with
                    Iothreads = naive.Iothreads.Remove(threadId id)
            }
        else
            None
    | ObjectSet(id, value) when naive.Iothreads.Contains(threadId id) && value >= 0y -> Some naive
    | ChardevAdd id when not (naive.Chardevs.ContainsKey(chardevId id)) ->
        Some {
            naive with
                Chardevs = naive.Chardevs.Add(chardevId id, false)
        }
    | ChardevRemove id when naive.Chardevs.TryFind(chardevId id) = Some false ->
        Some {
            naive with
                Chardevs = naive.Chardevs.Remove(chardevId id)
        }
    | ChardevChange id when naive.Chardevs.TryFind(chardevId id) = Some false -> Some naive
    | StartMonitor id when naive.Chardevs.TryFind(chardevId id) = Some false ->
        Some {
            naive with
                Chardevs = naive.Chardevs.Add(chardevId id, true)
        }
    | _ -> None

let private naiveCommand (naive: Naive) (command: Command) : Naive option =
    match command with
    | ServerStart -> if naive.Server then None else Some { naive with Server = true }
    | ServerStop when naive.Server -> Some { gone (naive.Exports |> List.map _.Key) naive with Server = false }
    | ServerStop -> None
    | ExportAdd(id, node, name, writable, iothread) ->
        exportAdd naive (exportId id) (nodeName node) (exportId name) writable (naiveThreads iothread)
    | ServerAdd(device, name, writable) ->
        let readOnly =
            match NaiveGraph.tryNode (nodeName device) naive.Graph with
            | Some node -> node.ReadOnly
            | None -> false

        exportAdd naive (exportId name) (nodeName device) (exportId name) (writable && not readOnly) []
    | ExportDel(id, hard, _) -> exportDel naive (exportId id) hard
    | _ -> graphCommand naive command |> Option.orElse (objectCommand naive command)

let private text value = String value
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
    if offsetOf sectors > 0L then
        "offset", Int(offsetOf sectors)
]

let private exportArguments id node name writable iothread = [
    "type", text "nbd"
    "id", text (exportId id)
    "node-name", text (nodeName node)
    "name", text (exportId name)
    "writable", Bool writable
    match naiveThreads iothread with
    | [] -> ()
    | [ id ] -> "iothread", text id
    | ids -> "iothread", List(List.map text ids)
]

let private address = Object [ "type", text "unix"; "path", text "/s" ]

let private addressOfQmp =
    Object [ "type", text "unix"; "data", Object [ "path", text "/s" ] ]

let private nullBackend = Object [ "type", text "null"; "data", Object [] ]

let private threadArguments id max = [
    "qom-type", text "iothread"
    "id", text (threadId id)
    "thread-pool-max", number (poolMax max)
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
                "name", text (exportId name)
                "writable", Bool writable
            ]
        )
    | ExportDel(id, hard, older) ->
        Some(
            (if older then "nbd-server-remove" else "block-export-del"),
            [
                (if older then "name" else "id"), text (exportId id)
                if hard then
                    "mode", text "hard"
            ]
        )
    | ObjectAdd(id, max) -> Some("object-add", threadArguments id max)
    | ObjectDel id -> Some("object-del", [ "id", text (threadId id) ])
    | ObjectSet(id, value) ->
        Some(
            "qom-set",
            [
                "path", text ("/objects/" + threadId id)
                "property", text "poll-grow"
                "value", number value
            ]
        )
    | ChardevAdd id -> Some("chardev-add", [ "id", text (chardevId id); "backend", nullBackend ])
    | ChardevRemove id -> Some("chardev-remove", [ "id", text (chardevId id) ])
    | ChardevChange id -> Some("chardev-change", [ "id", text (chardevId id); "backend", nullBackend ])
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
    | ChardevAdd id, _ -> Some(StartupStep.Chardev("null,id=" + chardevId id))
    | StartMonitor id, _ -> Some(StartupStep.Monitor(chardevId id))
    | _ -> None

[<NoComparison; NoEquality>]
type private Machine = {
    Shell: FakeShell
    State: State
    Naive: Naive
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
    for id in machine.State.Iothreads.Keys do
        for property in [ "poll-grow"; "thread-pool-max" ] do
            query machine "qom-get" [ "path", text ("/objects/" + id); "property", text property ]
]

let private checkListings (machine: Machine) (observed: Json list) =
    let naive = machine.Naive

    let nodes =
        items observed[0]
        |> List.map (fun node ->
            field "node-name" node, field "virtual-size" (field "image" node), field "ro" node)

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

    checkInvariants {
        Graph = state.Graph
        Files = shell.Files
    }

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
let private ended (before: Naive) (after: Naive) =
    before.Exports
    |> List.filter (fun export -> after.Exports |> List.forall (fun other -> other.Key <> export.Key))
    |> List.map (fun export -> text export.Id)

let private execute (machine: Machine) (step: Step') (transition: Transition) : Machine =
    let before = observe machine
    let events = machine.Shell.Events.Length
    machine.Shell.Script(if step.FailAt < 200uy then 0 else int (step.FailAt % 4uy) + 1)
    let struct (state, result) = machine.Shell.Settle transition
    let injected = machine.Shell.Failed
    machine.Shell.Script 0

    let expected =
        if injected then
            None
        else
            naiveCommand machine.Naive step.Command

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

    let put clients (export: NaiveExport) (naive: Naive) = {
        naive with
            Exports =
                naive.Exports
                |> List.map (fun other ->
                    if other.Key = export.Key then { other with Clients = clients } else other)
    }

    match command with
    | Connect(index, count) ->
        match pick index with
        | Some(export, key) when not export.ShuttingDown ->
            let count = int (count % 3uy)
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
                        Naive = gone [ export.Key ] machine.Naive
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
        match Startup.step machine.State (StartupStep.Monitor(chardevId id)) with
        | struct (_, Run transition) -> execute machine step transition
        | _ -> failtest "the option is to be run"
    | None, None, command -> clients machine command

let private start () = {
    Shell = FakeShell [ "/a", mib; "/b", mib ]
    State = State.create 1UL "test"
    Naive = {
        Graph = NaiveGraph.empty
        Nulls = Set.empty
        Exports = []
        NextKey = 0
        Server = false
        Iothreads = Set.empty
        Chardevs = Map.empty
    }
}

/// Ends the daemon: all events come, the newest export's first, and nothing but files of nodes stays.
let private finish (machine: Machine) =
    let events = machine.Shell.Events.Length
    let keys = Step.exportsToStop machine.State
    machine.Shell.Answer(StopExports keys) |> ignore
    let struct (state, _) = machine.Shell.Settle(Step.exportsStopped machine.State keys)

    let next = {
        machine with
            State = state
            Naive = gone (machine.Naive.Exports |> List.map _.Key) machine.Naive
    }

    Expect.equal (deleted next events) (ended machine.Naive next.Naive) "one event for each export"
    checkShell next

let private genCommand = gen {
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
            6, Gen.constant (ExportDel(a, p, q))
            5, Gen.constant (Connect(a, b))
            3, Gen.constant (Disconnect a)
            4, Gen.constant (ObjectAdd(a, b))
            2, Gen.constant (ObjectDel a)
            2, Gen.constant (ObjectSet(a, sbyte (int b - 128)))
            3, Gen.constant (ChardevAdd a)
            2, Gen.constant (ChardevRemove a)
            2, Gen.constant (ChardevChange a)
            1, Gen.constant (StartMonitor a)
        ]
}

let private genStep = gen {
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
        <| fun (steps: Step' list) -> List.fold run (start ()) steps |> finish
    ]
