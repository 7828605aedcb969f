/// Snapshot tables, bitmap directories and the guard over all metadata.
module StorageDaemon.Tests.Properties.Qcow2DirectoryTests

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Qcow2

let private property name gen check =
    testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 300 } name (Prop.forAll (Arb.fromGen gen) check)

let private bytes (min: int) (max: int) : Gen<byte[]> =
    Gen.choose (min, max)
    |> Gen.bind (fun length -> Gen.arrayOfLength length (ArbMap.defaults |> ArbMap.generate<byte>))

let private snapshot: Gen<Snapshot> =
    gen {
        let! offset, guest = ArbMap.defaults |> ArbMap.generate<int64 * uint64>
        let! entries, seconds, nanoseconds = ArbMap.defaults |> ArbMap.generate<uint32 * uint32 * uint32>
        let! id, name = Gen.two (bytes 0 20)
        let! extra = Gen.frequency [ 3, bytes 0 40; 1, bytes 1024 1024 ]

        return {
            L1Offset = offset
            L1Entries = entries
            Id = id
            Name = name
            Seconds = seconds
            Nanoseconds = nanoseconds
            GuestNs = guest
            VmStateBytes32 = seconds
            Extra = extra
        }
    }

/// Reads a table as a reader of a file does: more bytes whenever the codec asks for them.
let private readTable (table: byte[]) (count: int) : Snapshot list =
    let rec entry index at window =
        match Snapshots.decode index (ReadOnlySpan(table, at, min window (table.Length - at))) with
        | Complete(snapshot, length) -> snapshot, length
        | NeedBytes bytes ->
            Expect.isTrue (bytes > window && at + bytes <= table.Length) "asks for more, and for what there is"
            entry index at bytes
        | Refused error -> failtest error.Desc

    let rec next index at =
        if index = count then
            Expect.equal at table.Length "all of it"
            []
        else
            let snapshot, length = entry index at 0
            snapshot :: next (index + 1) (at + length)

    next 0 0

let private snapshotTests =
    testList "snapshot table" [
        property "comes back, entry by entry" (Gen.listOf snapshot) (fun snapshots ->
            match Snapshots.encode snapshots with
            | Ok table -> Expect.equal (readTable table snapshots.Length) snapshots "same"
            | Error errno -> failtest $"errno {errno}")

        testProperty "garbage never throws, and takes no more than it says"
        <| fun (garbage: byte[]) ->
            match Snapshots.decode 0 (ReadOnlySpan garbage) with
            | Complete(_, length) -> Expect.isLessThanOrEqual length garbage.Length "within"
            | NeedBytes bytes -> Expect.isTrue (bytes > garbage.Length && bytes < 200000) "bounded"
            | Refused _ -> ()

        test "extra data tell more than the fields" {
            let plain: Snapshot = {
                L1Offset = 0L
                L1Entries = 0u
                Id = [||]
                Name = [||]
                Seconds = 0u
                Nanoseconds = 0u
                GuestNs = 0UL
                VmStateBytes32 = 5u
                Extra = [||]
            }

            Expect.equal (Snapshots.vmStateBytes plain) 5UL "the old field"
            Expect.equal (Snapshots.diskBytes plain) ValueNone "unknown"
            let full = {
                plain with
                    Extra = Snapshots.encodeExtra 6UL 7UL ValueNone
            }
            Expect.equal (Snapshots.vmStateBytes full) 6UL "VM state"
            Expect.equal (Snapshots.diskBytes full) (ValueSome 7UL) "disk"
            Expect.equal (Snapshots.icount full) ValueNone "not counted"
            let long = { plain with Extra = Array.zeroCreate 1025 }
            Expect.equal (Snapshots.encode [ long ]) (Error 27) "EFBIG"

            match Snapshots.decode 3 (ReadOnlySpan(Array.create 40 255uy)) with
            | Refused error -> Expect.equal error.Desc "Too much extra metadata in snapshot table entry 3" "text"
            | _ -> failtest "accepted"
        }
    ]

let private clusterBytes = 4096
let private diskBytes = 1L <<< 30

