namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What else refers to clusters, as far as a check needs it.
[<NoComparison; NoEquality>]
type internal OtherTables = {
    /// Places of snapshots' L1 tables.
    SnapshotL1: struct (int64 * uint32) list
    /// Bytes of the snapshot table.
    SnapshotTableBytes: int64
    Bitmaps: BitmapEntry list
}

/// The part of the check that reads the snapshot table and the bitmap directory.
module internal CheckTables =
    let private readSnapshots
        (walk: CheckWalk)
        : IoScript<Result<struct (struct (int64 * uint32) list * int64), CheckError>> =
        let found = List<struct (int64 * uint32)>()

        ioResult {
            let! bytes =
                SnapshotTable.visit
                    (CheckWalk.read walk)
                    Unreadable
                    (IoFailed Errno.EFBIG)
                    walk.Header
                    (fun index snapshot ->
                        found.Add(struct (snapshot.L1Offset, snapshot.L1Entries))

                        if walk.Header.Version >= 3 && snapshot.Extra.Length < Snapshots.extraBytesVersion3 then
                            walk.Tally.Corruption(SnapshotIncomplete index))

            return struct (List.ofSeq found, bytes)
        }

    let private readDirectory (walk: CheckWalk) : IoScript<Result<BitmapEntry list, CheckError>> =
        match Header.bitmaps walk.Header with
        | ValueNone -> Finished(Ok [])
        | ValueSome pointer when int64 pointer.DirectoryOffset > walk.FileBytes - int64 pointer.DirectoryBytes + 7L ->
            // Zeroes are no entry, but the padding of the last one.
            Finished(Error(Unreadable(QapiError.generic "Broken bitmap directory")))
        | ValueSome pointer ->
            ioResult {
                let! bytes = CheckWalk.read walk (int64 pointer.DirectoryOffset) (int pointer.DirectoryBytes)

                return!
                    BitmapDirectory.decode
                        (1 <<< walk.Header.ClusterBits)
                        walk.Header.SizeBytes
                        pointer.Count
                        (ReadOnlySpan bytes)
                    |> Result.mapError Unreadable
                    |> Finished
            }

    let read (walk: CheckWalk) : IoScript<Result<OtherTables, CheckError>> =
        ioResult {
            let! struct (snapshots, bytes) = readSnapshots walk
            let! bitmaps = readDirectory walk

            return {
                SnapshotL1 = snapshots
                SnapshotTableBytes = bytes
                Bitmaps = bitmaps
            }
        }

    let private countSnapshots (walk: CheckWalk) (tables: OtherTables) : IoScript<Result<unit, CheckError>> =
        let geometry = walk.Geometry
        let snapshots = Array.ofList tables.SnapshotL1

        if geometry.ExternalData && snapshots.Length > 0 then
            walk.Tally.Corruption(SnapshotsWithDataFile snapshots.Length)

        IoScript.forAll 0L (int64 snapshots.Length - 1L) (fun index ->
            let struct (offset, entries) = snapshots[int index]

            if not (Geometry.isAligned &geometry offset) then
                walk.Tally.Corruption(SnapshotL1Unaligned index)
                CheckWalk.skip
            elif uint64 entries * 8UL > Limits.l1TableBytes then
                walk.Tally.Corruption(SnapshotL1TooLarge index)
                CheckWalk.skip
            else
                CheckMapping.count walk false offset (int64 entries))

    let private countBitmap (walk: CheckWalk) (bitmap: BitmapEntry) : IoScript<Result<unit, CheckError>> =
        let clusterBytes = CheckWalk.clusterBytes walk
        walk.References.Add(walk.Tally, bitmap.TableOffset, int64 bitmap.TableEntries * 8L)

        CheckWalk.forNonzero walk bitmap.TableOffset (int64 bitmap.TableEntries) (fun _ piece at ->
            match BitmapDirectory.decodeTableEntry (int clusterBytes) (BigEndian.readU64 (ReadOnlySpan piece) at) with
            | ValueSome(Stored offset) ->
                walk.References.Add(walk.Tally, offset, clusterBytes)
                CheckWalk.skip
            | ValueSome _ -> CheckWalk.skip
            | ValueNone ->
                "Could not read bitmap_table table from image for bitmap '"
                + Encoding.UTF8.GetString bitmap.Name
                + "': Invalid argument"
                |> QapiError.generic
                |> Unreadable
                |> Error
                |> Finished)

    /// The references of everything but the refcounts: header, mapping, snapshots, encryption, bitmaps.
    let count (walk: CheckWalk) (tables: OtherTables) : IoScript<Result<unit, CheckError>> =
        let header = walk.Header
        let bitmaps = Array.ofList tables.Bitmaps

        ioResult {
            walk.References.Add(walk.Tally, 0L, CheckWalk.clusterBytes walk)
            do! CheckMapping.count walk true header.L1Offset (int64 header.L1Entries)
            do! countSnapshots walk tables
            walk.References.Add(walk.Tally, header.SnapshotTableOffset, tables.SnapshotTableBytes)

            match Header.encryption header with
            | ValueSome pointer -> walk.References.Add(walk.Tally, int64 pointer.Offset, int64 pointer.LengthBytes)
            | ValueNone -> ()

            match Header.bitmaps header with
            | ValueSome pointer ->
                walk.References.Add(walk.Tally, int64 pointer.DirectoryOffset, int64 pointer.DirectoryBytes)
            | ValueNone -> ()

            do! IoScript.forAll 0L (int64 bitmaps.Length - 1L) (fun index -> countBitmap walk bitmaps[int index])

            if walk.Budget.IsExhausted then
                return! Finished(Error TooMuch)
        }

    /// All metadata but the active mapping, inactive L2 tables and refcount blocks.
    let protect (walk: CheckWalk) (tables: OtherTables) : unit =
        let header = walk.Header
        let add offset length =
            walk.Protected.Add { Offset = offset; LengthBytes = length }
        add 0L (CheckWalk.clusterBytes walk)
        add header.RefcountTableOffset (int64 header.RefcountTableClusters <<< header.ClusterBits)
        add header.SnapshotTableOffset tables.SnapshotTableBytes

        for struct (offset, entries) in tables.SnapshotL1 do
            add offset (int64 entries * 8L)

        for bitmap in tables.Bitmaps do
            add bitmap.TableOffset (int64 bitmap.TableEntries * 8L)

        match Header.bitmaps header with
        | ValueSome pointer -> add (int64 pointer.DirectoryOffset) (int64 pointer.DirectoryBytes)
        | ValueNone -> ()

        match Header.encryption header with
        | ValueSome pointer -> add (int64 pointer.Offset) (int64 pointer.LengthBytes)
        | ValueNone -> ()
