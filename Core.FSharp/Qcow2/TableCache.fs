namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open System.Runtime.InteropServices

/// A table of the image, or a slice of one, in memory that does not move. Bytes are as in the file.
[<Sealed; AllowNullLiteral>]
type CachedTable(lengthBytes: int) =
    let bytes = GC.AllocateUninitializedArray<byte>(lengthBytes, pinned = true)
    let waiters = List<obj>()

    member _.Bytes = bytes
    member _.Address = Marshal.UnsafeAddrOfPinnedArrayElement(bytes, 0)

    /// What the table's owner calls it.
    member val Key = -1L with get, set

    /// Where it stands in the file, in bytes.
    member val HostOffset = 0L with get, set

    /// Whether the bytes are those of the table; else they are being read.
    member val IsReady = false with get, set

    /// Users that need it to stay.
    member val Pins = 0 with get, set

    /// The range of bytes that the file does not have yet; empty if the table is clean.
    member val DirtyFrom = 0 with get, set

    member val DirtyTo = 0 with get, set
    member this.IsDirty = this.DirtyTo > this.DirtyFrom

    /// For the clock: used since its hand came by.
    member val WasUsed = false with get, set

    /// Used since idle tables were dropped last.
    member val WasUsedLately = false with get, set

    /// Tickets of frames that wait for the table to be read.
    member _.Waiters = waiters

/// Tables by number, in a bounded amount of memory: the clock throws out what is clean, unused and not in use. Dirty
/// tables stay, so whoever makes them dirty must see to it that they are written in time.
[<Sealed>]
type TableCache(tableBytes: int, capacity: int) =
    let index = Dictionary<int64, CachedTable>()
    let all = List<CachedTable>()
    let mutable hand = 0
    let mutable dirty = 0

    let isEvictable (table: CachedTable) =
        table.Pins = 0 && table.IsReady && not table.IsDirty

    /// One turn of the clock at most clears the marks, a second one finds what can be found.
    let rec evict (left: int) : CachedTable =
        if left = 0 then
            null
        else
            hand <- if hand + 1 >= all.Count then 0 else hand + 1
            let table = all[hand]

            if table.WasUsed then
                table.WasUsed <- false
                evict (left - 1)
            elif isEvictable table then
                table
            else
                evict (left - 1)

    member _.TableBytes = tableBytes
    member _.DirtyCount = dirty
    member _.Count = all.Count
    member _.Capacity = capacity

    /// Null if the table is not there.
    member _.Find(key: int64) : CachedTable =
        match index.TryGetValue key with
        | true, table ->
            table.WasUsed <- true
            table.WasUsedLately <- true
            table
        | _ -> null

    /// Memory for a table that is not there: not ready, clean, without users. The cache grows past its capacity only
    /// while everything in it is in use.
    member _.Take(key: int64, hostOffset: int64) : CachedTable =
        let old = if all.Count < capacity then null else evict (2 * all.Count)

        let table =
            match old with
            | null ->
                let made = CachedTable tableBytes
                all.Add made
                made
            | table ->
                index.Remove table.Key |> ignore
                table

        table.Key <- key
        table.HostOffset <- hostOffset
        table.IsReady <- false
        table.WasUsed <- true
        table.WasUsedLately <- true
        index[key] <- table
        table

    /// Forgets a table, dirty or not: reading it has failed, or the file does not have it any more. Whoever has it
    /// pinned keeps the bytes.
    member _.Drop(table: CachedTable) =
        if table.IsDirty then
            dirty <- dirty - 1

        table.DirtyFrom <- 0
        table.DirtyTo <- 0

        if index.Remove table.Key then
            all.Remove table |> ignore

    /// Forgets the tables that could be thrown out and were not used since this was done last.
    member _.DropIdle() =
        let isIdle (table: CachedTable) =
            isEvictable table && not table.WasUsedLately

        for table in all do
            if isIdle table then
                index.Remove table.Key |> ignore

        all.RemoveAll isIdle |> ignore
        hand <- 0

        for table in all do
            table.WasUsedLately <- false

    /// Forgets all tables. None may be in use.
    member _.Clear() =
        index.Clear()
        all.Clear()
        hand <- 0
        dirty <- 0

    member _.MarkDirty(table: CachedTable, from: int, until: int) =
        if table.IsDirty then
            table.DirtyFrom <- min table.DirtyFrom from
            table.DirtyTo <- max table.DirtyTo until
        else
            dirty <- dirty + 1
            table.DirtyFrom <- from
            table.DirtyTo <- until

    member _.MarkClean(table: CachedTable) =
        if table.IsDirty then
            dirty <- dirty - 1

        table.DirtyFrom <- 0
        table.DirtyTo <- 0

    /// The dirty tables, in the order of their keys.
    member _.Dirty: CachedTable[] =
        if dirty = 0 then
            Array.empty
        else
            let found = all.FindAll(fun table -> table.IsDirty).ToArray()
            Array.sortInPlaceBy (fun (table: CachedTable) -> table.Key) found
            found
