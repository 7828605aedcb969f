module StorageDaemon.Tests.Properties.VirtioBlk

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Io
open StorageDaemon.Core.Virtio
open StorageDaemon.Core.Virtio.BlkWire
open StorageDaemon.Tests.Reference.GuestMemory
open StorageDaemon.Tests.Reference.VirtioDriver
open StorageDaemon.Tests.Reference.VirtioDevice

let private writable = BlkDevice(8192UL, 512u, 1us, false, false)
let private readOnly = BlkDevice(8192UL, 512u, 1us, true, false)
let private largeBlocks = BlkDevice(8192UL, 4096u, 4us, false, false)

let private header (kind: uint32) (sector: uint64) =
    Array.concat [
        BitConverter.GetBytes kind
        BitConverter.GetBytes 0u
        BitConverter.GetBytes sector
    ]

let private rangeOf (sector: uint64) (count: uint32) (flags: uint32) =
    Array.concat [
        BitConverter.GetBytes sector
        BitConverter.GetBytes count
        BitConverter.GetBytes flags
    ]

/// A chain as a ring gives it, of bytes to read and a number of bytes to write, cut at random.
let private chainOf (memory: GuestMemory) (random: Random) (readable: byte[]) (writableLength: int) =
    memory.Write(0x1000UL, readable)
    let segments = Array.zeroCreate<Iovec> Chain.MaxSegments
    let mutable chain = Chain()

    let add (address: uint64) length isWritable =
        let mutable at = 0

        while at < length do
            let part =
                if random.Next 2 = 0 then
                    length - at
                else
                    1 + random.Next(min 600 (length - at))

            match Chain.add memory.Table (segments.AsSpan()) &chain (address + uint64 at) (uint32 part) isWritable with
            | RingError.None -> at <- at + part
            | error -> failwith (string error)

    add 0x1000UL readable.Length false
    add 0x11000UL writableLength true
    struct (segments, chain)

/// Verdict, request, and the bytes of the data that are left.
let private parse (device: BlkDevice) writeThrough (struct (segments: Iovec[], chain: Chain)) =
    let device = device
    let mutable request = BlkRequest()
    let verdict = Blk.parse &device writeThrough (segments.AsSpan()) &chain &request
    struct (verdict, request)

let private statusOf device kind sector (data: byte[]) (room: int) =
    use memory = new GuestMemory()
    let random = Random 1

    let struct (verdict, request) =
        parse device false (chainOf memory random (Array.append (header kind sector) data) (room + 1))

    if verdict = BlkVerdict.Answer then
        Some request.Status
    else
        None

let private io = Some VIRTIO_BLK_S_IOERR
let private unsupported = Some VIRTIO_BLK_S_UNSUPP
let private ok = Some VIRTIO_BLK_S_OK

