/// Random changes of nodes that are exported, through the control plane, with a shell that refuses at any call: a
/// command that fails, also after exports have come to rest for it, leaves everything as it was, and after every command
/// all exports go on.
module StorageDaemon.Tests.Machines.InUseMachine

open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Daemon
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Json
open StorageDaemon.Tests.Reference.FakeShell
open StorageDaemon.Tests.Reference.GraphChecks

/// Names are numbers modulo a few, so that they collide.
type Change =
    | AddFile of name: byte * active: bool
    | AddRaw of name: byte * child: byte
    | AddQuorum of name: byte * first: byte * second: byte
    | AddPreallocate of name: byte * child: byte
    | AddLogging of name: byte * child: byte * log: byte * append: bool
    /// A node that reads its children, described in another one.
    | AddInlineLogging of name: byte * child: byte * log: byte
    | Del of name: byte
    | ExportAdd of id: byte * node: byte * writable: bool * allowInactive: bool
    | ExportDel of id: byte
    | Reopen of name: byte * child: byte * readOnly: bool
    | SetActive of name: byte * all: bool * active: bool
    | AddChild of parent: byte * child: byte
    | RemoveChild of parent: byte * number: byte
    /// No driver that is built can be an overlay, so that a transaction fails at its first action or its last.
    | Transaction of (byte * byte) list * abort: bool

/// A change, and the failable call of it that fails (mostly none).
type Use = { Change: Change; FailAt: byte }

let private text value = String value
let private nodeName (number: byte) = "n" + string (number % 8uy)
let private exportId (number: byte) = "e" + string (number % 4uy)

let private named driver number more =
    Object([ "driver", text driver; "node-name", text (nodeName number) ] @ more)

let private raw number child more =
    named "raw" number ([ "file", text (nodeName child) ] @ more)

let private logging (child: byte) (log: byte) append = [
    "file", text (nodeName child)
    "log", text (nodeName log)
    if append then
        "log-append", Bool true
]

let private members (json: Json) =
    match json with
    | Object members -> members
    | _ -> failtest "an object"

let private qmp (change: Change) : string * (string * Json) list =
    let add json = "blockdev-add", members json

    match change with
    | AddFile(name, active) -> add (named "file" name [ "filename", text "/a"; "active", Bool active ])
    | AddRaw(name, child) -> add (raw name child [])
    | AddQuorum(name, first, second) ->
        add (
            named "quorum" name [
                "children", List [ text (nodeName first); text (nodeName second) ]
                "vote-threshold", Int 1L
            ]
        )
    | AddPreallocate(name, child) -> add (named "preallocate" name [ "file", text (nodeName child) ])
    | AddLogging(name, child, log, append) -> add (named "blklogwrites" name (logging child log append))
    | AddInlineLogging(name, child, log) ->
        add (named "raw" name [ "file", Object([ "driver", text "blklogwrites" ] @ logging child log true) ])
    | Del name -> "blockdev-del", [ "node-name", text (nodeName name) ]
    | ExportAdd(id, node, writable, allowInactive) ->
        "block-export-add",
        [
            "type", text "nbd"
            "id", text (exportId id)
            "name", text (exportId id)
            "node-name", text (nodeName node)
            "writable", Bool writable
            "allow-inactive", Bool allowInactive
        ]
    | ExportDel id -> "block-export-del", [ "id", text (exportId id); "mode", text "hard" ]
    | Reopen(name, child, readOnly) ->
        "blockdev-reopen", [ "options", List [ raw name child [ "read-only", Bool readOnly ] ] ]
    | SetActive(name, all, active) ->
        "blockdev-set-active",
        [
            if not all then
                "node-name", text (nodeName name)
            "active", Bool active
        ]
    | AddChild(parent, child) ->
        "x-blockdev-change", [ "parent", text (nodeName parent); "node", text (nodeName child) ]
    | RemoveChild(parent, number) ->
        "x-blockdev-change",
        [
            "parent", text (nodeName parent)
            "child", text (Driver.quorumChildName (int (number % 4uy)))
        ]
    | Transaction(pairs, abort) ->
        let action name data =
            Object [ "type", text name; "data", Object data ]

        "transaction",
        [
            "actions",
            List [
                for node, overlay in List.truncate 3 pairs do
                    action "blockdev-snapshot" [ "node", text (nodeName node); "overlay", text (nodeName overlay) ]
                if abort then
                    action "abort" []
            ]
        ]

