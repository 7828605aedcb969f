/// Where clusters go and what becomes of their space: compressed writes, discards, and damaged images.
module StorageDaemon.Tests.Crash.Qcow2SpaceTests

open System
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2
open StorageDaemon.Shell.Codecs
open StorageDaemon.Tests.Crash.Qcow2Shapes
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.LayerRunner

let private shape: Shape = {
    ClusterBits = 12
    RefcountOrder = 4
    Version = 3
    ExtendedL2 = false
    SizeBytes = 400L * 1024L + 512L
    BackingBytes = 0
    Discards = noDiscards
}

let private clusterBytes = 4096
let private pass = DiscardSettings.ofOptions true None None None None

[<NoComparison; NoEquality>]
type private Opened = { File: MemoryChild; Image: Image; Runner: Runner }

let private openBytes (discards: DiscardSettings) (bytes: byte[]) (fails: ChildRequest -> int) : Opened =
    let file = MemoryChild(bytes, fails)
    let image = openWith discards file [||] 0 65536L (new DeflateClusters())

    {
        File = file
        Image = image
        Runner = Runner(Qcow2Layer image, [ file ], 1)
    }

let private openNew shape discards =
    openBytes discards (newImage shape) (fun _ -> 0)

let private run (opened: Opened) kind flags (offset: int) (length: int) (data: byte[]) : int =
    opened.Runner.Run(kind, flags, int64 offset, int64 length, data, false) |> fst

let private succeed opened kind flags offset length data =
    Expect.equal (run opened kind flags offset length data) 0 (string kind + " at " + string offset)

let private write opened offset (data: byte[]) =
    succeed opened RequestKind.Write RequestFlags.None offset data.Length data

let private compress opened offset (data: byte[]) =
    run opened RequestKind.Write RequestFlags.Compressed offset data.Length data

let private flush opened =
    succeed opened RequestKind.Flush RequestFlags.None 0 0 [||]

let private readBack (opened: Opened) offset length =
    opened.Runner.Run(RequestKind.Read, RequestFlags.None, int64 offset, int64 length, Array.zeroCreate length, false)
    |> snd

let private settle opened =
    for _ in 1..4 do
        flush opened

/// The file is sound and has no cluster too many.
let private expectSound (opened: Opened) =
    let struct (problems, leaks) = NaiveQcow2.check (NaiveQcow2.openImage opened.File.Content)
    Expect.equal problems [] "problems"
    Expect.equal leaks 0 "leaks"

let private descriptor (opened: Opened) cluster =
    let struct (descriptor, _) = NaiveQcow2.entry (NaiveQcow2.openImage opened.File.Content) cluster
    descriptor

let private isCompressed (descriptor: uint64) =
    descriptor &&& 0x4000000000000000UL <> 0UL

/// Data of which about that share cannot be compressed.
let private dataOf (random: Random) (length: int) (share: float) : byte[] =
    let data = Array.zeroCreate<byte> length
    random.NextBytes(data.AsSpan(0, int (float length * share)))
    data

let private discards (opened: Opened) =
    opened.File.Requests
    |> Seq.filter (fun request -> request.Kind = RequestKind.Discard)
    |> Seq.map (fun request -> request.Offset, request.Length)
    |> List.ofSeq

