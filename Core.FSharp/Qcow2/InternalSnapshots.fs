namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What a new snapshot is to be called, and when it was taken.
type NewSnapshot = {
    /// Empty for the number after the greatest that is an id.
    Id: byte[]
    Name: byte[]
    /// Since the Epoch.
    Seconds: uint32
    Nanoseconds: uint32
    /// Time that the guest had run, in nanoseconds.
    GuestNs: uint64
    /// Instructions executed; none if they were not counted.
    Icount: uint64 voption
}

/// What an image is to have instead of its present tables, and where.
[<NoComparison; NoEquality>]
type internal NewTables = {
    /// The present snapshots.
    Existing: Snapshot list
    Snapshots: Snapshot list
    /// The snapshot table.
    Table: byte[]
    TableOffset: int64
    /// The offset of the L1 table.
    ActiveL1: int64
    Refcounts: RefcountsCopy
}

/// Internal snapshots of an open image, while no request is under way. Everything that a snapshot's creation or deletion
/// changes - refcounts, "copied" flags, the active L1 table, the snapshot table - is written to other clusters, and one
/// write of the header makes all of it valid: the file has the snapshot, or it has not, and is sound in either case, even
/// in version 2, which knows no dirty bit. The price is room for a second copy of the refcounts and of the L2 tables whose
/// flags change; the old ones are free afterwards. Errors are Linux error numbers; after one the image is as it was.
module InternalSnapshots =
    /// The entries of the snapshot table; at most 64 MiB of them. EINVAL where one is invalid.
    let list (image: Image) : IoScript<Result<Snapshot list, int>> =
        let found = List<Snapshot>()

        ioResult {
            let! _ =
                SnapshotTable.visit Settling.read (fun _ -> Errno.EINVAL) Errno.EFBIG image.Header (fun _ snapshot ->
                    found.Add snapshot)

            return List.ofSeq found
        }

    /// The snapshot of an id, of a name, or of both; the first one.
    let find (id: byte[] voption) (name: byte[] voption) (snapshots: Snapshot list) : Snapshot voption =
        let isMeant (snapshot: Snapshot) =
            (id.IsNone || id.Value = snapshot.Id)
            && (name.IsNone || name.Value = snapshot.Name)

        match List.tryFind isMeant snapshots with
        | Some snapshot when id.IsSome || name.IsSome -> ValueSome snapshot
        | _ -> ValueNone

    /// The number after the greatest one that is an id.
    let private nextId (snapshots: Snapshot list) : byte[] =
        let number (snapshot: Snapshot) =
            match UInt64.TryParse(Encoding.ASCII.GetString snapshot.Id) with
            | true, number when number < UInt64.MaxValue -> number
            | _ -> 0UL

        let last = snapshots |> List.fold (fun last snapshot -> max last (number snapshot)) 0UL
        Encoding.ASCII.GetBytes(string (last + 1UL))

    let private clustersOf (image: Image) (bytes: int64) : int64 =
        let g = image.Geometry
        Geometry.clusters &g bytes

    let private l1Clusters (image: Image) : int64 =
        clustersOf image (int64 image.L1.Length * 8L)

    let private tableBytes (snapshots: Snapshot list) : int64 =
        snapshots |> List.sumBy (Snapshots.encodedBytes >> int64)

    /// Places for another refcount structure, once there are those for everything else: what is taken for it may need
    /// more blocks itself.
    let private refcountPlaces (image: Image) (places: NewPlaces) : IoScript<Result<RefcountsCopy, int>> =
        let blocks = Queue<int64>()
        let table = ref (struct (0L, 0L))

        let blocksNeeded () =
            image.Refcounts.Table
            |> Array.sumBy (fun entry -> if entry = 0UL then 0L else 1L)

        let isSettled () =
            let struct (_, clusters) = table.Value

            clusters = int64 image.Refcounts.TableClusters
            && int64 blocks.Count >= blocksNeeded ()

        ioResult {
            do!
                IoScript.forAll 1L 16L (fun _ ->
                    if isSettled () then
                        Finished(Ok())
                    else
                        ioResult {
                            let struct (offset, clusters) = table.Value
                            let wanted = int64 image.Refcounts.TableClusters

                            if clusters <> wanted then
                                places.Leave(offset, clusters)
                                let! offset = places.Run wanted
                                table.Value <- struct (offset, wanted)

                            let missing = blocksNeeded () - int64 blocks.Count
                            do! places.AddSpare missing
                            Seq.init (int missing) (fun _ -> places.Next()) |> Seq.iter blocks.Enqueue
                        })

            if not (isSettled ()) then
                return! Finished(Error Errno.EFBIG)

            // Until the header tells of the new tables, what has been taken for them is a leak at worst.
            do! Settling.checkpoint image

            let struct (offset, _) = table.Value
            return RefcountsCopy(image, offset, blocks.Dequeue)
        }

    /// Visits the L2 tables of an L1 table. A table that has more of them than the file has clusters points to some more
    /// than once: EIO, before it takes for ever.
    let private forTables
        (image: Image)
        (l1: uint64[])
        (visit: int -> int64 -> byte[] -> IoScript<Result<unit, int>>)
        : IoScript<Result<unit, int>> =
        let g = image.Geometry
        let visited = ref 0L

        IoScript.forAll 0L (int64 l1.Length - 1L) (fun index ->
            let entry = l1[int index]
            let offset = L1Entry.l2Offset entry

            if offset = 0L then
                Finished(Ok())
            elif L1Entry.fault &g entry <> EntryFault.None || visited.Value > image.FileClusters then
                Finished(Error Errno.EIO)
            else
                visited.Value <- visited.Value + 1L

                ioResult {
                    let! l2 = Settling.read offset image.ClusterBytes
                    do! visit (int index) offset l2
                })

    let private writeL1 (image: Image) (offset: int64) (l1: uint64[]) : IoScript<Result<unit, int>> =
        let bytes = Array.zeroCreate<byte>(int (l1Clusters image) <<< image.Geometry.ClusterBits)
        Entry.writeTable (ReadOnlySpan l1) (Span bytes)

        if bytes.Length = 0 then
            Finished(Ok())
        else
            Settling.write offset bytes

    let private writeTable (offset: int64) (table: byte[]) : IoScript<Result<unit, int>> =
        if table.Length = 0 then
            Finished(Ok())
        else
            Settling.write offset table

    let private tablesOf (l1: uint64[]) : int64 =
        l1 |> Array.sumBy (fun entry -> if L1Entry.l2Offset entry = 0L then 0L else 1L)

    /// Gets places for the tables of an image that is to have these snapshots.
    let private place (image: Image) (places: NewPlaces) existing snapshots : IoScript<Result<NewTables, int>> =
        ioResult {
            let! table = Snapshots.encode snapshots |> Finished
            let! activeL1 = places.Run(l1Clusters image)
            let! tableOffset = places.Run(clustersOf image table.LongLength)
            do! places.AddSpare(tablesOf image.L1)
            let! refcounts = refcountPlaces image places

            return {
                Existing = existing
                Snapshots = snapshots
                Table = table
                TableOffset = tableOffset
                ActiveL1 = activeL1
                Refcounts = refcounts
            }
        }

    /// The L2 tables and what snapshots have are written: the active L1 table, the snapshot table and the refcounts, and
    /// then the header that tells of all.
    let private switch
        (image: Image)
        (places: NewPlaces)
        (tables: NewTables)
        (l1: uint64[])
        : IoScript<Result<unit, int>> =
        let refcounts = tables.Refcounts
        let snapshots = tables.Snapshots

        let change (header: Header) = {
            header with
                L1Offset = tables.ActiveL1
                SnapshotCount = snapshots.Length
                SnapshotTableOffset = tables.TableOffset
        }

        ioResult {
            do! writeL1 image tables.ActiveL1 l1
            do! writeTable tables.TableOffset tables.Table

            do!
                refcounts.Drop(
                    FreeReason.Snapshot,
                    image.Header.SnapshotTableOffset,
                    clustersOf image (tableBytes tables.Existing)
                )

            // In time: after the switch there is no way back.
            let! protectedTables =
                ProtectedTables.find image.OverlapCheck (change image.Header) snapshots (tableBytes snapshots)

            let unused = Array.ofSeq places.Unused

            do!
                IoScript.forAll 0L (int64 unused.Length - 1L) (fun i ->
                    refcounts.Drop(FreeReason.Other, unused[int i] <<< image.Geometry.ClusterBits, 1L))

            do! refcounts.Drop(FreeReason.Other, image.Header.L1Offset, l1Clusters image)
            do! refcounts.DropOld()
            do! refcounts.Write()
            do! Settling.flush image
            let adopted = refcounts.Adopted

            do!
                HeaderUpdate.putTables image (fun header -> {
                    change header with
                        RefcountTableOffset = adopted.TableOffset
                        RefcountTableClusters = adopted.TableClusters
                })

            image.ReplaceTables(adopted, l1)
            image.Snapshots <- snapshots
            image.Metadata.Clear()
            image.Metadata.UnionWith(Opener.metadata image.Header image.Geometry l1 adopted.Table)
            image.Protect protectedTables

            do!
                IoScript.forAll 0L (int64 refcounts.Freed.Count - 1L) (fun i ->
                    let struct (first, count) = refcounts.Freed[int i]
                    Settling.discard image first count)
        }

    /// Runs a change in clusters of its own, which are free again if it fails.
    let private withPlaces (image: Image) (run: NewPlaces -> IoScript<Result<'T, int>>) : IoScript<Result<'T, int>> =
        let places = NewPlaces image

        run places
        |> IoScript.bind (fun result ->
            if Result.isError result && not image.IsFenced then
                places.GiveBack()

            Finished result)

    /// Gives a table the "copied" flags that belong to the new refcounts; where it is then: elsewhere, if they were others.
    let private reflag (places: NewPlaces) (refcounts: RefcountsCopy) (old: int64) (l2: byte[]) =
        ioResult {
            let! isChanged = refcounts.Flag l2

            if isChanged then
                let offset = places.Next()
                do! Settling.write offset l2
                do! refcounts.Drop(FreeReason.Other, old, 1L)
                return offset
            else
                return old
        }

    /// An L1 table for both the active disk and the snapshot: everything that the present one refers to has one more
    /// reference, and no "copied" flag.
    let private share (image: Image) (places: NewPlaces) (refcounts: RefcountsCopy) : IoScript<Result<uint64[], int>> =
        let shared = Array.zeroCreate<uint64> image.L1.Length

        ioResult {
            do!
                forTables image image.L1 (fun index old l2 ->
                    ioResult {
                        do! refcounts.ShareEntries l2
                        let! offset = reflag places refcounts old l2
                        do! refcounts.Share offset
                        shared[index] <- L1Entry.encode offset false
                    })

            return shared
        }

    let private take (image: Image) (existing: Snapshot list) (wanted: Snapshot) (places: NewPlaces) =
        ioResult {
            let! snapshotL1 = places.Run(l1Clusters image)
            let snapshot = { wanted with L1Offset = snapshotL1 }
            let! tables = place image places existing (existing @ [ snapshot ])
            let! l1 = share image places tables.Refcounts
            do! writeL1 image snapshotL1 l1
            do! switch image places tables l1
            return snapshot
        }

    /// Takes a snapshot of the disk as it is now; the entry of the snapshot table. ENOTSUP with an external data file,
    /// EEXIST for an id that there is, EFBIG where there are 65536 or the table is too long, EINVAL where refcounts are too
    /// narrow.
    let create (image: Image) (wanted: NewSnapshot) : IoScript<Result<Snapshot, int>> =
        ioResult {
            if image.Geometry.ExternalData then
                return! Finished(Error Errno.ENOTSUP)
            elif image.Header.SnapshotCount >= int Limits.snapshots then
                return! Finished(Error Errno.EFBIG)
            else
                do! Settling.settle image
                let! existing = list image
                let id = if wanted.Id.Length = 0 then nextId existing else wanted.Id

                if List.exists (fun (other: Snapshot) -> other.Id = id) existing then
                    return! Finished(Error Errno.EEXIST)
                else
                    let snapshot = {
                        L1Offset = 0L
                        L1Entries = uint32 image.L1.Length
                        Id = id
                        Name = wanted.Name
                        Seconds = wanted.Seconds
                        Nanoseconds = wanted.Nanoseconds
                        GuestNs = wanted.GuestNs
                        VmStateBytes32 = 0u
                        Extra = Snapshots.encodeExtra 0UL (uint64 image.Header.SizeBytes) wanted.Icount
                    }

                    return! withPlaces image (take image existing snapshot)
        }

    let private readL1 (image: Image) (snapshot: Snapshot) : IoScript<Result<uint64[], int>> =
        let g = image.Geometry
        let bytes = uint64 snapshot.L1Entries * 8UL

        if bytes > Limits.l1TableBytes then
            Finished(Error Errno.EFBIG)
        elif snapshot.L1Offset < 0L || not (Geometry.isAligned &g snapshot.L1Offset) then
            Finished(Error Errno.EINVAL)
        elif bytes = 0UL then
            Finished(Ok Array.empty)
        else
            ioResult {
                let! bytes = Settling.read snapshot.L1Offset (int bytes)
                return Entry.readTable bytes
            }

    /// Takes away the references of a snapshot.
    let private release (image: Image) (refcounts: RefcountsCopy) (snapshot: Snapshot) (l1: uint64[]) =
        ioResult {
            do!
                forTables image l1 (fun _ offset l2 ->
                    ioResult {
                        do! refcounts.DropEntries(FreeReason.Snapshot, l2)
                        do! refcounts.Drop(FreeReason.Snapshot, offset, 1L)
                    })

            do! refcounts.Drop(FreeReason.Snapshot, snapshot.L1Offset, clustersOf image (int64 snapshot.L1Entries * 8L))
        }

    /// The active L1 table with the "copied" flags that belong to the new refcounts; tables whose flags have changed
    /// are elsewhere.
    let private flag (image: Image) (places: NewPlaces) (refcounts: RefcountsCopy) : IoScript<Result<uint64[], int>> =
        let flagged = Array.zeroCreate<uint64> image.L1.Length

        ioResult {
            do!
                forTables image image.L1 (fun index old l2 ->
                    ioResult {
                        let! offset = reflag places refcounts old l2
                        let! isOnlyOne = refcounts.IsOnlyOne(offset >>> image.Geometry.ClusterBits)
                        flagged[index] <- L1Entry.encode offset isOnlyOne
                    })

            return flagged
        }

    let private drop (image: Image) (existing: Snapshot list) (snapshot: Snapshot) (places: NewPlaces) =
        ioResult {
            let left =
                existing
                |> List.filter (fun other -> not (obj.ReferenceEquals(other, snapshot)))
            let! snapshotL1 = readL1 image snapshot
            let! tables = place image places existing left
            do! release image tables.Refcounts snapshot snapshotL1
            let! l1 = flag image places tables.Refcounts
            do! switch image places tables l1
            return snapshot
        }

    /// Deletes the snapshot of an id, of a name, or of both; what its entry was. ENOENT where there is none, ENOTSUP with
    /// an external data file.
    let delete (image: Image) (id: byte[] voption) (name: byte[] voption) : IoScript<Result<Snapshot, int>> =
        ioResult {
            if image.Geometry.ExternalData then
                return! Finished(Error Errno.ENOTSUP)
            else
                do! Settling.settle image
                let! existing = list image

                match find id name existing with
                | ValueNone -> return! Finished(Error Errno.ENOENT)
                | ValueSome snapshot -> return! withPlaces image (drop image existing snapshot)
        }
