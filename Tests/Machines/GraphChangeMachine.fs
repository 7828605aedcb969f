/// Random lists of changes of graphs that are in use, snapshots and activation among them: whatever happens, the graph
/// fits together, the host's files are locked and open as it wants them, and a change that fails leaves no trace.
module StorageDaemon.Tests.Machines.GraphChangeMachine

open Expecto
open FsCheck
open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference.GraphChecks

/// Names are numbers modulo a few, so that they collide.
type Step =
    | AddFile of name: byte * active: bool
    | AddRaw of name: byte * child: byte * active: bool
    | AddInline of name: byte
    | AddQuorum of name: byte * first: byte * second: byte
    | AddPreallocate of name: byte * child: byte
    | AddLogging of name: byte * child: byte * log: byte
    | Delete of name: byte
    | Export of name: byte * writable: bool * allowInactive: bool
    | Unexport of index: byte
    | SwapChild of name: byte * child: byte * readOnly: bool
    | TakeSnapshot of node: byte * overlay: byte
    /// Snapshots, one on the outcome of the other: all or none.
    | Transaction of (byte * byte) list
    | AddChild of parent: byte * child: byte
    | RemoveChild of parent: byte * index: byte
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

/// The actions of a transaction, each planned on what the ones before it make of the graph.
let rec private actions (pairs: (byte * byte) list) (change: GraphChange) : Result<GraphChange, QapiError> =
    match pairs with
    | [] -> Ok change
    | (node, overlay) :: rest ->
        match planSnapshot everyNode (name node) (name overlay) change.Graph with
        | Error error -> Error error
        | Ok snapshot -> actions rest (GraphChange.append change snapshot)

/// A quorum's next child never has the name of one that it has.
let private checkNumbers (graph: Graph) =
    for KeyValue(_, node) in graph.Nodes do
        if node.Driver.IsQuorum then
            let names = node.Children |> List.map _.Name
            Expect.equal (List.distinct names) names "names are different"
            Expect.isFalse (List.contains (Driver.quorumChildName node.NextChild) names) "and the next one is new"

let private step (life: Life) (step: Step) : Life =
    match step with
    | AddQuorum(number, first, second) ->
        let options: QuorumOptions = {
            VoteThreshold = 1L
            BlkVerify = false
            RewriteCorrupted = first % 2uy = 0uy
            ReadPattern = None
        }

        let children = [
            Driver.quorumChildName 0, Reference(name first)
            Driver.quorumChildName 1, Reference(name second)
        ]

        settle life (add (BlockdevSpec.ofDriver (Some(name number)) (Quorum options) children) life.World)
    | AddPreallocate(number, child) ->
        let driver = Preallocate PreallocateOptions.defaults

        settle
            life
            (add (BlockdevSpec.ofDriver (Some(name number)) driver [ "file", Reference(name child) ]) life.World)
    | AddLogging(number, child, log) ->
        let driver = BlkLogWrites { SectorBytes = None; Append = false; SuperInterval = None }
        let children = [ "file", Reference(name child); "log", Reference(name log) ]
        settle life (add (BlockdevSpec.ofDriver (Some(name number)) driver children) life.World)
    | Transaction pairs ->
        let pairs = List.truncate 4 pairs
        settle life (planned life (fun graph -> actions pairs (GraphChange.ofGraph graph)))
    | AddChild(parent, child) ->
        settle
            life
            (planned life (fun graph ->
                result {
                    let! parent = Graph.findNode (name parent) graph
                    let! child = Graph.findNode (name child) graph
                    return! QuorumChildren.add parent child graph
                }))
    | RemoveChild(parent, index) ->
        settle
            life
            (planned life (fun graph ->
                result {
                    let! parent = Graph.findNode (name parent) graph

                    match parent.Children with
                    | [] -> return! QapiError.fail "no child"
                    | children -> return! QuorumChildren.remove parent children[int index % children.Length] graph
                }))
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

        match planned life (planSnapshot everyNode (name node) (name overlay)) with
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

/// The graph knows which of its nodes preallocate.
let private checkCuts (before: World) (after: World) =
    let preallocating =
        after.Graph.Nodes.Values
        |> Seq.filter _.Driver.IsPreallocate
        |> Seq.map _.Id
        |> Set.ofSeq

    Expect.equal after.Graph.Preallocating preallocating "preallocating nodes"

    for struct (node, file) in Preallocation.all after.Graph do
        Expect.isTrue (after.Files.ContainsKey file) "what grows is a file"
        Expect.isTrue after.Files[file].Writable "and open for writing"

        Expect.equal
            (Preallocation.all after.Graph
             |> List.filter (fun struct (_, other) -> other = file))
            [ struct (node, file) ]
            "one node grows a file"

    let cut =
        Preallocation.ended before.Graph after.Graph
        |> List.map (fun struct (_, file) -> file)
    Expect.equal (Set.ofList after.Cut) (Set.ofList cut) "what grows no longer has been cut"

let private run (life: Life) (command: Step) : Life =
    let life = { life with World = { life.World with Cut = [] } }
    let next = step life command
    checkInvariants next.World
    checkActivation next.World.Graph
    checkNumbers next.World.Graph
    checkCuts life.World next.World
    Expect.equal next.World.Graph.Backends.Count next.Users.Length "users come and go with their commands only"
    next

let private start = { World = emptyWorld; Users = [] }

let private config = {
    FsCheckConfig.defaultConfig with
        maxTest = 600
        endSize = 150
}

[<Tests>]
let tests =
    testList "GraphChangeMachine" [
        testPropertyWithConfig config "everything fits together after every change"
        <| fun (steps: Step list) -> List.fold run start steps |> ignore
    ]
