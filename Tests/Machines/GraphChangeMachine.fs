/// Random lists of changes of graphs that are in use, snapshots and activation among them: whatever happens, the graph
/// fits together, the host's files are locked and open as it wants them, and a change that fails leaves no trace.
module StorageDaemon.Tests.Machines.GraphChangeMachine

open Expecto
open FsCheck
open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference.GraphChecks

/// Names are numbers modulo a few, so that they collide.
type Step =
    | AddFile of name: byte * active: bool
    | AddRaw of name: byte * child: byte * active: bool
    | AddInline of name: byte
    | Delete of name: byte
    | Export of name: byte * writable: bool * allowInactive: bool
    | Unexport of index: byte
    | SwapChild of name: byte * child: byte * readOnly: bool
    | TakeSnapshot of node: byte * overlay: byte
    | Wake of name: byte
    | Rest of name: byte
    | WakeAll
    | RestAll
    | MoveTo of name: byte * context: byte
    | Threshold of name: byte * bytes: uint16

[<NoComparison; NoEquality>]
type private Life = { World: World; Users: BackendId list }

let private name (number: byte) = "n" + string (number % 9uy)

/// Every node over a file may have a backing image: what qcow2 will be.
let private everyNode (driver: Driver) = driver.IsRaw

let private settle (life: Life) (result: Result<World, string>) : Life =
    match result with
    | Ok world -> { life with World = world }
    | Error text ->
        Expect.isNotEmpty text "a failure says why"
        life

let private planned (life: Life) (plan: Graph -> Result<GraphChange, QapiError>) : Result<World, string> =
    plan life.World.Graph
    |> Result.map (fun change -> apply change life.World)
    |> Result.mapError _.Desc

let private onNode (life: Life) (number: byte) (plan: NodeId -> Graph -> Result<GraphChange, QapiError>) =
    planned life (fun graph ->
        Graph.findNode (name number) graph
        |> Result.bind (fun node -> plan node.Id graph))

let private attach (life: Life) (number: byte) writable allowInactive : Life =
    let spec: BackendSpec = {
        Perms = Perm.forNbdExport writable
        Label = Backend.UnnamedLabel
        FixedContext = false
        AllowInactive = allowInactive
    }

    let attached =
        Graph.findNode (name number) life.World.Graph
        |> Result.bind (fun node -> Backends.attachExport node.Id spec life.World.Graph)

    match attached with
    | Ok attached -> {
        life with
            World = apply attached.Change life.World
            Users = attached.Id :: life.Users
      }
    | Error _ -> life

let private active isActive (spec: BlockdevSpec) : BlockdevSpec = { spec with Active = Some isActive }

let private step (life: Life) (step: Step) : Life =
    match step with
    | AddFile(number, isActive) -> settle life (add (file (name number) "a.raw" |> active isActive) life.World)
    | AddRaw(number, child, isActive) ->
        settle life (add (raw (name number) (name child) |> active isActive) life.World)
    | AddInline number ->
        let child = Inline(withoutName (file "" "b.raw"))
        settle life (add (rawOver (name number) child None None) life.World)
    | Delete number -> settle life (del (name number) life.World)
    | Export(number, writable, allowInactive) -> attach life number writable allowInactive
    | Unexport index when not life.Users.IsEmpty ->
        let id = life.Users[int index % life.Users.Length]

        {
            life with
                World = detach id life.World
                Users = life.Users |> List.filter (fun other -> other <> id)
        }
    | Unexport _ -> life
    | SwapChild(number, child, readOnly) ->
        let spec: BlockdevSpec = {
            raw (name number) (name child) with
                ReadOnly = Some readOnly
        }

        settle life (reopen spec life.World)
    | TakeSnapshot(node, overlay) ->
        let before = life.Users |> List.map (fun id -> id, life.World.Graph.Backends[id].Node)

        match planned life (Snapshot.plan everyNode (name node) (name overlay)) with
        | Error _ as failed -> settle life failed
        | Ok world ->
            let below, top = world.Graph.ByName[name node], world.Graph.ByName[name overlay]

            for id, was in before do
                let expected = if was = below then top else was
                Expect.equal world.Graph.Backends[id].Node expected "the node's users follow, and nobody else"

            { life with World = world }
    | Wake number -> settle life (onNode life number Activate.node)
    | Rest number -> settle life (onNode life number Activate.deactivate)
    | WakeAll -> settle life (planned life Activate.all)
    | RestAll -> settle life (planned life Activate.deactivateAll)
    | MoveTo(number, context) ->
        let target =
            if context % 3uy = 0uy then
                None
            else
                Some("t" + string (context % 3uy))

        settle
            life
            (onNode life number (fun id graph -> Contexts.move id target graph |> Result.map GraphChange.ofGraph))
    | Threshold(number, bytes) ->
        settle
            life
            (onNode life number (fun id graph ->
                Ok(GraphChange.ofGraph (Graph.setWriteThreshold id (uint64 bytes) graph))))

/// An inactive node is used by nobody, and an active one stands on active ones.
let private checkActivation (graph: Graph) =
    for KeyValue(_, node) in graph.Nodes do
        if node.Options.Active then
            for child in node.Children do
                Expect.isTrue graph.Nodes[child.Node].Options.Active "below an active node all are active"
        else
            Expect.equal ((Node.perms node).Used &&& Perm.writing) Perm.None "nobody writes to an inactive node"

let private run (life: Life) (command: Step) : Life =
    let next = step life command
    checkInvariants next.World
    checkActivation next.World.Graph
    Expect.equal next.World.Graph.Backends.Count next.Users.Length "users come and go with their commands only"
    next

let private start = { World = emptyWorld; Users = [] }

let private config = {
    FsCheckConfig.defaultConfig with
        maxTest = 400
        endSize = 150
}

[<Tests>]
let tests =
    testList "GraphChangeMachine" [
        testPropertyWithConfig config "everything fits together after every change"
        <| fun (steps: Step list) -> List.fold run start steps |> ignore
    ]
