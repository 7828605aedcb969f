/// The crash law: after a crash at any moment, with any part of the writes since the last flush, an image is sound and
/// every sector holds its last flushed value or one written later.
module StorageDaemon.Tests.Crash.Qcow2CrashTests

open System
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Crash.Qcow2Shapes
open StorageDaemon.Tests.Crash.Qcow2Rig

let internal shapeOf (random: Random) : Shape =
    let extended = random.Next 4 = 0
    let clusterBits = if extended then 14 else 9 + random.Next 4
    let version = if not extended && random.Next 4 = 0 then 2 else 3
    let size = (64L + int64 (random.Next 192)) * 1024L

    {
        ClusterBits = clusterBits
        RefcountOrder = if version = 2 then 4 else random.Next 7
        Version = version
        ExtendedL2 = extended
        SizeBytes = if extended then 4L * size else size
        BackingBytes = if random.Next 2 = 0 then 0 else int (size / 2L) &&& ~~~511
        Discards =
            let coin () = Some(random.Next 2 = 0)
            DiscardSettings.ofOptions false (coin ()) (coin ()) (coin ()) (Some(version = 3 && random.Next 3 = 0))
    }

/// A random load with crashes on the way, on a disk that may fail; how many crashes there were. `inspect` is shown the
/// file after each of them.
let internal run (inspect: byte[] -> unit) (seed: int) (requests: int) (crashes: int) (failing: bool) : int =
    let random = Random seed
    let shape = shapeOf random
    let faults = Random(seed + 1)
    let mutable isFailing = false

    let fails _ =
        if isFailing && faults.Next 40 = 0 then
            if faults.Next 2 = 0 then Errno.EIO else Errno.ENOSPC
        else
            0

    // A cache of few tables, so that it overflows.
    let rig = Rig(shape, seed, int64 (8 <<< shape.ClusterBits), fails)
    isFailing <- failing
    let mutable started = 0
    let mutable turns = 0
    let states = ref 0
    let depth = 1 + random.Next 12

    let crash () =
        for _ in 1..crashes do
            let after = rig.Disk.Crash random
            rig.ExpectSound after
            inspect after
            states.Value <- states.Value + 1

    while started < requests || rig.Pending.Count > 0 do
        turns <- turns + 1

        if turns > 500 * requests then
            failtest ("seed " + string seed + ": requests wait for each other")

        if started < requests && rig.Pending.Count < depth && random.Next 2 = 0 then
            rig.StartOne()
            started <- started + 1
        else
            rig.Step() |> ignore

        rig.Collect()

        if random.Next 20 = 0 then
            rig.Image.CleanCaches()

        if rig.Pending.Count = 0 && not rig.Image.IsFenced && random.Next 8 = 0 then
            match random.Next 6 with
            | 0
            | 1 -> rig.TakeSnapshot crash
            | 2 when rig.Snapshots > 0 -> rig.DeleteSnapshot crash
            | 3 -> rig.Shrink crash
            | _ -> rig.Grow crash

        if random.Next 4 = 0 then
            crash ()

    isFailing <- false
    rig.Finish()
    rig.ExpectContent()

    // Where the disk failed at the worst moment, nothing may be written any more.
    if not rig.Image.IsFenced then
        rig.Settle()
        rig.ExpectContent()

    states.Value

/// The first seed of a run: that of the environment, or any.
let internal firstSeed () : int =
    match Environment.GetEnvironmentVariable "SEED" with
    | null
    | "" -> int DateTime.UtcNow.Ticks &&& 0xffffff
    | seed -> int seed

let private runAll (requests: int) (failing: bool) =
    let first = firstSeed ()

    let runs =
        match Environment.GetEnvironmentVariable "CRASHES" with
        | null
        | "" -> 30
        | count -> int count

    let mutable states = 0

    for seed in first .. first + runs - 1 do
        states <- states + run ignore seed requests 2 failing

    Console.Out.WriteLine("crash states from seed " + string first + ": " + string states)

[<Tests>]
let tests =
    testList "Crash.Qcow2" [
        testCase "a crash at any moment leaves a sound image"
        <| fun () -> runAll 60 false

        testCase "so it does on a disk that fails" <| fun () -> runAll 60 true
    ]
