namespace StorageDaemon.Core.Qcow2

open System.Collections.Generic
open StorageDaemon.Core.Io

/// Decompresses clusters; the shell has the libraries. Pure: the same input gives the same output.
type IClusterCodec =
    /// Fills `output` from compressed data, which may have anything behind their end. False if they are damaged.
    abstract Decompress: input: System.ReadOnlySpan<byte> * output: System.Span<byte> -> bool

/// Guest clusters whose mapping is about to change: nobody else may change them until that is done.
[<Sealed; AllowNullLiteral>]
type BusyRange() =
    /// Clusters, both ends included.
    member val First = 0L with get, set

    member val Last = 0L with get, set
    member val Waiters = List<obj>()

/// Changes of guest clusters one after another. There are no more ranges than requests, so looking at all is quick.
[<Sealed>]
type BusyRanges() =
    let busy = List<BusyRange>()
    let free = Stack<BusyRange>()

    /// The range that has a cluster, or null.
    member _.Find(cluster: int64) : BusyRange =
        let mutable found = null

        for range in busy do
            if cluster >= range.First && cluster <= range.Last then
                found <- range

        found

    /// The clusters from `first` up to `last` before any that is busy.
    member _.Free(first: int64, last: int64) : int64 =
        let mutable until = last

        for range in busy do
            if range.First > first && range.First <= until then
                until <- range.First - 1L

        until

    /// Takes clusters that are all free.
    member _.Take(first: int64, last: int64) : BusyRange =
        let range = if free.Count > 0 then free.Pop() else BusyRange()

        range.First <- first
        range.Last <- last
        busy.Add range
        range

    member _.Release(range: BusyRange, sink: ChildRequests) =
        busy.Remove range |> ignore

        sink.WakeAll range.Waiters
        free.Push range

/// Clusters that nothing refers to any more, on their way to be free. A cluster is free once the file has the mapping
/// without it, and once all requests that may have looked it up before have ended.
[<Sealed>]
type FreedClusters() =
    let mutable fresh = List<int64>()
    let mutable durable = List<int64>()
    let mutable waiting = List<int64>()
    let ready = Queue<int64>()
    let active = [| 0; 0 |]
    let mutable current = 0

    let settle () =
        if active[1 - current] = 0 then
            for cluster in waiting do
                ready.Enqueue cluster

            waiting.Clear()

            if durable.Count > 0 then
                let empty = waiting
                waiting <- durable
                durable <- empty
                current <- 1 - current

                if active[1 - current] = 0 then
                    for cluster in waiting do
                        ready.Enqueue cluster

                    waiting.Clear()

    /// A request begins; it gives the number back at its end.
    member _.Enter() : int =
        active[current] <- active[current] + 1
        current

    member _.Leave(generation: int) =
        active[generation] <- active[generation] - 1
        settle ()

    /// A cluster has lost a reference in memory.
    member _.Add(cluster: int64) = fresh.Add cluster

    member _.Fresh = fresh.Count
    member _.Ready = ready
    member _.IsEmpty = fresh.Count = 0 && durable.Count = 0 && waiting.Count = 0 && ready.Count = 0

    /// What has lost references so far: a checkpoint begins that will write the mapping without them.
    member _.TakeFresh() : List<int64> =
        let taken = fresh
        fresh <- List<int64>()
        taken

    /// The checkpoint has failed.
    member _.PutBack(taken: List<int64>) = fresh.AddRange taken

    /// The checkpoint is in the file.
    member _.AreDurable(taken: List<int64>) =
        durable.AddRange taken
        settle ()

/// What stands below an image.
type ImageChildren = {
    /// Bytes of the image file when it was opened.
    FileBytes: int64
    /// Whether what lies behind the file's end reads as zeroes once it has grown.
    GrowsWithZeroes: bool
    /// Number of the child with the guest's data: 0, or 1 for an external data file.
    DataChild: int
    /// Number of the backing child, or -1.
    BackingChild: int
    /// Bytes.
    BackingBytes: int64
}

