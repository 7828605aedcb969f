namespace StorageDaemon.Core.Qcow2

open System

/// An image's metadata as the file had them at one moment, while requests go on and change them. Before a table is
/// written over, what stood there is kept here; who reads the file for the view lays that over what it has read. The
/// other half is that clusters which lose their last reference meanwhile are not used again (`FreedClusters.Enter`), so
/// that the tables of that moment are only ever changed in their places.
///
/// Pages are kept by one side, before the file gets their successors, and read by another one, after it has read the file:
/// so a reader that has seen any of a new page finds the old one here, though neither waits for the other.
[<Sealed; AllowNullLiteral>]
type MetadataView(fileBytes: int64, pageBytes: int) =
    /// More changed metadata than any image has at a time when it is checked for minutes, not hours.
    static let bytesMax = 0x20000000L

    [<VolatileField>]
    let mutable pages: Map<int64, byte[]> = Map.empty

    [<VolatileField>]
    let mutable isBroken = false

    let pageMask = int64 (pageBytes - 1)

    /// Bytes of the file at that moment; what is behind them is no part of the view.
    member _.FileBytes = fileBytes

    /// It cannot tell any more how the metadata were: they were changed otherwise than by requests, or too much.
    member _.IsBroken = isBroken

    member _.Break() =
        isBroken <- true
        pages <- Map.empty

    /// What is to be kept before the bytes of a range are written over: whole pages that hold all of the range that is
    /// not kept yet. None where there is nothing.
    member _.Missing(offset: int64, lengthBytes: int) : struct (int64 * int) voption =
        let until = min fileBytes (offset + int64 lengthBytes)
        let mutable first = -1L
        let mutable last = -1L
        let mutable page = offset &&& ~~~pageMask

        while page < until && not isBroken do
            if not (pages.ContainsKey page) then
                if first < 0L then
                    first <- page

                last <- page

            page <- page + int64 pageBytes

        if first < 0L then
            ValueNone
        else
            ValueSome struct (first, int (last - first) + pageBytes)

    /// Keeps whole pages of the file, which are about to be written over.
    member this.Keep(offset: int64, bytes: byte[]) =
        let mutable kept = pages

        for at in 0..pageBytes .. bytes.Length - 1 do
            let page = offset + int64 at

            // The first that was found is what stood there.
            if not (kept.ContainsKey page) then
                kept <- kept.Add(page, Array.sub bytes at pageBytes)

        if int64 kept.Count * int64 pageBytes > bytesMax then
            this.Break()
        elif not isBroken then
            pages <- kept

    /// Makes of what the file has at an offset what it had.
    member _.Overlay(offset: int64, bytes: byte[]) =
        let kept = pages

        if not kept.IsEmpty then
            let until = offset + int64 bytes.Length
            let mutable page = offset &&& ~~~pageMask

            while page < until do
                match kept.TryGetValue page with
                | true, old ->
                    let from = max page offset
                    let count = int (min until (page + int64 pageBytes) - from)
                    Array.Copy(old, int (from - page), bytes, int (from - offset), count)
                | false, _ -> ()

                page <- page + int64 pageBytes
