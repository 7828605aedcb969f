/// The graph as a shell would drive it, and what must always hold of it, recomputed from scratch.
module StorageDaemon.Tests.Reference.GraphChecks

open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Image

/// What the pretended host keeps of each open file.
type HostFile = { Writable: bool; Locked: Set<int64> }

/// A graph with its pretended host.
[<NoComparison; NoEquality>]
type World = {
    Graph: Graph
    Files: Map<NodeId, HostFile>
    /// Files that were cut to their data.
    Cut: NodeId list
}

let emptyWorld = { Graph = Graph.create 1UL; Files = Map.empty; Cut = [] }

let file (name: string) (filename: string) =
    BlockdevSpec.ofDriver (Some name) (File(RegularFile, FileOptions.ofFilename filename)) []

let rawOver (name: string) (child: ChildSpec) (offset: int64 option) (size: int64 option) =
    let options: RawOptions = { OffsetBytes = offset; SizeBytes = size }

    BlockdevSpec.ofDriver (Some name) (Raw options) [ "file", child ]

let raw (name: string) (child: string) =
    rawOver name (Reference child) None None

let opened (bytes: int64) =
    Opened { Kind = PlainFile; SizeBytes = bytes; AlignmentBytes = 1 }

let mib = 1048576L

let runLocks (change: LockChange) (file: HostFile) =
    let after =
        change.Steps
        |> List.fold
            (fun locked step ->
                match step with
                | Take byte ->
                    Expect.isFalse (Set.contains byte locked) "a byte is taken once"
                    Set.add byte locked
                | Probe _ -> locked)
            file.Locked

    let after = Set.difference after (Set.ofList change.Release)
    Expect.equal after (Set.ofList change.Held) "the locks end at what is held"
    after

/// Lets a change happen, all of whose steps succeed.
let apply (change: GraphChange) (world: World) : World =
    let run (files: Map<NodeId, HostFile>) (file: FileChange) =
        let old = files[file.Node]

        files.Add(
            file.Node,
            {
                Locked =
                    (if Locks.isEmpty file.Locks then
                         old.Locked
                     else
                         runLocks file.Locks old)
                Writable =
                    match file.Reopen with
                    | Some request -> request.Writable
                    | None -> old.Writable
            }
        )

    let files = List.fold run world.Files change.Files

    {
        Graph = change.Graph
        Cut =
            (change.Files
             |> List.filter _.Cut.IsSome
             |> List.map (fun file ->
                 Expect.isTrue world.Files[file.Node].Writable "a file is cut while it can be written"
                 file.Node))
            @ world.Cut
        Files = List.fold (fun files node -> Map.remove node files) files change.Close
    }

/// A plan of nodes none of which has to read its children.
let commit (plan: AddPlan) (outcomes: OpenOutcome list) (graph: Graph) : Result<AddedNodes, QapiError> =
    match Add.start plan outcomes graph with
    | Ok(Complete added) -> Ok added
    | Ok _ -> failtest "a node that reads its children"
    | Error error -> Error error

/// blockdev-snapshot.
let planSnapshot supportsBacking (node: string) (overlay: string) (graph: Graph) : Result<GraphChange, QapiError> =
    Snapshot.find node overlay graph
    |> Result.bind (fun struct (node, overlay) -> Snapshot.append supportsBacking node overlay graph)

/// blockdev-add with these outcomes of opening.
let addWith (outcome: OpenRequest -> OpenOutcome) (spec: BlockdevSpec) (world: World) : Result<World, string> =
    match AddPlan.ofCommand spec world.Graph with
    | Error error -> Error error.Desc
    | Ok plan ->
        match commit plan (List.map outcome plan.Opens) world.Graph with
        | Error error -> Error error.Desc
        | Ok added ->
            let openFiles =
                List.zip added.Files plan.Opens
                |> List.fold
                    (fun (files: Map<NodeId, HostFile>) (node, request) ->
                        files.Add(node, { Writable = request.Writable; Locked = Set.empty }))
                    world.Files

            Ok(apply added.Change { world with Files = openFiles })

let add (spec: BlockdevSpec) (world: World) =
    addWith (fun _ -> opened mib) spec world

let del (name: string) (world: World) =
    Remove.node name world.Graph
    |> Result.map (fun change -> apply change world)
    |> Result.mapError _.Desc

let export (name: string) (perms: PermPair) (world: World) =
    let spec: BackendSpec = {
        Perms = perms
        Label = Backend.UnnamedLabel
        FixedContext = false
        AllowInactive = false
    }

    result {
        let! node = Graph.findReference name world.Graph |> Result.mapError _.Desc

        let! attached = Backends.attachExport node.Id spec world.Graph |> Result.mapError _.Desc

        return attached.Id, apply attached.Change world
    }

let detach (id: BackendId) (world: World) =
    apply (Remove.backend id world.Graph) world

