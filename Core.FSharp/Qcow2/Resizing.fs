namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Other lengths of the disk. The header tells of the new length in one write; what is mapped behind the end is never
/// seen: a shorter disk gets rid of it afterwards, if it can, and a longer one before.
module internal Resizing =
    /// The clusters of an L1 table.
    let private clustersAt (g: Geometry) (offset: int64) (entries: int) : int64 seq =
        let first = offset >>> g.ClusterBits
        seq { first .. first + Geometry.clusters &g (int64 entries * 8L) - 1L }

    /// Writes a longer L1 table, with the present entries, to clusters that were taken for it, and lets the header tell.
    let private writeL1 (image: Image) (offset: int64) (entries: int) =
        let g = image.Geometry
        let longer = Array.zeroCreate<uint64> entries
        Array.blit image.L1 0 longer 0 image.L1.Length
        let clusters = Geometry.clusters &g (int64 entries * 8L)
        let bytes = Array.zeroCreate<byte>(int (clusters <<< g.ClusterBits))

        Entry.writeTable (ReadOnlySpan longer) (Span bytes)

        ioResult {
            // The refcounts of the new place are in the file before anything refers to it.
            do! Settling.write offset bytes
            do! Settling.checkpoint image

            do! HeaderUpdate.putTables image (fun header -> { header with L1Entries = entries; L1Offset = offset })

            image.ReplaceL1 longer
        }

    /// Moves to a longer L1 table. The old place is free afterwards, or the new one after a failure: a cluster is used
    /// again only after a flush, and then the file has the header for good.
    let private moveL1 (image: Image) (entries: int) : IoScript<Result<unit, int>> =
        let g = image.Geometry
        let old = clustersAt g image.Header.L1Offset image.Header.L1Entries
        let count = Geometry.clusters &g (int64 entries * 8L)

        ioResult {
            let! first = Settling.allocateRun image count
            let offset = first <<< g.ClusterBits
            let taken = clustersAt g offset entries

            return!
                writeL1 image offset entries
                |> IoScript.bind (function
                    | Ok() ->
                        image.Metadata.UnionWith taken

                        for cluster in old do
                            image.Freed.Add(cluster, FreeReason.Other)

                        Settling.settle image
                    | Error errno ->
                        if not image.IsFenced then
                            for cluster in taken do
                                image.Freed.Add(cluster, FreeReason.Other)

                        Finished(Error errno))
        }

    /// What becomes of guest clusters that are behind the disk's end.
    [<Struct>]
    type private Beyond = {
        First: int64
        /// The cluster after the last one.
        Until: int64
        /// Up to here clusters are to read as zeroes even over a backing image; the others lose their entries.
        ZeroUntil: int64
        /// Why they are not needed any more.
        Reason: FreeReason
    }

    let private zeroEntry (g: Geometry) : L2Entry =
        if g.ExtendedL2 then
            { Descriptor = 0UL; Bitmap = ~~~L2Entry.allAllocated }
        else
            { Descriptor = L2Entry.zero; Bitmap = 0UL }

    /// Changes the entries of an L2 table that stand for clusters of the range. What has lost a reference goes to
    /// `released`; false, and nothing is changed, where an entry is faulty.
    let private clearEntries (image: Image) (range: Beyond) (l1Index: int) (l2: byte[]) (released: List<L2Entry>) =
        let g = image.Geometry
        let first = int64 l1Index <<< Geometry.l2Bits &g
        let empty = { Descriptor = 0UL; Bitmap = 0UL }
        let from = int (max 0L (range.First - first))
        let until = int (min (int64 (Geometry.l2Entries &g)) (range.Until - first))
        let mutable isSound = true
        let mutable isChanged = false

        for index in from .. until - 1 do
            let entry = L2Entry.read &g (ReadOnlySpan l2) index
            let wanted =
                if first + int64 index < range.ZeroUntil then
                    zeroEntry g
                else
                    empty
            isSound <- isSound && L2Entry.fault &g &entry = EntryFault.None

            if entry.Descriptor <> wanted.Descriptor || entry.Bitmap <> wanted.Bitmap then
                isChanged <- true
                released.Add entry
                L2Entry.write &g (Span l2) index wanted

        struct (isSound, isChanged)

    let private isEmpty (l2: byte[]) : bool =
        not (ReadOnlySpan(l2).ContainsAnyExcept 0uy)

    /// A cluster for an L2 table of the image's own.
    let private newTable (image: Image) : IoScript<Result<int64, int>> =
        let place = ref 0L

        ioResult {
            do!
                Settling.withBlocks image (fun () ->
                    let mutable first = 0L
                    let mutable count = 0
                    let progress = image.Refcounts.Allocate(1, &first, &count)
                    place.Value <- first
                    progress)

            image.FileClusters <- max image.FileClusters (place.Value + 1L)
            image.Metadata.Add place.Value |> ignore
            return place.Value <<< image.Geometry.ClusterBits
        }

    /// Puts a table into the file: in its place, or, where that is not the image's own, in another. It is durable before
    /// the L1 table tells of it, and before what it does not refer to any more is free.
    let private putTable (image: Image) (reason: FreeReason) (l1Index: int) (l2: byte[]) : IoScript<Result<unit, int>> =
        let g = image.Geometry
        let entry = image.L1[l1Index]
        let old = L1Entry.l2Offset entry

        let release () =
            if old <> 0L then
                image.Freed.Add(old >>> g.ClusterBits, reason)

        if isEmpty l2 then
            image.SetL1(l1Index, 0UL)
            release ()
            Finished(Ok())
        elif L1Entry.isCopied entry && old <> 0L then
            Settling.write old l2
        else
            ioResult {
                let! place = newTable image

                return!
                    Settling.write place l2
                    |> IoScript.bind (fun result ->
                        if result.IsOk then
                            image.SetL1(l1Index, L1Entry.encode place true)
                            release ()
                        else
                            image.Freed.Add(place >>> g.ClusterBits, FreeReason.Other)

                        Finished result)
            }

    let private clearTable (image: Image) (range: Beyond) (l1Index: int) : IoScript<Result<unit, int>> =
        let g = image.Geometry
        let entry = image.L1[l1Index]
        let offset = L1Entry.l2Offset entry
        let isMissing = offset = 0L
        let zeroes = int64 l1Index <<< Geometry.l2Bits &g < range.ZeroUntil

        if isMissing && not zeroes then
            Finished(Ok())
        elif L1Entry.fault &g entry <> EntryFault.None then
            Finished(Error Errno.EIO)
        else
            ioResult {
                let! l2 =
                    if isMissing then
                        Finished(Ok(Array.zeroCreate image.ClusterBytes))
                    else
                        Settling.read offset image.ClusterBytes

                let released = List<L2Entry>()
                let struct (isSound, isChanged) = clearEntries image range l1Index l2 released

                if not isSound then
                    return! Finished(Error Errno.EIO)
                elif isChanged || (isEmpty l2 && not isMissing) then
                    do! putTable image range.Reason l1Index l2
                    released |> Seq.iter (fun entry -> Writing.release image range.Reason &entry)

                    if image.MustCheckpoint then
                        do! Settling.checkpoint image
            }

    /// Nothing may be only in memory: the tables in the file are changed, not those in the cache.
    let private clear (image: Image) (range: Beyond) : IoScript<Result<unit, int>> =
        let g = image.Geometry
        let bits = Geometry.l2Bits &g
        let last = min (int64 image.L1.Length - 1L) ((range.Until - 1L) >>> bits)
        image.ClearSlices()

        ioResult {
            do! IoScript.forAll (range.First >>> bits) last (fun l1Index -> clearTable image range (int l1Index))
            // Where nothing has lost a reference, settling would leave it at that.
            do! Settling.flush image
            return! Settling.settle image
        }

    let private isFrozen (image: Image) : bool =
        image.Header.Version < 3 && image.Header.SnapshotCount > 0

    let private putSize (image: Image) (sizeBytes: int64) : IoScript<Result<unit, int>> =
        HeaderUpdate.putTables image (fun header -> { header with SizeBytes = sizeBytes })

    /// A raw data file is as long as the disk: the last bytes of the new part make it so.
    let private growRawData (image: Image) (sizeBytes: int64) : IoScript<Result<unit, int>> =
        let length = min 512L (sizeBytes - image.Header.SizeBytes)

        if image.HasRawData && length > 0L then
            WriteChild(image.Children.DataChild, sizeBytes - length, Array.zeroCreate (int length), Finished)
        else
            Finished(Ok())

    let grow (image: Image) (sizeBytes: int64) : IoScript<Result<unit, int>> =
        let g = image.Geometry
        let entries = Geometry.l1Entries &g sizeBytes
        let first = Geometry.clusters &g image.Header.SizeBytes
        let behindBacking = Geometry.clusters &g (min sizeBytes image.Children.BackingBytes)

        let range = {
            First = first
            Until = Geometry.clusters &g sizeBytes
            ZeroUntil =
                if image.Children.BackingChild >= 0 then
                    behindBacking
                else
                    0L
            Reason = FreeReason.Other
        }

        if image.IsFenced then
            Finished(Error Errno.EIO)
        elif sizeBytes > Geometry.sizeMax &g then
            Finished(Error Errno.EFBIG)
        elif isFrozen image || (image.Header.Version < 3 && range.ZeroUntil > first) then
            Finished(Error Errno.ENOTSUP)
        else
            ioResult {
                do! Settling.settle image

                if entries > int64 image.L1.Length then
                    do! moveL1 image (int entries)

                do! clear image range
                do! growRawData image sizeBytes
                // Tables that were changed in their place have no checkpoint to be flushed by.
                do! Settling.flush image
                return! putSize image sizeBytes
            }

    let shrink (image: Image) (sizeBytes: int64) : IoScript<Result<unit, int>> =
        let g = image.Geometry

        let range = {
            First = Geometry.clusters &g sizeBytes
            Until = int64 image.L1.Length <<< Geometry.l2Bits &g
            ZeroUntil = 0L
            Reason = FreeReason.Shrink
        }

        if image.IsFenced then
            Finished(Error Errno.EIO)
        elif isFrozen image then
            Finished(Error Errno.ENOTSUP)
        else
            ioResult {
                do! Settling.settle image
                do! putSize image sizeBytes

                // Where this fails, the disk is shorter all the same, and has only kept what nobody sees.
                return! clear image range |> IoScript.bind (fun _ -> Finished(Ok()))
            }
