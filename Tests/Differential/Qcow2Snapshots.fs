/// Snapshots and lengths of images: what the real tools make of ours, and we of theirs.
module StorageDaemon.Tests.Differential.Qcow2Snapshots

open System
open System.IO
open System.Text
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Crash.Qcow2Shapes
open StorageDaemon.Tests.Differential.Qcow2Images
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir
open StorageDaemon.Tests.Reference.LayerRunner

let private bytesOf (text: string) = Encoding.UTF8.GetBytes text

let private named (name: string) : NewSnapshot = {
    Id = [||]
    Name = bytesOf name
    Seconds = 1000000000u
    Nanoseconds = 5u
    GuestNs = 7UL
    Icount = ValueNone
}

let private isNarrow (kind: Kind) =
    kind.Options.Contains "refcount_bits=1"
    && not (kind.Options.Contains "refcount_bits=16")

/// Runs work on the open image, and leaves it to the real tools again, whole.
let private onImage (directory: TempDir) (kind: Kind) (backing: byte[]) (seed: int) work : unit =
    let struct (image, children: MemoryChild list, runner) = openReal directory kind backing seed
    let run script =
        runIdle (fun child -> carryOutAt children[child] child) script
    work image runner run
    Expect.isOk (run (Idle.close image)) "closed"
    File.WriteAllBytes(directory.File "image", children[0].Content)
    qemuImg directory [ "check"; "-q"; "image" ]

let private expectSame (what: string) (actual: byte[]) (expected: byte[]) =
    Expect.isTrue (actual.AsSpan().SequenceEqual(ReadOnlySpan expected)) what

let private listed (directory: TempDir) : string =
    ChildProcess.runOk directory.Path (Requires.tool "qemu-img") [ "snapshot"; "-l"; "image" ]

let private snapshots (kind: Kind) =
    testCase kind.Name
    <| fun () ->
        use directory = new TempDir()
        let seed = Random.Shared.Next 1_000_000
        let random = Random seed
        let where what = what + ", seed " + string seed
        let backing = prepare directory kind random
        qemuImg directory [ "snapshot"; "-c"; "real"; "image" ]
        scribble directory "image" (scribbles random false)
        let content = contentOf directory "image" []
        let first = Array.copy content

        onImage directory kind backing seed (fun image runner run ->
            let entry = run (InternalSnapshots.create image (named "ours"))
            Expect.isOk entry (where "created")
            change random runner image content)

        Expect.stringContains (listed directory) "ours" (where "the list")
        expectSame (where "the snapshot") (contentOf directory "image" [ "-l"; "ours" ]) first
        expectSame (where "the disk") (contentOf directory "image" []) content
        let real = contentOf directory "image" [ "-l"; "real" ]
        let second = Array.copy content

        onImage directory kind backing seed (fun image runner run ->
            Expect.isOk (run (InternalSnapshots.create image (named "more"))) (where "created")
            change random runner image content
            Expect.isOk (run (InternalSnapshots.delete image ValueNone (ValueSome(bytesOf "ours")))) (where "deleted")
            change random runner image content)

        expectSame (where "a later snapshot") (contentOf directory "image" [ "-l"; "more" ]) second
        expectSame (where "the real tool's") (contentOf directory "image" [ "-l"; "real" ]) real
        expectSame (where "the disk") (contentOf directory "image" []) content

        onImage directory kind backing seed (fun image runner run ->
            Expect.isOk (run (InternalSnapshots.delete image ValueNone (ValueSome(bytesOf "real")))) (where "deleted")
            change random runner image content)

        expectSame (where "the disk") (contentOf directory "image" []) content
        qemuImg directory [ "snapshot"; "-a"; "more"; "image" ]
        qemuImg directory [ "check"; "-q"; "image" ]
        expectSame (where "the snapshot, applied") (contentOf directory "image" []) second
        qemuImg directory [ "snapshot"; "-d"; "more"; "image" ]
        qemuImg directory [ "check"; "-q"; "image" ]
        Expect.equal (listed directory) "" (where "no snapshot is left")

        onImage directory kind backing seed (fun image runner _ ->
            expectSame (where "the disk") (readAll image runner) second)