/// block_resize, on a host whose files take any length.
let resize (name: string) (bytes: int64) (world: World) : Result<World, string> =
    let run =
        result {
            let! node = Graph.find None (Some name) world.Graph
            return! Resize.plan node bytes world.Graph
        }

    match run with
    | Error error -> Error error.Desc
    | Ok plan ->
        let granted = apply plan.Grant world

        let actual =
            match plan.Target with
            | Ok(Truncate(_, bytes))
            | Ok(ResizedImage(_, bytes))
            | Ok(Measure(_, bytes)) -> bytes
            | Error _ -> 0L

        match Resize.commit plan actual granted.Graph with
        | Ok change -> Ok(apply change granted)
        | Error error ->
            // The permission goes back; the locks must be what they were.
            let back = detach plan.User granted
            Expect.equal back.Files world.Files "a failed resize leaves the host as it was"
            Error error.Desc

/// blockdev-reopen of one node.
let reopen (spec: BlockdevSpec) (world: World) : Result<World, string> =
    Reopen.plan [ spec ] world.Graph
    |> Result.map (fun change -> apply change world)
    |> Result.mapError _.Desc

/// What listings show: name, length, read-only; the newest first.
let listing (world: World) =
    Graph.nodes world.Graph
    |> List.map (fun node -> node.Name, node.SizeBytes, node.Options.ReadOnly)

/// The value of what must succeed.
let get result =
    match result with
    | Ok value -> value
    | Error text -> failtest text

/// A world with these nodes, added one after the other.
let world (specs: BlockdevSpec list) =
    List.fold (fun world spec -> get (add spec world)) emptyWorld specs

/// Expects an error with that text.
let fails expected result =
    match result with
    | Ok _ -> failtest ("expected: " + expected)
    | Error text -> Expect.equal text expected "text"

/// The node of that name, which must exist.
let node name (world: World) =
    (Graph.tryByName name world.Graph).Value

/// A file described inside its parent.
let inlineFile name = Inline(file name "a.raw")

/// Leaves the name to be generated.
let withoutName spec : BlockdevSpec = { spec with NodeName = None }

let private checkEdges (graph: Graph) (node: Node) =
    for child in node.Children do
        let childNode = Graph.node child.Node graph
        let edge = childNode.Parents[child.Edge]

        match edge.User with
        | NodeUser parent -> Expect.equal parent node.Id "the child knows its parent"
        | BackendUser _ -> failtest "a child's use belongs to its parent"

        Expect.isTrue (Perm.same edge.Perms (Permissions.wanted node child childNode)) "permissions are up to date"
        Expect.equal childNode.Context node.Context "connected nodes share an I/O thread"

    for KeyValue(id, edge) in node.Parents do
        Expect.equal edge.Id id "the edge knows its number"

        match edge.User with
        | NodeUser parent ->
            let links =
                (Graph.node parent graph).Children
                |> List.filter (fun child -> child.Edge = id && child.Node = node.Id)

            Expect.hasLength links 1 "the parent knows its child"
        | BackendUser backend ->
            let backend = graph.Backends[backend]
            Expect.equal backend.Node node.Id "the user knows its node"
            Expect.isTrue (Perm.same backend.Perms edge.Perms) "the user's permissions are the edge's"

let private checkUsers (node: Node) =
    let pairs = node.Parents.Values |> Seq.map _.Perms |> List.ofSeq
    let recounted = List.fold (fun users pair -> Users.add pair users) Users.empty pairs
    Expect.isTrue (Perm.same (Users.total recounted) (Node.perms node)) "the counts are the users'"
    Expect.equal (Users.conflicts node.Users) Perm.None "nobody stands in another one's way"

    let backends =
        node.Parents.Values
        |> Seq.filter (fun edge -> edge.User.IsBackendUser)
        |> Seq.length

    Expect.equal node.BackendCount backends "backends are counted"
    Expect.isTrue (node.MonitorOwned || not node.Parents.IsEmpty) "every node is kept by somebody"

    if node.Options.ReadOnly then
        Expect.isFalse (Perm.has Perm.Write (Node.perms node).Used) "nobody writes to a read-only node"

/// Fails unless everything in the graph fits together and the host has what the graph says.
let checkInvariants (world: World) =
    let graph = world.Graph
    Expect.equal graph.ByName.Count graph.Nodes.Count "as many names as nodes"

    for KeyValue(id, node) in graph.Nodes do
        Expect.equal node.Id id "the node knows its number"
        Expect.equal graph.ByName[node.Name] id "the name leads to the node"
        checkEdges graph node
        checkUsers node

        match node.Driver with
        | File _ ->
            let host = world.Files[id]
            Expect.equal host.Locked (Set.ofList (Locks.held (Node.perms node))) "locks"
            Expect.equal host.Writable (Node.opensWritable node.Options (Node.perms node)) "open mode"
        | _ -> Expect.isFalse (world.Files.ContainsKey id) "no file"

    for KeyValue(id, backend) in graph.Backends do
        Expect.equal backend.Id id "the user knows its number"
        Expect.isTrue (graph.Nodes[backend.Node].Parents.ContainsKey backend.Edge) "the node knows its user"

    Expect.isTrue (world.Files |> Map.forall (fun id _ -> graph.Nodes.ContainsKey id)) "no file outlives its node"
