/// The log of requests in flight: a device that dies after any store, and the one after it.
module StorageDaemon.Tests.Properties.Inflight

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open Expecto
open FsCheck
open FsCheck.FSharp
open Microsoft.FSharp.NativeInterop
open StorageDaemon.Core.Virtio
open StorageDaemon.Core.VhostUser
open StorageDaemon.Tests.Reference.GuestMemory
open StorageDaemon.Tests.Reference.VirtioDriver

exception private Died

/// Stores that are carried out until the process dies.
[<Struct; NoEquality; NoComparison>]
type private MortalStores(left: int ref) =
    member private _.Live() =
        if left.Value = 0 then
            raise Died

        left.Value <- left.Value - 1

    interface IStores with
        member this.U8(address, value) =
            this.Live()
            Shared.writeU8 address value

        member this.U16(address, value) =
            this.Live()
            Shared.writeU16 address value

        member this.U32(address, value) =
            this.Live()
            Shared.writeU32 address value

        member this.U64(address, value) =
            this.Live()
            Shared.writeU64 address value

/// A request that a device has: what it calls itself, and what its log calls it.
type private Held = { Id: uint16; Descriptors: uint16; Entry: uint16 }

/// A device's process over a ring: it takes and gives back, and dies when its stores are used up.
[<AbstractClass>]
type private Process() =
    /// Goes on where the one before it was; what it has taken again, in order.
    abstract Start: unit -> Held list
    abstract Take: unit -> Held voption
    abstract GiveBack: Held list -> unit

type private SplitProcess(memory: GuestMemory, driver: SplitDriver, size: int, region: nativeint, left: int ref) =
    inherit Process()
    let stores = MortalStores left
    let mutable ring = SplitRing()
    let mutable counter = 0UL
    let segments = Array.zeroCreate<Iovec> Chain.MaxSegments

    override _.Start() =
        ring.Indirect <- true
        SplitRing.bind (memory.Place driver.Desc) (memory.Place driver.Avail) (memory.Place driver.Used) &ring
        |> ignore
        SplitRing.start (uint16 size) 0us &ring

        if Inflight.isNew region then
            SplitInflight.init stores region (uint16 size) ring.UsedIndex

        match SplitInflight.recover stores region (uint16 size) ring.UsedIndex with
        | ValueNone -> failwith "the log cannot be read"
        | ValueSome recovered ->
            counter <- recovered.NextCounter
            SplitRing.resumeAfter recovered.Entries.Length &ring

            [
                for head in recovered.Entries do
                    let mutable chain = Chain()

                    match SplitRing.retake memory.Table (segments.AsSpan()) &chain head &ring with
                    | Pop.Taken -> ()
                    | _ -> failwith "a request cannot be taken again"

                    { Id = head; Descriptors = 1us; Entry = head }
            ]

    override _.Take() =
        let mutable chain = Chain()

        match SplitRing.pop memory.Table (segments.AsSpan()) &chain &ring with
        | Pop.Taken ->
            SplitInflight.take stores region chain.Id counter
            counter <- counter + 1UL

            ValueSome { Id = chain.Id; Descriptors = 1us; Entry = chain.Id }
        | Pop.Empty -> ValueNone
        | _ -> failwith ("broken: " + string ring.Error)

    override _.GiveBack held =
        for request in held do
            SplitInflight.link stores region request.Id
            SplitRing.put request.Id 1u &ring

        // To publish is a store like the others.
        if left.Value = 0 then
            raise Died

        left.Value <- left.Value - 1
        SplitRing.publish &ring
        let heads = held |> List.map _.Id |> Array.ofList
        SplitInflight.settle stores region (ReadOnlySpan<uint16> heads) ring.UsedIndex