let private compression = [
    testCase "compressed clusters share host clusters and lie across their bounds"
    <| fun () ->
        let opened = openNew shape noDiscards
        let random = Random 1
        let data = Array.init 60 (fun _ -> dataOf random clusterBytes 0.6)

        data
        |> Array.iteri (fun i data -> Expect.equal (compress opened (i * clusterBytes) data) 0 "a compressed write")

        settle opened
        expectSound opened
        Expect.equal (readBack opened 0 (60 * clusterBytes)) (Array.concat data) "what was written"
        let content = NaiveQcow2.content (NaiveQcow2.openImage opened.File.Content) [||]
        Expect.equal content[.. 60 * clusterBytes - 1] (Array.concat data) "what another reader sees"
        // 2560 bytes each at least, and 3072 at most.
        Expect.isLessThan opened.File.Content.Length (60 * 3072 + 8 * clusterBytes) "the file is packed"

        let across =
            Seq.init 60 int64
            |> Seq.filter (fun i -> descriptor opened i % 4096UL > 4096UL - 2560UL)
        Expect.isNonEmpty across "one lies across a bound"

    testCase "with refcounts of one bit nothing is shared"
    <| fun () ->
        let opened = openNew { shape with RefcountOrder = 0 } noDiscards

        for i in 0..9 do
            Expect.equal (compress opened (i * clusterBytes) (Array.create clusterBytes 7uy)) 0 "a compressed write"

        settle opened
        expectSound opened
        Expect.equal (readBack opened 0 (10 * clusterBytes)) (Array.create (10 * clusterBytes) 7uy) "what was written"

    testCase "what does not become smaller is written as it is"
    <| fun () ->
        let opened = openNew shape noDiscards
        let random = Random 2
        let data = Array.concat [ dataOf random clusterBytes 1.0; dataOf random clusterBytes 0.1 ]
        Expect.equal (compress opened 0 data) 0 "a compressed write"
        settle opened
        expectSound opened
        Expect.equal (readBack opened 0 data.Length) data "what was written"
        Expect.isFalse (isCompressed (descriptor opened 0L)) "as it is"
        Expect.isTrue (isCompressed (descriptor opened 1L)) "compressed"

    testCase "only whole clusters are compressed, and the disk's tail"
    <| fun () ->
        let opened = openNew shape noDiscards
        let tail = int shape.SizeBytes / clusterBytes * clusterBytes
        let fails offset length =
            Expect.equal (compress opened offset (Array.create length 1uy)) Errno.EINVAL "refused"
        fails 512 clusterBytes
        fails 0 512
        fails 0 (clusterBytes + 512)
        Expect.equal (compress opened tail (Array.create 512 1uy)) 0 "the tail"
        settle opened
        expectSound opened
        Expect.isTrue (isCompressed (descriptor opened (int64 (tail / clusterBytes)))) "compressed"
        Expect.equal (readBack opened tail 512) (Array.create 512 1uy) "what was written"

    testCase "a cluster that is there is not compressed"
    <| fun () ->
        let opened = openNew shape noDiscards
        let data = Array.create clusterBytes 5uy
        write opened 0 data
        Expect.equal (compress opened 0 data) Errno.EIO "over data"
        Expect.equal (compress opened 4096 data) 0 "over nothing"
        Expect.equal (compress opened 4096 data) Errno.EIO "over compressed data"
        succeed opened RequestKind.WriteZeroes RequestFlags.None 0 clusterBytes [||]
        Expect.equal (compress opened 0 data) Errno.EIO "over zeroes with a place"
        succeed opened RequestKind.WriteZeroes RequestFlags.MayUnmap 0 clusterBytes [||]
        Expect.equal (compress opened 0 data) 0 "over zeroes"
        settle opened
        expectSound opened
]

