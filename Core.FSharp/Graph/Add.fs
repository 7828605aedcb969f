namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Qcow2

/// A node whose next child is being made.
[<NoComparison; NoEquality>]
type internal Suspended = {
    Parent: NodeId
    /// The child's name.
    Child: string
    /// Whether the child was not described, but named by the parent's image.
    IsNamed: bool
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
            Snapshots = []
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
            let! measured =
                NodeMeasure.measure graph node outcome (children |> List.map (fun (_, id) -> Graph.node id graph))
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
        | None, None, suspended :: _ ->
            leave state suspended
            |> Result.bind (afterChild suspended.Parent suspended.Child suspended.IsNamed)
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
    and private afterChild parent child (isNamed: bool) (state: AddCommit) : Result<AddProgress, QapiError> =
        if child <> Driver.BackingName then
            Ok(opening parent state)
        else
            let graph =
                if isNamed then
                    noteBacking parent state.Graph
                else
                    state.Graph
            go { state with Graph = Children.refreshAbove parent graph }

    /// What an image says of its backing image counts as what the image got, when it got it from there.
    and private noteBacking (parent: NodeId) (graph: Graph) : Graph =
        let node = Graph.node parent graph

        let name =
            Children.tryFind Driver.BackingName node
            |> Option.map (fun child -> Filename.ofNode graph (Graph.node child.Node graph))

        Graph.putNode { node with AutoBackingFile = name } graph

    /// Begins with another plan, for a child of a node; what is left of the present one comes after.
    let private enter (parent: NodeId) (child: string) (isNamed: bool) (plan: AddPlan) (state: AddCommit) =
        let suspended = {
            Parent = parent
            Child = child
            IsNamed = isNamed
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

            return!
                afterChild parent child false {
                    state with
                        Graph = graph
                        Existing = target.Id :: state.Existing
                }
        }

    let private planned' (state: AddCommit) (id: NodeId) : PlannedNode option =
        state.Ids
        |> Map.tryFindKey (fun _ node -> node = id)
        |> Option.map (fun index -> state.Plan.Nodes[index])

    /// The child as it was described, or as the image's name for it was.
    let private makeChild (parent: NodeId) (child: string) (isNamed: bool) (spec: BlockdevSpec) (state: AddCommit) =
        let node = Graph.node parent state.Graph
        let depth = state.Above.Length + 1
        let inherited = Some(BlockdevSpec.inheritAs child node.Options)

        AddPlan.ofChild depth inherited spec state.Graph
        |> Result.bind (fun plan -> enter parent child isNamed plan state)

    /// What follows once a node has told which child it lacks: it was given, or the image names it, or there is none.
    let private provide (parent: NodeId) (child: string) (named: NamedImage option) (state: AddCommit) otherwise =
        let given =
            planned' state parent
            |> Option.bind (fun planned -> planned.Later |> List.tryFind (fun (name, _) -> name = child))

        match given, named with
        | Some(_, Reference reference), _ -> attachExisting parent child reference state
        | Some(_, Inline spec), _ -> makeChild parent child false spec state
        | Some(_, Nothing), _ -> otherwise ()
        | None, Some named -> Ok(Naming { Parent = parent; Named = named; Rest = state })
        | None, None -> otherwise ()

    /// Goes on with a child that an image names, as it is to be made.
    let describe (naming: ImageNaming) (spec: BlockdevSpec) : Result<AddProgress, QapiError> =
        makeChild naming.Parent naming.Named.Child true spec naming.Rest

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
            let! size = NodeMeasure.checkLength found.SizeBytes
            let node = Graph.node opening.Node opening.Rest.Graph

            let graph =
                Graph.putNode
                    {
                        node with
                            SizeBytes = size
                            AlignmentBytes = max node.AlignmentBytes found.AlignmentBytes
                            Header = found.Header
                            Snapshots = found.Snapshots
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

    /// The error of a node's child, as the node tells it.
    let private explainChild (child: string) (error: QapiError) : QapiError =
        if child = Driver.BackingName then
            {
                error with
                    Desc = "Could not open backing file: " + error.Desc
            }
        else
            error

    /// The error of a plan that was stopped, as the nodes above tell it.
    let explain (state: AddCommit) (error: QapiError) : QapiError =
        state.Above
        |> List.fold (fun error suspended -> explainChild suspended.Child error) error

    /// The error of a child that an image names and that cannot be, as the image's node tells it.
    let explainNamed (naming: ImageNaming) (error: QapiError) : QapiError = explainChild naming.Named.Child error

    /// After a plan has failed: what undoes what was applied of it, back to `graph`. The `Close` nodes go, with their
    /// files.
    let undo (rest: AddCommit) (graph: Graph) : GraphChange =
        let roots = rest.Existing |> List.filter graph.Nodes.ContainsKey

        {
            GraphChange.between true roots rest.Applied graph with
                Close = rest.Earlier
        }
