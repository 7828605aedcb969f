namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic

/// What a check may use: bytes of memory and bytes of metadata to read. Both only fall.
[<Sealed>]
type internal CheckBudget(memoryBytes: int64, readBytes: int64) =
    let mutable memory = memoryBytes
    let mutable reading = readBytes

    member _.TakeMemory(bytes: int64) =
        memory <- memory - min bytes (memory + 1L)
    member _.TakeReading(bytes: int64) =
        reading <- reading - min bytes (reading + 1L)

    /// Whether more was taken than there was.
    member _.IsExhausted = memory < 0L || reading < 0L

/// The references that a walk has found to each cluster, kept as the refcount blocks ought to be. A block exists once
/// something in it is referenced; references past the end of the file are not counted, so that memory is bounded by
/// the file's length whatever its tables say.
[<Sealed>]
type internal References(geometry: Geometry, fileBytes: int64, budget: CheckBudget) =
    /// A repair makes the file longer by fewer clusters than this.
    let reachClusters = 0x100000L

    let beyondMax = 4096
    let blocks = Dictionary<int64, byte[]>()
    let clusterBytes = 1L <<< geometry.ClusterBits

    let blockFor (index: int64) : byte[] =
        match blocks.TryGetValue index with
        | true, block -> block
        | false, _ ->
            budget.TakeMemory clusterBytes

            if budget.IsExhausted then
                null
            else
                let block: byte[] = Array.zeroCreate (int clusterBytes)
                blocks[index] <- block
                block

    /// Ranges past the end that a longer file would reach.
    let beyond = List<struct (int64 * int64)>()

    let noteBeyond (offset: int64) (lengthBytes: int64) =
        let last = (offset + lengthBytes - 1L) >>> geometry.ClusterBits

        if offset >= 0L && last - (fileBytes >>> geometry.ClusterBits) < reachClusters then
            beyond.Add(struct (offset >>> geometry.ClusterBits, last))

    /// One more reference to a cluster; false if its refcount cannot hold it. Nothing is counted without memory.
    let count (cluster: int64) : bool =
        let geometry = geometry
        let block = blockFor (Geometry.refcountTableIndex &geometry cluster)

        isNull block
        || RefcountBlock.tryIncrease geometry.RefcountOrder (Span block) (Geometry.refblockIndex &geometry cluster) 1UL

    /// Clusters to be compared: those of the file, and the one after if something that begins in the file needs it.
    member val Clusters = (fileBytes + clusterBytes - 1L) >>> geometry.ClusterBits with get, set

    /// The references to the clusters of a refcount block, as it ought to be; null if there are none.
    member _.Block(index: int64) : byte[] =
        match blocks.TryGetValue index with
        | true, block -> block
        | false, _ -> null

    /// Indexes of the blocks that have references.
    member _.Indexes: int64 seq = blocks.Keys

    member _.Of(cluster: int64) : uint64 =
        let geometry = geometry

        match blocks.TryGetValue(Geometry.refcountTableIndex &geometry cluster) with
        | true, block ->
            RefcountBlock.get geometry.RefcountOrder (ReadOnlySpan block) (Geometry.refblockIndex &geometry cluster)
        | false, _ -> 0UL

    /// Refers to all clusters that a range touches.
    member this.Add(tally: Tally, offset: int64, lengthBytes: int64) =
        if lengthBytes > 0L then
            if
                offset < 0L
                || offset > Int64.MaxValue - lengthBytes
                || offset + lengthBytes - fileBytes >= clusterBytes
            then
                tally.Corruption(PastEnd(offset, lengthBytes))

                if offset <= Int64.MaxValue - lengthBytes && beyond.Count <= beyondMax then
                    noteBeyond offset lengthBytes
            else
                let first = offset >>> geometry.ClusterBits
                let last = (offset + lengthBytes - 1L) >>> geometry.ClusterBits
                // Long ranges cost time, not reading; they are paid for as if each cluster had an entry.
                budget.TakeReading((last - first + 1L) * 8L)

                if not budget.IsExhausted then
                    this.Clusters <- max this.Clusters (last + 1L)

                    for cluster in first..last do
                        if not (count cluster) then
                            tally.Corruption(RefcountOverflow cluster)

    /// First and last clusters of the ranges that end shortly past the end of the file; none if they are too many.
    member _.Beyond: struct (int64 * int64)[] voption =
        if beyond.Count > beyondMax then
            ValueNone
        else
            ValueSome(beyond.ToArray())

    /// Refers to clusters that a repair is going to append.
    member this.Append(first: int64, clusters: int64) =
        this.Clusters <- max this.Clusters (first + clusters)

        for cluster in first .. first + clusters - 1L do
            count cluster |> ignore
