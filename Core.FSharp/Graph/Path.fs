namespace StorageDaemon.Core.Graph

open StorageDaemon.Core.Image

/// Where the requests of a data path end.
[<NoComparison>]
type Leaf =
    /// The host file of that node.
    | FileLeaf of NodeId
    | NullLeaf of latencyNs: int64 * readZeroes: bool

/// A chain of nodes as an I/O thread needs it: everything that decides about one request, flat.
[<NoComparison>]
type DataPath = {
    Leaf: Leaf
    /// Bytes to add to a request's offset.
    BaseOffset: int64
    /// Length of the top node, in bytes. It may be up to a sector more than the file: what lies beyond the file's end
    /// reads as zeroes.
    SizeBytes: int64
    /// Any layer is read-only or inactive: nothing but reads.
    ReadOnly: bool
    /// Every layer lets discards through.
    Discard: bool
    /// What becomes of writes of zeroes: the mode of the highest layer that looks for them. Unmap only where all
    /// layers from that one down let discards through.
    DetectZeroes: DetectZeroesMode
    /// Flushes end above the disk. Only the leaf counts.
    NoFlush: bool
    Direct: bool
    /// Bytes; the unit of requests at the leaf.
    AlignmentBytes: int
    /// The I/O thread; nothing for the main loop.
    Context: string option
}

module Path =
    /// The layers from `node` down to the leaf, the leaf first.
    let rec private layers (graph: Graph) (above: Node list) (node: Node) : Node list =
        match node.Children with
        | child :: _ -> layers graph (node :: above) (Graph.node child.Node graph)
        | [] -> node :: above

    let private leafOf (node: Node) : Leaf =
        match node.Driver with
        | Null(_, options) -> NullLeaf(int64 options.LatencyNs, defaultArg options.ReadZeroes false)
        | File _
        | Raw _ -> FileLeaf node.Id

    /// What one more layer on top makes of a path.
    let private extend (path: DataPath) (layer: Node) : DataPath =
        let discard = path.Discard && layer.Options.Discard = DiscardUnmap

        let offset =
            match layer.Driver with
            | Raw options -> defaultArg options.OffsetBytes 0L
            | File _
            | Null _ -> 0L

        {
            path with
                BaseOffset = path.BaseOffset + offset
                SizeBytes = layer.SizeBytes
                ReadOnly = path.ReadOnly || layer.Options.ReadOnly || not layer.Options.Active
                Discard = discard
                DetectZeroes =
                    match layer.Options.DetectZeroes with
                    | DetectZeroesOff -> path.DetectZeroes
                    | DetectZeroesUnmap when not discard -> DetectZeroesOn
                    | mode -> mode
                Context = layer.Context
        }

    /// Flattens the chain below `id`.
    let compile (graph: Graph) (id: NodeId) : DataPath =
        let layers = layers graph [] (Graph.node id graph)
        let leaf = List.head layers

        let bottom = {
            Leaf = leafOf leaf
            BaseOffset = 0L
            SizeBytes = leaf.SizeBytes
            ReadOnly = false
            Discard = true
            DetectZeroes = DetectZeroesOff
            NoFlush = leaf.Options.NoFlush
            Direct = leaf.Options.Direct
            AlignmentBytes = leaf.AlignmentBytes
            Context = leaf.Context
        }

        List.fold extend bottom layers