/// An open image: everything that its requests share. The caller guards it.
[<Sealed>]
type Image
    (
        header: Header,
        geometry: Geometry,
        l1: uint64[],
        refcounts: Refcounts,
        metadata: HashSet<int64>,
        codec: IClusterCodec,
        children: ImageChildren,
        sliceCapacity: int
    ) =
    let entryBytes = if geometry.ExtendedL2 then 16 else 8
    let clusterBytes = 1 <<< geometry.ClusterBits
    let sliceBytes = min clusterBytes 4096
    let slices = TableCache(sliceBytes, sliceCapacity)
    let mutable header = header
    let mutable l1 = l1
    let mutable refcounts: Refcounts = refcounts
    let mutable l1From = System.Int32.MaxValue
    let mutable l1To = 0
    let mutable fileClusters = Geometry.clusters &geometry children.FileBytes

    /// What the file's header says.
    member _.Header
        with get () = header
        and set value = header <- value

    member _.Geometry = geometry
    member _.L1 = l1

    /// A longer table has taken the place of the present one.
    member _.ReplaceL1(longer: uint64[]) = l1 <- longer

    member _.Refcounts = refcounts

    /// Other refcounts and another L1 table, in the file already, have taken the place of the present ones. Nothing must
    /// be only in memory, and nothing be under way.
    member _.ReplaceTables(newRefcounts: Refcounts, newL1: uint64[]) =
        refcounts <- newRefcounts
        l1 <- newL1
        slices.Clear()

    member _.Metadata = metadata
    member _.Codec = codec
    member _.Children = children
    member _.ClusterBytes = clusterBytes
    member _.SliceBytes = sliceBytes
    member _.SliceEntries = sliceBytes / entryBytes
    member _.SlicesPerTable = clusterBytes / sliceBytes
    member _.Slices = slices
    member val Busy = BusyRanges()

    /// L2 tables that are shared with snapshots and being copied, by number.
    member val CopiedTables = BusyRanges()
    member val Freed = FreedClusters()

    /// L2 tables that the file does not have: what is not in the cache of them is zero.
    member val NewTables = HashSet<int>()

    /// Range of L1 entries that the file does not have.
    member _.DirtyL1 = struct (l1From, l1To)

    member _.SetL1(index: int, entry: uint64) =
        l1[index] <- entry
        l1From <- min l1From index
        l1To <- max l1To (index + 1)

    member _.SetDirtyL1(from: int, until: int) =
        l1From <- from
        l1To <- until

    /// Clusters that the file has begun; behind them it reads as zeroes.
    member _.FileClusters
        with get () = fileClusters
        and set value = fileClusters <- value

    /// The file's tables may differ from those in memory: nothing is changed any more.
    member val IsFenced = false with get, set

    /// Whether a checkpoint is being written.
    member val IsCheckpointing = false with get, set

    /// Frames that wait for its end.
    member val CheckpointWaiters = List<obj>()

    /// The key in `Slices` of a slice of an L2 table.
    member this.SliceKey(l1Index: int, slice: int) : int64 =
        int64 l1Index * int64 this.SlicesPerTable + int64 slice

    /// What has become free is counted as free. A cluster that had no reference in the first place is a matter for a
    /// check.
    member this.ApplyFreed() : Progress =
        let ready = this.Freed.Ready
        let mutable progress = Ready

        while progress.IsReady && ready.Count > 0 do
            progress <- refcounts.Free(ready.Peek())

            if not progress.IsNeedsBlock then
                ready.Dequeue() |> ignore
                progress <- Ready

        progress

    /// Changes that are only in memory.
    member this.IsDirty =
        let struct (from, until) = refcounts.NewEntries

        this.Slices.DirtyCount > 0
        || this.NewTables.Count > 0
        || l1To > l1From
        || refcounts.Blocks.DirtyCount > 0
        || until > from
        || refcounts.HasMoved
        || this.Freed.Fresh > 0
        || this.Freed.Ready.Count > 0

    /// Whether so much is only in memory that it must be written before more comes.
    member this.MustCheckpoint =
        2 * this.Slices.DirtyCount >= this.Slices.Capacity
        || 2 * refcounts.Blocks.DirtyCount >= refcounts.Blocks.Capacity
        || this.NewTables.Count >= 64
        || this.Freed.Fresh >= 16384
