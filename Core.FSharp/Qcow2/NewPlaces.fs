namespace StorageDaemon.Core.Qcow2

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Clusters for tables that are about to take the place of others, taken from an open image. Nothing in the file refers
/// to them before the header does, so that until then they are at worst leaks.
[<Sealed>]
type internal NewPlaces(image: Image) =
    let bits = image.Geometry.ClusterBits
    let taken = List<int64>()
    let spare = Queue<int64>()
    let left = List<int64>()

    let take (first: int64) (count: int64) =
        image.FileClusters <- max image.FileClusters (first + count)
        taken.AddRange(seq { first .. first + count - 1L })

    let spareAll (first: int64) (count: int) =
        for cluster in first .. first + int64 count - 1L do
            spare.Enqueue cluster

    let allocate (wanted: int) : IoScript<Result<struct (int64 * int), int>> =
        let found = ref (struct (0L, 0))

        ioResult {
            if image.MustCheckpoint then
                do! Settling.checkpoint image

            do!
                Settling.withBlocks image (fun () ->
                    let mutable first = 0L
                    let mutable count = 0
                    let progress = image.Refcounts.Allocate(wanted, &first, &count)
                    found.Value <- struct (first, count)
                    progress)

            let struct (first, count) = found.Value
            take first (int64 count)
            return found.Value
        }

    let allocateAtEnd (clusters: int64) : IoScript<Result<int64, int>> =
        ioResult {
            let! first = Settling.allocateRun image clusters
            take first clusters
            return first
        }

    /// Takes clusters for tables of one cluster.
    member _.AddSpare(clusters: int64) : IoScript<Result<unit, int>> =
        let until = int64 spare.Count + clusters

        IoScript.forAll 1L clusters (fun _ ->
            if int64 spare.Count >= until then
                Finished(Ok())
            else
                ioResult {
                    let! struct (first, count) = allocate (int (min (until - int64 spare.Count) 65536L))
                    spareAll first count
                })

    /// One of them, in bytes.
    member _.Next() : int64 = spare.Dequeue() <<< bits

    /// Takes clusters in one piece: the first ones that are free, or behind everything else where those are too few. In
    /// bytes; zero for none.
    member _.Run(clusters: int64) : IoScript<Result<int64, int>> =
        if clusters = 0L then
            Finished(Ok 0L)
        else
            ioResult {
                let! struct (first, count) = allocate (int clusters)

                if int64 count = clusters then
                    return first <<< bits
                else
                    spareAll first count
                    let! first = allocateAtEnd clusters
                    return first <<< bits
            }

    /// A piece that turned out to be too small.
    member _.Leave(offset: int64, clusters: int64) =
        for cluster in offset >>> bits .. (offset >>> bits) + clusters - 1L do
            left.Add cluster

    /// Clusters that nothing was put into.
    member _.Unused: int64 seq = Seq.append spare left

    /// The tables stay where they were: everything that was taken is free again.
    member _.GiveBack() =
        for cluster in taken do
            image.Freed.Add(cluster, FreeReason.Other)
