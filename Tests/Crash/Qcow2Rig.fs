/// A qcow2 layer over simulated disks, with a model of what its sectors may hold.
module internal StorageDaemon.Tests.Crash.Qcow2Rig

open System
open System.Collections.Generic
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.LayerRunner
open StorageDaemon.Tests.Crash.SimulatedDisk
open StorageDaemon.Tests.Crash.SectorModel
open StorageDaemon.Tests.Crash.Qcow2Shapes

[<NoComparison; NoEquality>]
type Pending = {
    Slot: Slot
    Change: Change
    FlushedSince: int
    First: int
    Count: int
}

/// A snapshot that the file has, or may have while it is being taken or deleted.
[<NoComparison; NoEquality>]
type Taken = { Name: string; Content: byte[]; IsCertain: bool }

type Rig(shape: Shape, seed: int, cacheBytes: int64, fails: ChildRequest -> int) =
    let random = Random seed
    let backing = backingOf shape
    let mutable sectors = int (shape.SizeBytes / int64 SectorBytes)
    // The disk may grow.
    let sectorsMax = sectors * 4
    let disk = SimulatedDisk(newImage shape, fails)
    let below = MemoryChild(backing, fun _ -> 0)
    let image = openWith shape.Discards disk backing 0 cacheBytes valueCodec
    let layer = Qcow2Layer image
    let runner =
        Runner(layer, (disk :> MemoryChild) :: (if shape.BackingBytes > 0 then [ below ] else []), seed)
    let model =
        SectorModel(
            sectorsMax,
            fun sector ->
                if sector * SectorBytes < backing.Length then
                    backingValue sector
                else
                    0UL
        )
    let pending = List<Pending>()
    let mutable next = 1UL
    let mutable taken: Taken list = []
    let mutable names = 0

    let where = "seed " + string seed + ", " + shape.ToString()

    let carryOut (child: int) kind (offset: int64) (length: int64) (data: byte[]) : Result<byte[], int> =
        carryOutAt (if child = 0 then disk :> MemoryChild else below) child kind offset length data

    /// Runs what is done to the image as a whole; `crash` is called after each change.
    let idle (crash: unit -> unit) (script: IoScript<Result<'T, int>>) : Result<'T, int> =
        runIdle
            (fun child kind offset length data ->
                let result = carryOut child kind offset length data

                if kind <> RequestKind.Read then
                    crash ()

                result)
            script

    let expectSnapshots (after: byte[]) =
        let struct (found, _) = NaiveQcow2.snapshots (NaiveQcow2.openImage after)

        for one in taken do
            if
                one.IsCertain
                && not (List.exists (fun (s: NaiveQcow2.Snapshot) -> s.Name = one.Name) found)
            then
                failtest (where + ": there is no snapshot " + one.Name)

        for snapshot in found do
            match List.tryFind (fun one -> one.Name = snapshot.Name) taken with
            | None -> failtest (where + ": there is a snapshot " + snapshot.Name)
            | Some one ->
                let content = NaiveQcow2.contentWith expand snapshot.View backing

                if not (content.AsSpan().SequenceEqual(ReadOnlySpan one.Content)) then
                    failtest (where + ": snapshot " + snapshot.Name + " has changed")

    let unexpected (sector: int) (verb: string) (found: uint64 voption) (allowed: seq<uint64>) =
        let found =
            match found with
            | ValueSome value -> string value
            | ValueNone -> "a mixture"

        failtest $"{where}: sector {sector} {verb} {found}, not one of {String.Join(',', allowed)}"

    let rangeOf () =
        // Mostly small, sometimes across clusters; mostly in a few places, so that requests meet.
        let count =
            match random.Next 8 with
            | 0 -> 1 + random.Next(sectors / 4)
            | 1
            | 2 -> 1 <<< random.Next 6
            | _ -> 1 + random.Next 8

        let count = min count sectors
        let spread = if random.Next 3 = 0 then sectors else min sectors 64
        let first = min (random.Next spread) (sectors - count)
        // Whole clusters are of interest.
        let perCluster = max 1 ((1 <<< shape.ClusterBits) / SectorBytes)

        if random.Next 3 = 0 && count >= perCluster then
            first / perCluster * perCluster, count / perCluster * perCluster
        else
            first, count

    let start kind flags first count data value isOptional =
        let change = model.Begin(first, count, value, isOptional)

        let slot =
            runner.Start(kind, flags, int64 first * int64 SectorBytes, int64 count * int64 SectorBytes, data, false)

        pending.Add {
            Slot = slot
            Change = change
            FlushedSince = 0
            First = first
            Count = count
        }

    member _.Image = image
    member _.Disk = disk
    member _.Model = model
    member _.Random = random
    member _.Pending = pending

    member _.StartOne() =
        let first, count = rangeOf ()
        let fua =
            if random.Next 16 = 0 then
                RequestFlags.Fua
            else
                RequestFlags.None

        match random.Next 12 with
        | 0
        | 1 ->
            let unmap =
                if random.Next 2 = 0 then
                    RequestFlags.MayUnmap
                else
                    RequestFlags.None
            start RequestKind.WriteZeroes (unmap ||| fua) first count [||] 0UL false
        | 2
        | 3 -> start RequestKind.Discard RequestFlags.None first count [||] 0UL true
        | 4 ->
            let slot = runner.Start(RequestKind.Flush, RequestFlags.None, 0L, 0L, [||], false)

            pending.Add {
                Slot = slot
                Change = null
                FlushedSince = model.Now
                First = 0
                Count = 0
            }
        | 5 when backing.Length > 0 ->
            // What the image lacks is copied from the backing image, which changes nothing.
            let first = min first (backing.Length / SectorBytes - 1)
            let count = min count (backing.Length / SectorBytes - first)
            let change = model.Begin(first, 0, 0UL, true)
            let offset = int64 first * int64 SectorBytes
            let length = int64 count * int64 SectorBytes
            let data = Array.sub backing (int offset) (int length)

            pending.Add {
                Slot = runner.Start(RequestKind.Write, RequestFlags.OnlyMissing, offset, length, data, false)
                Change = change
                FlushedSince = 0
                First = first
                Count = 0
            }
        | kind ->
            let perCluster = max 1 ((1 <<< shape.ClusterBits) / SectorBytes)
            let isCompressed = kind >= 9

            // Compressed writes take whole clusters.
            let first =
                if isCompressed then
                    first / perCluster * perCluster
                else
                    first
            let count =
                if isCompressed then
                    min (sectors - first) ((count + perCluster - 1) / perCluster * perCluster)
                else
                    count

            let value = next
            next <- next + 1UL
            let data = Array.init count (fun _ -> sectorOf value) |> Array.concat
            let flags =
                if isCompressed then
                    fua ||| RequestFlags.Compressed
                else
                    fua
            start RequestKind.Write flags first count data value false

    /// Notes the ends of requests.
    member _.Collect() =
        let mutable i = 0

        while i < pending.Count do
            let one = pending[i]

            if one.Slot.IsDone then
                pending.RemoveAt i

                if isNull one.Change then
                    if one.Slot.Error = 0 then
                        model.Flushed one.FlushedSince
                else
                    model.End(one.Change, one.Slot.Error <> 0)
            else
                i <- i + 1

    member _.Step() = runner.Step()

    /// Lets it be read how the metadata are now, as nothing is under way; none if they cannot be written.
    member _.BeginView() : MetadataView voption =
        match idle ignore (Idle.settle image) with
        | Ok() -> ValueSome(image.BeginView disk.Content.LongLength)
        | Error _ -> ValueNone

    member _.Where = where

    member this.Finish() =
        runner.Finish()
        this.Collect()

        if pending.Count > 0 then
            failtest (where + ": a request does not end")

    /// A crash now: the image is sound, and every sector holds what it may.
    member _.ExpectSound(after: byte[]) =
        let naive = NaiveQcow2.openImage after
        let struct (problems, _) = NaiveQcow2.check naive

        if not problems.IsEmpty then
            failtest (where + ": " + String.concat "; " (List.truncate 5 problems))

        expectSnapshots after
        let content = NaiveQcow2.contentWith expand naive backing

        for sector in 0 .. int (naive.Size / int64 SectorBytes) - 1 do
            match valueOf content sector with
            | ValueSome value when model.MayFollowCrash(sector, value) -> ()
            | found -> unexpected sector "holds" found (model.AfterCrash sector)

    /// With nothing under way: what is read is what was written.
    member _.ExpectContent() =
        let bytes = sectors * SectorBytes
        let slot =
            runner.Start(RequestKind.Read, RequestFlags.None, 0L, int64 bytes, Array.create bytes 0xeeuy, false)
        runner.Finish()

        if not slot.IsDone || slot.Error <> 0 then
            failtest (where + ": the disk cannot be read: " + string slot.Error)

        for sector in 0 .. sectors - 1 do
            let allowed = model.Now' sector

            match valueOf slot.Data sector with
            | ValueSome value when Seq.contains value allowed -> ()
            | found -> unexpected sector "reads" found allowed

    /// Makes the disk longer while nothing is under way; `crash` is called after each request.
    member _.Grow(crash: unit -> unit) =
        let wanted = min sectorsMax (sectors + 1 + random.Next sectors)

        match idle crash (Idle.grow image (int64 wanted * int64 SectorBytes)) with
        | Ok() ->
            sectors <- wanted
            Expect.equal (NaiveQcow2.openImage disk.Content).Size (int64 wanted * int64 SectorBytes) "the new size"
        | Error _ -> ()

    /// Makes the disk shorter, the same way.
    member this.Shrink(crash: unit -> unit) =
        let perCluster = max 1 ((1 <<< shape.ClusterBits) / SectorBytes)
        let wanted = max 1 (sectors - random.Next(sectors / 2 + 1))
        let tail = min sectors ((wanted + perCluster - 1) / perCluster * perCluster) - wanted

        let isZeroed =
            tail = 0
            || (start RequestKind.WriteZeroes RequestFlags.None wanted tail [||] 0UL false
                let slot = pending[0].Slot
                this.Finish()
                slot.Error = 0)

        if isZeroed then
            match idle crash (Idle.shrink image (int64 wanted * int64 SectorBytes)) with
            | Ok() ->
                // If it is there again some day, it is zero.
                if sectors > wanted then
                    let change = model.Begin(wanted, sectors - wanted, 0UL, false)
                    model.End(change, false)
                    model.Flushed model.Now

                sectors <- wanted
                Expect.equal (NaiveQcow2.openImage disk.Content).Size (int64 wanted * int64 SectorBytes) "the new size"
            | Error _ -> ()

    /// What the guest sees now; none if it cannot be read.
    member _.ReadAll() : byte[] voption =
        let bytes = sectors * SectorBytes
        let slot =
            runner.Start(RequestKind.Read, RequestFlags.None, 0L, int64 bytes, Array.create bytes 0xeeuy, false)
        runner.Finish()

        if slot.IsDone && slot.Error = 0 then
            ValueSome slot.Data
        else
            ValueNone

    /// Takes a snapshot while nothing is under way.
    member this.TakeSnapshot(crash: unit -> unit) =
        match this.ReadAll() with
        | ValueNone -> ()
        | ValueSome content ->
            names <- names + 1
            let before = taken

            let one = {
                Name = "s" + string names
                Content = content
                IsCertain = false
            }

            taken <- one :: before

            let wanted = {
                Id = [||]
                Name = Text.Encoding.UTF8.GetBytes one.Name
                Seconds = uint32 names
                Nanoseconds = 0u
                GuestNs = 0UL
                Icount = ValueNone
            }

            let wasFlushed = model.Now

            match idle crash (InternalSnapshots.create image wanted) with
            | Ok _ ->
                taken <- { one with IsCertain = true } :: before
                model.Flushed wasFlushed
            | Error _ ->
                if not image.IsFenced then
                    taken <- before

    /// Deletes one of the snapshots.
    member _.DeleteSnapshot(crash: unit -> unit) =
        if not taken.IsEmpty then
            let one = taken[random.Next taken.Length]
            let others = taken |> List.filter (fun other -> other.Name <> one.Name)
            taken <- { one with IsCertain = false } :: others
            let name = Text.Encoding.UTF8.GetBytes one.Name

            match idle crash (InternalSnapshots.delete image ValueNone (ValueSome name)) with
            | Ok _ -> taken <- others
            | Error _ ->
                if not image.IsFenced then
                    taken <- one :: others

    member _.Snapshots = taken.Length

    /// Writes everything that is only in memory, until no cluster is left over.
    member this.Settle() =
        let mutable rounds = 0

        while (image.IsDirty || not image.Freed.IsEmpty) && rounds < 10 do
            rounds <- rounds + 1
            runner.Run(RequestKind.Flush, RequestFlags.None, 0L, 0L, [||], false) |> ignore
            model.Flushed model.Now

        let struct (problems, leaks) = NaiveQcow2.check (NaiveQcow2.openImage disk.Content)

        if not problems.IsEmpty || leaks > 0 then
            failtest (
                where
                + ": "
                + string leaks
                + " leaks; "
                + String.concat "; " (List.truncate 5 problems)
            )