let private verdicts = [
    "read", writable, VIRTIO_BLK_T_IN, 0UL, [||], 4096, None
    "read of nothing", writable, VIRTIO_BLK_T_IN, 8192UL, [||], 0, ok
    "read of half a sector", writable, VIRTIO_BLK_T_IN, 0UL, [||], 256, io
    "read at the end", writable, VIRTIO_BLK_T_IN, 8191UL, [||], 512, None
    "read past the end", writable, VIRTIO_BLK_T_IN, 8191UL, [||], 1024, io
    "read far away", writable, VIRTIO_BLK_T_IN, UInt64.MaxValue, [||], 512, io
    "read whose end wraps", writable, VIRTIO_BLK_T_IN, UInt64.MaxValue / 512UL + 1UL, [||], 512, io
    "read within a block", largeBlocks, VIRTIO_BLK_T_IN, 1UL, [||], 4096, io
    "read of a block", largeBlocks, VIRTIO_BLK_T_IN, 8UL, [||], 4096, None
    "read with the old barrier bit", writable, VIRTIO_BLK_T_BARRIER, 0UL, [||], 512, None
    "write", writable, VIRTIO_BLK_T_OUT, 1UL, Array.zeroCreate 512, 0, None
    "write of a part", writable, VIRTIO_BLK_T_OUT, 1UL, Array.zeroCreate 513, 0, io
    "write to a read-only disk", readOnly, VIRTIO_BLK_T_OUT, 1UL, Array.zeroCreate 512, 0, io
    "flush", readOnly, VIRTIO_BLK_T_FLUSH, 77UL, [||], 0, None
    "unknown", writable, 99u, 0UL, [||], 0, unsupported
    "SCSI", writable, 2u, 0UL, [||], 0, unsupported
    "discard", writable, VIRTIO_BLK_T_DISCARD, 0UL, rangeOf 0UL 8192u 0u, 0, None
    "discard with a flag", writable, VIRTIO_BLK_T_DISCARD, 0UL, rangeOf 0UL 8u 1u, 0, unsupported
    "discard of nothing", writable, VIRTIO_BLK_T_DISCARD, 0UL, rangeOf 0UL 0u 0u, 0, ok
    "discard of two ranges", writable, VIRTIO_BLK_T_DISCARD, 0UL, Array.zeroCreate 32, 0, unsupported
    "discard of half a range", writable, VIRTIO_BLK_T_DISCARD, 0UL, Array.zeroCreate 15, 0, io
    "discard past the end", writable, VIRTIO_BLK_T_DISCARD, 0UL, rangeOf 8185UL 8u 0u, 0, io
    "discard on a read-only disk", readOnly, VIRTIO_BLK_T_DISCARD, 0UL, rangeOf 0UL 8u 0u, 0, io
    "zeroes", writable, VIRTIO_BLK_T_WRITE_ZEROES, 0UL, rangeOf 0UL 8u 1u, 0, None
    "zeroes with an unknown flag", writable, VIRTIO_BLK_T_WRITE_ZEROES, 0UL, rangeOf 0UL 8u 2u, 0, unsupported
    "too many zeroes",
    BlkDevice(1UL <<< 40, 512u, 1us, false, false),
    VIRTIO_BLK_T_WRITE_ZEROES,
    0UL,
    rangeOf 0UL 32769u 0u,
    0,
    io
]

/// However a request is cut, it is read the same, and the data are in the segments that are left.
let private anyCut seed =
    let random = Random seed
    use memory = new GuestMemory()
    let data = Array.init (512 * random.Next 5) (fun _ -> byte (random.Next 256))
    let room = 512 * random.Next 5
    let isWrite = random.Next 2 = 0
    let kind = if isWrite then VIRTIO_BLK_T_OUT else VIRTIO_BLK_T_IN
    let writeThrough = random.Next 2 = 0
    let data = if isWrite then data else [||]
    let room = if isWrite then 0 else room
    let struct (segments, chain) = chainOf memory random (Array.append (header kind 7UL) data) (room + 1)
    let struct (verdict, request) = parse writable writeThrough (struct (segments, chain))
    let rest = Array.sub segments request.FirstSegment request.SegmentCount

    if data.Length + room > 0 then
        Expect.equal verdict BlkVerdict.Execute "carried out"
        Expect.equal request.Kind (if isWrite then RequestKind.Write else RequestKind.Read) "kind"
        Expect.equal request.OffsetBytes (7L * 512L) "offset"
        Expect.equal request.LengthBytes (int64 (data.Length + room)) "length"
        Expect.equal
            request.Flags
            (if isWrite && writeThrough then
                 RequestFlags.Fua
             else
                 RequestFlags.None)
            "flags"

        if isWrite then
            Expect.equal (bytesOf rest) data "data"
        else
            fill rest (Array.create room 9uy)
            Expect.equal (memory.Read(0x11000UL, room)) (Array.create room 9uy) "the place of the data"
    else
        Expect.equal verdict BlkVerdict.Answer "nothing to do"

    let written = Blk.complete 0x55uy &request (not isWrite)
    Expect.equal (memory.GetByte(0x11000UL + uint64 room)) 0x55uy "the last byte is the status"
    Expect.equal written 1u "bytes written after a failure"

let private configOf (device: BlkDevice) writeCache =
    let device = device
    BlkDevice.config &device writeCache

