namespace StorageDaemon.Core.Qcow2

open System.Collections.Generic
open StorageDaemon.Core.Io

/// Compresses and decompresses clusters; the shell has the libraries. Pure: the same input gives the same output.
type IClusterCodec =
    /// Fills `output` from compressed data, which may have anything behind their end. False if they are damaged.
    abstract Decompress: input: System.ReadOnlySpan<byte> * output: System.Span<byte> -> bool

    /// Compresses a cluster; the length in bytes, or zero if it does not fit into `output`.
    abstract Compress: input: System.ReadOnlySpan<byte> * output: System.Span<byte> -> int

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

/// Damage that a request has met. An image tells of each sort once.
[<NoComparison>]
type CorruptionNotice = {
    /// As in BLOCK_IMAGE_CORRUPTED.
    Message: string
    /// Bytes of the image file that the damage would have led to write, or -1.
    Offset: int64
    LengthBytes: int64
    /// Every further request fails with ENOMEDIUM, and the file is marked as corrupt where its version can be.
    IsFatal: bool
} with

    interface LayerNotice

    /// For the log; the daemon's line begins with "qcow2: ".
    member this.LogText =
        if this.IsFatal then
            "Marking image as corrupt: "
            + this.Message
            + "; further corruption events will be suppressed"
        else
            "Image is corrupt: "
            + this.Message
            + "; further non-fatal corruption events will be suppressed"

/// Tables of the file that are not for the guest's present data: writes must not hit them either.
[<NoComparison>]
type SideTables = {
    SnapshotTable: FileRange
    /// L1 tables of snapshots.
    InactiveL1: FileRange list
    /// Their entries; empty unless writes are checked for the tables that they point to.
    InactiveL1Entries: uint64[] list
    BitmapDirectory: FileRange
}

module SideTables =
    let none: SideTables = {
        SnapshotTable = { Offset = 0L; LengthBytes = 0L }
        InactiveL1 = []
        InactiveL1Entries = []
        BitmapDirectory = { Offset = 0L; LengthBytes = 0L }
    }

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
    /// Whether clusters of data may be holes, because space was laid out for them before they were written; then the
    /// file is asked what it knows of them. See `ImageChildren.isSparse`.
    IsSparse: bool
}