let private bitmap: Gen<BitmapEntry> =
    gen {
        let! cluster, granularityBits = Gen.zip (Gen.choose (1, 100000)) (Gen.choose (9, 31))
        let! flags = Gen.elements [ 0u; 1u; 2u; 3u ]
        let! name = bytes 1 30

        return {
            TableOffset = int64 cluster * int64 clusterBytes
            TableEntries = int (BitmapDirectory.tableEntries clusterBytes diskBytes granularityBits)
            Flags = flags
            GranularityBits = granularityBits
            Name = name
        }
    }

let private decodeBitmaps count (directory: byte[]) =
    BitmapDirectory.decode clusterBytes diskBytes count (ReadOnlySpan directory)
    |> Result.mapError _.Desc

let private encodeBitmaps (bitmaps: BitmapEntry list) : byte[] =
    match BitmapDirectory.encode bitmaps with
    | Ok directory -> directory
    | Error errno -> failtest $"errno {errno}"

let private bitmapTests =
    testList "bitmap directory" [
        property "comes back" (Gen.nonEmptyListOf bitmap) (fun bitmaps ->
            let directory = encodeBitmaps bitmaps
            let count = uint32 bitmaps.Length
            Expect.equal (decodeBitmaps count directory) (Ok bitmaps) "same"
            Expect.isError (decodeBitmaps (count - 1u) directory) "more than said"
            Expect.isError (decodeBitmaps (count + 1u) directory) "less than said"
            Expect.isError (decodeBitmaps count (Array.truncate (directory.Length - 1) directory)) "cut short")

        testProperty "garbage never throws"
        <| fun (garbage: byte[]) (count: byte) -> decodeBitmaps (uint32 count) garbage |> ignore

        test "refusals" {
            let good = {
                TableOffset = 8192L
                TableEntries = 1
                Flags = 0u
                GranularityBits = 16
                Name = "b"B
            }

            let refusal entry =
                decodeBitmaps 1u (encodeBitmaps [ entry ])
            let constraints = Error "Bitmap 'b' doesn't satisfy the constraints"
            Expect.equal (refusal good) (Ok [ good ]) "nothing wrong"
            Expect.equal (refusal { good with TableOffset = 512L }) constraints "unaligned"
            Expect.equal (refusal { good with GranularityBits = 8 }) constraints "too fine"
            Expect.equal (refusal { good with GranularityBits = 9 }) constraints "too short"
            Expect.equal (refusal { good with Flags = 4u }) constraints "flags"

            Expect.equal
                (refusal { good with TableEntries = 2 })
                (Error "Could not read bitmap 'b' from image: Invalid argument")
                "too long"

            Expect.isOk (refusal { good with TableEntries = 2; Flags = 1u }) "outdated while in use"
        }

        testProperty "entries of bitmap tables come back"
        <| fun (word: uint64) ->
            match BitmapDirectory.decodeTableEntry clusterBytes word with
            | ValueSome cluster -> Expect.equal (BitmapDirectory.encodeTableEntry cluster) word "same"
            | ValueNone -> Expect.isTrue (word &&& 0xff00000000000fffUL <> 0UL) "reserved or unaligned"
    ]

/// Tables on clusters 0 to 40 of 512 bytes.
let private tables: Gen<MetadataTables> =
    let range clusters : Gen<FileRange> =
        Gen.choose (0, 40)
        |> Gen.map (fun cluster -> {
            Offset = int64 cluster * 512L
            LengthBytes = int64 clusters * 512L - 100L
        })

    let entries =
        Gen.listOf (Gen.choose (0, 40))
        |> Gen.map (
            List.truncate 4
            >> List.map (fun cluster -> uint64 cluster * 512UL)
            >> Array.ofList
        )

    gen {
        let! l1, refcounts, snapshots, bitmaps = Gen.four (range 2)
        let! inactive = Gen.listOf (range 1) |> Gen.map (List.truncate 3)
        let! l2, blocks, inactiveL2 = Gen.three entries

        return {
            ClusterBits = 9
            ActiveL1 = l1
            ActiveL1Entries = l2 |> Array.map (fun entry -> entry ||| Entry.copied)
            RefcountTable = refcounts
            RefcountTableEntries = blocks
            SnapshotTable = snapshots
            InactiveL1 = inactive
            InactiveL1Entries = [ inactiveL2 ]
            BitmapDirectory = bitmaps
        }
    }

