namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What is done to an open image as a whole, while no request is under way. Errors are Linux error numbers; after one
/// the image is as it was, or as it is to be.
module Idle =
    /// Writes everything that is only in memory. Afterwards the file has no cluster that nothing refers to but those that
    /// it had before.
    let settle (image: Image) : IoScript<Result<unit, int>> = Settling.settle image

    /// The last that is done to an image that was writable. It is not marked as dirty meanwhile, lazy refcounts or not:
    /// every checkpoint writes refcounts before what they count, so that no crash leaves them too small, and there is
    /// nothing to be repaired. The mark of an image whose repair left other damage goes here, as its refcounts are right.
    let close (image: Image) : IoScript<Result<unit, int>> =
        ioResult {
            do! Settling.settle image
            do! Settling.flush image

            if image.Header.Incompatible &&& Feature.dirty <> 0UL then
                do!
                    HeaderUpdate.putFeatures image (fun header -> {
                        header with
                            Incompatible = header.Incompatible &&& ~~~Feature.dirty
                    })
        }

    /// Marks the image as corrupt, for good: it can be opened for writing only by a repair. Nothing of it is changed any
    /// more, in whichever way this ends. Version 2 has no place for the mark.
    let markCorrupt (image: Image) : IoScript<Result<unit, int>> =
        image.IsFenced <- true

        HeaderUpdate.putFeatures image (fun header -> {
            header with
                Incompatible = header.Incompatible ||| Feature.corrupt
        })

    /// The clusters of an L1 table.
    let private clustersAt (g: Geometry) (offset: int64) (entries: int) : int64 seq =
        let first = offset >>> g.ClusterBits
        seq { first .. first + Geometry.clusters &g (int64 entries * 8L) - 1L }

    /// Writes a longer L1 table, with the present entries, to clusters that were taken for it, and lets the header tell.
    let private writeL1 (image: Image) (sizeBytes: int64) (offset: int64) (entries: int) =
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

            do!
                HeaderUpdate.putTables image (fun header -> {
                    header with
                        SizeBytes = sizeBytes
                        L1Entries = entries
                        L1Offset = offset
                })

            image.ReplaceL1 longer
        }

    /// Moves to a longer L1 table. The old place is free afterwards, or the new one after a failure: a cluster is used
    /// again only after a flush, and then the file has the header for good.
    let private moveL1 (image: Image) (sizeBytes: int64) (entries: int) : IoScript<Result<unit, int>> =
        let g = image.Geometry
        let old = clustersAt g image.Header.L1Offset image.Header.L1Entries
        let count = Geometry.clusters &g (int64 entries * 8L)
        let place = ref 0L

        ioResult {
            do!
                Settling.withBlocks image (fun () ->
                    let mutable first = 0L
                    let progress = image.Refcounts.AllocateRun(count, image.FileClusters, &first)
                    place.Value <- first
                    progress)

            let offset = place.Value <<< g.ClusterBits
            let taken = clustersAt g offset entries
            image.FileClusters <- max image.FileClusters (place.Value + count)

            return!
                writeL1 image sizeBytes offset entries
                |> IoScript.bind (function
                    | Ok() ->
                        image.Metadata.UnionWith taken
                        Seq.iter image.Freed.Add old
                        Settling.settle image
                    | Error errno ->
                        if not image.IsFenced then
                            Seq.iter image.Freed.Add taken

                        Finished(Error errno))
        }

    /// Makes the disk longer; the new bytes read as zeroes. ENOTSUP in version 2 with snapshots, which do not tell how
    /// long the disk was.
    let grow (image: Image) (sizeBytes: int64) : IoScript<Result<unit, int>> =
        let g = image.Geometry
        let entries = Geometry.l1Entries &g sizeBytes

        ioResult {
            if sizeBytes > Geometry.sizeMax &g then
                return! Finished(Error Errno.EFBIG)
            elif image.Header.Version < 3 && image.Header.SnapshotCount > 0 then
                return! Finished(Error Errno.ENOTSUP)
            else
                do! Settling.settle image

                if entries > int64 image.L1.Length then
                    return! moveL1 image sizeBytes (int entries)
                else
                    return! HeaderUpdate.putTables image (fun header -> { header with SizeBytes = sizeBytes })
        }