let private discarding = [
    testCase "the file is told of discarded clusters in runs, after they are free"
    <| fun () ->
        let opened = openNew shape pass
        write opened 0 (Array.create (8 * clusterBytes) 1uy)
        flush opened
        succeed opened RequestKind.Discard RequestFlags.None 0 (8 * clusterBytes) [||]
        Expect.isEmpty (discards opened) "the file still has the mapping"
        let host = int64 (descriptor opened 0L &&& 0x00fffffffffffe00UL)
        settle opened
        Expect.equal (discards opened) [ host, 8L * int64 clusterBytes ] "one run"
        expectSound opened

    testCase "it is not told where that is not wanted"
    <| fun () ->
        let opened = openNew shape (DiscardSettings.ofOptions true (Some false) None None None)
        write opened 0 (Array.create clusterBytes 1uy)
        flush opened
        succeed opened RequestKind.Discard RequestFlags.None 0 clusterBytes [||]
        settle opened
        Expect.isEmpty (discards opened) "no discard"

    for passOther in [ false; true ] do
        testCase ("a place that is left on other occasions, passed on: " + string passOther)
        <| fun () ->
            let opened = openNew shape (DiscardSettings.ofOptions true None None (Some passOther) None)
            // Two share a host cluster, which is free when both are gone.
            compress opened 0 (Array.create (2 * clusterBytes) 1uy) |> ignore
            flush opened
            write opened 0 (Array.create clusterBytes 2uy)
            settle opened
            Expect.isEmpty (discards opened) "half of it is in use"
            write opened clusterBytes (Array.create clusterBytes 2uy)
            settle opened
            Expect.equal (discards opened).Length (if passOther then 1 else 0) "discards"
            expectSound opened

    testCase "an error of such a discard is nobody's"
    <| fun () ->
        let fails (request: ChildRequest) =
            if request.Kind = RequestKind.Discard then Errno.EIO else 0
        let opened = openBytes pass (newImage shape) fails
        write opened 0 (Array.create clusterBytes 1uy)
        flush opened
        succeed opened RequestKind.Discard RequestFlags.None 0 clusterBytes [||]
        settle opened
        Expect.isNonEmpty (discards opened) "it was tried"
        expectSound opened

    testCase "with discard-no-unref clusters keep their places"
    <| fun () ->
        let opened = openNew shape (DiscardSettings.ofOptions true None None None (Some true))
        write opened 0 (Array.create (4 * clusterBytes) 1uy)
        flush opened
        let place = descriptor opened 0L
        succeed opened RequestKind.Discard RequestFlags.None 0 (2 * clusterBytes) [||]
        succeed opened RequestKind.WriteZeroes RequestFlags.MayUnmap (2 * clusterBytes) (2 * clusterBytes) [||]
        settle opened
        Expect.equal (descriptor opened 0L) (place ||| 1UL) "the place, with the zero flag"
        Expect.equal (discards opened |> List.sumBy snd) (4L * int64 clusterBytes) "the file is told all the same"
        Expect.equal (readBack opened 0 (4 * clusterBytes)) (Array.zeroCreate (4 * clusterBytes)) "zeroes"
        write opened 0 (Array.create clusterBytes 2uy)
        settle opened
        Expect.equal (descriptor opened 0L) place "the same place"
        expectSound opened
]

/// An image with data in its first four clusters, opened after a change to the file.
let private damaged (change: byte[] -> int -> unit) : Opened =
    let opened = openNew shape noDiscards
    write opened 0 (Array.create (4 * clusterBytes) 1uy)
    settle opened
    let bytes = Array.copy opened.File.Content
    let l1 = int (BigEndian.readU64 (ReadOnlySpan bytes) 40)
    change bytes (int (BigEndian.readU64 (ReadOnlySpan bytes) l1 &&& 0x00fffffffffffe00UL))
    openBytes noDiscards bytes (fun _ -> 0)

let private put at (value: uint64) (bytes: byte[]) =
    BigEndian.writeU64 (Span bytes) at value

let private copied = 0x8000000000000000UL

let private expectTold (opened: Opened) (message: string) isFatal =
    let notice = Seq.exactlyOne opened.Runner.Notices :?> CorruptionNotice
    Expect.equal notice.Message message "message"
    Expect.equal notice.IsFatal isFatal "fatal"
    Expect.equal (opened.File.Content[79] &&& 2uy <> 0uy) isFatal "the file says so"

    Expect.equal
        (run opened RequestKind.Read RequestFlags.None 0 512 (Array.zeroCreate 512))
        (if isFatal then Errno.ENOMEDIUM else 0)
        "the next request"

