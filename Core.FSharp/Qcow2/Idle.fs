namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What is done to an open image as a whole, while no request is under way. Errors are Linux error numbers; after one
/// the image is as it was, or as it is to be.
module Idle =
    let private write (offset: int64) (bytes: byte[]) : IoScript<Result<unit, int>> =
        WriteChild(0, offset, bytes, Finished)

    let private flush (image: Image) : IoScript<Result<unit, int>> =
        ioResult {
            do! FlushChild(0, Finished)

            if image.Children.DataChild <> 0 then
                do! FlushChild(image.Children.DataChild, Finished)
        }

    let private readBlock (image: Image) (index: int64) : IoScript<Result<unit, int>> =
        let blocks = image.Refcounts.Blocks
        let table = blocks.Take(index, image.Refcounts.BlockOffset index)

        ReadChild(
            0,
            table.HostOffset,
            blocks.TableBytes,
            function
            | Ok bytes ->
                bytes.CopyTo(table.Bytes, 0)
                table.IsReady <- true
                Finished(Ok())
            | Error errno ->
                blocks.Drop table
                Finished(Error errno)
        )

    /// Tries an operation on refcounts until it has all blocks that it needs.
    let rec private withBlocks (image: Image) (operation: unit -> Progress) : IoScript<Result<unit, int>> =
        match operation () with
        | Ready -> Finished(Ok())
        | Failed errno -> Finished(Error errno)
        | NeedsBlock index ->
            ioResult {
                do! readBlock image index
                return! withBlocks image operation
            }

    let private writeParts (image: Image) (checkpoint: Checkpoint) : IoScript<Result<unit, int>> =
        IoScript.forAll 0L (int64 Checkpoint.PartCount - 1L) (fun part ->
            let writes = checkpoint.Writes(int part)

            if part > 0L && writes.Count = 0 then
                Finished(Ok())
            else
                ioResult {
                    do!
                        IoScript.forAll 0L (int64 writes.Count - 1L) (fun i ->
                            write writes[int i].Offset writes[int i].Data)

                    return! flush image
                })

    let private checkpoint (image: Image) : IoScript<Result<unit, int>> =
        ioResult {
            if image.IsFenced then
                return! Finished(Error Errno.EIO)

            image.Freed.SkipDiscards()
            do! withBlocks image image.ApplyFreed
            let checkpoint = Checkpoint image

            return!
                writeParts image checkpoint
                |> IoScript.bind (fun result ->
                    match result with
                    | Ok() -> checkpoint.Succeed()
                    | Error _ -> checkpoint.Fail()

                    Finished result)
        }

    /// Writes everything that is only in memory. Afterwards the file has no cluster that nothing refers to but those that
    /// it had before.
    let settle (image: Image) : IoScript<Result<unit, int>> =
        // What the first checkpoint frees is counted by the second one.
        IoScript.forAll 1L 4L (fun _ ->
            if image.IsDirty || not image.Freed.IsEmpty then
                checkpoint image
            else
                Finished(Ok()))

    /// Size, encryption method, and number and place of the L1 entries are neighbours in the header, in one sector.
    let private headerFields (header: Header) : byte[] =
        let fields = Array.zeroCreate<byte> 24
        BigEndian.writeU64 (Span fields) 0 (uint64 header.SizeBytes)
        BigEndian.writeU32 (Span fields) 8 header.CryptMethod
        BigEndian.writeU32 (Span fields) 12 (uint32 header.L1Entries)
        BigEndian.writeU64 (Span fields) 16 (uint64 header.L1Offset)
        fields

    /// After a failure the file may have either header: then it gets the present one again, and where not even that can
    /// be written, nothing may be changed any more.
    let private putHeader (image: Image) (header: Header) : IoScript<Result<unit, int>> =
        ioResult {
            do! write (int64 Header.sizeFieldOffset) (headerFields header)
            do! flush image
            image.Header <- header
        }
        |> IoScript.bind (function
            | Ok() -> Finished(Ok())
            | Error errno ->
                write (int64 Header.sizeFieldOffset) (headerFields image.Header)
                |> IoScript.bind (fun again ->
                    image.IsFenced <- image.IsFenced || again.IsError
                    Finished(Error errno)))

    /// How many clusters the L1 table takes.
    let private l1Clusters (image: Image) (header: Header) : int64 =
        let g = image.Geometry
        Geometry.clusters &g (int64 header.L1Entries * 8L)

    /// The clusters of the L1 table.
    let private clustersAt (image: Image) (header: Header) : int64 seq =
        let first = header.L1Offset >>> image.Geometry.ClusterBits
        seq { first .. first + l1Clusters image header - 1L }

    /// Writes a longer L1 table, with the present entries, to clusters that were taken for it, and lets the header tell.
    let private writeL1 (image: Image) (header: Header) : IoScript<Result<unit, int>> =
        let longer = Array.zeroCreate<uint64> header.L1Entries
        Array.blit image.L1 0 longer 0 image.L1.Length
        let clusters = l1Clusters image header
        let bytes = Array.zeroCreate<byte>(int (clusters <<< image.Geometry.ClusterBits))

        Entry.writeTable (ReadOnlySpan longer) (Span bytes)

        ioResult {
            // The refcounts of the new place are in the file before anything refers to it.
            do! write header.L1Offset bytes
            do! checkpoint image
            do! putHeader image header
            image.ReplaceL1 longer
        }

    /// Moves to a longer L1 table. The old place is free afterwards, or the new one after a failure: a cluster is used
    /// again only after a flush, and then the file has the header for good.
    let private moveL1 (image: Image) (header: Header) : IoScript<Result<unit, int>> =
        let old = image.Header
        let count = l1Clusters image header
        let place = ref 0L

        ioResult {
            do!
                withBlocks image (fun () ->
                    let mutable first = 0L
                    let progress = image.Refcounts.AllocateRun(count, image.FileClusters, &first)
                    place.Value <- first
                    progress)

            let first = place.Value
            image.FileClusters <- max image.FileClusters (first + count)
            let header = {
                header with
                    L1Offset = first <<< image.Geometry.ClusterBits
            }

            return!
                writeL1 image header
                |> IoScript.bind (function
                    | Ok() ->
                        image.Metadata.UnionWith(clustersAt image header)
                        for cluster in clustersAt image old do
                            image.Freed.Add(cluster, FreeReason.Other)

                        settle image
                    | Error errno ->
                        if not image.IsFenced then
                            for cluster in clustersAt image header do
                                image.Freed.Add(cluster, FreeReason.Other)

                        Finished(Error errno))
        }

    /// Makes the disk longer; the new bytes read as zeroes.
    let grow (image: Image) (sizeBytes: int64) : IoScript<Result<unit, int>> =
        let g = image.Geometry
        let entries = Geometry.l1Entries &g sizeBytes
        let header = { image.Header with SizeBytes = sizeBytes }

        ioResult {
            do! settle image

            if sizeBytes > Geometry.sizeMax &g then
                return! Finished(Error Errno.EFBIG)
            elif entries > int64 image.L1.Length then
                return! moveL1 image { header with L1Entries = int entries }
            else
                return! putHeader image header
        }
