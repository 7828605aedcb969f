/// Opening for writing: what becomes of marks in the header, and a crash at any moment of the repair that they ask for.
module StorageDaemon.Tests.Crash.Qcow2OpeningTests

open System
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.LayerRunner
open StorageDaemon.Tests.Crash.SimulatedDisk
open StorageDaemon.Tests.Crash.Qcow2Shapes
open StorageDaemon.Tests.Crash.Qcow2Rig

let private u64 (file: byte[]) (at: int) =
    BigEndian.readU64 (ReadOnlySpan file) at

let private setU64 (file: byte[]) (at: int) (value: uint64) = BigEndian.writeU64 (Span file) at value

/// The file of an image that has been in use, and has a snapshot.
let private usedImage (seed: int) : byte[] =
    let random = Random seed

    let shape = {
        ClusterBits = 9 + random.Next 3
        RefcountOrder = 1 + random.Next 6
        Version = 3
        ExtendedL2 = false
        SizeBytes = 65536L
        BackingBytes = 0
        Discards = noDiscards
    }

    let rig = Rig(shape, seed, 65536L, fun _ -> 0)

    for i in 1..30 do
        rig.StartOne()
        rig.Finish()

        if i = 15 then
            rig.TakeSnapshot ignore

    rig.Settle()
    Array.copy rig.Disk.Content

/// Refcounts that are too great or too small, as an image has them that counts references lazily.
let private damage (random: Random) (file: byte[]) : byte[] =
    let damaged = Array.copy file
    let naive = NaiveQcow2.openImage file
    let clusterBytes = 1 <<< naive.ClusterBits

    let blocks =
        [|
            for i in 0 .. naive.TableClusters * clusterBytes / 8 - 1 do
                int (u64 file (int naive.TableOffset + i * 8))
        |]
        |> Array.filter (fun block -> block <> 0)

    for _ in 0 .. random.Next 6 do
        let block = blocks[random.Next blocks.Length]
        let at = block + random.Next(clusterBytes / 8)
        damaged[at] <- byte (random.Next 4)

    setU64 damaged Header.incompatibleFieldOffset (u64 damaged Header.incompatibleFieldOffset ||| Feature.dirty)
    setU64 damaged Header.autoclearFieldOffset 0xf0UL
    damaged

let private content (file: byte[]) =
    let naive = NaiveQcow2.openImage file
    let struct (snapshots, _) = NaiveQcow2.snapshots naive

    (snapshots
     |> List.map (fun snapshot -> NaiveQcow2.contentWith expand snapshot.View [||]))
    @ [ NaiveQcow2.contentWith expand naive [||] ]

let private tryOpen (crash: unit -> unit) (disk: MemoryChild) =
    runIdle
        (fun child kind offset length data ->
            let result = carryOutAt disk child kind offset length data

            if kind <> RequestKind.Read then
                crash ()

            result)
        (opening Overlap.cached noDiscards disk [||] 0 65536L valueCodec)

let private plain (file: byte[]) =
    MemoryChild(Array.copy file, (fun _ -> 0))

/// Opens what is left after a crash, which then must be as good as it was.
let private expectOpens (where: string) (wanted: byte[] list) (after: byte[]) =
    let disk = plain after

    match tryOpen ignore disk with
    | Error error -> failtest (where + ": " + error.Desc)
    | Ok _ ->
        let struct (problems, _) = NaiveQcow2.check (NaiveQcow2.openImage disk.Content)
        Expect.isEmpty problems where
        Expect.isTrue (content disk.Content = wanted) (where + ": the content")
        Expect.equal (u64 disk.Content Header.incompatibleFieldOffset) 0UL (where + ": no mark is left")
        Expect.equal (u64 disk.Content Header.autoclearFieldOffset) 0UL (where + ": unknown bits are gone")

