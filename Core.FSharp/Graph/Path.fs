namespace StorageDaemon.Core.Graph

open StorageDaemon.Core.Image

/// Where the requests of a data path end.
[<NoComparison>]
type Leaf =
    /// The host file of that node.
    | FileLeaf of NodeId
    | NullLeaf of latencyNs: int64 * readZeroes: bool
    /// A node whose machine decides what becomes of a request, over the paths of its children, and those of further
    /// nodes that it only asks (`CopyChain.below`).
    | LayerLeaf of NodeId * Driver * children: DataPath list

/// A chain of nodes as an I/O thread needs it: everything that decides about one request, flat. Chains meet where a
/// node does more than to pass requests on.
and [<NoComparison>] DataPath = {
    Leaf: Leaf
    /// The nodes of the chain, the top one first, each with the offset at the leaf at which it begins.
    Passes: struct (NodeId * int64) list
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
    /// The node right above the leaf is a format driver.
    ViaFormat: bool
    /// Flushes end above the disk. Only the leaf counts.
    NoFlush: bool
    Direct: bool
    /// Bytes; the unit of requests at the leaf.
    AlignmentBytes: int
    /// The I/O thread; nothing for the main loop.
    Context: string option
    /// Writes that end beyond this offset at the leaf are told: some node's threshold.
    WriteLimit: int64
    /// The host file that tells holes from data, and where the top node begins in it. Nothing where all is data, or
    /// where the leaf is a null device.
    Extents: struct (NodeId * int64) voption
}

module Path =
    /// Whether requests pass a node as they are, but for their offset and the options that every node has.
    let private passesThrough (graph: Graph) (node: Node) =
        match node.Driver with
        | Raw _ -> true
        // Only an image over another one lacks anything.
        | CopyOnRead _ -> not (CopyChain.canCopy graph node)
        | Preallocate _ -> (Preallocation.grownFile graph node).IsNone
        // Nobody waits for a group without limits.
        | Throttle group -> graph.ThrottleGroups.TryFind group <> Some true
        | File _
        | Null _
        | Qcow2 _
        | Quorum _
        | BlkVerify
        | Compress
        | BlkDebug _
        | BlkLogWrites _ -> false

    /// The child that tells of holes for a node that does not know by itself. The children of a quorum would have to
    /// agree on each range: there all is data.
    let private extentsChild (node: Node) (children: DataPath list) =
        List.zip node.Children children
        |> List.tryFind (fun (child, _) -> child.Role.HasFlag ChildRole.Primary)
        |> Option.map snd

    /// The length of a node that grows as it is written: more than any file can have, and far from overflowing.
    [<Literal>]
    let GrowingBytes = 0x4000000000000000L

    /// Whether a node becomes longer when what is below it does: a part of fixed size does not.
    let private growsAlong (node: Node) =
        match node.Driver with
        | File _ -> true
        | Raw options -> options.SizeBytes.IsNone
        | driver -> Driver.isFilter driver

    /// What one more layer on top makes of a path. `grows`: its user writes beyond its end, and it grows then.
    let private extend (grows: bool) (path: DataPath) (layer: Node) : DataPath =
        let discard = path.Discard && layer.Options.Discard = DiscardUnmap

        let offset =
            match layer.Driver with
            | Raw options -> defaultArg options.OffsetBytes 0L
            | _ -> 0L

        let baseOffset = path.BaseOffset + offset

        {
            path with
                Passes = struct (layer.Id, baseOffset) :: path.Passes
                BaseOffset = baseOffset
                SizeBytes =
                    if grows && growsAlong layer then
                        GrowingBytes
                    else
                        layer.SizeBytes
                ReadOnly = path.ReadOnly || layer.Options.ReadOnly || not layer.Options.Active
                Discard = discard
                DetectZeroes =
                    match layer.Options.DetectZeroes with
                    | DetectZeroesOff -> path.DetectZeroes
                    | DetectZeroesUnmap when not discard -> DetectZeroesOn
                    | mode -> mode
                Context = layer.Context
                WriteLimit =
                    if layer.WriteThreshold = 0UL then
                        path.WriteLimit
                    else
                        let limit = uint64 baseOffset + layer.WriteThreshold
                        min path.WriteLimit (int64 (min limit (uint64 System.Int64.MaxValue)))
                Extents =
                    path.Extents
                    |> ValueOption.map (fun struct (file, start) -> struct (file, start + offset))
        }

    /// A path of one node alone, to which `extend` adds the node itself.
    let private bottom (leaf: Leaf) (node: Node) (extents: struct (NodeId * int64) voption) : DataPath = {
        Leaf = leaf
        Passes = []
        BaseOffset = 0L
        SizeBytes = node.SizeBytes
        ReadOnly = false
        Discard = true
        DetectZeroes = DetectZeroesOff
        ViaFormat = false
        NoFlush = node.Options.NoFlush
        Direct = node.Options.Direct
        AlignmentBytes = node.AlignmentBytes
        Context = node.Context
        WriteLimit = System.Int64.MaxValue
        Extents = extents
    }

    let rec private compileOver (graph: Graph) (grows: bool) (id: NodeId) : DataPath =
        let rec descend (above: Node list) (node: Node) =
            match node.Children with
            | child :: _ when passesThrough graph node -> descend (node :: above) (Graph.node child.Node graph)
            | _ -> struct (node, above)

        let struct (leaf, above) = descend [] (Graph.node id graph)
        // Whether each of the layers above, and the leaf before them, may grow: one of fixed size hides what is below it.
        let growing = List.scanBack (fun layer outer -> outer && growsAlong layer) above grows

        let path = {
            compileLeaf graph growing.Head leaf with
                ViaFormat =
                    match above with
                    | first :: _ -> first.Driver.IsRaw
                    | [] -> false
        }

        List.fold2 (fun path layer outer -> extend outer path layer) path above growing.Tail

    and private compileLeaf (graph: Graph) (grows: bool) (node: Node) : DataPath =
        let path =
            match node.Driver, node.Children with
            | Null(_, options), _ ->
                bottom (NullLeaf(int64 options.LatencyNs, defaultArg options.ReadZeroes false)) node ValueNone
            | _, [] -> bottom (FileLeaf node.Id) node (ValueSome(struct (node.Id, 0L)))
            | driver, children ->
                let compileChild (child: Child) =
                    let childGrows =
                        Driver.growsChild driver child.Name
                        || grows && Driver.isFilter driver && child.Role.HasFlag ChildRole.Primary

                    let path = compileOver graph childGrows child.Node
                    {
                        path with
                            ViaFormat = path.ViaFormat || Driver.isImage driver
                    }

                let paths = children |> List.map compileChild

                let extents =
                    match extentsChild node paths with
                    | Some child when not (Driver.isImage driver) -> child.Extents
                    | _ -> ValueNone

                let below =
                    CopyChain.below graph node
                    |> List.map (fun image -> compileOver graph false image.Id)

                bottom (LayerLeaf(node.Id, driver, paths @ below)) node extents

        extend grows path node

    /// Flattens the chain below `id`. The recursion is as deep as layers are stacked, which `AddPlan.MaxDepth` bounds.
    let compile (graph: Graph) (id: NodeId) : DataPath = compileOver graph false id

    /// The path of a node of another length.
    let withSize (sizeBytes: int64) (path: DataPath) : DataPath = { path with SizeBytes = sizeBytes }
