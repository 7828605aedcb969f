/// A check of an image that is in use: it sees the metadata as they were when it began, whatever requests do meanwhile.
module StorageDaemon.Tests.Crash.Qcow2ViewTests

open System
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Crash.Qcow2CrashTests
open StorageDaemon.Tests.Crash.Qcow2Rig

/// A check of the file by itself.
let private verdict (file: byte[]) =
    let report, _, _ =
        ScriptRunner.run file (Check.run { Check.defaultLimits with Findings = 100 } CheckFix.Nothing 0 file.LongLength)

    report

/// Requests go on while the check reads, between its reads and in the midst of them; the report, if there is one, and
/// what it was to be.
let private race (seed: int) (requests: int) (failing: bool) =
    let random = Random seed
    let shape = shapeOf random
    let faults = Random(seed + 1)
    let mutable isFailing = false

    let fails _ =
        if isFailing && faults.Next 60 = 0 then Errno.EIO else 0

    let rig = Rig(shape, seed, int64 (8 <<< shape.ClusterBits), fails)
    let mutable started = 0

    let turn () =
        if started < requests && rig.Pending.Count < 12 && random.Next 2 = 0 then
            rig.StartOne()
            started <- started + 1
        else
            rig.Step() |> ignore

        rig.Collect()

    // Something is there to be changed, and some of it in snapshots.
    for _ in 1..3 do
        for _ in 1 .. requests / 3 do
            rig.StartOne()

        rig.Finish()

        if random.Next 2 = 0 then
            rig.TakeSnapshot ignore

    if rig.Snapshots > 1 then
        rig.DeleteSnapshot ignore

    match rig.BeginView() with
    | ValueNone -> failtest (rig.Where + ": it cannot be settled")
    | ValueSome view ->
        let expected = verdict (Array.copy rig.Disk.Content)
        isFailing <- failing
        let turns () =
            for _ in 1 .. random.Next 12 do
                turn ()

        let piece (offset: int64) (length: int) =
            let content = rig.Disk.Content
            let bytes: byte[] = Array.zeroCreate length
            let there = int (max 0L (min (int64 length) (content.LongLength - offset)))
            Array.blit content (int offset) bytes 0 there
            bytes

        let rec go (script: IoScript<'T>) : 'T =
            match script with
            | Finished value -> value
            | Report(current, total, next) ->
                Expect.isLessThan current total "it is not at its end yet"
                go (next ())
            | ReadChild(0, offset, length, next) ->
                turns ()
                let cut = random.Next(length + 1)
                let first = piece offset cut
                turns ()
                let second = piece (offset + int64 cut) (length - cut)
                // It is in the reader's hands, who takes his time.
                turns ()
                go (next (Ok(Array.append first second)))
            | _ -> failtest (rig.Where + ": a check only reads")

        let report = go (OnlineCheck.run view (OnlineCheck.estimate rig.Image))
        rig.Image.EndView()
        isFailing <- false
        rig.Finish()
        rig.ExpectContent()

        if not rig.Image.IsFenced then
            rig.Settle()

        struct (rig.Where, report, expected)

[<Tests>]
let tests =
    testList "Crash.Qcow2 views" [
        testCase "a check sees nothing of what happens meanwhile"
        <| fun () ->
            let first = firstSeed ()

            for seed in first .. first + 59 do
                let struct (where, report, expected) = race seed 90 false
                Expect.equal report expected where

        testCase "on a disk that fails it gives no wrong verdict"
        <| fun () ->
            let first = firstSeed ()

            for seed in first .. first + 29 do
                let struct (where, report, expected) = race seed 90 true

                match report with
                | Ok _ -> Expect.equal report expected where
                | Error _ -> ()

        testCase "what was changed as a whole meanwhile has no verdict"
        <| fun () ->
            let rig = Rig(shapeOf (Random 1), 1, 65536L, fun _ -> 0)

            match rig.BeginView() with
            | ValueNone -> failtest "it cannot be settled"
            | ValueSome view ->
                rig.Grow ignore
                Expect.isTrue view.IsBroken "broken"
    ]
