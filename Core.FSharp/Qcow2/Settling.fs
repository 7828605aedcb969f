namespace StorageDaemon.Core.Qcow2

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Checkpoints while no request is under way. Errors are Linux error numbers.
module internal Settling =
    let write (offset: int64) (bytes: byte[]) : IoScript<Result<unit, int>> = WriteChild(0, offset, bytes, Finished)

    let flush (image: Image) : IoScript<Result<unit, int>> =
        ioResult {
            do! FlushChild(0, Finished)

            if image.Children.DataChild <> 0 then
                do! FlushChild(image.Children.DataChild, Finished)
        }

    /// Reads a table, or another part of the image file; behind its end everything is zero.
    let read (offset: int64) (lengthBytes: int) : IoScript<Result<byte[], int>> =
        ReadChild(0, offset, lengthBytes, Finished)

    /// Reads a block into the memory that a cache has for it.
    let fill (blocks: TableCache) (block: CachedTable) (offset: int64) : IoScript<Result<unit, int>> =
        read offset blocks.TableBytes
        |> IoScript.bind (fun result ->
            match result with
            | Ok bytes ->
                bytes.CopyTo(block.Bytes, 0)
                block.IsReady <- true
                Finished(Ok())
            | Error errno ->
                blocks.Drop block
                Finished(Error errno))

    /// Tries an operation on refcounts until it has all blocks that it needs.
    let rec untilReady
        (load: int64 -> IoScript<Result<unit, int>>)
        (operation: unit -> Progress)
        : IoScript<Result<unit, int>> =
        match operation () with
        | Ready -> Finished(Ok())
        | Failed errno -> Finished(Error errno)
        | NeedsBlock index ->
            ioResult {
                do! load index
                return! untilReady load operation
            }

    /// The same for operations on the image's own refcounts.
    let withBlocks (image: Image) (operation: unit -> Progress) : IoScript<Result<unit, int>> =
        let load (index: int64) =
            let blocks = image.Refcounts.Blocks
            let offset = image.Refcounts.BlockOffset index
            fill blocks (blocks.Take(index, offset)) offset

        untilReady load operation

    /// Takes clusters in one piece behind everything that the file has; the first one.
    let allocateRun (image: Image) (clusters: int64) : IoScript<Result<int64, int>> =
        let found = ref 0L

        ioResult {
            do!
                withBlocks image (fun () ->
                    let mutable first = 0L
                    let progress = image.Refcounts.AllocateRun(clusters, image.FileClusters, &first)
                    found.Value <- first
                    progress)

            image.FileClusters <- max image.FileClusters (found.Value + clusters)
            return found.Value
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

    /// Tells the file below of clusters in one piece. An error is nobody's.
    let discard (image: Image) (first: int64) (count: int64) : IoScript<Result<unit, int>> =
        let bits = image.Geometry.ClusterBits
        DiscardChild(0, first <<< bits, count <<< bits, (fun _ -> Finished(Ok())))

    /// Tells it of those among the clusters, sorted, that nobody else has.
    let private discardAll (image: Image) (clusters: List<int64>) : IoScript<Result<unit, int>> =
        let next = ref 0
        let first = ref 0L
        let count = ref 0L

        let send () =
            let length = count.Value
            count.Value <- 0L

            if length > 0L then
                discard image first.Value length
            else
                Finished(Ok())

        let take (cluster: int64) =
            if count.Value > 0L && cluster = first.Value + count.Value then
                count.Value <- count.Value + 1L
                Finished(Ok())
            else
                ioResult {
                    do! send ()
                    first.Value <- cluster
                    count.Value <- 1L
                }

        ioResult {
            do!
                IoScript.forAll 0L (int64 clusters.Count - 1L) (fun index ->
                    if int index < next.Value then
                        Finished(Ok())
                    else
                        let cluster = clusters[int index]
                        let times = Discarding.occurrences clusters (int index)
                        let refcount = ref 0UL
                        next.Value <- int index + times

                        ioResult {
                            do!
                                withBlocks image (fun () ->
                                    let mutable value = 0UL
                                    let progress = image.Refcounts.Get(cluster, &value)
                                    refcount.Value <- value
                                    progress)

                            if refcount.Value = uint64 times then
                                image.LeavePack cluster
                                do! take cluster
                        })

            do! send ()
        }

    /// Clusters of which the file below is to be told before they are used again.
    let private discardFreed (image: Image) : IoScript<Result<unit, int>> =
        if image.Freed.HasDiscards then
            discardAll image (image.Freed.BeginDiscards())
            |> IoScript.bind (fun _ ->
                image.Freed.EndDiscards()
                Finished(Ok()))
        else
            Finished(Ok())

    /// Writes what is only in memory; what that sets free is counted as free by the next one.
    let checkpoint (image: Image) : IoScript<Result<unit, int>> =
        image.BreakView()

        ioResult {
            if image.IsFenced then
                return! Finished(Error Errno.EIO)

            do! discardFreed image
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
        // Whoever settles is going to change the image as a whole.
        image.BreakView()
        // What the first checkpoint frees is counted by the second one.
        IoScript.forAll 1L 4L (fun _ ->
            if image.IsDirty || not image.Freed.IsEmpty then
                checkpoint image
            else
                Finished(Ok()))
