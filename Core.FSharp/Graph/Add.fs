namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Image

/// What a host file turned out to be.
type OpenedKind =
    | PlainFile
    | BlockDevice
    | CharacterDevice
    | OtherFile

[<NoComparison>]
type OpenedFile = {
    Kind: OpenedKind
    SizeBytes: int64
    /// Bytes; the unit in which the descriptor can be read and written: 1 with the page cache.
    AlignmentBytes: int
}

/// The result of an `OpenRequest`.
[<NoComparison>]
type OpenOutcome =
    | Opened of OpenedFile
    /// The C library's text for the errno.
    | NotOpened of reason: string

/// A child of a planned node.
[<NoComparison>]
type PlannedTarget =
    | ExistingNode of id: NodeId * reference: string
    /// The number of another planned node.
    | PlannedNode of index: int

[<NoComparison>]
type PlannedNode = {
    Name: string option
    Driver: Driver
    Options: NodeOptions
    Children: (string * PlannedTarget) list
    MonitorOwned: bool
    Given: Map<string, string>
}

/// How a description becomes nodes: children before parents. The files are to be opened in order; their outcomes go
/// to `Add.commit`, whatever they are.
[<NoComparison>]
type AddPlan = {
    Opens: OpenRequest list
    Nodes: PlannedNode list
    /// A mistake in a parent, which is reported only after its children are there: their errors come first.
    Failure: QapiError option
}

/// A plan that is being committed.
[<NoComparison; NoEquality>]
type AddCommit = internal {
    Plan: AddPlan
    /// The graph whose files and locks are in place.
    Applied: Graph
    Graph: Graph
    /// The number of the next planned node.
    Index: int
    Ids: Map<int, NodeId>
    Outcomes: OpenOutcome list
    FilesReversed: NodeId list
    Earlier: NodeId list
}

/// The nodes of a committed plan.
[<NoComparison; NoEquality>]
type AddedNodes = {
    Change: GraphChange
    Root: NodeId
    /// The nodes that own the opened files, in the plan's order; without those that own theirs already.
    Files: NodeId list
    /// Where the plan stands: what is to be undone when the change fails.
    Rest: AddCommit
}

/// How far a plan has been committed.
[<NoComparison; NoEquality>]
type AddProgress =
    | Complete of AddedNodes
    /// A node has to read its children to find out what it is. It is in the graph, without its length. First the change
    /// is to be applied, with `Files` adopted; then the node is opened, and `Add.resume` goes on.
    | Opening of LayerOpening

and [<NoComparison; NoEquality>] LayerOpening = {
    Node: NodeId
    Change: GraphChange
    Files: NodeId list
    Rest: AddCommit
}

