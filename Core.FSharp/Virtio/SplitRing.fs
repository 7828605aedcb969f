namespace StorageDaemon.Core.Virtio

open System
open System.Threading

/// The device's side of a split virtqueue (Virtio 1.3, 2.7). Addresses are of this process. Everything in the guest's
/// memory is read once and checked afterwards: whatever a driver does there, the ring ends up broken at worst.
[<Struct; NoEquality; NoComparison>]
type SplitRing =
    /// Descriptor table: 16 bytes each.
    val mutable Desc: nativeint
    /// Available ring: flags, index, entries of 2 bytes, used_event.
    val mutable Avail: nativeint
    /// Used ring: flags, index, entries of 8 bytes, avail_event.
    val mutable Used: nativeint
    /// Descriptors; a power of two.
    val mutable Size: uint16
    /// Index of the next entry to take.
    val mutable LastAvail: uint16
    /// The available index as it was read last; not behind `LastAvail`.
    val mutable ShadowAvail: uint16
    /// Index of the next used entry; the driver sees those before the last `publish`.
    val mutable UsedIndex: uint16
    /// The used index at the last decision to call the driver.
    val mutable Signalled: uint16
    val mutable HasSignalled: bool
    /// VIRTIO_F_EVENT_IDX.
    val mutable EventIndex: bool
    /// VIRTIO_F_INDIRECT_DESC.
    val mutable Indirect: bool
    /// VIRTIO_F_NOTIFY_ON_EMPTY.
    val mutable NotifyOnEmpty: bool
    /// Buffers that are taken and not given back.
    val mutable InUse: int
    val mutable Error: RingError

