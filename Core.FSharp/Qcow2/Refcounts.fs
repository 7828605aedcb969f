namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open StorageDaemon.Core

/// How far an operation on refcounts has come.
[<Struct>]
type Progress =
    | Ready
    /// The refcount block of that number must be in the cache; then the operation is to be tried again.
    | NeedsBlock of index: int64
    /// Linux error number.
    | Failed of errno: int

/// The refcounts of an image in memory ("Host cluster management"), and which clusters are free. Changes stay in memory
/// until a checkpoint writes them. `metadata` has the clusters of header and tables, whatever their refcounts say.
[<Sealed>]
type Refcounts
    (
        geometry: Geometry,
        table: uint64[],
        tableOffset: int64,
        tableClusters: int,
        metadata: HashSet<int64>,
        blockCapacity
    ) =
    let g = geometry
    let clusterBytes = 1 <<< g.ClusterBits
    let blockBits = Geometry.refblockBits &g
    let blockEntries = 1L <<< blockBits
    let blocks = TableCache(clusterBytes, blockCapacity)
    let mutable table = table
    let mutable tableOffset = tableOffset
    let mutable tableClusters = tableClusters
    let mutable hint = 1L
    let mutable newFrom = Int32.MaxValue
    let mutable newTo = 0
    let mutable hasMoved = false
    let left = List<struct (int64 * int)>()

    let offsetOf (cluster: int64) = cluster <<< g.ClusterBits

    /// The block of a cluster where the table has one; its offset may be none of a block's.
    let blockOffset (cluster: int64) =
        let index = cluster >>> blockBits

        if index < int64 table.Length then
            RefcountTableEntry.blockOffset table[int index]
        else
            0L

    let isSound (cluster: int64) =
        let entry = table[int (cluster >>> blockBits)]
        RefcountTableEntry.fault &g entry = EntryFault.None && int64 entry > 0L

    let markEntries (block: CachedTable) (first: int) (count: int) =
        let from = (first <<< g.RefcountOrder) >>> 3
        let until = (((first + count) <<< g.RefcountOrder) + 7) >>> 3
        blocks.MarkDirty(block, from, until)

    let addBlock (index: int64) (cluster: int64) =
        let block = blocks.Take(index, offsetOf cluster)
        Array.Clear block.Bytes
        block.IsReady <- true
        blocks.MarkDirty(block, 0, clusterBytes)
        table[int index] <- uint64 (offsetOf cluster)
        newFrom <- min newFrom (int index)
        newTo <- max newTo (int index + 1)
        metadata.Add cluster |> ignore
        block

    let set (cluster: int64) (value: uint64) =
        let block = blocks.Find(cluster >>> blockBits)
        let index = int (cluster &&& (blockEntries - 1L))
        RefcountBlock.set g.RefcountOrder (Span block.Bytes) index value
        markEntries block index 1

    /// The first free entry of a block from `from`, or `blockEntries`.
    let firstFree (block: CachedTable) (from: int) : int =
        let bytes = ReadOnlySpan block.Bytes

        if g.RefcountOrder = 4 then
            match MemoryMarshal.Cast<byte, uint16>(bytes).Slice(from).IndexOf 0us with
            | -1 -> int blockEntries
            | at -> from + at
        else
            let mutable at = from

            while int64 at < blockEntries && RefcountBlock.get g.RefcountOrder bytes at <> 0UL do
                at <- at + 1

            at

    /// A table half as large again, behind everything that the present one can count, with the blocks that count it.
    let grow () : Progress =
        let first = int64 table.Length <<< blockBits
        let perCluster = clusterBytes / 8
        let mutable blocksNeeded = 1L
        let mutable clusters = 0L
        let mutable settled = false

        while not settled do
            let entries = max (int64 table.Length + blocksNeeded) (int64 table.Length * 3L / 2L)
            clusters <- (entries + int64 perCluster - 1L) / int64 perCluster
            let wanted = (blocksNeeded + clusters + blockEntries - 1L) >>> blockBits
            settled <- wanted <= blocksNeeded
            blocksNeeded <- max wanted blocksNeeded

        if clusters <<< g.ClusterBits > int64 Limits.refcountTableBytes then
            Failed Errno.EFBIG
        else
            left.Add(struct (tableOffset >>> g.ClusterBits, tableClusters))
            let larger = Array.zeroCreate<uint64>(int clusters * perCluster)
            let oldLength = table.Length
            Array.blit table 0 larger 0 oldLength
            table <- larger

            for i in 0L .. blocksNeeded - 1L do
                addBlock (int64 oldLength + i) (first + i) |> ignore

            for cluster in first .. first + blocksNeeded + clusters - 1L do
                set cluster 1UL
                metadata.Add cluster |> ignore

            tableOffset <- offsetOf (first + blocksNeeded)
            tableClusters <- int clusters
            hasMoved <- true
            Ready

    /// Where the next free cluster is looked for, or where looking for it has failed.
    member _.Hint = hint

    member _.Blocks = blocks
    member _.Table = table
    member _.TableOffset = tableOffset
    member _.TableClusters = tableClusters

    /// The table is new as a whole: the header must be told.
    member _.HasMoved
        with get () = hasMoved
        and set value = hasMoved <- value

    /// Entries of the table that the file does not have: from, and up to; empty if there are none.
    member _.NewEntries = struct (newFrom, newTo)

    member _.SetNewEntries(from: int, until: int) =
        newFrom <- from
        newTo <- until

    /// Places of earlier tables, as first cluster and number: to be freed once the header tells of the new one.
    member _.Left = left

    /// The file offset of a block that the table has, or zero.
    member _.BlockOffset(index: int64) = blockOffset (index <<< blockBits)

    member _.Get(cluster: int64, value: byref<uint64>) : Progress =
        if blockOffset cluster = 0L then
            value <- 0UL
            Ready
        elif not (isSound cluster) then
            Failed Errno.EIO
        else
            let index = cluster >>> blockBits
            let block = blocks.Find index

            if isNull block || not block.IsReady then
                NeedsBlock index
            else
                value <-
                    RefcountBlock.get g.RefcountOrder (ReadOnlySpan block.Bytes) (int (cluster &&& (blockEntries - 1L)))
                Ready

    /// One reference less. EIO where there is none.
    member this.Free(cluster: int64) : Progress =
        let mutable value = 0UL

        match this.Get(cluster, &value) with
        | Ready when value = 0UL -> Failed Errno.EIO
        | Ready ->
            set cluster (value - 1UL)

            if value = 1UL then
                metadata.Remove cluster |> ignore
                hint <- min hint cluster

            Ready
        | other -> other

    /// Whether a cluster that has a reference can have one more.
    member this.CanShare(cluster: int64, can: byref<bool>) : Progress =
        let mutable value = 0UL
        let progress = this.Get(cluster, &value)
        can <- progress.IsReady && value > 0UL && value < Geometry.refcountMax &g
        progress

    /// One more reference, where that can be and the refcount block is there.
    member this.Share(cluster: int64) : bool =
        let mutable value = 0UL
        let progress = this.Get(cluster, &value)
        let can = progress.IsReady && value > 0UL && value < Geometry.refcountMax &g

        if can then
            set cluster (value + 1UL)

        can

    /// Takes the first free clusters, at most `wanted` and at least one, in one piece; each gets one reference.
    member this.Allocate(wanted: int, first: byref<int64>, count: byref<int>) : Progress =
        let mutable answer = Ready
        count <- 0

        while answer.IsReady && count = 0 do
            let index = hint >>> blockBits

            if offsetOf hint >= (1L <<< 56) then
                answer <- Failed Errno.EFBIG
            elif index >= int64 table.Length then
                answer <- grow ()
            elif table[int index] = 0UL then
                if metadata.Contains hint then
                    answer <- Failed Errno.EIO
                else
                    // The block stands at the first cluster that it counts and has free.
                    addBlock index hint |> ignore
                    set hint 1UL
            elif not (isSound hint) then
                answer <- Failed Errno.EIO
            else
                let block = blocks.Find index

                if isNull block || not block.IsReady then
                    answer <- NeedsBlock index
                else
                    let start = int (hint &&& (blockEntries - 1L))
                    let free = firstFree block start
                    hint <- (index <<< blockBits) + int64 free

                    if int64 free < blockEntries then
                        if metadata.Contains hint then
                            // The refcounts are wrong, and what is there must not be overwritten.
                            answer <- Failed Errno.EIO
                        else
                            let bytes = ReadOnlySpan block.Bytes
                            let mutable until = free + 1

                            while until - free < wanted
                                  && int64 until < blockEntries
                                  && RefcountBlock.get g.RefcountOrder bytes until = 0UL
                                  && not (metadata.Contains((index <<< blockBits) + int64 until)) do
                                until <- until + 1

                            for at in free .. until - 1 do
                                RefcountBlock.set g.RefcountOrder (Span block.Bytes) at 1UL

                            markEntries block free (until - free)
                            first <- hint
                            count <- until - free
                            hint <- hint + int64 count

        answer

    /// Takes `wanted` clusters in one piece, the first free ones from `from` on; each gets one reference.
    member this.AllocateRun(wanted: int64, from: int64, first: byref<int64>) : Progress =
        let mutable answer = Ready
        let mutable start = max 1L from
        let mutable cluster = start

        // First all blocks that count the piece, then the piece: a block that is missing takes a cluster itself.
        while answer.IsReady && cluster < start + wanted do
            let index = cluster >>> blockBits

            if offsetOf (start + wanted) >= (1L <<< 56) then
                answer <- Failed Errno.EFBIG
            elif index >= int64 table.Length then
                answer <- grow ()
            elif table[int index] = 0UL && not (metadata.Contains cluster) then
                addBlock index cluster |> ignore
                set cluster 1UL
                start <- cluster + 1L
                cluster <- start
            else
                let mutable value = 0UL
                answer <- this.Get(cluster, &value)

                if answer.IsReady then
                    cluster <- cluster + 1L

                    if value <> 0UL || metadata.Contains(cluster - 1L) then
                        start <- cluster

        if answer.IsReady then
            for cluster in start .. start + wanted - 1L do
                set cluster 1UL

            first <- start

        answer
