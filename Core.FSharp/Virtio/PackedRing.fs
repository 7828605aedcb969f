namespace StorageDaemon.Core.Virtio

open System
open System.Threading

/// A descriptor as it was read: it may be overwritten in the ring before its buffer is given back.
[<Struct; NoEquality; NoComparison>]
type PackedDescriptor =
    val mutable Address: uint64
    val mutable Length: uint32
    val mutable Id: uint16
    val mutable Flags: uint16

/// The device's side of a packed virtqueue (Virtio 1.3, 2.8). Addresses are of this process.
[<Struct; NoEquality; NoComparison>]
type PackedRing =
    /// Descriptors, 16 bytes each: address, length, identifier, flags.
    val mutable Desc: nativeint
    /// What the driver wants to be told of: offset and wrap, flags.
    val mutable DriverEvent: nativeint
    /// What the device wants to be told of.
    val mutable DeviceEvent: nativeint
    /// Descriptors; any number.
    val mutable Size: uint16
    /// The slot where the next buffer starts.
    val mutable LastAvail: uint16
    val mutable AvailWrap: bool
    /// The slot of the next used descriptor; the driver sees those before the last `publish`.
    val mutable UsedIndex: uint16
    val mutable UsedWrap: bool
    /// The slot and the flags that `publish` writes last, if `HasBatch`.
    val mutable BatchSlot: uint16
    val mutable BatchFlags: uint16
    val mutable HasBatch: bool
    /// The used slot at the last decision to call the driver.
    val mutable Signalled: uint16
    val mutable SignalledWrap: bool
    val mutable HasSignalled: bool
    /// VIRTIO_F_EVENT_IDX.
    val mutable EventIndex: bool
    /// VIRTIO_F_INDIRECT_DESC.
    val mutable Indirect: bool
    /// Descriptors that are taken and not given back.
    val mutable InUse: int
    val mutable Error: RingError