let private refusals = [
    testCase "refcounts of one bit leave no room for snapshots"
    <| fun () ->
        use directory = new TempDir()
        let kind = List.find isNarrow kinds
        let backing = prepare directory kind (Random 1)

        onImage directory kind backing 1 (fun image _ run ->
            let result = run (InternalSnapshots.create image (named "s"))
            Expect.equal (Result.map ignore result) (Error Errno.EINVAL) "refused")

    testCase "an external data file cannot be shared"
    <| fun () ->
        use directory = new TempDir()
        let kind = kinds |> List.find (fun kind -> kind.ExternalData)
        let backing = prepare directory kind (Random 1)

        onImage directory kind backing 1 (fun image _ run ->
            let result = run (InternalSnapshots.create image (named "s"))
            Expect.equal (Result.map ignore result) (Error Errno.ENOTSUP) "refused")

    testCase "ids, names, and what is not there"
    <| fun () ->
        use directory = new TempDir()
        let kind = List.head kinds
        let backing = prepare directory kind (Random 1)
        qemuImg directory [ "snapshot"; "-c"; "a"; "image" ]

        onImage directory kind backing 1 (fun image _ run ->
            let delete id name =
                run (InternalSnapshots.delete image id name)
                |> Result.map (fun snapshot -> Encoding.UTF8.GetString snapshot.Name)
            let create id name =
                run (InternalSnapshots.create image { named name with Id = bytesOf id })
                |> Result.map (fun snapshot -> Encoding.UTF8.GetString snapshot.Id)
            let some text = ValueSome(bytesOf text)
            Expect.equal (create "1" "b") (Error Errno.EEXIST) "the id is taken"
            Expect.equal (create "" "b") (Ok "2") "the next id"
            Expect.equal (create "7" "b") (Ok "7") "an id of one's own"
            Expect.equal (create "" "c") (Ok "8") "the next id"
            Expect.equal (delete (some "9") ValueNone) (Error Errno.ENOENT) "no such id"
            Expect.equal (delete (some "1") (some "b")) (Error Errno.ENOENT) "id and name of two"
            Expect.equal (delete (some "7") (some "b")) (Ok "b") "id and name of one"
            Expect.equal (delete (some "1") ValueNone) (Ok "a") "by id"
            Expect.equal (delete ValueNone ValueNone) (Error Errno.ENOENT) "none is meant")

        let list = listed directory
        Expect.isTrue (list.Contains "b" && list.Contains "c") "what is left"

    testCase "an image of version 2 with snapshots keeps its length"
    <| fun () ->
        use directory = new TempDir()
        let kind = kinds |> List.find (fun kind -> kind.Options = "compat=0.10")
        let backing = prepare directory kind (Random 1)
        qemuImg directory [ "snapshot"; "-c"; "a"; "image" ]

        onImage directory kind backing 1 (fun image _ run ->
            Expect.equal (run (Idle.grow image (int64 DiskBytes * 2L))) (Error Errno.ENOTSUP) "longer"
            Expect.equal (run (Idle.shrink image 65536L)) (Error Errno.ENOTSUP) "shorter")
]

let private lengths (kind: Kind) =
    testCase kind.Name
    <| fun () ->
        use directory = new TempDir()
        let seed = Random.Shared.Next 1_000_000
        let random = Random seed
        let where what = what + ", seed " + string seed
        let backing = prepare directory kind random

        if kind.Snapshot && not (kind.Options.Contains "compat=0.10") then
            qemuImg directory [ "snapshot"; "-c"; "s"; "image" ]
            scribble directory "image" (scribbles random false)

        let content = contentOf directory "image" []
        // Whole clusters, of 64 KiB or 2 MiB: the rest is the caller's.
        let shorter =
            if kind.Options.Contains "2M" then
                0
            else
                (1 + random.Next 31) * 65536
        let content = Array.sub content 0 shorter

        onImage directory kind backing seed (fun image runner run ->
            Expect.isOk (run (Idle.shrink image (int64 shorter))) (where "shorter")

            if shorter > 0 then
                expectSame (where "what is left") (readAll image runner) content
                change random runner image content)

        expectSame (where "what is left") (contentOf directory "image" []) content
        let longer = Array.zeroCreate<byte>(2 * DiskBytes)
        let isRefused = kind.Options.Contains "compat=0.10" && backing.Length > shorter

        onImage directory kind backing seed (fun image runner run ->
            let result = run (Idle.grow image longer.LongLength)

            if isRefused then
                Expect.equal result (Error Errno.ENOTSUP) (where "refused")
            else
                content.CopyTo(longer, 0)
                Expect.isOk result (where "longer")
                expectSame (where "zeroes behind it") (readAll image runner) longer
                change random runner image longer)

        if not isRefused then
            expectSame (where "afterwards") (contentOf directory "image" []) longer

[<Tests>]
let tests =
    testList "Differential.Qcow2Snapshots" [
        testList
            "snapshots"
            (kinds
             |> List.filter (fun kind -> not kind.ExternalData && not (isNarrow kind))
             |> List.map snapshots)
        testList "refusals" refusals
        testList "lengths" (kinds |> List.filter (fun kind -> not kind.ExternalData) |> List.map lengths)
    ]
