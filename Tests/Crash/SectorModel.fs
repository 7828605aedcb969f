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
        for sector in changes |> Seq.filter (fun sector -> sector.Count > 1) do
            let settled = sector.FindAll(fun change -> change.Ended < since)

            sector.RemoveAll(fun change ->
                change.Ended < since
                && settled.Exists(fun later -> not later.IsOptional && later.Issued > change.Ended))
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
        let all = changes[sector]

        all
        |> Seq.filter (fun change -> not (all.Exists(fun later -> not later.IsOptional && later.Issued > change.Ended)))
        |> Seq.map _.Value

    member _.Sectors = sectors