module PackedRing =
    [<Literal>]
    let MaxSize = 32768

    [<Literal>]
    let VIRTQ_DESC_F_NEXT = 1us

    [<Literal>]
    let private VIRTQ_DESC_F_WRITE = 2us

    [<Literal>]
    let private VIRTQ_DESC_F_INDIRECT = 4us

    [<Literal>]
    let private VIRTQ_DESC_F_AVAIL = 0x80us

    [<Literal>]
    let private VIRTQ_DESC_F_USED = 0x8000us

    [<Literal>]
    let private RING_EVENT_FLAGS_ENABLE = 0us

    [<Literal>]
    let private RING_EVENT_FLAGS_DISABLE = 1us

    [<Literal>]
    let private RING_EVENT_FLAGS_DESC = 2us

    [<Literal>]
    let private WrapBit = 0x8000us

    let isSize (size: uint32) = size <> 0u && size <= uint32 MaxSize

    /// Bytes of the descriptor ring.
    let descLength (size: int) = uint64 size * 16UL

    /// Bytes of each event suppression structure.
    [<Literal>]
    let EventLength = 4UL

    /// Binds a ring to its memory. False if an address is zero (not mapped) or not aligned as the specification wants.
    let bind (desc: nativeint) (driverEvent: nativeint) (deviceEvent: nativeint) (ring: byref<PackedRing>) : bool =
        ring.Desc <- desc
        ring.DriverEvent <- driverEvent
        ring.DeviceEvent <- deviceEvent

        desc <> 0n
        && driverEvent <> 0n
        && deviceEvent <> 0n
        && (desc &&& 15n) = 0n
        && (driverEvent &&& 3n) = 0n
        && (deviceEvent &&& 3n) = 0n

    /// Starts where `position` says: 15 bits of slot and a bit of wrap for the available side, the same for the used
    /// side (the payload of VHOST_USER_SET_VRING_BASE). False if a slot is outside the ring.
    let start (size: uint16) (position: uint32) (ring: byref<PackedRing>) : bool =
        ring.Size <- size
        ring.LastAvail <- uint16 position &&& 0x7fffus
        ring.AvailWrap <- uint16 position &&& WrapBit <> 0us
        ring.UsedIndex <- uint16 (position >>> 16) &&& 0x7fffus
        ring.UsedWrap <- uint16 (position >>> 16) &&& WrapBit <> 0us
        ring.HasBatch <- false
        ring.HasSignalled <- false
        ring.InUse <- 0
        ring.Error <- RingError.None
        ring.LastAvail < size && ring.UsedIndex < size

    let private offWrap (slot: uint16) (wrap: bool) =
        slot ||| (if wrap then WrapBit else 0us)

    /// Where the ring is, as `start` takes it.
    let position (ring: byref<PackedRing>) : uint32 =
        uint32 (offWrap ring.LastAvail ring.AvailWrap)
        ||| (uint32 (offWrap ring.UsedIndex ring.UsedWrap) <<< 16)

    let private fail (error: RingError) (ring: byref<PackedRing>) =
        ring.Error <- error
        Pop.Broken

    let inline private slotPlace (ring: byref<PackedRing>) (slot: uint16) = ring.Desc + 16n * nativeint slot

    /// Whether the flags of a descriptor make it available in the lap of this wrap counter.
    let isAvailable (flags: uint16) (wrap: bool) : bool =
        (flags &&& VIRTQ_DESC_F_AVAIL <> 0us) = wrap
        && (flags &&& VIRTQ_DESC_F_USED <> 0us) <> wrap

    /// Walks an indirect table: all its descriptors, in order.
    let private walkIndirect
        (memory: MemoryTable)
        (segments: Span<Iovec>)
        (chain: byref<Chain>)
        (guestAddress: uint64)
        (length: uint32)
        : RingError =
        if length = 0u || length % 16u <> 0u then
            RingError.IndirectLength
        else
            let mutable error = RingError.None
            let mutable offset = 0UL

            // Each descriptor adds a segment: the walk ends with the segments.
            while offset < uint64 length && error = RingError.None do
                let place =
                    if guestAddress + offset < guestAddress then
                        0n
                    else
                        memory.TranslateWhole(guestAddress + offset, 16UL)

                if place = 0n then
                    error <- RingError.OutsideMemory
                else
                    let address = Shared.readUnalignedU64 place
                    let rest = Shared.readUnalignedU64 (place + 8n)
                    let flags = uint16 (rest >>> 48)

                    error <-
                        if flags &&& VIRTQ_DESC_F_INDIRECT <> 0us then
                            RingError.NestedIndirect
                        else
                            Chain.add memory segments &chain address (uint32 rest) (flags &&& VIRTQ_DESC_F_WRITE <> 0us)

                    offset <- offset + 16UL

            error

    let private addDescriptor
        (memory: MemoryTable)
        (segments: Span<Iovec>)
        (chain: byref<Chain>)
        (descriptor: inref<PackedDescriptor>)
        (indirect: bool)
        : RingError =
        let flags = descriptor.Flags
        chain.Descriptors <- chain.Descriptors + 1us
        // The last one's counts.
        chain.Id <- descriptor.Id

        if flags &&& VIRTQ_DESC_F_INDIRECT = 0us then
            Chain.add memory segments &chain descriptor.Address descriptor.Length (flags &&& VIRTQ_DESC_F_WRITE <> 0us)
        elif not indirect then
            RingError.IndirectNotNegotiated
        elif flags &&& VIRTQ_DESC_F_NEXT <> 0us || chain.Descriptors > 1us then
            RingError.IndirectWithNext
        else
            walkIndirect memory segments &chain descriptor.Address descriptor.Length

    let private accept (chain: byref<Chain>) (ring: byref<PackedRing>) =
        if chain.Id >= ring.Size then
            fail RingError.IndexOutOfRange &ring
        else
            ring.InUse <- ring.InUse + int chain.Descriptors

            if ring.InUse > int ring.Size then
                fail RingError.TooManyInUse &ring
            else
                Pop.Taken

    /// Takes the next buffer that the driver has made available. Its descriptors are copied to `descriptors`, which
    /// has room for `Chain.MaxSegments`.
    let pop
        (memory: MemoryTable)
        (segments: Span<Iovec>)
        (descriptors: Span<PackedDescriptor>)
        (chain: byref<Chain>)
        (ring: byref<PackedRing>)
        : Pop =
        if ring.Error <> RingError.None then
            Pop.Broken
        else
            let first = Shared.acquireU16 (slotPlace &ring ring.LastAvail + 14n)

            if not (isAvailable first ring.AvailWrap) then
                Pop.Empty
            else
                Chain.reset &chain
                let mutable error = RingError.None
                let mutable slot = ring.LastAvail
                let mutable wrap = ring.AvailWrap
                let mutable flags = first
                let mutable more = true

                while more && error = RingError.None do
                    if chain.Descriptors >= ring.Size then
                        error <- RingError.Loop
                    elif int chain.Descriptors >= descriptors.Length then
                        error <- RingError.TooManySegments
                    else
                        let place = slotPlace &ring slot
                        let rest = Shared.readU64 (place + 8n)

                        // The first flags are those that said that it is there.
                        if chain.Descriptors > 0us then
                            flags <- uint16 (rest >>> 48)

                        let descriptor = &descriptors[int chain.Descriptors]
                        descriptor.Address <- Shared.readU64 place
                        descriptor.Length <- uint32 rest
                        descriptor.Id <- uint16 (rest >>> 32)
                        descriptor.Flags <- flags
                        error <- addDescriptor memory segments &chain &descriptor ring.Indirect
                        more <- flags &&& VIRTQ_DESC_F_NEXT <> 0us
                        slot <- slot + 1us

                        if slot = ring.Size then
                            slot <- 0us
                            wrap <- not wrap

                if error <> RingError.None then
                    fail error &ring
                else
                    ring.LastAvail <- slot
                    ring.AvailWrap <- wrap
                    accept &chain &ring

    /// Takes a buffer again that a device before this one took and did not give back, from its copied descriptors.
    let retake
        (memory: MemoryTable)
        (segments: Span<Iovec>)
        (descriptors: ReadOnlySpan<PackedDescriptor>)
        (chain: byref<Chain>)
        (ring: byref<PackedRing>)
        : Pop =
        if ring.Error <> RingError.None then
            Pop.Broken
        else
            Chain.reset &chain
            let mutable error = RingError.None
            let mutable i = 0

            while i < descriptors.Length && error = RingError.None do
                error <- addDescriptor memory segments &chain &descriptors[i] ring.Indirect
                i <- i + 1

            if error <> RingError.None then
                fail error &ring
            else
                accept &chain &ring

    let private forward (count: uint16) (ring: byref<PackedRing>) =
        let next = int ring.UsedIndex + int count

        if next >= int ring.Size then
            ring.UsedIndex <- uint16 (next - int ring.Size)
            ring.UsedWrap <- not ring.UsedWrap
        else
            ring.UsedIndex <- uint16 next

    /// After buffers of `descriptors` descriptors in all are known to be in flight, and before they are taken again:
    /// the available side goes on behind those used and these. False if there cannot be so many.
    let resumeAfter (usedIndex: uint16) (usedWrap: bool) (descriptors: int) (ring: byref<PackedRing>) : bool =
        if descriptors < 0 || descriptors > int ring.Size || usedIndex >= ring.Size then
            false
        else
            ring.UsedIndex <- usedIndex
            ring.UsedWrap <- usedWrap
            ring.LastAvail <- usedIndex
            ring.AvailWrap <- usedWrap

            for _ in 1..descriptors do
                // A batch that was not published may have left used descriptors behind its first one, and the driver
                // would believe them when it comes there.
                Shared.writeU16
                    (slotPlace &ring ring.LastAvail + 14n)
                    (if ring.AvailWrap then
                         VIRTQ_DESC_F_AVAIL
                     else
                         VIRTQ_DESC_F_USED)

                ring.LastAvail <- ring.LastAvail + 1us

                if ring.LastAvail = ring.Size then
                    ring.LastAvail <- 0us
                    ring.AvailWrap <- not ring.AvailWrap

            true

    /// Gives a buffer of so many descriptors back, with the number of bytes that were written to its start. The driver
    /// does not see it before `publish`.
    let put (id: uint16) (descriptors: uint16) (written: uint32) (ring: byref<PackedRing>) =
        let place = slotPlace &ring ring.UsedIndex
        let flags =
            (if ring.UsedWrap then
                 VIRTQ_DESC_F_AVAIL ||| VIRTQ_DESC_F_USED
             else
                 0us)
            ||| (if written > 0u then VIRTQ_DESC_F_WRITE else 0us)

        Shared.writeU32 (place + 8n) written
        Shared.writeU16 (place + 12n) id

        // The driver looks at the first one first: it is written last.
        if ring.HasBatch then
            Shared.releaseU16 (place + 14n) flags
        else
            ring.HasBatch <- true
            ring.BatchSlot <- ring.UsedIndex
            ring.BatchFlags <- flags

        forward descriptors &ring
        ring.InUse <- ring.InUse - int descriptors

    /// Shows the driver what was put.
    let publish (ring: byref<PackedRing>) =
        if ring.HasBatch then
            Shared.releaseU16 (slotPlace &ring ring.BatchSlot + 14n) ring.BatchFlags
            ring.HasBatch <- false

    /// A slot as a running number beside `ring.UsedIndex`: one of the lap before is below zero.
    let private lapped (slot: uint16) (wrap: bool) (ring: byref<PackedRing>) =
        if wrap = ring.UsedWrap then slot else slot - ring.Size

    /// Whether the driver wants to be told of what was published. To be asked once after each `publish` or some.
    let needsCall (ring: byref<PackedRing>) : bool =
        // The driver writes what it waits for and then looks at the descriptors; this is the other order.
        Thread.MemoryBarrier()
        let flags = Shared.acquireU16 (ring.DriverEvent + 2n)
        let isFirst = not ring.HasSignalled
        let before = lapped ring.Signalled ring.SignalledWrap &ring
        ring.Signalled <- ring.UsedIndex
        ring.SignalledWrap <- ring.UsedWrap
        ring.HasSignalled <- true

        if flags &&& 3us = RING_EVENT_FLAGS_DISABLE then
            false
        elif flags &&& 3us = RING_EVENT_FLAGS_DESC && ring.EventIndex then
            let event = Shared.readU16 ring.DriverEvent
            let slot = event &&& 0x7fffus
            isFirst
            || SplitRing.passes (lapped slot (event &&& WrapBit <> 0us) &ring) ring.UsedIndex before
        else
            true

    /// The device is going to look for itself: kicks are not wanted.
    let disableKicks (ring: byref<PackedRing>) =
        Shared.writeU16 (ring.DeviceEvent + 2n) RING_EVENT_FLAGS_DISABLE

    /// Kicks are wanted from now on. True if something became available meanwhile, for which no kick may come.
    let enableKicks (ring: byref<PackedRing>) : bool =
        if ring.EventIndex then
            Shared.writeU16 ring.DeviceEvent (offWrap ring.LastAvail ring.AvailWrap)
            Shared.releaseU16 (ring.DeviceEvent + 2n) RING_EVENT_FLAGS_DESC
        else
            Shared.writeU16 (ring.DeviceEvent + 2n) RING_EVENT_FLAGS_ENABLE

        Thread.MemoryBarrier()
        let flags = Shared.acquireU16 (slotPlace &ring ring.LastAvail + 14n)
        isAvailable flags ring.AvailWrap