[<NoComparison; NoEquality>]
type private Machine = { Shell: FakeShell; State: State }

let private query (machine: Machine) name arguments : Json =
    match machine.Shell.Settle(Step.execute machine.State name arguments) with
    | struct (_, Ok value) -> value
    | struct (_, Error error) -> failtest (name + ": " + error.Desc)

let private observe (machine: Machine) =
    [
        query machine "query-named-block-nodes" []
        query machine "query-block-exports" []
        query machine "x-debug-query-block-graph" []
    ],
    machine.Shell.Files

let private check (machine: Machine) =
    let shell, state = machine.Shell, machine.State

    checkInvariants { Graph = state.Graph; Files = shell.Files; Cut = [] }

    Expect.isEmpty shell.Resting "all exports go on"
    Expect.equal shell.Unadopted 0 "no opened file is left over"
    Expect.equal (shell.Openings - shell.Closings) shell.Files.Count "every file was closed once or is open"
    Expect.equal (Set.ofSeq shell.Exports.Keys) (Set.ofSeq state.Exports.Keys) "exports are served"

let private run (machine: Machine) (step: Use) : Machine =
    let before = observe machine

    machine.Shell.Script(
        if step.FailAt < 150uy then
            0
        else
            int (step.FailAt % 4uy) + 1
    )

    let struct (state, result) = machine.Shell.Settle(Step.execute machine.State <|| qmp step.Change)

    let injected = machine.Shell.Failed
    machine.Shell.Script 0
    let next = { machine with State = state }
    check next

    if injected then
        Expect.isError result "a refusal is an error"

    match result with
    | Ok _ -> ()
    | Error error ->
        Expect.isNotEmpty error.Desc "a failure says why"
        Expect.equal (observe next) before "and nothing has changed"

    next

/// Most of what can go wrong needs exports.
let private prelude =
    [
        AddFile(0uy, true)
        AddRaw(1uy, 0uy)
        AddFile(2uy, true)
        AddFile(3uy, true)
        AddPreallocate(4uy, 3uy)
        ExportAdd(0uy, 1uy, true, true)
    ]
    |> List.map (fun change -> { Change = change; FailAt = 0uy })

let private start () =
    let machine = {
        Shell = FakeShell [ "/a", mib ]
        State = State.create 1UL "test"
    }

    let address = Object [ "type", text "unix"; "data", Object [ "path", text "/s" ] ]

    match machine.Shell.Settle(Step.execute machine.State "nbd-server-start" [ "addr", address ]) with
    | struct (state, Ok _) -> { machine with State = state }
    | struct (_, Error error) -> failtest error.Desc

let private genUse =
    gen {
        let byte' = Gen.choose (0, 255) |> Gen.map byte
        let flag = Gen.elements [ false; true ]
        let! a = byte'
        let! b = byte'
        let! c = byte'
        let! p = flag
        let! q = flag
        let! pairs = Gen.listOfLength 3 (Gen.zip byte' byte')
        let! failAt = byte'

        let! change =
            Gen.frequency [
                4, Gen.constant (AddFile(a, p || q))
                4, Gen.constant (AddRaw(a, b))
                5, Gen.constant (AddQuorum(a, b, c))
                4, Gen.constant (AddPreallocate(a, b))
                5, Gen.constant (AddLogging(a, b, c, p))
                3, Gen.constant (AddInlineLogging(a, b, c))
                4, Gen.constant (Del a)
                8, Gen.constant (ExportAdd(a, b, p, q))
                3, Gen.constant (ExportDel a)
                6, Gen.constant (Reopen(a, b, p))
                6, Gen.constant (SetActive(a, p, q))
                6, Gen.constant (AddChild(a, b))
                6, Gen.constant (RemoveChild(a, b))
                2, Gen.constant (Transaction(pairs, p))
            ]

        return { Change = change; FailAt = failAt }
    }

type private Uses =
    static member Uses() : Arbitrary<Use> = Arb.fromGen genUse

let private config = {
    FsCheckConfig.defaultConfig with
        maxTest = 300
        endSize = 120
        arbitrary = [ typeof<Uses> ]
}

[<Tests>]
let tests =
    testList "InUseMachine" [
        testPropertyWithConfig config "a change that fails has changed nothing, and exports go on"
        <| fun (steps: Use list) ->
            let machine = List.fold run (start ()) (prelude @ steps)
            let struct (state, _) = machine.Shell.Settle(Step.finish machine.State)
            check { machine with State = state }
    ]
