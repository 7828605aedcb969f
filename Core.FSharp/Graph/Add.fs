namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Image
open StorageDaemon.Core.Qcow2

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
    /// Children that are looked for once the image has told what it is, as far as they were given.
    Later: (string * ChildSpec) list
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

/// A node whose next child is being made.
[<NoComparison; NoEquality>]
type internal Suspended = {
    Parent: NodeId
    /// The child's name.
    Child: string
    /// What comes after the child.
    Plan: AddPlan
    Index: int
    Ids: Map<int, NodeId>
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
    /// Nodes of the old graph that new ones stand on.
    Existing: NodeId list
    /// The parents of the plan's root, the innermost first.
    Above: Suspended list
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
    /// A node has a child that its image names. It is to be described, and `Add.describe` goes on.
    | Naming of ImageNaming
    /// More files are to be opened, in order; `Add.opened` goes on with their outcomes.
    | Files of OpenRequest list * AddCommit

and [<NoComparison; NoEquality>] LayerOpening = {
    Node: NodeId
    Change: GraphChange
    Files: NodeId list
    Rest: AddCommit
}

and [<NoComparison; NoEquality>] ImageNaming = { Parent: NodeId; Named: NamedImage; Rest: AddCommit }

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

            let later, first = spec.Children |> List.partition (fst >> Driver.opensLater spec.Driver)
            let! struct (children, below) = walkChildren graph depth options { spec with Children = first } sofar
            do! stopOn below (BlockdevSpec.checkCommon spec.Driver options)
            do! stopOn below (checkName graph below spec.NodeName)
            do! stopOn below (BlockdevSpec.checkDriver graph spec.Driver)
            do! stopOn below (spec.Mistake |> Option.map Error |> Option.defaultValue (Ok()))

            let node = {
                Name = spec.NodeName
                Driver = spec.Driver
                Options = options
                Children = children
                Later = later
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
        // What was said of this node's own activity does not reach its children.
        let options =
            if spec.Active.IsSome then
                { options with Active = true }
            else
                options

        let step state (name, child) =
            result {
                let! struct (targets, sofar) = state
                let inherited = Some(BlockdevSpec.inheritAs name options)

                match child with
                | Reference reference ->
                    let! node =
                        Graph.findReference reference graph
                        |> Result.mapError (fun error -> { Error = error; Sofar = sofar })

                    return struct (targets @ [ name, ExistingNode(node.Id, reference) ], sofar)
                | Nothing -> return struct (targets, sofar)
                | Inline spec' ->
                    let described = handForceShare spec spec'
                    let! struct (index, sofar) = walk graph (depth + 1) inherited described sofar
                    return struct (targets @ [ name, PlannedNode index ], sofar)
            }

        List.fold step (Ok(struct ([], sofar))) spec.Children

    let private toPlan (sofar: Planning) failure = {
        Opens = List.rev sofar.OpensReversed
        Nodes = List.rev sofar.NodesReversed
        Failure = failure
    }

    let private planFrom depth inherited (spec: BlockdevSpec) (graph: Graph) : Result<AddPlan, QapiError> =
        let nothing = {
            OpensReversed = []
            NodesReversed = []
            Count = 0
            Names = Set.empty
        }

        match walk graph depth inherited spec nothing with
        | Ok struct (_, sofar) -> Ok(toPlan sofar None)
        | Error { Error = error; Sofar = sofar } when sofar.Count = 0 -> Error error
        | Error stopped -> Ok(toPlan stopped.Sofar (Some stopped.Error))

    /// Checks a description and lists the files to open. An error here means that nothing has to be opened. A root
    /// without a name gets a generated one.
    let planUnnamed (spec: BlockdevSpec) (graph: Graph) : Result<AddPlan, QapiError> = planFrom 0 None spec graph

    /// The same for blockdev-add.
    let plan (spec: BlockdevSpec) (graph: Graph) : Result<AddPlan, QapiError> =
        if spec.NodeName.IsNone then
            QapiError.fail "'node-name' must be specified for the root node"
        else
            planUnnamed spec graph

    /// The same for an overlay, which nobody keeps but its users.
    let planOverlay (spec: BlockdevSpec) (graph: Graph) : Result<AddPlan, QapiError> =
        planUnnamed spec graph
        |> Result.map (fun plan -> {
            plan with
                Nodes = plan.Nodes |> List.map (fun node -> { node with MonitorOwned = false })
        })

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
        // Its header says the rest.
        | Qcow2 _, _, Some file -> Ok struct (0L, 1, Filename.ofImage file)
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
            Header = None
            AutoBackingFile = None
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

    /// The plan of a child stands: the node above has it, and goes on.
    let private leave (state: AddCommit) (suspended: Suspended) : Result<AddCommit, QapiError> =
        let child = state.Ids[state.Index - 1]

        Children.attach suspended.Parent suspended.Child child state.Graph
        |> Result.map (fun graph -> {
            state with
                Graph =
                    Graph.putNode
                        {
                            Graph.node child graph with
                                InheritsFrom = Some suspended.Parent
                        }
                        graph
                Plan = suspended.Plan
                Index = suspended.Index
                Ids = suspended.Ids
                Above = List.tail state.Above
        })

    /// A node reads its children, with the files below in place.
    let private opening (id: NodeId) (state: AddCommit) : AddProgress =
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

    let private withExisting (node: PlannedNode) (state: AddCommit) : AddCommit =
        let existing =
            node.Children
            |> List.choose (fun (_, target) ->
                match target with
                | ExistingNode(id, _) -> Some id
                | PlannedNode _ -> None)

        { state with Existing = existing @ state.Existing }

    let rec private go (state: AddCommit) : Result<AddProgress, QapiError> =
        match List.tryItem state.Index state.Plan.Nodes, state.Plan.Failure, state.Above with
        | None, Some error, _ -> Error error
        | None, None, suspended :: _ -> leave state suspended |> Result.bind (afterChild suspended)
        | None, None, [] ->
            let root = state.Ids[state.Index - 1]

            Complete {
                Change = change root state
                Root = root
                Files = List.rev state.FilesReversed
                Rest = state
            }
            |> Ok
        | Some node, _, _ ->
            match commitNode (withExisting node state) node with
            | Error error -> Error error
            | Ok state when Driver.opensByReading node.Driver -> Ok(opening state.Ids[state.Index - 1] state)
            | Ok state -> go state

    /// A node that has just got a child: with its data file it can be opened; with its backing image it is complete.
    and private afterChild (suspended: Suspended) (state: AddCommit) : Result<AddProgress, QapiError> =
        if suspended.Child = Driver.BackingName then
            go {
                state with
                    Graph = Children.refreshAbove suspended.Parent (noteBacking suspended.Parent state.Graph)
            }
        else
            Ok(opening suspended.Parent state)

    /// What an image says of its backing image counts as what the image got, when it got it from there.
    and private noteBacking (parent: NodeId) (graph: Graph) : Graph =
        let node = Graph.node parent graph

        match Children.tryFind Driver.BackingName node with
        | Some child when not (Driver.givesBacking node.Driver) ->
            let backing = Graph.node child.Node graph

            Graph.putNode
                {
                    node with
                        AutoBackingFile = Some(Filename.ofNode graph backing)
                }
                graph
        | _ -> graph

    /// Begins with another plan, for a child of a node; what is left of the present one comes after.
    let private enter (parent: NodeId) (child: string) (plan: AddPlan) (state: AddCommit) =
        let suspended = {
            Parent = parent
            Child = child
            Plan = state.Plan
            Index = state.Index
            Ids = state.Ids
        }

        let next = {
            state with
                Plan = plan
                Index = 0
                Ids = Map.empty
                Above = suspended :: state.Above
        }

        if plan.Opens.IsEmpty then
            go next
        else
            Ok(Files(plan.Opens, next))

    /// Goes on with a plan after the files of a child have been tried, in order.
    let opened (state: AddCommit) (outcomes: OpenOutcome list) : Result<AddProgress, QapiError> =
        go { state with Outcomes = outcomes }

    /// Uses a node that exists as a child.
    let private attachExisting (parent: NodeId) (child: string) (reference: string) (state: AddCommit) =
        result {
            let! target = Graph.findReference reference state.Graph
            let! graph = Children.attach parent child target.Id state.Graph

            let next = {
                state with
                    Graph = graph
                    Existing = target.Id :: state.Existing
            }

            let suspended = {
                Parent = parent
                Child = child
                Plan = state.Plan
                Index = state.Index
                Ids = state.Ids
            }

            return! afterChild suspended next
        }

    let private planned' (state: AddCommit) (id: NodeId) : PlannedNode option =
        state.Ids
        |> Map.tryFindKey (fun _ node -> node = id)
        |> Option.map (fun index -> state.Plan.Nodes[index])

    /// The child as it was described, or as the image's name for it was.
    let private makeChild (parent: NodeId) (child: string) (spec: BlockdevSpec) (state: AddCommit) =
        let node = Graph.node parent state.Graph
        let depth = state.Above.Length + 1
        let inherited = Some(BlockdevSpec.inheritAs child node.Options)

        planFrom depth inherited spec state.Graph
        |> Result.bind (fun plan -> enter parent child plan state)

    /// What follows once a node has told which child it lacks: it was given, or the image names it, or there is none.
    let private provide (parent: NodeId) (child: string) (named: NamedImage option) (state: AddCommit) otherwise =
        let given =
            planned' state parent
            |> Option.bind (fun planned -> planned.Later |> List.tryFind (fun (name, _) -> name = child))

        match given, named with
        | Some(_, Reference reference), _ -> attachExisting parent child reference state
        | Some(_, Inline spec), _ -> makeChild parent child spec state
        | Some(_, Nothing), _ -> otherwise ()
        | None, Some named -> Ok(Naming { Parent = parent; Named = named; Rest = state })
        | None, None -> otherwise ()

    /// Goes on with a child that an image names, as it is to be made.
    let describe (naming: ImageNaming) (spec: BlockdevSpec) : Result<AddProgress, QapiError> =
        makeChild naming.Parent naming.Named.Child spec naming.Rest

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
            Existing = []
            Above = []
        }

    /// Goes on with a plan after a node has found out what it is.
    let resume (opening: LayerOpening) (found: NodeFacts) : Result<AddProgress, QapiError> =
        result {
            let! size = checkLength found.SizeBytes
            let node = Graph.node opening.Node opening.Rest.Graph

            let graph =
                Graph.putNode
                    {
                        node with
                            SizeBytes = size
                            AlignmentBytes =
                                if Driver.isImage node.Driver then
                                    found.AlignmentBytes
                                else
                                    max node.AlignmentBytes found.AlignmentBytes
                            Header = found.Header
                            AutoBackingFile =
                                found.Header
                                |> Option.bind (fun header -> header.BackingFile)
                                |> Option.map Header.nameText
                    }
                    opening.Rest.Graph

            let state = {
                opening.Rest with
                    Graph =
                        if Driver.isImage node.Driver then
                            Children.refreshAbove opening.Node graph
                        else
                            graph
            }

            let named = found.Header |> Option.bind NamedImage.backing
            return! provide opening.Node Driver.BackingName named state (fun () -> go state)
        }

    /// Goes on with a plan after a node has told that it needs the file that its image keeps the data in.
    let provideDataFile (opening: LayerOpening) (named: NamedImage option) : Result<AddProgress, QapiError> =
        provide opening.Node Driver.DataFileName named opening.Rest (fun () ->
            QapiError.fail "'data-file' is required for this image")

    /// The graph with what there is of a plan so far.
    let graph (state: AddCommit) : Graph = state.Graph

    /// The error of a plan that was stopped, as the nodes above tell it.
    let explain (state: AddCommit) (error: QapiError) : QapiError =
        state.Above
        |> List.fold
            (fun (error: QapiError) suspended ->
                if suspended.Child = Driver.BackingName then
                    {
                        error with
                            Desc = "Could not open backing file: " + error.Desc
                    }
                else
                    error)
            error

    /// The error of a child that an image names wrongly.
    let explainChild (naming: ImageNaming) (error: QapiError) : QapiError =
        if naming.Named.Child = Driver.BackingName then
            {
                error with
                    Desc = "Could not open backing file: " + error.Desc
            }
        else
            error

    /// After a plan has failed: what undoes what was applied of it, back to `graph`. The `Close` nodes go, with their
    /// files.
    let undo (rest: AddCommit) (graph: Graph) : GraphChange =
        let roots = rest.Existing |> List.filter graph.Nodes.ContainsKey

        {
            GraphChange.between true roots rest.Applied graph with
                Close = rest.Earlier
        }

    /// A plan of nodes none of which has to read its children.
    let commit (plan: AddPlan) (outcomes: OpenOutcome list) (graph: Graph) : Result<AddedNodes, QapiError> =
        match start plan outcomes graph with
        | Ok(Complete added) -> Ok added
        | Ok(Opening _ | Naming _ | Files _) -> QapiError.fail "A node that reads its children cannot be opened here"
        | Error error -> Error error