/// Reads of the request types from garbage: never more than the chain has.
let private garbage seed =
    let random = Random seed
    use memory = new GuestMemory()
    let bytes = Array.init (random.Next 60) (fun _ -> byte (random.Next 256))

    if bytes.Length > 4 then
        bytes[0] <- byte (random.Next 16)
        Array.fill bytes 1 3 0uy

    let struct (segments, chain) = chainOf memory random bytes (random.Next 1100)
    let struct (verdict, request) = parse writable false (struct (segments, chain))
    Expect.equal (verdict = BlkVerdict.Malformed) (chain.Writable = 0) "malformed without a status"

    if verdict <> BlkVerdict.Malformed then
        let rest = Array.sub segments request.FirstSegment request.SegmentCount
        Expect.isTrue (rest |> Array.forall memory.Contains) "pieces of the memory"

        if verdict = BlkVerdict.Execute && request.Kind <= RequestKind.Discard then
            Expect.isTrue
                (request.OffsetBytes >= 0L
                 && request.OffsetBytes + request.LengthBytes <= 8192L * 512L)
                "a range of the disk"

        if verdict = BlkVerdict.Identify then
            Blk.writeId (ReadOnlySpan<byte> "vhost_user_blk"B) (segments.AsSpan()) &request

    Expect.isTrue memory.GuardsAreWhole "nothing written elsewhere"

let private forSeeds name count check =
    let config = { FsCheckConfig.defaultConfig with maxTest = count }

    testPropertyWithConfig config name
    <| Prop.forAll (Arb.fromGen (Gen.choose (0, Int32.MaxValue))) check

/// Pop, parse, put, publish for 4 KiB reads; the bytes allocated.
let private measure isPacked useTable (count: int) =
    use memory = new GuestMemory()

    let parts = [
        { Address = 0UL; Length = 16; Writable = false }
        { Address = 0x1000UL; Length = 4096; Writable = true }
        { Address = 0x100UL; Length = 1; Writable = true }
    ]

    let segments = Array.zeroCreate<Iovec> Chain.MaxSegments
    let descriptors = Array.zeroCreate<PackedDescriptor> Chain.MaxSegments
    let table = if useTable then ValueSome 0x3000UL else ValueNone
    let device = writable
    let mutable chain = Chain()
    let mutable request = BlkRequest()
    let mutable split = SplitRing()
    let mutable packed = PackedRing()
    split.Indirect <- true
    packed.Indirect <- true
    split.EventIndex <- true
    packed.EventIndex <- true
    let size = 256
    let table' = memory.Table
    let mutable bad = 0

    // One buffer, offered again and again by nothing but the index or the lap flags.
    let bind () =
        if isPacked then
            let driver = PackedDriver(memory, size, true)

            for _ in 1 .. size / (if useTable then 1 else 3) do
                driver.Offer(parts, table) |> ignore

            PackedRing.bind (memory.Place driver.Desc) (memory.Place driver.Avail) (memory.Place driver.Used) &packed
        else
            let driver = SplitDriver(memory, size, true)
            driver.Offer(parts, table) |> ignore
            SplitRing.bind (memory.Place driver.Desc) (memory.Place driver.Avail) (memory.Place driver.Used) &split

    if not (bind ()) then
        failwith "not bound"

    if not isPacked then
        SplitRing.start (uint16 size) 0us &split

    let availIndex = memory.Place(RingBase + 0x20002UL)
    let before = GC.GetAllocatedBytesForCurrentThread()

    for i in 1..count do
        if isPacked then
            if (i - 1) % (size / 4) = 0 then
                PackedRing.start (uint16 size) 0x80008000u &packed |> ignore
        else
            Shared.writeU16 availIndex (uint16 i)

        let result =
            if isPacked then
                PackedRing.pop table' (segments.AsSpan()) (descriptors.AsSpan()) &chain &packed
            else
                SplitRing.pop table' (segments.AsSpan()) &chain &split

        if result <> Pop.Taken then
            bad <- bad + 1
        elif
            Blk.parse &device false (segments.AsSpan()) &chain &request
            <> BlkVerdict.Execute
        then
            bad <- bad + 1
        else
            let written = Blk.complete VIRTIO_BLK_S_OK &request true

            if isPacked then
                // The flags stay, so that the buffer is there again.
                packed.InUse <- packed.InUse - int chain.Descriptors
            else
                SplitRing.put chain.Id written &split
                SplitRing.publish &split

            let wants =
                if isPacked then
                    PackedRing.needsCall &packed
                else
                    SplitRing.needsCall &split

            if wants && i < 0 then
                bad <- bad + 1

    let allocated = GC.GetAllocatedBytesForCurrentThread() - before
    Expect.equal bad 0 "each request is taken"
    allocated