/// The clusters of one section, listed.
let private naiveClusters (tables: MetadataTables) (section: MetadataSection) : int64 list =
    let ofRange (range: FileRange) = [ range.Offset / 512L .. (range.Offset + range.LengthBytes - 1L) / 512L ]

    let pointed (entries: uint64[]) = [
        for entry in entries do
            let offset = int64 (entry &&& Entry.offsetMask)

            if offset <> 0L then
                offset / 512L
    ]

    match section with
    | MetadataSection.MainHeader -> [ 0L ]
    | MetadataSection.ActiveL1 -> ofRange tables.ActiveL1
    | MetadataSection.ActiveL2 -> pointed tables.ActiveL1Entries
    | MetadataSection.RefcountTable -> ofRange tables.RefcountTable
    | MetadataSection.RefcountBlock -> pointed tables.RefcountTableEntries
    | MetadataSection.SnapshotTable -> ofRange tables.SnapshotTable
    | MetadataSection.InactiveL1 -> List.collect ofRange tables.InactiveL1
    | MetadataSection.InactiveL2 -> List.collect pointed tables.InactiveL1Entries
    | _ -> ofRange tables.BitmapDirectory

let private sections = [ for bit in 0..8 -> enum<MetadataSection>(1 <<< bit) ]

let private overlapTests =
    testList "overlap" [
        property
            "the first chosen section that shares a cluster is found"
            (Gen.four (Gen.choose (0, 21000)) |> Gen.zip tables)
            (fun (tables, (offset, length, chosen, _)) ->
                let chosen = enum<MetadataSection>(chosen % 512)
                let offset, length = int64 offset, int64 (length % 2000)

                let touched =
                    if length = 0L then
                        []
                    else
                        [ offset / 512L .. (offset + length - 1L) / 512L ]

                let naive =
                    sections
                    |> List.tryFind (fun section ->
                        chosen.HasFlag section
                        && List.exists (fun cluster -> List.contains cluster touched) (naiveClusters tables section))

                Expect.equal (Overlap.find chosen tables offset length) (ValueOption.ofOption naive) "same section")

        testProperty "no range throws or wraps"
        <| fun (offset: uint64) (length: uint64) (range: int64) ->
            let at (offset: int64) (length: int64) : FileRange = { Offset = offset; LengthBytes = length }

            let tables = {
                ClusterBits = 21
                ActiveL1 = at range 8L
                ActiveL1Entries = [| UInt64.MaxValue |]
                RefcountTable = at (Int64.MaxValue - 10L) 10L
                RefcountTableEntries = [| UInt64.MaxValue; 1UL <<< 63 |]
                SnapshotTable = at 0L 0L
                InactiveL1 = [ at Int64.MinValue Int64.MaxValue ]
                InactiveL1Entries = []
                BitmapDirectory = at -1L 100L
            }

            let offset = int64 (offset >>> 1)
            let length = int64 (length >>> 1) % (Int64.MaxValue - offset + 1L)
            Overlap.find Overlap.all tables offset length |> ignore

        test "templates and switches" {
            Expect.equal (Overlap.ofTemplate "none") (ValueSome MetadataSection.None) "none"
            Expect.equal (Overlap.ofTemplate "all") (ValueSome Overlap.all) "all"
            Expect.equal (Overlap.ofTemplate "some") ValueNone "unknown"
            Expect.equal (Overlap.all &&& ~~~Overlap.cached) MetadataSection.InactiveL2 "cached"
            Expect.equal (Overlap.ofSwitch "inactive-l2") (ValueSome MetadataSection.InactiveL2) "switch"
            Expect.equal (Overlap.ofSwitch "l2") ValueNone "no switch"
            Expect.equal (Overlap.description MetadataSection.RefcountBlock) "refcount block" "words"
        }
    ]

[<Tests>]
let tests = testList "qcow2 directories" [ snapshotTests; bitmapTests; overlapTests ]