let private damage = [
    testCase "an entry that is not aligned"
    <| fun () ->
        let opened = damaged (fun bytes l2 -> put (l2 + 8) (copied ||| 0x50200UL) bytes)
        let l2 = int64 (opened.Image.L1[0] &&& 0x00fffffffffffe00UL)
        Expect.equal (run opened RequestKind.Read RequestFlags.None 4096 4096 (Array.zeroCreate 4096)) Errno.EIO "read"

        expectTold
            opened
            ("Cluster allocation offset 0x50200 unaligned (L2 offset: 0x"
             + l2.ToString "x"
             + ", L2 index: 0x1)")
            true

    testCase "a write to it"
    <| fun () ->
        let opened = damaged (fun bytes l2 -> put (l2 + 8) (copied ||| 0x50200UL) bytes)
        Expect.equal (run opened RequestKind.Write RequestFlags.None 4096 512 (Array.zeroCreate 512)) Errno.EIO "write"
        expectTold opened "Data cluster offset 0x50200 unaligned (guest offset: 0x1000)" true

    testCase "a discard of it"
    <| fun () ->
        let opened = damaged (fun bytes l2 -> put (l2 + 8) (copied ||| 0x50200UL) bytes)
        succeed opened RequestKind.Discard RequestFlags.None 4096 4096 [||]
        expectTold opened "Cannot free unaligned cluster 0x50200" false
        Expect.equal (readBack opened 4096 4096) (Array.zeroCreate 4096) "it is gone"

    testCase "an L2 table that is not aligned"
    <| fun () ->
        let opened =
            damaged (fun bytes l2 ->
                put (int (BigEndian.readU64 (ReadOnlySpan bytes) 40)) (copied ||| uint64 (l2 + 512)) bytes)

        let offset = int64 (opened.Image.L1[0] &&& 0x00fffffffffffe00UL)
        Expect.equal (run opened RequestKind.Read RequestFlags.None 4096 4096 (Array.zeroCreate 4096)) Errno.EIO "read"
        expectTold opened ("L2 table offset 0x" + offset.ToString "x" + " unaligned (L1 index: 0)") true

    testCase "data in the place of a table"
    <| fun () ->
        let opened = damaged (fun bytes l2 -> put (l2 + 8) (copied ||| uint64 l2) bytes)
        Expect.equal (run opened RequestKind.Write RequestFlags.None 4096 512 (Array.zeroCreate 512)) Errno.EIO "write"
        let notice = Seq.exactlyOne opened.Runner.Notices :?> CorruptionNotice
        Expect.equal notice.LengthBytes 512L "length"
        expectTold opened "Preventing invalid write on metadata (overlaps with active L2 table)" true

    for section, expected in
        [
            MetadataSection.SnapshotTable, Errno.EIO
            Overlap.cached, Errno.EIO
            MetadataSection.ActiveL2, 0
            MetadataSection.None, 0
        ] do
        testCase ("data in the place of the snapshot table, checked for: " + string section)
        <| fun () ->
            let bytes = (damaged (fun _ _ -> ())).File.Content
            let file = MemoryChild(bytes, fun _ -> 0)
            let image = openChecking section noDiscards file [||] 0 65536L (new DeflateClusters())
            let place =
                int64 (
                    descriptor
                        {
                            File = file
                            Image = image
                            Runner = Unchecked.defaultof<Runner>
                        }
                        1L
                    &&& 0x00fffffffffffe00UL
                )

            image.Protect {
                image.SideTables with
                    SnapshotTable = { Offset = place; LengthBytes = 40L }
            }

            let opened = {
                File = file
                Image = image
                Runner = Runner(Qcow2Layer image, [ file ], 1)
            }

            let error = run opened RequestKind.Write RequestFlags.None 4096 512 (Array.zeroCreate 512)
            Expect.equal error expected "write"

            if expected <> 0 then
                expectTold opened "Preventing invalid write on metadata (overlaps with snapshot table)" true

    testCase "refcounts that call a table free"
    <| fun () ->
        let opened =
            damaged (fun bytes _ ->
                let table = int (BigEndian.readU64 (ReadOnlySpan bytes) 48)
                let block = int (BigEndian.readU64 (ReadOnlySpan bytes) table)
                bytes.AsSpan(block, 16).Clear())

        Expect.equal (run opened RequestKind.Write RequestFlags.None 65536 512 (Array.zeroCreate 512)) Errno.EIO "write"

        let notice = Seq.exactlyOne opened.Runner.Notices :?> CorruptionNotice
        Expect.stringStarts notice.Message "Preventing invalid write on metadata (overlaps with " "message"

    testCase "a block of refcounts that is not aligned"
    <| fun () ->
        let opened =
            damaged (fun bytes _ ->
                let table = int (BigEndian.readU64 (ReadOnlySpan bytes) 48)
                put table (BigEndian.readU64 (ReadOnlySpan bytes) table + 512UL) bytes)

        Expect.equal (run opened RequestKind.Write RequestFlags.None 65536 512 (Array.zeroCreate 512)) Errno.EIO "write"

        let notice = Seq.exactlyOne opened.Runner.Notices :?> CorruptionNotice
        Expect.stringContains notice.Message "unaligned (reftable index: 0)" "message"
]

