namespace StorageDaemon.Core.Qcow2

open System
open System.Collections
open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// A copy of an image's refcounts in other clusters, in which changes are made that come into force all at once, when the
/// header tells of the copy. The image must have nothing that is only in memory. Memory is bounded by the cache's
/// capacity. `blockPlaces` gives a place for each block in turn.
[<Sealed>]
type internal RefcountsCopy(image: Image, tableOffset: int64, blockPlaces: unit -> int64) =
    let g = image.Geometry
    let blockBits = Geometry.refblockBits &g
    // Of further pieces nobody is told.
    let freedMax = 1_000_000
    let old = image.Refcounts.Table

    let table =
        old
        |> Array.map (fun entry -> if entry = 0UL then 0UL else uint64 (blockPlaces ()))

    let isWritten = BitArray table.Length
    let freed = List<struct (int64 * int64)>()
    let blocks = TableCache(Geometry.clusterBytes &g, image.Refcounts.Blocks.Capacity)

    let place (index: int64) = int64 table[int index]

    let writeBlock (block: CachedTable) : IoScript<Result<unit, int>> =
        ioResult {
            do! Settling.write block.HostOffset block.Bytes
            blocks.MarkClean block
            isWritten[int block.Key] <- true
        }

    let writeDirty () : IoScript<Result<unit, int>> =
        let dirty = blocks.Dirty
        IoScript.forAll 0L (int64 dirty.Length - 1L) (fun i -> writeBlock dirty[int i])

    let load (index: int64) : IoScript<Result<unit, int>> =
        let from =
            if isWritten[int index] then
                place index
            else
                RefcountTableEntry.blockOffset old[int index]

        ioResult {
            if 2 * blocks.DirtyCount >= blocks.Capacity then
                do! writeDirty ()

            return! Settling.fill blocks (blocks.Take(index, place index)) from
        }

    let untilReady = Settling.untilReady load

    /// The block that counts a cluster, in memory; EIO where there is none.
    let find (cluster: int64) : Progress =
        let index = cluster >>> blockBits

        if index >= int64 table.Length || table[int index] = 0UL then
            Failed Errno.EIO
        elif
            RefcountTableEntry.fault &g old[int index] <> EntryFault.None
            || int64 old[int index] < 0L
        then
            Failed Errno.EIO
        else
            match blocks.Find index with
            | null -> NeedsBlock index
            | _ -> Ready

    let indexInBlock (cluster: int64) : int =
        int (cluster &&& ((1L <<< blockBits) - 1L))

    /// Whether a cluster, whose block is there, has one reference.
    let isOnlyOne (cluster: int64) : bool =
        let block = blocks.Find(cluster >>> blockBits)
        RefcountBlock.get g.RefcountOrder (ReadOnlySpan block.Bytes) (indexInBlock cluster) = 1UL

    let note (cluster: int64) =
        let last = freed.Count - 1

        if
            last >= 0
            && (let struct (first, count) = freed[last] in cluster = first + count)
        then
            let struct (first, count) = freed[last]
            freed[last] <- struct (first, count + 1L)
        elif freed.Count < freedMax then
            freed.Add(struct (cluster, 1L))

    /// One reference more, or, with a reason, one less. EINVAL where there would be more than the width can hold, EIO
    /// where there were none.
    let change (less: FreeReason voption) (cluster: int64) : Progress =
        match find cluster with
        | Ready ->
            let block = blocks.Find(cluster >>> blockBits)
            let index = indexInBlock cluster
            let bytes = Span block.Bytes

            if RefcountBlock.get g.RefcountOrder (ReadOnlySpan block.Bytes) index = 0UL then
                Failed Errno.EIO
            elif less.IsNone && not (RefcountBlock.tryIncrease g.RefcountOrder bytes index 1UL) then
                Failed Errno.EINVAL
            else
                match less with
                | ValueSome reason ->
                    let isLast = isOnlyOne cluster
                    RefcountBlock.tryDecrease g.RefcountOrder bytes index 1UL |> ignore

                    if isLast && image.Discards.Passes reason then
                        note cluster
                | ValueNone -> ()

                blocks.MarkDirty(block, 0, blocks.TableBytes)
                Ready
        | waiting -> waiting

    /// All clusters from one to another, once the blocks that count them are there.
    let changeRange (less: FreeReason voption) (first: int64) (last: int64) : Progress =
        let mutable progress = Ready

        for cluster in first..last do
            if progress.IsReady then
                progress <- find cluster

        for cluster in first..last do
            if progress.IsReady then
                progress <- change less cluster

        progress

    let changeEntry (less: FreeReason voption) (entry: inref<L2Entry>) : Progress =
        if L2Entry.fault &g &entry <> EntryFault.None then
            Failed Errno.EIO
        elif L2Entry.isCompressed entry.Descriptor then
            let place = L2Entry.compressedPlace &g entry.Descriptor
            let last = place.HostOffset + int64 place.LengthBytes - 1L
            changeRange less (place.HostOffset >>> g.ClusterBits) (last >>> g.ClusterBits)
        else
            match L2Entry.hostOffset entry.Descriptor with
            | 0L -> Ready
            | host -> change less (host >>> g.ClusterBits)

    /// Goes through an L2 table; `visit` is tried again where it lacks a block.
    let forEntries (visit: int -> Progress) : IoScript<Result<unit, int>> =
        let count = Geometry.l2Entries &g
        let at = ref 0

        untilReady (fun () ->
            let mutable progress = Ready

            while progress.IsReady && at.Value < count do
                progress <- visit at.Value

                if progress.IsReady then
                    at.Value <- at.Value + 1

            progress)

    let changeEntries (less: FreeReason voption) (l2: byte[]) : IoScript<Result<unit, int>> =
        let g = g

        forEntries (fun index ->
            let entry = L2Entry.read &g (ReadOnlySpan l2) index
            changeEntry less &entry)

    /// One reference more for the cluster at an offset.
    member _.Share(offset: int64) : IoScript<Result<unit, int>> =
        untilReady (fun () -> change ValueNone (offset >>> g.ClusterBits))

    /// One reference more for everything that an L2 table refers to.
    member _.ShareEntries(l2: byte[]) : IoScript<Result<unit, int>> = changeEntries ValueNone l2

    /// One reference less for clusters in one piece.
    member _.Drop(reason: FreeReason, offset: int64, clusters: int64) : IoScript<Result<unit, int>> =
        let first = offset >>> g.ClusterBits

        IoScript.forAll first (first + clusters - 1L) (fun cluster ->
            untilReady (fun () -> change (ValueSome reason) cluster))

    /// One reference less for everything that an L2 table refers to.
    member _.DropEntries(reason: FreeReason, l2: byte[]) : IoScript<Result<unit, int>> =
        changeEntries (ValueSome reason) l2

    /// Pieces of the file, as first cluster and number, that have lost their last reference and of which the file below
    /// is to be told.
    member _.Freed = freed

    /// Whether a cluster has one reference.
    member _.IsOnlyOne(cluster: int64) : IoScript<Result<bool, int>> =
        ioResult {
            do! untilReady (fun () -> find cluster)
            return isOnlyOne cluster
        }

    /// Sets the "copied" flags of an L2 table as the refcounts demand it; whether any has changed.
    member _.Flag(l2: byte[]) : IoScript<Result<bool, int>> =
        let g = g
        let isChanged = ref false

        ioResult {
            do!
                forEntries (fun index ->
                    let entry = L2Entry.read &g (ReadOnlySpan l2) index
                    let host = L2Entry.hostOffset entry.Descriptor

                    if L2Entry.isCompressed entry.Descriptor || host = 0L then
                        Ready
                    else
                        let progress = find (host >>> g.ClusterBits)

                        if progress.IsReady then
                            let flagged =
                                if isOnlyOne (host >>> g.ClusterBits) then
                                    entry.Descriptor ||| Entry.copied
                                else
                                    entry.Descriptor &&& ~~~Entry.copied

                            if flagged <> entry.Descriptor then
                                isChanged.Value <- true
                                L2Entry.write &g (Span l2) index { entry with Descriptor = flagged }

                        progress)

            return isChanged.Value
        }

    /// The present structure, which nothing refers to afterwards.
    member this.DropOld() : IoScript<Result<unit, int>> =
        ioResult {
            do! this.Drop(FreeReason.Other, image.Refcounts.TableOffset, int64 image.Refcounts.TableClusters)

            do!
                IoScript.forAll 0L (int64 old.Length - 1L) (fun index ->
                    match RefcountTableEntry.blockOffset old[int index] with
                    | 0L -> Finished(Ok())
                    | offset -> this.Drop(FreeReason.Other, offset, 1L))
        }

    /// Writes all of it.
    member _.Write() : IoScript<Result<unit, int>> =
        ioResult {
            do!
                IoScript.forAll 0L (int64 table.Length - 1L) (fun index ->
                    if table[int index] = 0UL || isWritten[int index] then
                        Finished(Ok())
                    else
                        ioResult {
                            if isNull (blocks.Find index) then
                                do! load index

                            if not isWritten[int index] then
                                do! writeBlock (blocks.Find index)
                        })

            do! writeDirty ()
            let bytes = Array.zeroCreate<byte>(table.Length * 8)
            Entry.writeTable (ReadOnlySpan table) (Span bytes)
            do! Settling.write tableOffset bytes
        }

    /// What the image works with from now on.
    member _.Adopted: Refcounts =
        Refcounts(g, table, tableOffset, image.Refcounts.TableClusters, image.Metadata, image.Refcounts.Blocks.Capacity)
