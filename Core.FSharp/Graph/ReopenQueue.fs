namespace StorageDaemon.Core.Graph

open StorageDaemon.Core

/// A node that a reopen reaches.
[<NoComparison; NoEquality>]
type internal QueuedReopen = {
    Node: Node
    /// What was given for it: by this command, and by earlier ones where the node keeps that.
    Spec: BlockdevSpec
    Options: NodeOptions
    /// Its parent only refers to it: nothing but options of all nodes can change.
    IsKept: bool
}

/// Which nodes a reopen reaches, and with which options: those that the command names, and the children that they were
/// once described with, however far down.
module internal ReopenQueue =
    /// Options that a node has from its own description or from a parent's, as it hands them to its children. What
    /// nobody gave is not handed on.
    [<NoComparison>]
    type private Handed = {
        HandedReadOnly: bool option
        HandedAutoReadOnly: bool option
        HandedDirect: bool option
        HandedNoFlush: bool option
    }

    let private nothing: Handed = {
        HandedReadOnly = None
        HandedAutoReadOnly = None
        HandedDirect = None
        HandedNoFlush = None
    }

    /// How the command comes to a node.
    type private Way =
        /// By its name.
        | Named
        /// Its parent describes it once more.
        | Described
        /// Its parent only refers to it: what is not handed to it stays.
        | Kept

    let private handOn (handed: Handed) (spec: BlockdevSpec) : Handed = {
        HandedReadOnly = Option.orElse handed.HandedReadOnly spec.ReadOnly
        HandedAutoReadOnly = Option.orElse handed.HandedAutoReadOnly spec.AutoReadOnly
        HandedDirect = Option.orElse handed.HandedDirect spec.Direct
        HandedNoFlush = Option.orElse handed.HandedNoFlush spec.NoFlush
    }

    /// Discards stay as they are for a node that is named; what lies below may always discard unless it is told not to.
    let private settle (way: Way) (handed: Handed) (node: Node) (spec: BlockdevSpec) : NodeOptions =
        let start =
            match way with
            | Kept -> node.Options
            | Named
            | Described -> BlockdevSpec.defaults

        let from: NodeOptions = {
            start with
                ReadOnly = defaultArg handed.HandedReadOnly start.ReadOnly
                AutoReadOnly = defaultArg handed.HandedAutoReadOnly start.AutoReadOnly
                Direct = defaultArg handed.HandedDirect start.Direct
                NoFlush = defaultArg handed.HandedNoFlush start.NoFlush
                Discard =
                    match way with
                    | Named -> node.Options.Discard
                    | Described
                    | Kept -> DiscardUnmap
        }

        BlockdevSpec.settle (Some from) spec

    /// A node that is only referred to, described with all that was ever given for it.
    let asGiven (graph: Graph) (node: Node) : BlockdevSpec =
        let ifGiven name value =
            if node.Given.ContainsKey name then Some value else None

        let children =
            node.Children
            |> List.map (fun child -> child.Name, Reference (Graph.node child.Node graph).Name)

        let options = node.Options

        {
            BlockdevSpec.ofDriver (Some node.Name) node.Driver children with
                ReadOnly = ifGiven "read-only" options.ReadOnly
                AutoReadOnly = ifGiven "auto-read-only" options.AutoReadOnly
                Discard = ifGiven "discard" options.Discard
                DetectZeroes = ifGiven "detect-zeroes" options.DetectZeroes
                Direct = ifGiven "cache.direct" options.Direct
                NoFlush = ifGiven "cache.no-flush" options.NoFlush
                Given = node.Given
        }

    /// A node that a command comes to more than once: what was given last counts.
    let private merge (earlier: BlockdevSpec) (later: BlockdevSpec) : BlockdevSpec = {
        later with
            ReadOnly = Option.orElse earlier.ReadOnly later.ReadOnly
            AutoReadOnly = Option.orElse earlier.AutoReadOnly later.AutoReadOnly
            Discard = Option.orElse earlier.Discard later.Discard
            DetectZeroes = Option.orElse earlier.DetectZeroes later.DetectZeroes
            Direct = Option.orElse earlier.Direct later.Direct
            NoFlush = Option.orElse earlier.NoFlush later.NoFlush
            Given =
                later.Given
                |> Map.fold (fun given name value -> given.Add(name, value)) earlier.Given
            Driver =
                match earlier.Driver, later.Driver with
                | Raw earlier, Raw later ->
                    Raw {
                        OffsetBytes = Option.orElse earlier.OffsetBytes later.OffsetBytes
                        SizeBytes = Option.orElse earlier.SizeBytes later.SizeBytes
                    }
                | _, driver -> driver
    }

    /// Nodes in the order in which the command came to them first, the last one first.
    [<NoComparison; NoEquality>]
    type private Queue = {
        Entries: Map<NodeId, QueuedReopen>
        Reversed: NodeId list
    }

    let private put (entry: QueuedReopen) (queue: Queue) : Queue =
        let id = entry.Node.Id

        {
            Entries = queue.Entries.Add(id, entry)
            Reversed =
                if queue.Entries.ContainsKey id then
                    queue.Reversed
                else
                    id :: queue.Reversed
        }

    /// The recursion is as deep as descriptions were.
    let rec private add
        (graph: Graph)
        (way: Way)
        (handed: Handed)
        (node: Node)
        (given: BlockdevSpec)
        (queue: Queue)
        : Queue =
        let spec =
            match queue.Entries.TryFind node.Id, way with
            | Some earlier, Kept -> { earlier.Spec with Children = given.Children }
            | Some earlier, _ -> merge earlier.Spec given
            | None, _ -> given

        let entry = {
            Node = node
            Spec = spec
            Options = settle way handed node spec
            IsKept = way.IsKept
        }

        let handed = handOn handed spec

        let below (queue: Queue) (name, child) =
            match Children.tryFind name node with
            | None -> queue
            | Some present ->
                let target = Graph.node present.Node graph

                match child with
                | _ when target.InheritsFrom <> Some node.Id -> queue
                | Inline described -> add graph Described handed target described queue
                | Reference reference when reference = target.Name ->
                    add graph Kept handed target (asGiven graph target) queue
                | Reference _
                | Nothing -> queue

        spec.Children |> List.fold below (put entry queue)

    let private lookUp (graph: Graph) (spec: BlockdevSpec) : Result<Node, QapiError> =
        match spec.NodeName with
        | None -> QapiError.fail "node-name not specified"
        | Some name -> Graph.findNode name graph

    /// The nodes that the descriptions reach, parents before what is described in them.
    let build (specs: BlockdevSpec list) (graph: Graph) : Result<QueuedReopen list, QapiError> =
        specs
        |> List.fold
            (fun queue spec ->
                result {
                    let! queue = queue
                    let! node = lookUp graph spec
                    return add graph Named nothing node spec queue
                })
            (Ok { Entries = Map.empty; Reversed = [] })
        |> Result.map (fun queue -> queue.Reversed |> List.rev |> List.map (fun id -> queue.Entries[id]))
