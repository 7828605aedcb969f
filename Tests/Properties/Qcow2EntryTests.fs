/// The arithmetic of tables: places, entries and refcounts.
module StorageDaemon.Tests.Properties.Qcow2EntryTests

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Generators
open StorageDaemon.Tests.Reference

let private property name gen check =
    testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 500 } name (Prop.forAll (Arb.fromGen gen) check)

let private word: Gen<uint64> =
    Gen.frequency [
        3, ArbMap.defaults |> ArbMap.generate<uint64>
        // Few bits set: entries that are nearly right.
        2,
        Gen.listOf (Gen.choose (0, 63))
        |> Gen.map (List.truncate 4 >> List.fold (fun word bit -> word ||| (1UL <<< bit)) 0UL)
    ]

let private entryCase: Gen<Geometry * L2Entry> =
    Gen.map3
        (fun geometry descriptor bitmap ->
            geometry,
            {
                Descriptor = descriptor
                Bitmap = if geometry.ExtendedL2 then bitmap else 0UL
            })
        Qcow2Gen.geometry
        word
        word

/// The specification's sentences on one subcluster, one after the other; None for what they forbid.
let private naiveKind (g: Geometry) (entry: L2Entry) (subcluster: int) : ClusterKind option =
    let bit n (word: uint64) = (word >>> n) &&& 1UL = 1UL
    let offset = entry.Descriptor &&& 0x00fffffffffffe00UL
    let hasHost = offset <> 0UL || (g.ExternalData && bit 63 entry.Descriptor)
    let reserve =
        if hasHost then
            Some ClusterKind.ZeroAllocated
        else
            Some ClusterKind.ZeroPlain

    if bit 62 entry.Descriptor then
        if g.ExternalData then None else Some ClusterKind.Compressed
    elif offset % (1UL <<< g.ClusterBits) <> 0UL then
        None
    elif not g.ExtendedL2 then
        match bit 0 entry.Descriptor, hasHost with
        | true, _ when g.Version2 -> None
        // Here the real daemon differs: a zero cluster at offset 0 of an external data file has no place.
        | true, _ ->
            Some(
                if offset <> 0UL then
                    ClusterKind.ZeroAllocated
                else
                    ClusterKind.ZeroPlain
            )
        | false, true -> Some ClusterKind.Normal
        | false, false -> Some ClusterKind.Unallocated
    else
        let contradicts n =
            bit n entry.Bitmap && (bit (32 + n) entry.Bitmap || not hasHost)

        if List.exists contradicts [ 0..31 ] then
            None
        else
            match bit subcluster entry.Bitmap, bit (32 + subcluster) entry.Bitmap with
            | true, _ -> Some ClusterKind.Normal
            | false, true -> reserve
            | false, false ->
                Some(
                    if hasHost then
                        ClusterKind.UnallocatedReserved
                    else
                        ClusterKind.Unallocated
                )

let private geometryTests =
    testList "geometry" [
        property
            "a guest offset comes back from its place"
            (Gen.zip Qcow2Gen.geometry (ArbMap.defaults |> ArbMap.generate<uint64>))
            (fun (g, offset) ->
                let offset = int64 (offset >>> 1) % Geometry.sizeMax &g
                let place = Geometry.split &g offset
                Expect.equal (Geometry.join &g place) offset "same"
                Expect.isTrue (place.L2Index >= 0 && place.L2Index < Geometry.l2Entries &g) "L2 index"
                Expect.isTrue (place.Subcluster >= 0 && place.Subcluster < Geometry.subclusters &g) "subcluster"
                Expect.equal (place.OffsetInCluster / Geometry.subclusterBytes &g) place.Subcluster "its subcluster"
                Expect.isLessThan place.L1Index (Geometry.l1Entries &g (offset + 1L)) "covered")

        property
            "a cluster's refcount has one place"
            (Gen.zip Qcow2Gen.geometry (Gen.choose (0, Int32.MaxValue)))
            (fun (g, cluster) ->
                let cluster = int64 cluster * 1000003L
                let index = Geometry.refcountTableIndex &g cluster
                let within = Geometry.refblockIndex &g cluster
                Expect.equal (index * int64 (Geometry.refblockEntries &g) + int64 within) cluster "same"

                Expect.equal
                    (int64 (Geometry.refblockEntries &g) * int64 (Geometry.refcountBits &g))
                    (8L <<< g.ClusterBits)
                    "a block is a cluster")
    ]