/// A repair with crashes on the way; how many there were.
let internal interrupt (seed: int) (failing: bool) : int =
    let random = Random seed
    let where = "seed " + string seed
    let good = usedImage seed
    let wanted = content good
    let states = ref 0
    let fails _ =
        if failing && random.Next 10 = 0 then Errno.EIO else 0
    let disk = SimulatedDisk(damage random good, fails)

    let crash () =
        for _ in 1..2 do
            expectOpens where wanted (disk.Crash random)
            states.Value <- states.Value + 1

    match tryOpen crash disk with
    | Ok _ -> ()
    | Error error when failing -> Expect.stringContains error.Desc ": 5" "the reason"
    | Error error -> failtest (where + ": " + error.Desc)

    crash ()
    states.Value

let private marked (features: uint64) : byte[] =
    let file = usedImage 1
    setU64 file Header.incompatibleFieldOffset features
    file

[<Tests>]
let tests =
    testList "Crash.Qcow2Opening" [
        for failing in [ false; true ] do
            testCase (
                if failing then
                    "so it does on a disk that fails"
                else
                    "a crash at any moment of a repair leaves an image that is repaired"
            )
            <| fun () ->
                let first = Qcow2CrashTests.firstSeed ()
                let states = Seq.sum (seq { for seed in first .. first + 19 -> interrupt seed failing })
                Console.Out.WriteLine("crash states from seed " + string first + ": " + string states)

        testCase "an image that needs nothing is not written"
        <| fun () ->
            let disk = plain (usedImage 1)
            Expect.isOk (tryOpen (fun () -> failtest "written") disk) "open"

        testCase "a corrupt image is not opened for writing, but read"
        <| fun () ->
            let disk = plain (marked Feature.corrupt)

            match tryOpen (fun () -> failtest "written") disk with
            | Ok _ -> failtest "open"
            | Error error -> Expect.equal error.Desc "qcow2: Image is corrupt; cannot be opened read/write" "the words"

        testCase "a dirty image is read as it is"
        <| fun () ->
            let file = marked Feature.dirty
            let disk = plain file

            let children = {
                FileBytes = file.LongLength
                GrowsWithZeroes = true
                DataChild = 0
                BackingChild = -1
                BackingBytes = 0L
                IsSparse = false
            }

            let settings = {
                Writable = false
                Cache = {
                    L2Bytes = 65536L
                    RefcountBytes = 65536L
                    L2EntryBytes = 512
                    CleanIntervalS = 0L
                }
                Codec = valueCodec
                Discards = noDiscards
                OverlapCheck = Overlap.cached
            }

            Expect.isOk (runIdle (carryOutAt disk) (Opener.script settings children string)) "open"
            Expect.equal disk.Content file "unchanged"

        testCase "a mark of corruption stays, and nothing is written any more"
        <| fun () ->
            let file = usedImage 1
            let disk = plain file
            let image = openOver disk [||] 0 65536L valueCodec
            Expect.isOk (runIdle (carryOutAt disk) (Idle.markCorrupt image)) "marked"
            setU64 file Header.incompatibleFieldOffset Feature.corrupt
            Expect.equal disk.Content file "nothing else has changed"
            Expect.isTrue image.IsFenced "fenced"

            for change in [ Idle.grow image 131072L; Idle.shrink image 4096L ] do
                Expect.equal (runIdle (carryOutAt disk) change) (Error Errno.EIO) "another length"

            Expect.equal disk.Content file "nothing has changed"

        testCase "closing takes the mark of an image that was dirty"
        <| fun () ->
            let disk = plain (usedImage 1)
            let image = openOver disk [||] 0 65536L valueCodec
            image.Header <- { image.Header with Incompatible = Feature.dirty }
            Expect.isOk (runIdle (carryOutAt disk) (Idle.close image)) "closed"
            Expect.equal image.Header.Incompatible 0UL "clean"
            Expect.equal (u64 disk.Content Header.incompatibleFieldOffset) 0UL "clean in the file"
    ]