module ImageChildren =
    /// Whether a file of that length with that much space looks as if clusters had been laid out for later: then it has
    /// less space, by a tenth of it and by two clusters, than clusters (as the real daemon's answers show). Bytes.
    let isSparse (clusterBytes: int64) (fileBytes: int64) (spaceBytes: int64) : bool =
        let file = (fileBytes + clusterBytes - 1L) / clusterBytes
        let space = (spaceBytes + clusterBytes - 1L) / clusterBytes
        file >= max (space + space / 9L) (space + 2L)

    /// How many of the guest bytes from an offset, up to a length, the backing image has.
    let backingBytes (children: ImageChildren) (offset: int64) (length: int64) : int64 =
        if children.BackingChild < 0 then
            0L
        else
            max 0L (min length (children.BackingBytes - offset))

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
        discards: DiscardSettings,
        isWritable: bool,
        overlapCheck: MetadataSection,
        sliceBytes: int,
        sliceCapacity: int,
        cacheCleanIntervalS: int64
    ) =
    let entryBytes = if geometry.ExtendedL2 then 16 else 8
    let clusterBytes = 1 <<< geometry.ClusterBits
    let slices = TableCache(sliceBytes, sliceCapacity)
    let linear = LinearSlices()
    let sliceEntryBits = System.Numerics.BitOperations.Log2(uint32 (sliceBytes / entryBytes))
    let mutable header = header
    let mutable below = children
    let mutable l1 = l1
    let mutable refcounts: Refcounts = refcounts
    let mutable l1From = System.Int32.MaxValue
    let mutable l1To = 0
    let mutable notices: CorruptionNotice list = []
    let mutable isDead = false
    let mutable hasTold = false
    let mutable view: MetadataView = null
    let mutable viewGeneration = 0
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
    member this.ReplaceTables(newRefcounts: Refcounts, newL1: uint64[]) =
        refcounts <- newRefcounts
        l1 <- newL1
        this.ClearSlices()
        // Whether the cluster still has data is not known.
        this.PackAt <- 0L

    member _.Metadata = metadata
    member _.Codec = codec
    /// What stands below. The backing child may change while no request is under way.
    member _.Children
        with get () = below
        and set value = below <- value

    member _.ClusterBytes = clusterBytes

    /// Bytes of a cluster, or of a subcluster where there are some: the unit of what the image has.
    member _.GrainBytes = Geometry.subclusterBytes &geometry
    /// The part of an L2 table that is kept as one.
    member _.SliceBytes = sliceBytes
    member _.SliceEntries = sliceBytes / entryBytes
    member _.SlicesPerTable = clusterBytes / sliceBytes
    member _.Slices = slices

    /// Entries of a slice have changed.
    member _.MarkSlice(slice: CachedTable, from: int, until: int) =
        linear.Forget slice.Key
        slices.MarkDirty(slice, from, until)

    /// The tables in the file are changed, not those in memory, of which none is in use.
    member _.ClearSlices() =
        linear.Clear()
        slices.Clear()

    /// A slice has been read: its mapping is kept as one number where it can be.
    member _.LearnSlice(slice: CachedTable) =
        let run = Mapping.runAt &geometry (System.ReadOnlySpan slice.Bytes) 0 0L System.Int64.MaxValue

        if
            run.Kind = ClusterKind.Normal
            && not run.IsFaulty
            && run.LengthBytes >>> geometry.ClusterBits >>> sliceEntryBits = 1L
        then
            linear.Learn(slice.Key, run.HostOffset)

    /// Where the bytes at a guest offset are in the data file, if all of its slice follow one another there; else -1.
    member _.LinearPlace(guestOffset: int64) : int64 =
        let sliceBits = geometry.ClusterBits + sliceEntryBits

        match linear.Find(guestOffset >>> sliceBits) with
        | -1L -> -1L
        | start -> start + (guestOffset &&& ((1L <<< sliceBits) - 1L))

    /// How often `CleanCaches` is to be called; zero for never.
    member _.CacheCleanIntervalS = cacheCleanIntervalS

    /// Gives up the memory of tables that nobody has used since this was done last.
    member _.CleanCaches() =
        slices.DropIdle()
        refcounts.Blocks.DropIdle()

    member val Busy = BusyRanges()

    /// L2 tables that are shared with snapshots and being copied, by number.
    member val CopiedTables = BusyRanges()
    member val Freed = FreedClusters discards
    member _.Discards = discards

    /// The guest's data lie in a file of their own that is to be a raw image by itself.
    member _.HasRawData = geometry.ExternalData && header.Autoclear &&& Feature.dataFileRaw <> 0UL

    /// The first free byte of a cluster that has room for more compressed data, or 0.
    member val PackAt = 0L with get, set

    /// Nothing more is put into that cluster.
    member this.LeavePack(cluster: int64) =
        if this.PackAt >>> geometry.ClusterBits = cluster then
            this.PackAt <- 0L

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

    member val SideTables = SideTables.none with get, set

    /// The entries of the snapshot table, in order.
    member val Snapshots: Snapshot list = [] with get, set

    /// From now on the image keeps clear of these tables. At most a million of their clusters within the file count.
    member this.Protect(tables: SideTables) =
        this.SideTables <- tables
        let mutable left = 1_000_000

        let protect (range: FileRange) =
            if range.Offset > 0L && range.LengthBytes > 0L then
                let last = min (fileClusters - 1L) ((range.Offset + range.LengthBytes - 1L) >>> geometry.ClusterBits)
                let mutable cluster = range.Offset >>> geometry.ClusterBits

                while cluster <= last && left > 0 do
                    metadata.Add cluster |> ignore
                    cluster <- cluster + 1L
                    left <- left - 1

        protect tables.SnapshotTable
        protect tables.BitmapDirectory

        for range in tables.InactiveL1 do
            protect range

        for entries in tables.InactiveL1Entries do
            for entry in entries do
                protect {
                    Offset = L1Entry.l2Offset entry
                    LengthBytes = int64 clusterBytes
                }

    member _.IsWritable = isWritable

    /// The tables that writes must not hit.
    member _.OverlapCheck = overlapCheck

    /// It is too damaged for any further request.
    member _.IsDead = isDead

    /// The file is about to be changed behind the image's back: it is of no use any more.
    member this.Retire() =
        isDead <- true
        this.IsFenced <- true
        this.BreakView()

    /// The metadata of an earlier moment, as long as somebody reads them; null if nobody does.
    member _.View = view

    /// From now on it can be read how the metadata are now. Nothing is only in memory, and no request is under way.
    member this.BeginView(fileBytes: int64) : MetadataView =
        this.EndView()
        viewGeneration <- this.Freed.Enter()
        view <- MetadataView(fileBytes, sliceBytes)
        view

    /// Nobody reads it any more: clusters that have become free since are free.
    member this.EndView() =
        if not (isNull view) then
            view <- null
            this.Freed.Leave viewGeneration

    /// The metadata are changed in another way than by checkpoints of requests.
    member _.BreakView() =
        if not (isNull view) then
            view.Break()

    /// The file is to be told that it is corrupt, by the next request that ends.
    member val MustMarkCorrupt = false with get, set

    /// After fatal damage nothing more is told, after other damage only what is fatal.
    member this.Signal(notice: CorruptionNotice) =
        if not isDead && (notice.IsFatal || not hasTold) then
            notices <- notice :: notices
            hasTold <- true

            if notice.IsFatal then
                isDead <- true
                this.IsFenced <- true
                this.MustMarkCorrupt <- header.Version >= 3

    /// Tells the shell of what there is to tell.
    member _.Tell(sink: ChildRequests) =
        if not notices.IsEmpty then
            for notice in List.rev notices do
                sink.Notify notice

            notices <- []

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
                this.LeavePack(ready.Dequeue())
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
