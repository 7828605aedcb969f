namespace StorageDaemon.Core.Qcow2

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Which tables of snapshots and bitmaps an open image keeps clear of. Errors are Linux error numbers.
module internal ProtectedTables =
    /// Entries of snapshots' L1 tables in memory, all together, at most; further tables are not known.
    [<Literal>]
    let private entriesMax = 1_000_000L

    let private l1Range (snapshot: Snapshot) : FileRange = {
        Offset = snapshot.L1Offset
        LengthBytes = int64 snapshot.L1Entries * 8L
    }

    /// The L1 tables' entries, as far as a table can be one.
    let private readEntries (g: Geometry) (tables: FileRange list) : IoScript<Result<uint64[] list, int>> =
        let found = List<uint64[]>()
        let left = ref entriesMax
        let tables = Array.ofList tables

        ioResult {
            do!
                IoScript.forAll 0L (tables.LongLength - 1L) (fun i ->
                    let table = tables[int i]
                    let entries = table.LengthBytes / 8L

                    if
                        entries = 0L
                        || entries > left.Value
                        || table.Offset < 0L
                        || not (Geometry.isAligned &g table.Offset)
                    then
                        Finished(Ok())
                    else
                        left.Value <- left.Value - entries

                        ioResult {
                            let! bytes = Settling.read table.Offset (int table.LengthBytes)
                            found.Add(Entry.readTable bytes)
                        })

            return List.ofSeq found
        }

    let private bitmapDirectory (header: Header) : FileRange =
        match Header.bitmaps header with
        | ValueSome bitmaps -> {
            Offset = int64 bitmaps.DirectoryOffset
            LengthBytes = int64 bitmaps.DirectoryBytes
          }
        | ValueNone -> { Offset = 0L; LengthBytes = 0L }

    /// The tables of an image with that header and these snapshots, whose table has so many bytes. What snapshots' L1
    /// tables point to is read only where writes are checked for it.
    let find
        (overlapCheck: MetadataSection)
        (header: Header)
        (snapshots: Snapshot seq)
        (tableBytes: int64)
        : IoScript<Result<SideTables, int>> =
        let l1 = snapshots |> Seq.map l1Range |> List.ofSeq

        ioResult {
            let! entries =
                if overlapCheck &&& MetadataSection.InactiveL2 = MetadataSection.None then
                    Finished(Ok [])
                else
                    readEntries (Geometry.ofHeader header) l1

            return {
                SnapshotTable = {
                    Offset = header.SnapshotTableOffset
                    LengthBytes = tableBytes
                }
                InactiveL1 = l1
                InactiveL1Entries = entries
                BitmapDirectory = bitmapDirectory header
            }
        }