let private allocations =
    testSequenced
    <| testList "nothing is allocated" [
        for isPacked in [ false; true ] do
            for useTable in [ false; true ] do
                let name =
                    (if isPacked then "packed" else "split")
                    + (if useTable then " with an indirect table" else "")

                testCase name
                <| fun () ->
                    for _ in 1..20 do
                        measure isPacked useTable 2000 |> ignore

                    let runs = [ for _ in 1..4 -> measure isPacked useTable 50000 ]
                    Expect.equal (List.min runs) 0L "bytes"
    ]

[<Tests>]
let tests =
    testList "Virtio.Blk" [
        testList "verdicts" [
            for name, device, kind, sector, data, room, expected in verdicts do
                testCase name
                <| fun () -> Expect.equal (statusOf device kind sector data room) expected "status"
        ]
        forSeeds "a request may be cut anywhere" 500 anyCut
        forSeeds "garbage" 2000 garbage

        testCase "the identifier"
        <| fun () ->
            for serial, room, expected in
                [
                    "vhost_user_blk"B, 20, "vhost_user_blk\000\000\000\000\000\000"B
                    "vhost_user_blk"B, 5, "vhost"B
                    "0123456789012345678901234"B, 30, "01234567890123456789"B
                ] do
                use memory = new GuestMemory()
                memory.Write(0x11000UL, Array.create 40 7uy)

                let struct (segments, chain) = chainOf memory (Random 3) (header VIRTIO_BLK_T_GET_ID 0UL) (room + 1)

                let struct (verdict, request) = parse writable false (struct (segments, chain))
                Expect.equal verdict BlkVerdict.Identify "verdict"
                Blk.writeId (ReadOnlySpan<byte> serial) (segments.AsSpan()) &request
                Expect.equal (memory.Read(0x11000UL, expected.Length)) expected "bytes"
                Expect.equal (Blk.complete 0uy &request true) (uint32 expected.Length + 1u) "written"

        testCase "the configuration space is the real daemon's"
        <| fun () ->
            let expected =
                "000000003c000000000000000020000000000000000000007e0000000000000000020000000001000100000000000200008000000100000001000000008000000100000000000000"

            // The message's description comes first.
            let expected = Convert.FromHexString expected |> Array.skip 12
            let config = configOf (BlkDevice(8192UL, 512u, 2us, false, false)) false
            Expect.equal (Array.truncate 60 config) expected "all fields, without write cache"
            Expect.equal (Array.item 32 (configOf writable true)) 1uy "config.wce"
            Expect.equal (Array.item 44 (configOf largeBlocks true)) 8uy "alignment of discards in sectors"

        testCase "when writes go through"
        <| fun () ->
            Expect.isTrue (BlkDevice.writesThrough 0UL true) "the driver cannot flush"
            Expect.isFalse (BlkDevice.writesThrough VIRTIO_BLK_F_FLUSH false) "it can"
            Expect.isTrue
                (BlkDevice.writesThrough (VIRTIO_BLK_F_FLUSH ||| VIRTIO_BLK_F_CONFIG_WCE) false)
                "it has said so"
            Expect.isFalse (BlkDevice.writesThrough (VIRTIO_BLK_F_FLUSH ||| VIRTIO_BLK_F_CONFIG_WCE) true) "or not"

        allocations
    ]