module SplitRing =
    /// Most descriptors of a ring (2.7).
    [<Literal>]
    let MaxSize = 32768

    [<Literal>]
    let private VIRTQ_DESC_F_NEXT = 1us

    [<Literal>]
    let private VIRTQ_DESC_F_WRITE = 2us

    [<Literal>]
    let private VIRTQ_DESC_F_INDIRECT = 4us

    [<Literal>]
    let private VIRTQ_AVAIL_F_NO_INTERRUPT = 1us

    [<Literal>]
    let private VIRTQ_USED_F_NO_NOTIFY = 1us

    let isSize (size: uint32) =
        size <> 0u && size <= uint32 MaxSize && size &&& (size - 1u) = 0u

    /// Bytes of the descriptor table.
    let descLength (size: int) = uint64 size * 16UL

    /// Bytes of the available ring with used_event.
    let availLength (size: int) = uint64 size * 2UL + 6UL

    /// Bytes of the used ring with avail_event.
    let usedLength (size: int) = uint64 size * 8UL + 6UL

    let private availIndex (ring: byref<SplitRing>) = Shared.acquireU16 (ring.Avail + 2n)

    let private usedEvent (ring: byref<SplitRing>) =
        Shared.readU16 (ring.Avail + 4n + 2n * nativeint ring.Size)

    let private availEventPlace (ring: byref<SplitRing>) =
        ring.Used + 4n + 8n * nativeint ring.Size

    /// Binds a ring to its memory: the front end's addresses, which become this process's. False if one is zero
    /// (not mapped) or not aligned as the specification wants.
    let bind (desc: nativeint) (avail: nativeint) (used: nativeint) (ring: byref<SplitRing>) : bool =
        ring.Desc <- desc
        ring.Avail <- avail
        ring.Used <- used

        desc <> 0n
        && avail <> 0n
        && used <> 0n
        && (desc &&& 15n) = 0n
        && (avail &&& 1n) = 0n
        && (used &&& 3n) = 0n

    /// A ring of a checked size, bound already, starts with the entry `lastAvail`; the used index goes on where the
    /// guest's memory says.
    let start (size: uint16) (lastAvail: uint16) (ring: byref<SplitRing>) =
        ring.Size <- size
        ring.LastAvail <- lastAvail
        ring.ShadowAvail <- lastAvail
        ring.UsedIndex <- Shared.acquireU16 (ring.Used + 2n)
        ring.Signalled <- ring.UsedIndex
        ring.HasSignalled <- false
        ring.InUse <- 0
        ring.Error <- RingError.None

    let private fail (error: RingError) (ring: byref<SplitRing>) =
        ring.Error <- error
        Pop.Broken

    /// Where the descriptor of an indirect table is: `table` is its address if it lies in one region.
    let private indirectPlace (memory: MemoryTable) (table: nativeint) (guestAddress: uint64) (index: uint32) =
        let offset = uint64 index * 16UL

        if table <> 0n then table + nativeint offset
        elif guestAddress + offset < guestAddress then 0n
        else memory.TranslateWhole(guestAddress + offset, 16UL)

    /// Walks an indirect table. Each descriptor adds a segment, so that the walk ends with the segments.
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
            let count = length / 16u
            let table = memory.TranslateWhole(guestAddress, uint64 length)
            let mutable error = RingError.None
            let mutable index = 0u
            let mutable steps = 0u
            let mutable more = true

            while more && error = RingError.None do
                let place = indirectPlace memory table guestAddress index

                if place = 0n then
                    error <- RingError.OutsideMemory
                elif steps >= count then
                    error <- RingError.Loop
                else
                    let address = Shared.readUnalignedU64 place
                    let rest = Shared.readUnalignedU64 (place + 8n)
                    let flags = uint16 (rest >>> 32)
                    steps <- steps + 1u

                    if flags &&& VIRTQ_DESC_F_INDIRECT <> 0us then
                        error <- RingError.NestedIndirect
                    else
                        error <-
                            Chain.add memory segments &chain address (uint32 rest) (flags &&& VIRTQ_DESC_F_WRITE <> 0us)

                        more <- flags &&& VIRTQ_DESC_F_NEXT <> 0us
                        index <- uint32 (rest >>> 48)

                        if more && error = RingError.None && index >= count then
                            error <- RingError.IndexOutOfRange

            error

    /// Walks the descriptors from `head` on.
    let private walk
        (memory: MemoryTable)
        (segments: Span<Iovec>)
        (chain: byref<Chain>)
        (head: uint16)
        (ring: byref<SplitRing>)
        : RingError =
        let mutable error = RingError.None
        let mutable index = head
        let mutable more = true

        while more && error = RingError.None do
            if index >= ring.Size then
                error <- RingError.IndexOutOfRange
            elif chain.Descriptors >= ring.Size then
                error <- RingError.Loop
            else
                let place = ring.Desc + 16n * nativeint index
                let address = Shared.readU64 place
                let rest = Shared.readU64 (place + 8n)
                let length = uint32 rest
                let flags = uint16 (rest >>> 32)
                chain.Descriptors <- chain.Descriptors + 1us
                more <- flags &&& VIRTQ_DESC_F_NEXT <> 0us
                index <- uint16 (rest >>> 48)

                if flags &&& VIRTQ_DESC_F_INDIRECT = 0us then
                    error <- Chain.add memory segments &chain address length (flags &&& VIRTQ_DESC_F_WRITE <> 0us)
                elif not ring.Indirect then
                    error <- RingError.IndirectNotNegotiated
                elif more then
                    error <- RingError.IndirectWithNext
                else
                    error <- walkIndirect memory segments &chain address length

        error

    let private take
        (memory: MemoryTable)
        (segments: Span<Iovec>)
        (chain: byref<Chain>)
        (head: uint16)
        (ring: byref<SplitRing>)
        =
        Chain.reset &chain
        chain.Id <- head

        match walk memory segments &chain head &ring with
        | RingError.None ->
            ring.InUse <- ring.InUse + 1
            Pop.Taken
        | error -> fail error &ring

    /// Takes the next buffer that the driver has made available.
    let pop (memory: MemoryTable) (segments: Span<Iovec>) (chain: byref<Chain>) (ring: byref<SplitRing>) : Pop =
        if ring.Error <> RingError.None then
            Pop.Broken
        else
            if ring.ShadowAvail = ring.LastAvail then
                ring.ShadowAvail <- availIndex &ring

            let ahead = ring.ShadowAvail - ring.LastAvail

            if ahead = 0us then
                Pop.Empty
            elif ahead > ring.Size then
                fail RingError.TooFarAhead &ring
            elif ring.InUse >= int ring.Size then
                fail RingError.TooManyInUse &ring
            else
                let slot = ring.LastAvail &&& (ring.Size - 1us)
                let head = Shared.readU16 (ring.Avail + 4n + 2n * nativeint slot)
                let result = take memory segments &chain head &ring

                if result = Pop.Taken then
                    ring.LastAvail <- ring.LastAvail + 1us

                result

    /// Takes a buffer again that a device before this one took and did not give back. It does not count as taken from
    /// the available ring.
    let retake
        (memory: MemoryTable)
        (segments: Span<Iovec>)
        (chain: byref<Chain>)
        (head: uint16)
        (ring: byref<SplitRing>)
        : Pop =
        if ring.Error <> RingError.None then
            Pop.Broken
        elif ring.InUse >= int ring.Size then
            fail RingError.TooManyInUse &ring
        else
            take memory segments &chain head &ring

    /// After `count` buffers are known to be in flight: the driver has made them available, but some are not given
    /// back, so that the available ring goes on behind both.
    let resumeAfter (count: int) (ring: byref<SplitRing>) =
        ring.LastAvail <- ring.UsedIndex + uint16 count
        ring.ShadowAvail <- ring.LastAvail

    /// Puts a buffer into the used ring, with the number of bytes that were written to its start. The driver does not
    /// see it before `publish`.
    let put (id: uint16) (written: uint32) (ring: byref<SplitRing>) =
        let place = ring.Used + 4n + 8n * nativeint (ring.UsedIndex &&& (ring.Size - 1us))
        Shared.writeU32 place (uint32 id)
        Shared.writeU32 (place + 4n) written
        ring.UsedIndex <- ring.UsedIndex + 1us
        ring.InUse <- ring.InUse - 1

    /// Shows the driver what was put.
    let publish (ring: byref<SplitRing>) =
        Shared.releaseU16 (ring.Used + 2n) ring.UsedIndex

    /// Whether an index that moves from `before` to `now` passes the event that the other side waits for (2.7.10).
    let passes (event: uint16) (now: uint16) (before: uint16) : bool = now - event - 1us < now - before

    /// Whether the driver wants to be told of what was published. To be asked once after each `publish` or some.
    let needsCall (ring: byref<SplitRing>) : bool =
        // The driver writes what it waits for and then reads the used index; this is the other order.
        Thread.MemoryBarrier()

        if ring.NotifyOnEmpty && ring.InUse = 0 && availIndex &ring = ring.LastAvail then
            ring.Signalled <- ring.UsedIndex
            ring.HasSignalled <- true
            true
        elif ring.EventIndex then
            let before = ring.Signalled
            let isFirst = not ring.HasSignalled
            ring.Signalled <- ring.UsedIndex
            ring.HasSignalled <- true
            isFirst || passes (usedEvent &ring) ring.UsedIndex before
        else
            Shared.readU16 ring.Avail &&& VIRTQ_AVAIL_F_NO_INTERRUPT = 0us

    /// The device is going to look for itself: kicks are not wanted.
    let disableKicks (ring: byref<SplitRing>) =
        // With event indices the last event lies behind already.
        if not ring.EventIndex then
            Shared.writeU16 ring.Used VIRTQ_USED_F_NO_NOTIFY

    /// Kicks are wanted from now on. True if something became available meanwhile, for which no kick may come.
    let enableKicks (ring: byref<SplitRing>) : bool =
        if ring.EventIndex then
            Shared.writeU16 (availEventPlace &ring) ring.LastAvail
        else
            Shared.writeU16 ring.Used 0us

        Thread.MemoryBarrier()
        availIndex &ring <> ring.LastAvail
