/// A hostile driver: the memory of a guest with a ring and block requests in it.
module StorageDaemon.Fuzz.Targets.VirtioRingFuzz

open System
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop
open StorageDaemon.Core.Virtio

/// Bytes of each of the two regions, which the guest sees side by side, with the ring in the first one.
[<Literal>]
let private RegionLength = 4096

/// Bytes between the regions in this process.
[<Literal>]
let private Gap = 64

let private block =
    NativePtr.toNativeInt (
        NativePtr.ofVoidPtr<byte>(NativeMemory.AlignedAlloc(unativeint (2 * RegionLength + 3 * Gap), 64un))
    )

let private first = block + nativeint Gap
let private second = first + nativeint (RegionLength + Gap)

let private table =
    let region guest mapped =
        struct ({
                    GuestAddress = guest
                    UserAddress = guest
                    LengthBytes = uint64 RegionLength
                },
                mapped)

    match MemoryTable.Create [| region 0UL first; region (uint64 RegionLength) second |] with
    | Ok table -> table
    | Error _ -> failwith "no table"

let private spanOf (address: nativeint) length =
    Span<byte>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> address), length)

let private isInside (segment: Iovec) =
    let lies (region: nativeint) =
        segment.Base >= region
        && int64 (segment.Base - region) + int64 segment.Length <= int64 RegionLength

    segment.Length > 0un && (lies first || lies second)

let private segments = Array.zeroCreate<Iovec> Chain.MaxSegments
let private descriptors = Array.zeroCreate<PackedDescriptor> Chain.MaxSegments

/// Looks at a buffer as the export does; returns the bytes written.
let private serve (chain: inref<Chain>) : uint32 =
    let count = chain.Readable + chain.Writable

    if not (Array.forall isInside (Array.sub segments 0 count)) then
        failwith "a segment outside the memory"

    let device = BlkDevice(64UL, 512u, 1us, false, false)
    let mutable request = BlkRequest()

    match Blk.parse &device true (segments.AsSpan()) &chain &request with
    | BlkVerdict.Malformed -> 0u
    | BlkVerdict.Execute ->
        if
            request.OffsetBytes < 0L
            || request.OffsetBytes + request.LengthBytes > 64L * 512L
        then
            failwith "a range outside the disk"

        Blk.complete BlkWire.VIRTIO_BLK_S_OK &request true
    | BlkVerdict.Identify ->
        Blk.writeId (ReadOnlySpan<byte> "vhost_user_blk"B) (segments.AsSpan()) &request
        Blk.complete BlkWire.VIRTIO_BLK_S_OK &request true
    | _ -> Blk.complete request.Status &request false

let private runSplit (size: uint16) eventIndex =
    let mutable ring = SplitRing()
    ring.EventIndex <- eventIndex
    ring.Indirect <- true

    if not (SplitRing.bind first (first + 1024n) (first + 2048n) &ring) then
        failwith "not bound"

    SplitRing.start size (Shared.readU16 (first + 2050n)) &ring
    let mutable chain = Chain()
    let mutable steps = 0

    while steps < 200 do
        match SplitRing.pop table (segments.AsSpan()) &chain &ring with
        | Pop.Taken ->
            // Every fourth one stays in flight.
            if steps % 4 <> 0 then
                SplitRing.put chain.Id (serve &chain) &ring
                SplitRing.publish &ring
                SplitRing.needsCall &ring |> ignore

            steps <- steps + 1
        | Pop.Empty ->
            SplitRing.enableKicks &ring |> ignore
            steps <- 200
        | _ -> steps <- 200

let private runPacked (size: uint16) eventIndex =
    let mutable ring = PackedRing()
    ring.EventIndex <- eventIndex
    ring.Indirect <- true

    if not (PackedRing.bind first (first + 1024n) (first + 2048n) &ring) then
        failwith "not bound"

    PackedRing.start size 0x80008000u &ring |> ignore
    let mutable chain = Chain()
    let mutable steps = 0

    while steps < 200 do
        match PackedRing.pop table (segments.AsSpan()) (descriptors.AsSpan()) &chain &ring with
        | Pop.Taken ->
            if steps % 4 <> 0 then
                PackedRing.put chain.Id chain.Descriptors (serve &chain) &ring
                PackedRing.publish &ring
                PackedRing.needsCall &ring |> ignore

            steps <- steps + 1
        | Pop.Empty ->
            PackedRing.enableKicks &ring |> ignore
            steps <- 200
        | _ -> steps <- 200

/// The first byte chooses the layout, the second one the size; the rest is the guest's memory from its start.
let run (input: byte[]) =
    if input.Length >= 2 then
        (spanOf block (2 * RegionLength + 3 * Gap)).Fill 0xa5uy
        (spanOf first RegionLength).Clear()
        (spanOf second RegionLength).Clear()
        let content = ReadOnlySpan<byte>(input, 2, min (input.Length - 2) (2 * RegionLength))
        content.Slice(0, min content.Length RegionLength).CopyTo(spanOf first RegionLength)

        if content.Length > RegionLength then
            content.Slice(RegionLength).CopyTo(spanOf second RegionLength)

        let eventIndex = input[0] &&& 2uy <> 0uy

        if input[0] &&& 1uy = 0uy then
            runSplit (1us <<< int (input[1] % 7uy)) eventIndex
        else
            runPacked (1us + uint16 (input[1] % 64uy)) eventIndex

        for gap in [ block; first + nativeint RegionLength; second + nativeint RegionLength ] do
            if (spanOf gap Gap).ContainsAnyExcept 0xa5uy then
                failwith "written outside the memory"
