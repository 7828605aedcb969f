namespace StorageDaemon.Core.Graph

open StorageDaemon.Core

/// Where generated node names come from: a counter and a generator of the two digits behind it.
[<Struct; NoComparison>]
type NameSource = { Counter: int64; State: uint64 }

/// All nodes, their users and the numbers given so far. One value: a change makes another graph, and a change that
/// failed is forgotten.
[<NoComparison; NoEquality>]
type Graph = {
    Nodes: Map<NodeId, Node>
    ByName: Map<string, NodeId>
    Backends: Map<BackendId, Backend>
    NextNode: NodeId
    NextEdge: EdgeId
    NextBackend: BackendId
    Names: NameSource
    /// Throttle groups that nodes may name, and whether they limit anything.
    ThrottleGroups: Map<string, bool>
    /// Objects of all types, and whether nodes may name them as managers of persistent reservations.
    PrManagers: Map<string, bool>
    /// The nodes of preallocate, so that a change need not look for them.
    Preallocating: Set<NodeId>
}

module NodeName =
    /// The longest name in characters.
    [<Literal>]
    let MaxLength = 31

    /// Whether `name` is an identifier: an ASCII letter, then letters, digits, '-', '.' and '_'.
    let isWellFormed (name: string) =
        let isLetter c =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')

        let isRest c =
            isLetter c || (c >= '0' && c <= '9') || c = '-' || c = '.' || c = '_'

        name.Length > 0 && isLetter name[0] && String.forall isRest name

    /// Checks a name that a user chose, against the names that are taken.
    let check (isTaken: string -> bool) (name: string) : Result<unit, QapiError> =
        if not (isWellFormed name) then
            QapiError.fail ("Invalid node-name: '" + name + "'")
        elif isTaken name then
            QapiError.fail ("Duplicate nodes with node-name='" + name + "'")
        elif name.Length > MaxLength then
            QapiError.fail "Node name too long"
        else
            Ok()

    /// The next generated name: '#block', the counter, two digits that keep people from relying on it. Users' names
    /// cannot begin with '#', and the counter never repeats.
    let generate (source: NameSource) : struct (string * NameSource) =
        // Knuth's linear congruential generator (MMIX); its high bits are the good ones.
        let state = source.State * 6364136223846793005UL + 1442695040888963407UL
        let digits = int ((state >>> 33) % 100UL)
        let text =
            "#block"
            + string source.Counter
            + (if digits < 10 then "0" else "")
            + string digits

        struct (text, { Counter = source.Counter + 1L; State = state })

/// Look-ups, and the smallest changes: the checks and the consequences for permissions are in the modules that
/// follow.
module Graph =
    /// A graph without nodes. `seed` is any number.
    let create (seed: uint64) : Graph = {
        Nodes = Map.empty
        ByName = Map.empty
        Backends = Map.empty
        NextNode = 1L<nodeId>
        NextEdge = 1L<edgeId>
        NextBackend = 1L<backendId>
        Names = { Counter = 0L; State = seed }
        ThrottleGroups = Map.empty
        PrManagers = Map.empty
        Preallocating = Set.empty
    }

    /// The node of a number that came from this graph.
    let node (id: NodeId) (graph: Graph) : Node = graph.Nodes[id]

    let tryNode (id: NodeId) (graph: Graph) : Node option = graph.Nodes.TryFind id

    let tryByName (name: string) (graph: Graph) : Node option =
        match graph.ByName.TryFind name with
        | Some id -> graph.Nodes.TryFind id
        | None -> None

    let tryBackend (id: BackendId) (graph: Graph) : Backend option = graph.Backends.TryFind id

    /// All nodes as listings have them, the newest first.
    let nodes (graph: Graph) : Node list =
        Map.fold (fun newest _ node -> node :: newest) [] graph.Nodes

    /// The node that a command means by `device`, `node-name` or both: a device name may be a node's name only where
    /// the command gave it as node name too. There are no named devices.
    let find (device: string option) (nodeName: string option) (graph: Graph) : Result<Node, QapiError> =
        match nodeName |> Option.bind (fun name -> tryByName name graph) with
        | Some node -> Ok node
        | None ->
            "Cannot find device='"
            + defaultArg device ""
            + "' nor node-name='"
            + defaultArg nodeName ""
            + "'"
            |> QapiError.fail

    /// The node that a command means by one reference, which may be a device's or a node's name.
    let findReference (reference: string) (graph: Graph) : Result<Node, QapiError> =
        find (Some reference) (Some reference) graph

    /// The node of blockdev-del and its like.
    let findNode (nodeName: string) (graph: Graph) : Result<Node, QapiError> =
        match tryByName nodeName graph with
        | Some node -> Ok node
        | None -> QapiError.fail ("Failed to find node with node-name='" + nodeName + "'")

    let internal putNode (node: Node) (graph: Graph) : Graph = { graph with Nodes = graph.Nodes.Add(node.Id, node) }

    let setWriteThreshold (id: NodeId) (thresholdBytes: uint64) (graph: Graph) : Graph =
        putNode { graph.Nodes[id] with WriteThreshold = thresholdBytes } graph

    /// The unit of requests of a node's file, in bytes, has turned out anew.
    let setAlignment (id: NodeId) (alignmentBytes: int) (graph: Graph) : Graph =
        putNode
            {
                graph.Nodes[id] with
                    AlignmentBytes = max 1 alignmentBytes
            }
            graph

    /// Adds a use of `target`; permissions are counted, not checked.
    let internal addEdge (target: NodeId) (edge: ParentEdge) (fixedContext: bool) (graph: Graph) : Graph =
        let node = graph.Nodes[target]

        let backends =
            match edge.User with
            | BackendUser _ -> 1
            | NodeUser _ -> 0

        putNode
            {
                node with
                    Parents = node.Parents.Add(edge.Id, edge)
                    Users = Users.add edge.Perms node.Users
                    BackendCount = node.BackendCount + backends
                    FixedBackendCount = node.FixedBackendCount + (if fixedContext then 1 else 0)
            }
            graph

    /// Takes a use of `target` away.
    let internal removeEdge (target: NodeId) (edgeId: EdgeId) (fixedContext: bool) (graph: Graph) : Graph =
        let node = graph.Nodes[target]
        let edge = node.Parents[edgeId]

        let backends =
            match edge.User with
            | BackendUser _ -> 1
            | NodeUser _ -> 0

        putNode
            {
                node with
                    Parents = node.Parents.Remove edgeId
                    Users = Users.remove edge.Perms node.Users
                    BackendCount = node.BackendCount - backends
                    FixedBackendCount = node.FixedBackendCount - (if fixedContext then 1 else 0)
            }
            graph

    /// Changes the permissions of a use of `target`.
    let internal setEdgePerms (target: NodeId) (edgeId: EdgeId) (perms: PermPair) (graph: Graph) : Graph =
        let node = graph.Nodes[target]
        let edge = node.Parents[edgeId]

        putNode
            {
                node with
                    Parents = node.Parents.Add(edgeId, { edge with Perms = perms })
                    Users = node.Users |> Users.remove edge.Perms |> Users.add perms
            }
            graph
