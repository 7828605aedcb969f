namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Observe
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qcow2

/// query-named-block-nodes, query-block and query-blockstats.
module Listings =
    let private fileNodes (state: State) =
        Graph.nodes state.Graph |> List.filter _.Driver.IsFile |> List.map _.Id

    /// Whether the driver says more of a file than its length. Of drives it does not.
    let private hasFileInfo (driver: Driver) =
        match driver with
        | File(HostCdrom, _) -> false
        | driver -> driver.IsFile

    /// Whether the driver looks at its image's format information; the null drivers have none.
    let rec private hasFormatInfo (graph: Graph) (node: Node) : bool =
        match Node.primary node with
        | Some child -> hasFormatInfo graph (Graph.node child.Node graph)
        | None -> hasFileInfo node.Driver

    /// Bytes on disk: of the host file, or of all that a node stands on. Two test drivers do not say.
    let rec private actualSize (graph: Graph) (sizes: Map<NodeId, int64>) (node: Node) : int64 option =
        let ofChild (child: Child) =
            actualSize graph sizes (Graph.node child.Node graph)

        match node.Driver, Node.primary node with
        | (BlkDebug _ | BlkVerify), _ -> None
        | driver, Some child when not (Driver.isImage driver) -> ofChild child
        | _ when node.Children.IsEmpty -> Some(Map.tryFind node.Id sizes |> Option.defaultValue 0L)
        | _ ->
            node.Children
            |> List.filter (fun child -> not (child.Role.HasFlag ChildRole.Cow))
            |> List.sumBy (ofChild >> Option.defaultValue 0L)
            |> Some

    /// The image below as users see it: what a filter shows, or the backing image.
    let private below (graph: Graph) (node: Node) : Node option =
        node.Children
        |> List.tryFind (fun child ->
            child.Role.HasFlag ChildRole.Cow
            || child.Role.HasFlag ChildRole.Filtered && Driver.isFilter node.Driver)
        |> Option.map (fun child -> Graph.node child.Node graph)

    /// How many images are below one another.
    let rec private depthBelow (graph: Graph) (sofar: int64) (node: Node) : int64 =
        match below graph node with
        | Some next -> depthBelow graph (sofar + 1L) next
        | None -> sofar

    /// `flat` leaves out the images below. The recursion is as deep as the graph, which is bounded.
    let rec private imageInfo
        (flat: bool)
        (graph: Graph)
        (sizes: Map<NodeId, int64>)
        filename
        (node: Node)
        : ImageInfo =
        let named = node.Header |> Option.bind NamedImage.backing

        {
            Filename = filename
            Format = Driver.name node.Driver
            DirtyFlag =
                match node.Header with
                | Some header -> Some(header.Incompatible &&& Feature.dirty <> 0UL)
                | None -> if hasFormatInfo graph node then Some false else None
            ActualSize = actualSize graph sizes node
            VirtualSize = node.SizeBytes
            ClusterSize = node.Header |> Option.map (fun header -> 1L <<< header.ClusterBits)
            Encrypted = None
            Compressed = None
            BackingFilename = named |> Option.map _.Filename
            FullBackingFilename = named |> Option.map (_.Filename >> ImageName.resolve graph node)
            BackingFilenameFormat = named |> Option.bind _.Format
            Snapshots =
                match SnapshotNode.listed graph node with
                | [] -> None
                | snapshots -> Some(List.map Qcow2Mapping.snapshot snapshots)
            BackingImage =
                if flat then
                    None
                else
                    below graph node
                    |> Option.map (fun next -> imageInfo flat graph sizes (Filename.ofNode graph next) next)
            FormatSpecific =
                match node.Header with
                | Some header -> Some(ImageInfoSpecific.Qcow2(Qcow2Mapping.info header))
                | None when hasFileInfo node.Driver -> Some(ImageInfoSpecific.File None)
                | None -> None
        }

    let private deviceInfo (flat: bool) (graph: Graph) sizes (node: Node) : BlockDeviceInfo =
        let filename = Filename.ofNode graph node

        {
            File = filename
            NodeName = Some node.Name
            ReadOnly = node.Options.ReadOnly
            Driver = Driver.name node.Driver
            BackingFile =
                Children.tryFind Driver.BackingName node
                |> Option.map (fun child -> Filename.ofNode graph (Graph.node child.Node graph))
            BackingFileDepth = if flat then 0L else depthBelow graph 0L node
            Active = node.Options.Active
            Encrypted = false
            DetectZeroes = BlockdevMapping.detectZeroes node.Options.DetectZeroes
            Bps = 0L
            BpsRd = 0L
            BpsWr = 0L
            Iops = 0L
            IopsRd = 0L
            IopsWr = 0L
            Image = imageInfo flat graph sizes filename node
            Cache = {
                Writeback = true
                Direct = node.Options.Direct
                NoFlush = node.Options.NoFlush
            }
            WriteThreshold = int64 node.WriteThreshold
        }

    let namedBlockNodes (state: State) (arguments: QueryNamedBlockNodes) : Transition =
        Transition.wait state (AllocatedSizes(fileNodes state)) (SizesKnown(arguments.Flat = Some true))

    let namedBlockNodesKnown (state: State) (flat: bool) (sizes: Map<NodeId, int64>) : Transition =
        Graph.nodes state.Graph
        |> List.map (deviceInfo flat state.Graph sizes)
        |> Command.encodeReturn Commands.queryNamedBlockNodes
        |> Transition.value state

    /// Only guest devices are listed, and a storage daemon has none.
    let block (state: State) : Transition =
        Command.encodeReturn Commands.queryBlock [] |> Transition.value state

    let private histogram (operations: OperationCounters) : BlockLatencyHistogramInfo option =
        Some {
            Boundaries = LatencyHistogram.boundariesNs
            Bins = operations.Latency |> List.map uint64
        }

    /// Zeroes are written, too.
    let private allWrites (io: IoCounters) : OperationCounters = {
        Operations = io.Write.Operations + io.WriteZeroes.Operations
        Bytes = io.Write.Bytes + io.WriteZeroes.Bytes
        Failed = io.Write.Failed + io.WriteZeroes.Failed
        TotalNs = io.Write.TotalNs + io.WriteZeroes.TotalNs
        Latency = List.map2 (+) io.Write.Latency io.WriteZeroes.Latency
    }

    let private deviceStats (io: IoCounters) : BlockDeviceStats =
        let writes = allWrites io

        {
            BlockDeviceStats.zero with
                RdBytes = io.Read.Bytes
                WrBytes = writes.Bytes
                UnmapBytes = io.Discard.Bytes
                RdOperations = io.Read.Operations
                WrOperations = writes.Operations
                FlushOperations = io.Flush.Operations
                UnmapOperations = io.Discard.Operations
                RdTotalTimeNs = io.Read.TotalNs
                WrTotalTimeNs = writes.TotalNs
                FlushTotalTimeNs = io.Flush.TotalNs
                UnmapTotalTimeNs = io.Discard.TotalNs
                WrHighestOffset = io.WriteHighestOffset
                IdleTimeNs = io.IdleNs
                FailedRdOperations = io.Read.Failed
                FailedWrOperations = writes.Failed
                FailedFlushOperations = io.Flush.Failed
                FailedUnmapOperations = io.Discard.Failed
                RdLatencyHistogram = histogram io.Read
                WrLatencyHistogram = histogram writes
                FlushLatencyHistogram = histogram io.Flush
        }

    let rec private blockStats (graph: Graph) (counts: IoCounts) (node: Node) : BlockStats =
        let discards =
            Map.tryFind node.Id counts.Discards
            |> Option.defaultValue {
                DiscardNbOk = 0UL
                DiscardNbFailed = 0UL
                DiscardBytesOk = 0UL
            }

        {
            Device = None
            Qdev = None
            NodeName = Some node.Name
            Stats =
                match Map.tryFind node.Id counts.Nodes with
                | Some io -> deviceStats io
                | None -> BlockDeviceStats.zero
            DriverSpecific =
                match node.Driver with
                | File(RegularFile, _) -> Some(BlockStatsSpecific.File discards)
                | File(HostDevice, _) -> Some(BlockStatsSpecific.HostDevice discards)
                | _ -> None
            Parent =
                Node.primary node
                |> Option.map (fun child -> blockStats graph counts (Graph.node child.Node graph))
            Backing = None
            Exports = None
        }

    /// Figures of the exports that offer a node, by that node; the oldest first.
    let private exportStats (state: State) (counts: IoCounts) : Map<NodeId, BlockExportStats list> =
        let figures (export: Export) : BlockExportStats = {
            Id = export.Id
            Type = ExportProtocol.exportType export.Protocol
            ShuttingDown = export.ShuttingDown
            Stats =
                match Map.tryFind export.Key counts.Exports with
                | Some io -> deviceStats io
                | None -> BlockDeviceStats.zero
        }

        // From the newest to the oldest, each put in front.
        State.exports state
        |> List.fold
            (fun byNode export ->
                let node = state.Graph.Backends[export.Backend].Node
                let others = Map.tryFind node byNode |> Option.defaultValue []
                Map.add node (figures export :: others) byNode)
            Map.empty

    let stats (state: State) (arguments: QueryBlockstats) : Transition =
        if arguments.QueryNodes = Some true then
            Transition.wait state CountIo CountersKnown
        else
            Command.encodeReturn Commands.queryBlockstats [] |> Transition.value state

    let statsKnown (state: State) (counts: IoCounts) : Transition =
        let exports = exportStats state counts

        // The oldest first, unlike the nodes' own listing.
        Graph.nodes state.Graph
        |> List.rev
        |> List.map (fun node -> {
            blockStats state.Graph counts node with
                Exports = Map.tryFind node.Id exports
        })
        |> Command.encodeReturn Commands.queryBlockstats
        |> Transition.value state