type private PackedProcess(memory: GuestMemory, driver: PackedDriver, size: int, region: nativeint, left: int ref) =
    inherit Process()
    let stores = MortalStores left
    let mutable ring = PackedRing()
    let mutable counter = 0UL
    let segments = Array.zeroCreate<Iovec> Chain.MaxSegments
    let descriptors = Array.zeroCreate<PackedDescriptor> Chain.MaxSegments

    override _.Start() =
        ring.Indirect <- true
        PackedRing.bind (memory.Place driver.Desc) (memory.Place driver.Avail) (memory.Place driver.Used) &ring
        |> ignore
        PackedRing.start (uint16 size) 0x80008000u &ring |> ignore

        if Inflight.isNew region then
            PackedInflight.init stores region (uint16 size) 0us true

        match PackedInflight.recover stores region (uint16 size) (memory.Place driver.Desc) with
        | ValueNone -> failwith "the log cannot be read"
        | ValueSome recovered ->
            counter <- recovered.NextCounter

            let counts =
                recovered.Entries
                |> Array.map (fun entry -> PackedInflight.load region (uint16 size) entry (descriptors.AsSpan()))

            if
                not (
                    PackedRing.resumeAfter
                        (PackedInflight.usedIndex region)
                        (PackedInflight.usedWrap region)
                        (Array.sum counts)
                        &ring
                )
            then
                failwith "too much in flight"

            [
                for entry in recovered.Entries do
                    let count = PackedInflight.load region (uint16 size) entry (descriptors.AsSpan())
                    let mutable chain = Chain()
                    let copies = ReadOnlySpan<PackedDescriptor>(descriptors, 0, count)

                    match PackedRing.retake memory.Table (segments.AsSpan()) copies &chain &ring with
                    | Pop.Taken -> ()
                    | _ -> failwith "a request cannot be taken again"

                    {
                        Id = chain.Id
                        Descriptors = chain.Descriptors
                        Entry = entry
                    }
            ]

    override _.Take() =
        let mutable chain = Chain()

        match PackedRing.pop memory.Table (segments.AsSpan()) (descriptors.AsSpan()) &chain &ring with
        | Pop.Taken ->
            let copies = ReadOnlySpan<PackedDescriptor>(descriptors, 0, int chain.Descriptors)
            let entry = PackedInflight.take stores region (uint16 size) copies counter

            if entry = UInt16.MaxValue then
                failwith "no entry is free"

            counter <- counter + 1UL

            ValueSome {
                Id = chain.Id
                Descriptors = chain.Descriptors
                Entry = entry
            }
        | Pop.Empty -> ValueNone
        | _ -> failwith ("broken: " + string ring.Error)

    override _.GiveBack held =
        for request in held do
            PackedInflight.free stores region (uint16 size) request.Entry
            PackedRing.put request.Id request.Descriptors 1u &ring

        PackedInflight.advance stores region ring.UsedIndex ring.UsedWrap

        if left.Value = 0 then
            raise Died

        left.Value <- left.Value - 1
        PackedRing.publish &ring
        let entries = held |> List.map _.Entry |> Array.ofList
        PackedInflight.settle stores region (ReadOnlySpan<uint16> entries)

/// A run of both sides in which the device dies again and again, after few or many stores. The driver knows every
/// request by the address of its first part. `stride` says how long a process lives.
let private run isPacked (random: Random) (lives: unit -> int) =
    use memory = new GuestMemory()
    let size = if isPacked then 2 + random.Next 9 else 2 <<< random.Next 3
    let region = NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte>(NativeMemory.AllocZeroed 4096un))
    let left = ref 0
    let split = SplitDriver(memory, size, false)
    let packed = PackedDriver(memory, size, false)

    let driver: Driver = if isPacked then packed else split

    if not isPacked then
        split.Begin(uint16 (65530 + random.Next 6))

    let create () : Process =
        if isPacked then
            PackedProcess(memory, packed, size, region, left)
        else
            SplitProcess(memory, split, size, region, left)

    let outstanding = HashSet<uint16>()
    /// In the order of offering, not given back: those that were taken are the first of them.
    let order = List<uint16>()
    let mutable offered = 0
    let mutable completed = 0
    let mutable deaths = 0
    let total = 60

    let drive () =
        for id, _ in driver.Collect() do
            if not (outstanding.Remove id) then
                failwith "given back twice"

            order.Remove id |> ignore
            completed <- completed + 1

        if offered < total && random.Next 2 = 0 then
            let parts = [
                for i in 0 .. random.Next(min 3 size) -> { Address = uint64 (64 * i); Length = 16; Writable = i > 0 }
            ]

            match driver.Offer(parts, ValueNone) with
            | ValueSome id ->
                outstanding.Add id |> ignore
                order.Add id
                offered <- offered + 1
            | ValueNone -> ()

    let live () =
        left.Value <- lives ()
        let held = List<Held>()
        let mutable publishing = List.empty<Held>

        try
            let device = create ()
            let again = device.Start()
            // The driver looks before the device does anything, so that the order is about what is not given back.
            drive ()
            Expect.equal
                (again |> List.map _.Id)
                (order |> Seq.truncate again.Length |> List.ofSeq)
                "what was taken and not given back, in order"

            held.AddRange again

            while completed < total do
                drive ()

                match random.Next 3 with
                | 0 when held.Count > 0 ->
                    publishing <- [
                        for _ in 0 .. random.Next held.Count do
                            let index = random.Next held.Count
                            held[index]
                            held.RemoveAt index
                    ]

                    device.GiveBack publishing
                | _ ->
                    match device.Take() with
                    | ValueSome request -> held.Add request
                    | ValueNone -> ()
        with Died ->
            deaths <- deaths + 1

    try
        while completed < total do
            live ()

        Expect.equal (outstanding.Count, driver.Outstanding) (0, 0) "each request came back once"
        deaths
    finally
        NativeMemory.Free(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> region))