/// Carries out what is done to the image as a whole.
let private idle (opened: Opened) script =
    Expect.isOk (runIdle (carryOutAt opened.File) script) "done"

let private snapshot (opened: Opened) (name: string) =
    idle
        opened
        (InternalSnapshots.create opened.Image {
            Id = [||]
            Name = Text.Encoding.ASCII.GetBytes name
            Seconds = 0u
            Nanoseconds = 0u
            GuestNs = 0UL
            Icount = ValueNone
        })

let private delete (opened: Opened) (name: string) =
    idle opened (InternalSnapshots.delete opened.Image ValueNone (ValueSome(Text.Encoding.ASCII.GetBytes name)))

let private place (opened: Opened) cluster : int64 =
    int64 (descriptor opened cluster &&& 0x00fffffffffffe00UL)

let private isTold (opened: Opened) (offset: int64) =
    discards opened
    |> List.exists (fun (from, length) -> offset >= from && offset < from + length)

/// The same file, opened again.
let private reopen (section: MetadataSection) (opened: Opened) : Opened =
    let file = MemoryChild(Array.copy opened.File.Content, fun _ -> 0)
    let image = openChecking section noDiscards file [||] 0 65536L (new DeflateClusters())

    {
        File = file
        Image = image
        Runner = Runner(Qcow2Layer image, [ file ], 1)
    }