let private entryTests =
    testList "entries" [
        property "subclusters are what the specification says" entryCase (fun (g, entry) ->
            let fault = L2Entry.fault &g &entry

            for subcluster in 0 .. Geometry.subclusters &g - 1 do
                match naiveKind g entry subcluster with
                | Some kind ->
                    Expect.equal fault EntryFault.None "no fault"
                    Expect.equal (L2Entry.subclusterKind &g &entry subcluster) kind "kind"
                | None -> Expect.notEqual fault EntryFault.None "fault")

        property "runs of one kind are as long as they can be" entryCase (fun (g, entry) ->
            if L2Entry.fault &g &entry = EntryFault.None then
                for subcluster in 0 .. Geometry.subclusters &g - 1 do
                    let count = L2Entry.sameKindFrom &g &entry subcluster
                    let kind at = L2Entry.subclusterKind &g &entry at

                    let naive =
                        Seq.init (Geometry.subclusters &g - subcluster) ((+) subcluster)
                        |> Seq.takeWhile (fun at -> kind at = kind subcluster)
                        |> Seq.length

                    Expect.equal count naive "length")

        property
            "the place of compressed data comes back"
            (Gen.two word |> Gen.zip Qcow2Gen.geometry)
            (fun (g, (a, b)) ->
                let offset = int64 (a >>> 1) % (L2Entry.compressedOffsetMax &g + 1L)
                let length = int (b % (1UL <<< g.ClusterBits)) + 1
                let place = L2Entry.compressedPlace &g (L2Entry.encodeCompressed &g offset length)
                Expect.equal place.HostOffset offset "offset"
                Expect.isTrue (place.LengthBytes >= length && place.LengthBytes < length + 512) "length"
                Expect.equal ((place.HostOffset + int64 place.LengthBytes) % 512L) 0L "whole sectors")

        property
            "any compressed entry has a place that does not overflow"
            (Gen.zip Qcow2Gen.geometry word)
            (fun (g, word) ->
                let place = L2Entry.compressedPlace &g (word ||| L2Entry.compressed)
                Expect.isTrue (place.HostOffset >= 0L && place.HostOffset < (1L <<< 61)) "offset"
                Expect.isTrue (place.LengthBytes >= 1 && place.LengthBytes <= (2 <<< g.ClusterBits)) "length")

        property "an entry of an L1 table comes back" (Gen.zip Qcow2Gen.geometry word) (fun (g, word) ->
            let offset = int64 (word &&& 0x00ffffffffffffffUL) &&& ~~~((1L <<< g.ClusterBits) - 1L)
            let entry = L1Entry.encode offset (word >>> 63 = 1UL)
            Expect.equal (L1Entry.l2Offset entry) offset "offset"
            Expect.equal (L1Entry.isCopied entry) (word >>> 63 = 1UL) "copied"
            Expect.isFalse (L1Entry.hasReservedBits entry) "nothing else"
            Expect.equal (L1Entry.fault &g entry) EntryFault.None "no fault")
    ]

let private refcountTests =
    testList "refcounts" [
        testProperty "are those of the naive twin, and writing one leaves the others"
        <| fun (seed: int) (order: byte) (value: uint64) ->
            let order = int order % 7
            let width = 1 <<< order
            let block: byte[] = Array.zeroCreate 64
            Random(seed).NextBytes block
            let twin = Array.copy block
            let count = 512 / width
            let index = (seed &&& Int32.MaxValue) % count
            let value = value &&& RefcountBlock.max order
            RefcountBlock.set order (Span block) index value
            NaiveRefcounts.set width twin index value
            Expect.equal block twin "same bytes"

            for i in 0 .. count - 1 do
                Expect.equal
                    (RefcountBlock.get order (ReadOnlySpan block) i)
                    (NaiveRefcounts.get width twin i)
                    "same refcount"

        testProperty "neither overflow nor go below nothing"
        <| fun (order: byte) (before: uint64) (change: uint64) ->
            let order = int order % 7
            let max = RefcountBlock.max order
            let before, change = before &&& max, change &&& (max <<< 1 ||| 1UL)
            let block: byte[] = Array.create 16 0xa5uy
            let count = 128 >>> order
            let index = int (change % uint64 count)
            let get () =
                RefcountBlock.get order (ReadOnlySpan block) index
            RefcountBlock.set order (Span block) index before
            let fits = bigint before + bigint change <= bigint max
            Expect.equal (RefcountBlock.tryIncrease order (Span block) index change) fits "increase"
            Expect.equal (get ()) (if fits then before + change else before) "sum"
            RefcountBlock.set order (Span block) index before
            Expect.equal (RefcountBlock.tryDecrease order (Span block) index change) (change <= before) "decrease"
            Expect.equal (get ()) (if change <= before then before - change else before) "difference"
    ]

[<Tests>]
let tests = testList "qcow2 tables" [ geometryTests; entryTests; refcountTests ]
