namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Bytes on their way to the file.
[<NoComparison; NoEquality>]
type PendingWrite = {
    Offset: int64
    /// Memory that does not move.
    Data: byte[]
    /// The table that they are a copy of, with its dirty range, or null.
    Table: CachedTable
    From: int
    To: int
} with

    member this.Address = int64 (Marshal.UnsafeAddrOfPinnedArrayElement(this.Data, 0))

/// Everything that was only in memory when a checkpoint began, as copies: requests go on and make new changes, which are
/// for the next one. The file gets it in parts with flushes between them, so that after a crash nothing is referred to
/// that is not there: refcounts (and data), the refcount table, the mapping, the L1 table. What lost references is free
/// only after that.
[<Sealed; AllowNullLiteral>]
type Checkpoint(image: Image) =
    let parts: List<PendingWrite>[] = Array.init 4 (fun _ -> List<PendingWrite>())
    let freed = image.Freed.TakeFresh()
    let newTables = List<int> image.NewTables
    let newEntries = image.Refcounts.NewEntries
    let dirtyL1 = image.DirtyL1
    let hasMoved = image.Refcounts.HasMoved
    let tableOffset = image.Refcounts.TableOffset
    let tableClusters = image.Refcounts.TableClusters
    let left = List<struct (int64 * int)> image.Refcounts.Left
    // Slices of new tables: the only place of their bytes until the tables are written.
    let slices = List<CachedTable>()

    let pinned (length: int) =
        GC.AllocateUninitializedArray<byte>(length, pinned = true)

    /// Whole sectors, so that a write never cuts one.
    let addTable (part: int) (cache: TableCache) (table: CachedTable) =
        let from = table.DirtyFrom &&& ~~~511
        let until = min cache.TableBytes ((table.DirtyTo + 511) &&& ~~~511)
        let data = pinned (until - from)
        Array.Copy(table.Bytes, from, data, 0, data.Length)
        cache.MarkClean table
        table.Pins <- table.Pins + 1

        parts[part].Add {
            Offset = table.HostOffset + int64 from
            Data = data
            Table = table
            From = from
            To = until
        }

    let addBytes (part: int) (offset: int64) (data: byte[]) =
        parts[part].Add {
            Offset = offset
            Data = data
            Table = null
            From = 0
            To = 0
        }

    let entries (table: uint64[]) (from: int) (until: int) : byte[] =
        let data = pinned ((until - from) * 8)
        Entry.writeTable (ReadOnlySpan(table, from, until - from)) (Span data)
        data

    let addRefcountTable () =
        let refcounts = image.Refcounts

        if hasMoved then
            addBytes 0 refcounts.TableOffset (entries refcounts.Table 0 refcounts.Table.Length)
            // Offset and length of the table are neighbours in the header.
            let fields = pinned 12
            BigEndian.writeU64 (Span fields) 0 (uint64 refcounts.TableOffset)
            BigEndian.writeU32 (Span fields) 8 (uint32 refcounts.TableClusters)
            addBytes 1 (int64 Header.refcountTableFieldOffset) fields
        else
            let struct (from, until) = newEntries

            if until > from then
                addBytes 1 (refcounts.TableOffset + int64 from * 8L) (entries refcounts.Table from until)

    /// A table that the file does not have goes there as a whole.
    let addNewTable (l1Index: int) =
        let offset = L1Entry.l2Offset image.L1[l1Index]
        let data = pinned image.ClusterBytes
        Array.Clear data

        for slice in 0 .. image.SlicesPerTable - 1 do
            match image.Slices.Find(image.SliceKey(l1Index, slice)) with
            | null -> ()
            | cached ->
                Array.Copy(cached.Bytes, 0, data, slice * image.SliceBytes, image.SliceBytes)
                image.Slices.MarkClean cached
                cached.Pins <- cached.Pins + 1
                slices.Add cached

        addBytes 2 offset data

    do
        for table in image.Refcounts.Blocks.Dirty do
            addTable 0 image.Refcounts.Blocks table

        addRefcountTable ()

        for l1Index in newTables do
            addNewTable l1Index

        for table in image.Slices.Dirty do
            addTable 2 image.Slices table

        let struct (from, until) = dirtyL1

        if until > from then
            addBytes 3 (image.Header.L1Offset + int64 from * 8L) (entries image.L1 from until)

        image.Refcounts.HasMoved <- false
        image.Refcounts.Left.Clear()
        image.Refcounts.SetNewEntries(Int32.MaxValue, 0)
        image.SetDirtyL1(Int32.MaxValue, 0)

    static member PartCount = 4

    member _.Writes(part: int) : List<PendingWrite> = parts[part]

    member private _.Unpin() =
        for part in parts do
            for write in part do
                if not (isNull write.Table) then
                    write.Table.Pins <- write.Table.Pins - 1

        for cached in slices do
            cached.Pins <- cached.Pins - 1

    /// All of it is in the file.
    member this.Succeed() =
        this.Unpin()

        for l1Index in newTables do
            // Slices that were made meanwhile are ordinary dirty ones.
            image.NewTables.Remove l1Index |> ignore

        for struct (first, count) in left do
            for i in 0 .. count - 1 do
                freed.Add { Cluster = first + int64 i; Reason = FreeReason.Other }

        if hasMoved then
            image.Header <- {
                image.Header with
                    RefcountTableOffset = tableOffset
                    RefcountTableClusters = tableClusters
            }

        if hasMoved then
            image.Header <- {
                image.Header with
                    RefcountTableOffset = tableOffset
                    RefcountTableClusters = tableClusters
            }

        image.Freed.AreDurable freed

    /// Some of it may not be in the file: it is as if nothing were.
    member this.Fail() =
        this.Unpin()

        for part in [ 0; 2 ] do
            for write in parts[part] do
                if not (isNull write.Table) then
                    let cache = if part = 0 then image.Refcounts.Blocks else image.Slices
                    cache.MarkDirty(write.Table, write.From, write.To)

        for cached in slices do
            image.MarkSlice(cached, 0, image.SliceBytes)

        let merge struct (from, until) struct (from', until') : struct (int * int) =
            struct (min from from', max until until')
        let struct (from, until) = merge newEntries image.Refcounts.NewEntries
        image.Refcounts.SetNewEntries(from, until)
        let struct (from, until) = merge dirtyL1 image.DirtyL1
        image.SetDirtyL1(from, until)
        image.Refcounts.HasMoved <- image.Refcounts.HasMoved || hasMoved
        image.Refcounts.Left.AddRange left
        image.Freed.PutBack freed