/// Dies once after each number of stores in turn, then often.
let private survives isPacked seed =
    for life in 0..40 do
        let random = Random(seed + life)
        let mutable first = true

        run isPacked random (fun () ->
            if first then
                first <- false
                life
            else
                200 + random.Next 100)
        |> ignore

    let random = Random seed
    let deaths = run isPacked random (fun () -> random.Next 40 + 4)
    Expect.isGreaterThan deaths 2 "it died"

let private garbage isPacked seed =
    let random = Random seed
    use memory = new GuestMemory()
    let size = 1 + random.Next 12
    let length = int (Inflight.regionLength isPacked (uint16 size))
    let region =
        NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte>(NativeMemory.AlignedAlloc(unativeint (length + 64), 64un)))

    try
        let bytes = Span<byte>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> region), length + 64)

        for i in 0 .. length + 63 do
            bytes[i] <-
                if i >= length then 0xa5uy
                elif random.Next 3 = 0 then byte (random.Next 256)
                elif i % 2 = 0 then byte (random.Next(size + 1))
                else 0uy

        Shared.writeU16 (region + 8n) 1us
        Shared.writeU16 (region + 10n) (uint16 size)
        let descriptors = Array.zeroCreate<PackedDescriptor> Chain.MaxSegments

        let recovered =
            if isPacked then
                PackedInflight.recover (MemoryStores()) region (uint16 size) (memory.Place RingBase)
            else
                SplitInflight.recover (MemoryStores()) region (uint16 size) (uint16 (random.Next 65536))

        match recovered with
        | ValueSome recovered ->
            Expect.isLessThanOrEqual recovered.Entries.Length size "bounded"

            for entry in recovered.Entries do
                if isPacked then
                    PackedInflight.load region (uint16 size) entry (descriptors.AsSpan()) |> ignore
                    PackedInflight.free (MemoryStores()) region (uint16 size) entry

            if isPacked then
                PackedInflight.take
                    (MemoryStores())
                    region
                    (uint16 size)
                    (ReadOnlySpan<PackedDescriptor>(descriptors, 0, 3))
                    1UL
                |> ignore
        | ValueNone -> ()

        for i in length .. length + 63 do
            Expect.equal (Shared.readU8 (region + nativeint i)) 0xa5uy "nothing written behind the region"
    finally
        NativeMemory.AlignedFree(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> region))

/// Bytes allocated for requests that go through both logs.
let private allocatedBy (count: int) =
    let region = NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte>(NativeMemory.AllocZeroed 4096un))

    let stores = MemoryStores()
    let heads = [| 3us |]
    let descriptors = Array.zeroCreate<PackedDescriptor> 3
    let packedRegion = region + 2048n

    try
        SplitInflight.init stores region 16us 0us
        PackedInflight.init stores packedRegion 16us 0us true
        let before = GC.GetAllocatedBytesForCurrentThread()

        for i in 1..count do
            SplitInflight.take stores region 3us (uint64 i)
            SplitInflight.link stores region 3us
            SplitInflight.settle stores region (ReadOnlySpan<uint16> heads) (uint16 i)

            let entry =
                PackedInflight.take stores packedRegion 16us (ReadOnlySpan<PackedDescriptor> descriptors) (uint64 i)

            heads[0] <- entry
            PackedInflight.free stores packedRegion 16us entry
            PackedInflight.advance stores packedRegion 1us true
            PackedInflight.settle stores packedRegion (ReadOnlySpan<uint16> heads)
            heads[0] <- 3us

        GC.GetAllocatedBytesForCurrentThread() - before
    finally
        NativeMemory.Free(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> region))

let private forSeeds name count check =
    let config = { FsCheckConfig.defaultConfig with maxTest = count }

    testPropertyWithConfig config name
    <| Prop.forAll (Arb.fromGen (Gen.choose (0, Int32.MaxValue / 2))) check

[<Tests>]
let tests =
    testList "VhostUser.Inflight" [
        forSeeds "split: a device dies after any store" 40 (survives false)
        forSeeds "packed: a device dies after any store" 40 (survives true)
        forSeeds "split: garbage" 1000 (garbage false)
        forSeeds "packed: garbage" 1000 (garbage true)

        testSequenced
        <| testList "log" [
            testCase "nothing is allocated"
            <| fun () ->
                for _ in 1..20 do
                    allocatedBy 2000 |> ignore

                Expect.equal (List.min [ for _ in 1..4 -> allocatedBy 20000 ]) 0L "bytes"
        ]

        testCase "lengths"
        <| fun () ->
            Expect.equal (Inflight.regionLength false 128us) 2112UL "split"
            Expect.equal (Inflight.regionLength true 128us) 4160UL "packed"
    ]