let private whole = [
    for passSnapshot in [ true; false ] do
        testCase (
            "a snapshot's clusters are free when it is deleted, passed on: "
            + string passSnapshot
        )
        <| fun () ->
            let opened = openNew shape (DiscardSettings.ofOptions false None (Some passSnapshot) None None)
            write opened 0 (Array.create (4 * clusterBytes) 1uy)
            settle opened
            snapshot opened "one"
            let old = place opened 0L
            write opened 0 (Array.create clusterBytes 2uy)
            settle opened
            Expect.isFalse (isTold opened old) "the snapshot has it"
            delete opened "one"
            Expect.equal (isTold opened old) passSnapshot "the file is told"
            Expect.isFalse (isTold opened (place opened 1L)) "what the disk has is nobody's"
            expectSound opened

    testCase "closing tells the file of what is free"
    <| fun () ->
        let opened = openNew shape pass
        write opened 0 (Array.create (8 * clusterBytes) 1uy)
        flush opened
        let host = place opened 0L
        succeed opened RequestKind.Discard RequestFlags.None 0 (8 * clusterBytes) [||]
        idle opened (Idle.close opened.Image)
        Expect.equal (discards opened) [ host, 8L * int64 clusterBytes ] "one run"
        Expect.isTrue opened.Image.Freed.IsEmpty "nothing is left"
        expectSound opened

    testCase "what is behind a shorter disk's end is always told"
    <| fun () ->
        let opened = openNew shape noDiscards
        write opened 0 (Array.create (8 * clusterBytes) 1uy)
        settle opened
        let behind = place opened 7L
        idle opened (Idle.shrink opened.Image (4L * int64 clusterBytes))
        Expect.isTrue (isTold opened behind) "the file is told"
        Expect.isFalse (isTold opened (place opened 3L)) "what is left is not"
        expectSound opened

    for section, words in [ Overlap.all, "inactive L2 table"; Overlap.cached, ""; Overlap.constant, "" ] do
        testCase ("data in the place of a snapshot's L2 table, checked for: " + string section)
        <| fun () ->
            let opened = openNew shape noDiscards
            write opened 0 (Array.create (4 * clusterBytes) 1uy)
            settle opened
            snapshot opened "one"
            let table = L1Entry.l2Offset opened.Image.L1[0]
            write opened 0 (Array.create clusterBytes 2uy)
            settle opened
            let l2 = L1Entry.l2Offset opened.Image.L1[0]
            Expect.notEqual l2 table "the disk has a table of its own"
            put (int l2 + 8) (copied ||| uint64 table) opened.File.Content
            let opened = reopen section opened
            let error = run opened RequestKind.Write RequestFlags.None 4096 512 (Array.zeroCreate 512)

            if words = "" then
                Expect.equal error 0 "write"
            else
                Expect.equal error Errno.EIO "write"
                expectTold opened ("Preventing invalid write on metadata (overlaps with " + words + ")") true

    for isReopened in [ false; true ] do
        testCase ("data in the place of a snapshot's L1 table, opened again: " + string isReopened)
        <| fun () ->
            let opened = openNew shape noDiscards
            write opened 0 (Array.create (4 * clusterBytes) 1uy)
            settle opened
            snapshot opened "one"
            let l1 = opened.Image.SideTables.InactiveL1.Head.Offset
            // Its table of snapshots tells the same.
            let table = int opened.Image.Header.SnapshotTableOffset
            Expect.equal (BigEndian.readU64 (ReadOnlySpan opened.File.Content) table) (uint64 l1) "the L1 table"
            write opened 0 (Array.create clusterBytes 2uy)
            settle opened
            let l2 = int (L1Entry.l2Offset opened.Image.L1[0])
            let opened =
                if isReopened then
                    reopen Overlap.cached opened
                else
                    opened.Image.Slices.Clear()
                    opened

            put (l2 + 8) (copied ||| uint64 l1) opened.File.Content
            Expect.equal
                (run opened RequestKind.Write RequestFlags.None 4096 512 (Array.zeroCreate 512))
                Errno.EIO
                "write"
            expectTold opened "Preventing invalid write on metadata (overlaps with inactive L1 table)" true

    testCase "a snapshot with too much extra data is refused"
    <| fun () ->
        let opened = openNew shape noDiscards
        snapshot opened "one"
        let bytes = Array.copy opened.File.Content
        BigEndian.writeU32 (Span bytes) (int opened.Image.Header.SnapshotTableOffset + 36) 5000u
        let file = MemoryChild(bytes, fun _ -> 0)

        match
            runIdle (carryOutAt file) (opening Overlap.cached noDiscards file [||] 0 65536L (new DeflateClusters()))
        with
        | Ok _ -> failtest "open"
        | Error error ->
            Expect.equal error.Desc "Too much extra metadata in snapshot table entry 0" "the real daemon's words"
]

[<Tests>]
let tests =
    testList "Crash.Qcow2Space" [
        testList "whole image" whole
        testList "compressed writes" compression
        testList "discards" discarding
        testList "damage" damage
    ]
