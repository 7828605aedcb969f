/// What a disk's sectors may hold: the last flushed value, or one written later. Values are numbers; 0 is zeroes.
module internal StorageDaemon.Tests.Crash.SectorModel

open System
open System.Collections.Generic

/// One change of a sector.
[<AllowNullLiteral>]
type Change(value: uint64, issued: int) =
    member _.Value = value
    member _.Issued = issued
    /// When it ended; the greatest number while it is under way.
    member val Ended = Int32.MaxValue with get, set
    /// It may have done nothing: a discard, or a request that has failed.
    member val IsOptional = false with get, set

type SectorModel(sectors: int, initial: int -> uint64) =
    let changes =
        Array.init sectors (fun sector ->
            let first = Change(initial sector, -2)
            first.Ended <- -1
            List<Change>([ first ]))

    let mutable clock = 0

    /// When the last of the changes was issued that have certainly taken place before a time. It hides all that had ended
    /// by then.
    let lastCertain (sector: List<Change>) (before: int) : int =
        let mutable last = Int32.MinValue

        for change in sector do
            if not change.IsOptional && change.Ended < before then
                last <- max last change.Issued

        last

    member _.Now =
        clock <- clock + 1
        clock

    /// A change of sectors begins; the same object stands for all of them.
    member this.Begin(first: int, count: int, value: uint64, isOptional: bool) : Change =
        let change = Change(value, this.Now)
        change.IsOptional <- isOptional

        for sector in first .. first + count - 1 do
            changes[sector].Add change

        change

    member this.End(change: Change, failed: bool) =
        if failed then
            change.IsOptional <- true

        change.Ended <- this.Now

    /// Everything that had ended at that time is durable: it hides what was certainly there before.
    member _.Flushed(since: int) =
        for sector in changes do
            if sector.Count > 1 then
                let last = lastCertain sector since

                sector.RemoveAll(fun change -> change.Ended < since && change.Ended < last)
                |> ignore

    /// Values after a crash now.
    member _.AfterCrash(sector: int) : seq<uint64> = changes[sector] |> Seq.map _.Value

    /// Whether that is one of them.
    member _.MayFollowCrash(sector: int, value: uint64) : bool =
        let all = changes[sector]
        let mutable i = 0

        while i < all.Count && all[i].Value <> value do
            i <- i + 1

        i < all.Count

    /// Values that a read may see that begins when nothing is under way.
    member _.Now'(sector: int) : seq<uint64> =
        let last = lastCertain changes[sector] Int32.MaxValue

        changes[sector]
        |> Seq.filter (fun change -> change.Ended >= last)
        |> Seq.map _.Value

    /// Whether a read may see a value that began at a time and ends now.
    member _.MaySee(sector: int, since: int, value: uint64) : bool =
        let last = lastCertain changes[sector] since

        changes[sector].Exists(fun change -> change.Value = value && change.Ended >= last)

    /// With nothing under way: the value is known, whatever came before it.
    member _.Settle(sector: int, value: uint64) =
        let known = Change(value, -2)
        known.Ended <- -1
        changes[sector].Clear()
        changes[sector].Add known

    member _.Sectors = sectors
