/// Repairs on small images in memory: complete, and safe to interrupt at any write.
module StorageDaemon.Tests.Properties.Qcow2RepairTests

open System
open System.Buffers.Binary
open System.IO
open Expecto
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.ScriptRunner

let private image (name: string) : byte[] =
    File.ReadAllBytes(Path.Combine(Binaries.repositoryRoot, "Fuzz", "Corpora", "qcow2", name))

let private check (fix: CheckFix) (file: byte[]) =
    ScriptRunner.run file (Check.run Check.defaultLimits fix 0 file.LongLength)

let private u64 (file: byte[]) (at: int64) =
    BinaryPrimitives.ReadUInt64BigEndian(ReadOnlySpan(file, int at, 8))

let private headerOf (file: byte[]) : Header =
    match Header.decode { Writable = false; Check = true } file with
    | Ok header -> header
    | Error error -> failtest error.Desc

/// Places of the words of a table that are not zero.
let private words (file: byte[]) (start: int64) (entries: int64) : int64 list = [
    for at in start .. 8L .. start + entries * 8L - 8L do
        if at + 8L <= file.LongLength && u64 file at <> 0UL then
            at
]

/// Places of refcounts with their table, and of the entries of the active mapping.
let private places (file: byte[]) : int64[] * int64[] =
    let header = headerOf file
    let cluster = 1L <<< header.ClusterBits
    let table = words file header.RefcountTableOffset (cluster / 8L)

    let blocks =
        table
        |> List.collect (fun at -> words file (RefcountTableEntry.blockOffset (u64 file at)) (cluster / 8L))

    let l1 = words file header.L1Offset (int64 header.L1Entries)
    let l2 =
        l1
        |> List.collect (fun at -> words file (L1Entry.l2Offset (u64 file at)) (cluster / 8L))

    let standard = l1 @ l2 |> List.filter (fun at -> not (L2Entry.isCompressed (u64 file at)))

    Array.ofList (table @ blocks), Array.ofList standard

/// Refcounts with some of their bits, or all, wrong, and "copied" flags that lie.
let private damage (random: Random) (file: byte[]) : byte[] =
    let refcounts, entries = places file
    let damaged = Array.copy file

    let change (at: int64) (word: uint64) =
        BinaryPrimitives.WriteUInt64BigEndian(Span(damaged, int at, 8), word)

    for _ in 0 .. random.Next 4 do
        let at = refcounts[random.Next refcounts.Length]

        match random.Next 3 with
        | 0 -> change at 0UL
        | 1 -> change at (u64 damaged at ^^^ (1UL <<< random.Next 64))
        | _ -> change at (u64 damaged refcounts[random.Next refcounts.Length])

    let at = entries[random.Next entries.Length]
    change at (u64 damaged at ^^^ (uint64 (random.Next 2) <<< 63))
    damaged

let private isWhole (file: byte[]) : bool =
    match check CheckFix.Nothing file with
    | Ok report, _, _ -> report.Corruptions = 0L && report.Leaks = 0L && report.CheckErrors = 0L
    | Error _, _, _ -> false

/// The active mapping without its flags: what no repair of refcounts may change.
let private mapping (file: byte[]) : uint64 list =
    let _, entries = places file
    entries |> Array.map (fun at -> u64 file at &&& ~~~Entry.copied) |> List.ofArray

let private repairs (name: string) =
    testProperty $"{name}: refcounts and flags, mended and not worse when interrupted"
    <| fun (seed: int) ->
        let random = Random seed
        let original = image name
        let damaged = damage random original
        let report, repaired, steps = check CheckFix.All damaged
        Expect.isOk report "a verdict"
        Expect.isTrue (isWhole repaired) $"whole: %A{report}"
        Expect.equal (mapping repaired) (mapping original) "same mapping"
        let mutable state = damaged

        for step in steps do
            match step with
            | Flushed -> ()
            | Wrote(offset, data) ->
                state <- apply state offset data
                let _, resumed, _ = check CheckFix.All state
                Expect.isTrue (isWhole resumed) "resumed"
                Expect.equal (mapping resumed) (mapping original) "same mapping"

let private keepsLimits (name: string) =
    test $"{name}: no more memory or reading than allowed, and then nothing is written" {
        let file = damage (Random 5) (image name)

        for limits in
            [
                { Check.defaultLimits with MemoryBytes = 600L }
                { Check.defaultLimits with ReadBytes = 2000L }
            ] do
            let report, after, steps = ScriptRunner.run file (Check.run limits CheckFix.All 0 file.LongLength)

            Expect.equal report (Error TooMuch) "too much"
            Expect.isEmpty steps "nothing written"
            Expect.equal after file "unchanged"
    }

[<Tests>]
let tests =
    testList "qcow2 repairs" [
        for name in [ "plain"; "snapshot"; "bitmap" ] do
            repairs name
            keepsLimits name

        test "a clean image loses its marks" {
            let file = image "plain"
            file[79] <- file[79] ||| byte (Feature.dirty ||| Feature.corrupt)
            let report, repaired, _ = check CheckFix.All file
            Expect.isOk report "a verdict"
            Expect.equal repaired (image "plain") "as it was"
        }
    ]