/// blockdev-add.
module Add =
    /// The deepest description: one level of JSON nesting each.
    [<Literal>]
    let MaxDepth = 1024

    [<NoComparison>]
    type private Planning = {
        /// The newest first.
        OpensReversed: OpenRequest list
        NodesReversed: PlannedNode list
        Count: int
        Names: Set<string>
    }

    [<NoComparison>]
    type private Stopped = { Error: QapiError; Sofar: Planning }

    let private stopOn (sofar: Planning) (check: Result<unit, QapiError>) : Result<unit, Stopped> =
        check |> Result.mapError (fun error -> { Error = error; Sofar = sofar })

    let private checkName (graph: Graph) (sofar: Planning) (name: string option) : Result<unit, QapiError> =
        match name with
        | None -> Ok()
        | Some name -> NodeName.check (fun taken -> graph.ByName.ContainsKey taken || sofar.Names.Contains taken) name

    let private planned (node: PlannedNode) (sofar: Planning) : Planning = {
        NodesReversed = node :: sofar.NodesReversed
        OpensReversed =
            match node.Driver with
            | File(kind, file) -> GraphChange.firstOpen kind file node.Options :: sofar.OpensReversed
            | _ -> sofar.OpensReversed
        Count = sofar.Count + 1
        Names =
            match node.Name with
            | Some name -> sofar.Names.Add name
            | None -> sofar.Names
    }

    /// A child that tolerates others because its parent does counts as told so, for a reopen.
    let private handForceShare (parent: BlockdevSpec) (child: BlockdevSpec) : BlockdevSpec =
        match parent.Given.TryFind "force-share" with
        | Some value when not (child.Given.ContainsKey "force-share") -> {
            child with
                Given = child.Given.Add("force-share", value)
          }
        | _ -> child

    /// Plans one node with everything below it; gives its number.
    let rec private walk
        (graph: Graph)
        (depth: int)
        (inherited: NodeOptions option)
        (spec: BlockdevSpec)
        (sofar: Planning)
        : Result<struct (int * Planning), Stopped> =
        let options = BlockdevSpec.settle inherited spec

        result {
            if depth > MaxDepth then
                do! stopOn sofar (QapiError.fail "Block nodes are nested too deeply")

            let! struct (children, below) = walkChildren graph depth options spec sofar
            do! stopOn below (BlockdevSpec.checkCommon spec.Driver options)
            do! stopOn below (checkName graph below spec.NodeName)
            do! stopOn below (BlockdevSpec.checkDriver graph spec.Driver)
            do! stopOn below (spec.Mistake |> Option.map Error |> Option.defaultValue (Ok()))

            let node = {
                Name = spec.NodeName
                Driver = spec.Driver
                Options = options
                Children = children
                MonitorOwned = inherited.IsNone
                Given = spec.Given
            }

            return struct (below.Count, planned node below)
        }

    and private walkChildren
        (graph: Graph)
        (depth: int)
        (options: NodeOptions)
        (spec: BlockdevSpec)
        (sofar: Planning)
        : Result<struct ((string * PlannedTarget) list * Planning), Stopped> =
        let step state (name, child) =
            result {
                let! struct (targets, sofar) = state

                match child with
                | Reference reference ->
                    let! node =
                        Graph.findReference reference graph
                        |> Result.mapError (fun error -> { Error = error; Sofar = sofar })

                    return struct (targets @ [ name, ExistingNode(node.Id, reference) ], sofar)
                | Inline spec' ->
                    let inherited = Some(BlockdevSpec.inheritOptions options)
                    let described = handForceShare spec spec'
                    let! struct (index, sofar) = walk graph (depth + 1) inherited described sofar
                    return struct (targets @ [ name, PlannedNode index ], sofar)
            }

        List.fold step (Ok(struct ([], sofar))) spec.Children

    /// Checks a description and lists the files to open. An error here means that nothing has to be opened. A root
    /// without a name gets a generated one.
    let planUnnamed (spec: BlockdevSpec) (graph: Graph) : Result<AddPlan, QapiError> =
        let nothing = {
            OpensReversed = []
            NodesReversed = []
            Count = 0
            Names = Set.empty
        }

        let toPlan (sofar: Planning) failure = {
            Opens = List.rev sofar.OpensReversed
            Nodes = List.rev sofar.NodesReversed
            Failure = failure
        }

        match walk graph 0 None spec nothing with
        | Ok struct (_, sofar) -> Ok(toPlan sofar None)
        | Error { Error = error; Sofar = sofar } when sofar.Count = 0 -> Error error
        | Error stopped -> Ok(toPlan stopped.Sofar (Some stopped.Error))

    /// The same for blockdev-add.
    let plan (spec: BlockdevSpec) (graph: Graph) : Result<AddPlan, QapiError> =
        if spec.NodeName.IsNone then
            QapiError.fail "'node-name' must be specified for the root node"
        else
            planUnnamed spec graph

    let private checkOpened (kind: FileKind) (file: FileOptions) (options: NodeOptions) (opened: OpenedFile) =
        let requires what =
            QapiError.fail (
                "'"
                + Driver.name (File(kind, file))
                + "' driver requires '"
                + file.Filename
                + "' "
                + what
            )

        match kind, opened.Kind with
        | _ when file.Aio = AioNative && not options.Direct ->
            QapiError.fail "aio=native was specified, but it requires cache.direct=on, which was not specified."
        | RegularFile, PlainFile -> Ok()
        | RegularFile, _ -> requires "to be a regular file"
        | _, (BlockDevice | CharacterDevice) -> Ok()
        | _ -> requires "to be either a character or block device"

    let private checkLength (bytes: int64) : Result<int64, QapiError> =
        if bytes > Raw.MaxLengthBytes then
            QapiError.fail "Could not refresh total sector count: File too large"
        else
            Ok(Raw.roundUpToSector (max 0L bytes))

    /// The default length of a null node: 1 GiB.
    [<Literal>]
    let private DefaultNullBytes = 1073741824L

    /// A filter is as its child, but for its name and what it asks of requests.
    let private filtered (driver: Driver) (child: Node) : struct (int64 * int * string option) =
        struct (child.SizeBytes, max (Driver.alignment driver) child.AlignmentBytes, None)

    let private checkQuorum (options: QuorumOptions) (children: Node list) : Result<unit, QapiError> =
        let count = int64 children.Length

        if options.VoteThreshold < 1L then
            QapiError.fail "Parameter 'vote-threshold' expects a value >= 1"
        elif options.VoteThreshold > count then
            QapiError.fail "threshold may not exceed children count"
        elif count > int64 Quorum.MaxChildren then
            QapiError.fail "Too many children"
        elif options.BlkVerify && (count <> 2L || options.VoteThreshold <> 2L) then
            QapiError.fail "blkverify=on can only be set if there are exactly two files and vote-threshold is 2"
        elif options.BlkVerify && options.RewriteCorrupted then
            QapiError.fail "rewrite-corrupted=on cannot be used with blkverify=on"
        else
            Ok()

    let private measureQuorum (options: QuorumOptions) (children: Node list) =
        match children with
        | [] -> QapiError.fail "Number of provided children must be 1 or more"
        | first :: rest ->
            result {
                do! checkQuorum options children

                if rest |> List.exists (fun child -> child.SizeBytes <> first.SizeBytes) then
                    return! QapiError.fail "Could not refresh total sector count: Input/output error"
                else
                    return struct (first.SizeBytes, children |> List.map _.AlignmentBytes |> List.max, None)
            }

    /// The node of copy-on-read's `bottom` must be in the chain below, and no filter.
    let private checkBottom (graph: Graph) (child: Node) (bottom: string option) : Result<unit, QapiError> =
        let rec isBelow (node: Node) (name: string) =
            node.Name = name
            || match
                node.Children
                |> List.tryFind (fun c -> c.Role.HasFlag ChildRole.Filtered || c.Role.HasFlag ChildRole.Cow)
               with
               | Some next -> isBelow (Graph.node next.Node graph) name
               | None -> false

        match bottom with
        | None -> Ok()
        | Some name ->
            match Graph.tryByName name graph with
            | None -> QapiError.fail ("Bottom node '" + name + "' not found")
            | Some node when Driver.isFilter node.Driver -> QapiError.fail ("Bottom node '" + name + "' is a filter")
            | Some _ when not (isBelow child name) ->
                QapiError.fail ("Bottom node '" + name + "' is not in the chain below '" + child.Name + "'")
            | Some _ -> Ok()

    let private checkPreallocate (options: PreallocateOptions) : Result<unit, QapiError> =
        if options.AlignBytes % Raw.SectorBytes <> 0L then
            "prealloc-align parameter of preallocate filter is not aligned to "
            + string Raw.SectorBytes
            |> QapiError.fail
        else
            Ok()

    /// Length, alignment and plain file name of a node.
    let private measure
        (graph: Graph)
        (node: PlannedNode)
        (outcome: OpenOutcome option)
        (children: Node list)
        : Result<struct (int64 * int * string option), QapiError> =
        match node.Driver, outcome, List.tryHead children with
        | File(_, file), Some(NotOpened reason), _ -> Error(OpenFailure.error file.Filename reason)
        | File(kind, file), Some(Opened opened), _ ->
            result {
                do! checkOpened kind file node.Options opened
                let! bytes = checkLength opened.SizeBytes
                return struct (bytes, max 1 opened.AlignmentBytes, Some file.Filename)
            }
        | Null(_, options), _, _ ->
            result {
                let! bytes = checkLength (defaultArg options.SizeBytes DefaultNullBytes)
                return struct (bytes, 1, Filename.ofNull node.Driver options)
            }
        | Raw options, _, Some child ->
            result {
                let! geometry = Raw.settle options child.SizeBytes
                return struct (geometry.LengthBytes, child.AlignmentBytes, Filename.ofRaw options child)
            }
        | Throttle group, _, Some child when graph.ThrottleGroups.ContainsKey group -> Ok(filtered node.Driver child)
        | Throttle group, _, Some _ -> QapiError.fail ("Throttle group '" + group + "' does not exist")
        | CopyOnRead bottom, _, Some child ->
            checkBottom graph child bottom
            |> Result.map (fun () -> filtered node.Driver child)
        | Compress, _, Some child when Driver.canCompress child.Driver -> Ok(filtered node.Driver child)
        | Compress, _, Some child ->
            QapiError.fail (
                "Compression is not supported for underlying format: "
                + Driver.name child.Driver
            )
        | Preallocate options, _, Some child ->
            checkPreallocate options |> Result.map (fun () -> filtered node.Driver child)
        | Quorum options, _, _ -> measureQuorum options children
        | BlkVerify, _, Some raw ->
            match children with
            | [ _; test ] ->
                let struct (size, alignment, _) = filtered node.Driver test
                Ok struct (size, max alignment raw.AlignmentBytes, Filename.ofBlkVerify raw test)
            | _ -> QapiError.fail "The node lacks an image"
        | BlkDebug options, _, Some image ->
            BlkDebugLimits.check options.Limits
            |> Result.map (fun () ->
                let struct (size, alignment, _) = filtered node.Driver image
                struct (size, alignment, Filename.ofBlkDebug node.Given options image))
        | BlkLogWrites _, _, Some file -> Ok(filtered node.Driver file)
        | _ -> QapiError.fail "The node lacks its file"

    let private takeName (node: PlannedNode) (graph: Graph) : Result<struct (string * Graph), QapiError> =
        match node.Name with
        // Once more, because other commands may have run while the files were opened.
        | Some name ->
            NodeName.check graph.ByName.ContainsKey name
            |> Result.map (fun () -> struct (name, graph))
        | None ->
            let struct (name, names) = NodeName.generate graph.Names
            Ok(struct (name, { graph with Names = names }))

    let private childId (ids: Map<int, NodeId>) (graph: Graph) (target: PlannedTarget) : Result<NodeId, QapiError> =
        match target with
        | PlannedNode index -> Ok ids[index]
        | ExistingNode(id, _) when graph.Nodes.ContainsKey id -> Ok id
        | ExistingNode(_, reference) -> Graph.findReference reference graph |> Result.map _.Id

    let private childIds (ids: Map<int, NodeId>) (graph: Graph) (node: PlannedNode) =
        let step state (name, target) =
            result {
                let! found = state
                let! id = childId ids graph target
                return (name, id) :: found
            }

        List.fold step (Ok []) node.Children |> Result.map List.rev

    let private insert (node: PlannedNode) (name: string) struct (size, alignment, filename) (graph: Graph) =
        let id = graph.NextNode

        let added: Node = {
            Id = id
            Name = name
            Driver = node.Driver
            Options = node.Options
            Children = []
            Parents = Map.empty
            Users = Users.empty
            BackendCount = 0
            FixedBackendCount = 0
            Context = None
            SizeBytes = size
            AlignmentBytes = alignment
            ExactFilename = filename
            MonitorOwned = node.MonitorOwned
            Given = node.Given
            InheritsFrom = None
            WriteThreshold = 0UL
            NextChild = node.Children.Length
        }

        struct (id,
                {
                    graph with
                        Nodes = graph.Nodes.Add(id, added)
                        ByName = graph.ByName.Add(name, id)
                        NextNode = graph.NextNode + 1L<nodeId>
                        Preallocating =
                            if node.Driver.IsPreallocate then
                                graph.Preallocating.Add id
                            else
                                graph.Preallocating
                })

    /// A child that was described in its parent remembers that.
    let private adoptInline (planned: PlannedNode) (parent: NodeId) (graph: Graph) (childName: string, child: NodeId) =
        match planned.Children |> List.tryFind (fun (name, _) -> name = childName) with
        | Some(_, PlannedNode _) -> Graph.putNode { Graph.node child graph with InheritsFrom = Some parent } graph
        | _ -> graph

    let private commitNode (state: AddCommit) (node: PlannedNode) : Result<AddCommit, QapiError> =
        result {
            let isFile, outcome, rest =
                match node.Driver, state.Outcomes with
                | File _, first :: rest -> true, Some first, rest
                | _, outcomes -> false, None, outcomes

            let! struct (name, graph) = takeName node state.Graph
            let! children = childIds state.Ids graph node
            let! measured = measure graph node outcome (children |> List.map (fun (_, id) -> Graph.node id graph))
            let struct (id, graph) = insert node name measured graph

            let attach graph (childName, child) =
                graph |> Result.bind (Children.attach id childName child)

            let! graph = children |> List.fold attach (Ok graph)
            do! BlockdevSpec.checkOpen node.Driver
            let graph = children |> List.fold (adoptInline node id) graph

            return {
                state with
                    Graph = graph
                    Index = state.Index + 1
                    Ids = state.Ids.Add(state.Index, id)
                    Outcomes = rest
                    FilesReversed =
                        if isFile then
                            id :: state.FilesReversed
                        else
                            state.FilesReversed
            }
        }

    let private change (root: NodeId) (state: AddCommit) : GraphChange =
        GraphChange.between true [ root ] state.Applied state.Graph

    let rec private go (state: AddCommit) : Result<AddProgress, QapiError> =
        match List.tryItem state.Index state.Plan.Nodes, state.Plan.Failure with
        | None, Some error -> Error error
        | None, None ->
            let root = state.Ids[state.Index - 1]

            Complete {
                Change = change root state
                Root = root
                Files = List.rev state.FilesReversed
                Rest = state
            }
            |> Ok
        | Some node, _ ->
            match commitNode state node with
            | Error error -> Error error
            | Ok state when Driver.opensByReading node.Driver ->
                let id = state.Ids[state.Index - 1]
                let files = List.rev state.FilesReversed

                Opening {
                    Node = id
                    Change = change id state
                    Files = files
                    Rest = {
                        state with
                            Applied = state.Graph
                            FilesReversed = []
                            Earlier = id :: files @ state.Earlier
                    }
                }
                |> Ok
            | Ok state -> go state

    /// Turns a plan and the outcomes of its openings (one each, in order) into the next graph. After an error every
    /// file that was opened is to be closed.
    let start (plan: AddPlan) (outcomes: OpenOutcome list) (graph: Graph) : Result<AddProgress, QapiError> =
        go {
            Plan = plan
            Applied = graph
            Graph = graph
            Index = 0
            Ids = Map.empty
            Outcomes = outcomes
            FilesReversed = []
            Earlier = []
        }

    /// Goes on with a plan after a node has found out its length and the unit of its requests, in bytes.
    let resume (opening: LayerOpening) (sizeBytes: int64) (alignmentBytes: int) : Result<AddProgress, QapiError> =
        result {
            let! size = checkLength sizeBytes
            let node = Graph.node opening.Node opening.Rest.Graph

            let graph =
                Graph.putNode
                    {
                        node with
                            SizeBytes = size
                            AlignmentBytes = max node.AlignmentBytes alignmentBytes
                    }
                    opening.Rest.Graph

            return! go { opening.Rest with Graph = graph }
        }

    /// After a plan has failed: what undoes what was applied of it, back to `graph`. The `Close` nodes go, with their
    /// files.
    let undo (rest: AddCommit) (graph: Graph) : GraphChange =
        let roots =
            rest.Plan.Nodes
            |> List.collect _.Children
            |> List.choose (fun (_, target) ->
                match target with
                | ExistingNode(id, _) when graph.Nodes.ContainsKey id -> Some id
                | _ -> None)

        {
            GraphChange.between true roots rest.Applied graph with
                Close = rest.Earlier
        }

    /// A plan of nodes none of which has to read its children.
    let commit (plan: AddPlan) (outcomes: OpenOutcome list) (graph: Graph) : Result<AddedNodes, QapiError> =
        match start plan outcomes graph with
        | Ok(Complete added) -> Ok added
        | Ok(Opening opening) ->
            QapiError.fail (
                "'"
                + Driver.name (Graph.node opening.Node opening.Rest.Graph).Driver
                + "' cannot be opened here"
            )
        | Error error -> Error error
