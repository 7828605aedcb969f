namespace StorageDaemon.Core.VhostUser

open System
open System.Runtime.CompilerServices
open System.Threading
open Microsoft.FSharp.NativeInterop
open StorageDaemon.Core.Virtio

/// Where the log of requests in flight is written. The process may die after any store, and the next one finds the
/// stores before it: they keep their order. Tests die at each of them.
type IStores =
    abstract U8: address: nativeint * value: byte -> unit
    abstract U16: address: nativeint * value: uint16 -> unit
    abstract U32: address: nativeint * value: uint32 -> unit
    abstract U64: address: nativeint * value: uint64 -> unit

/// Stores to memory, in order.
[<Struct; NoEquality; NoComparison>]
type MemoryStores =
    interface IStores with
        member _.U8(address, value) =
            let place = &Unsafe.AsRef<byte>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> address))
            Volatile.Write(&place, value)

        member _.U16(address, value) = Shared.releaseU16 address value

        member _.U32(address, value) =
            let place = &Unsafe.AsRef<uint32>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> address))
            Volatile.Write(&place, value)

        member _.U64(address, value) =
            let place = &Unsafe.AsRef<uint64>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> address))
            Volatile.Write(&place, value)

/// What a log says of the time before: buffers to be taken again.
[<NoComparison; NoEquality>]
type Recovered = {
    /// In the order in which they were taken: heads of a split ring, entries of the log of a packed ring.
    Entries: uint16[]
    /// What the next one that is taken gets.
    NextCounter: uint64
}

/// "Inflight I/O tracking": one region for each queue, in a file that the front end keeps while the back end is away.
/// The regions are the back end's, but they have been in other hands: nothing in them is believed.
module Inflight =
    [<Literal>]
    let private Version = 1us

    // Both layouts.
    [<Literal>]
    let private OffsetVersion = 8

    [<Literal>]
    let private OffsetDescNum = 10

    let private align (length: uint64) = (length + 63UL) &&& ~~~63UL

    /// Bytes of the region of a queue of this size.
    let regionLength (packed: bool) (queueSize: uint16) : uint64 =
        if packed then
            align (32UL + 32UL * uint64 queueSize)
        else
            align (16UL + 16UL * uint64 queueSize)

    /// Whether the region was initialised for a queue of this size.
    let isValid (region: nativeint) (queueSize: uint16) : bool =
        Shared.readU16 (region + nativeint OffsetVersion) = Version
        && Shared.readU16 (region + nativeint OffsetDescNum) = queueSize

    /// Whether the region is new.
    let isNew (region: nativeint) : bool =
        Shared.readU16 (region + nativeint OffsetVersion) = 0us

    let internal finishInit<'S when 'S: struct and 'S :> IStores> (stores: 'S) (region: nativeint) (size: uint16) =
        stores.U16(region + nativeint OffsetDescNum, size)
        // Last: a region without it is new.
        stores.U16(region + nativeint OffsetVersion, Version)

    /// Entries in the order of their counters.
    let internal ordered (entries: ResizeArray<struct (uint64 * uint16)>) : Recovered =
        let entries = entries |> Seq.sortBy (fun (struct (counter, _)) -> counter) |> Seq.toArray

        {
            Entries = entries |> Array.map (fun (struct (_, entry)) -> entry)
            NextCounter =
                if entries.Length = 0 then
                    0UL
                else
                    let struct (counter, _) = entries[entries.Length - 1]
                    counter + 1UL
        }

/// The log of a split ring (QueueRegionSplit). To give buffers back: `link` each one and put it into the used ring,
/// publish, then `settle`.
module SplitInflight =
    [<Literal>]
    let private OffsetLastBatchHead = 12

    [<Literal>]
    let private OffsetUsedIndex = 14

    let inline private entry (region: nativeint) (head: uint16) = region + 16n + 16n * nativeint head

    // In an entry.
    [<Literal>]
    let private OffsetNext = 6

    [<Literal>]
    let private OffsetCounter = 8

    /// A new region, which the shell has filled with zeroes.
    let init<'S when 'S: struct and 'S :> IStores> (stores: 'S) (region: nativeint) (size: uint16) (usedIndex: uint16) =
        stores.U16(region + nativeint OffsetUsedIndex, usedIndex)
        Inflight.finishInit stores region size

    /// A buffer was taken from the available ring. To be called in the order of taking.
    let take<'S when 'S: struct and 'S :> IStores> (stores: 'S) (region: nativeint) (head: uint16) (counter: uint64) =
        stores.U64(entry region head + nativeint OffsetCounter, counter)
        stores.U8(entry region head, 1uy)

    /// Before `publish`: the buffer belongs to the batch.
    let link<'S when 'S: struct and 'S :> IStores> (stores: 'S) (region: nativeint) (head: uint16) =
        stores.U16(entry region head + nativeint OffsetNext, Shared.readU16 (region + nativeint OffsetLastBatchHead))
        stores.U16(region + nativeint OffsetLastBatchHead, head)

    /// After `publish`: the batch is no more in flight. `usedIndex` is the used ring's.
    let settle<'S when 'S: struct and 'S :> IStores>
        (stores: 'S)
        (region: nativeint)
        (heads: ReadOnlySpan<uint16>)
        (usedIndex: uint16)
        =
        for i in 0 .. heads.Length - 1 do
            stores.U8(entry region heads[i], 0uy)

        stores.U16(region + nativeint OffsetUsedIndex, usedIndex)

    /// Finishes the batch that was published when the process died. False if the list of it makes no sense.
    let private finishBatch<'S when 'S: struct and 'S :> IStores>
        (stores: 'S)
        (region: nativeint)
        (size: uint16)
        (usedIndex: uint16)
        : bool =
        let mutable left = usedIndex - Shared.readU16 (region + nativeint OffsetUsedIndex)
        let mutable head = Shared.readU16 (region + nativeint OffsetLastBatchHead)
        let mutable isValid = left <= size

        while isValid && left > 0us do
            if head >= size then
                isValid <- false
            else
                let next = Shared.readU16 (entry region head + nativeint OffsetNext)
                stores.U8(entry region head, 0uy)
                head <- next
                left <- left - 1us

        if isValid then
            stores.U16(region + nativeint OffsetUsedIndex, usedIndex)

        isValid

    /// What was in flight when the process before this one died, given the used ring's index. Nothing if the region is
    /// not one of a queue of this size. (The process may die while it recovers.)
    let recover<'S when 'S: struct and 'S :> IStores>
        (stores: 'S)
        (region: nativeint)
        (size: uint16)
        (usedIndex: uint16)
        : Recovered voption =
        if
            not (Inflight.isValid region size)
            || not (finishBatch stores region size usedIndex)
        then
            ValueNone
        else
            let entries = ResizeArray()

            for head in 0us .. size - 1us do
                if Shared.readU8 (entry region head) <> 0uy then
                    entries.Add(struct (Shared.readU64 (entry region head + nativeint OffsetCounter), head))

            ValueSome(Inflight.ordered entries)

/// The log of a packed ring (QueueRegionPacked), which has a list of free entries of its own: a buffer's descriptors
/// are copied to entries that hang together. To give buffers back: `free` each one and put it into the ring,
/// `advance`, publish, then `settle`; nothing may be taken in between.
module PackedInflight =
    [<Literal>]
    let private OffsetFreeHead = 12

    [<Literal>]
    let private OffsetOldFreeHead = 14

    [<Literal>]
    let private OffsetUsedIndex = 16

    [<Literal>]
    let private OffsetOldUsedIndex = 18

    [<Literal>]
    let private OffsetUsedWrap = 20

    [<Literal>]
    let private OffsetOldUsedWrap = 21

    let inline private entry (region: nativeint) (index: uint16) = region + 32n + 32n * nativeint index

    // In an entry.
    [<Literal>]
    let private OffsetNext = 2

    [<Literal>]
    let private OffsetLast = 4

    [<Literal>]
    let private OffsetNum = 6

    [<Literal>]
    let private OffsetCounter = 8

    [<Literal>]
    let private OffsetId = 16

    [<Literal>]
    let private OffsetFlags = 18

    [<Literal>]
    let private OffsetLength = 20

    [<Literal>]
    let private OffsetAddress = 24

    let private wrapByte (value: bool) = if value then 1UL else 0UL

    // The four fields of the used side stand in eight aligned bytes and change in one store. One after the other, as the
    // specification has them, a slot and a wrap counter that do not belong together could be found after a crash, and
    // no order of the two avoids that.

    let private setUsed<'S when 'S: struct and 'S :> IStores>
        (stores: 'S)
        (region: nativeint)
        (index: uint16)
        (wrap: uint64)
        (oldIndex: uint16)
        (oldWrap: uint64)
        =
        stores.U64(
            region + nativeint OffsetUsedIndex,
            uint64 index ||| (uint64 oldIndex <<< 16) ||| (wrap <<< 32) ||| (oldWrap <<< 40)
        )

    /// What was begun is done.
    let private commit<'S when 'S: struct and 'S :> IStores> (stores: 'S) (region: nativeint) =
        let index = Shared.readU16 (region + nativeint OffsetUsedIndex)
        let wrap = uint64 (Shared.readU8 (region + nativeint OffsetUsedWrap))
        stores.U16(region + nativeint OffsetOldFreeHead, Shared.readU16 (region + nativeint OffsetFreeHead))
        setUsed stores region index wrap index wrap

    /// What was begun is undone.
    let private rollBack<'S when 'S: struct and 'S :> IStores> (stores: 'S) (region: nativeint) =
        let index = Shared.readU16 (region + nativeint OffsetOldUsedIndex)
        let wrap = uint64 (Shared.readU8 (region + nativeint OffsetOldUsedWrap))
        stores.U16(region + nativeint OffsetFreeHead, Shared.readU16 (region + nativeint OffsetOldFreeHead))
        setUsed stores region index wrap index wrap

    /// A new region, which the shell has filled with zeroes.
    let init<'S when 'S: struct and 'S :> IStores>
        (stores: 'S)
        (region: nativeint)
        (size: uint16)
        (usedIndex: uint16)
        (usedWrap: bool)
        =
        // The last one's successor is the size: no entry.
        for i in 0us .. size - 1us do
            stores.U16(entry region i + nativeint OffsetNext, i + 1us)

        setUsed stores region usedIndex (wrapByte usedWrap) usedIndex (wrapByte usedWrap)
        Inflight.finishInit stores region size

    /// A buffer was taken from the ring: the entry that stands for it. The ring has seen to it that there are no more
    /// descriptors in use than entries; `UInt16.MaxValue` if the list is not what it was.
    let take<'S when 'S: struct and 'S :> IStores>
        (stores: 'S)
        (region: nativeint)
        (size: uint16)
        (descriptors: ReadOnlySpan<PackedDescriptor>)
        (counter: uint64)
        : uint16 =
        let head = Shared.readU16 (region + nativeint OffsetOldFreeHead)
        let mutable current = head
        let mutable i = 0

        if head < size then
            stores.U16(entry region head + nativeint OffsetNum, 0us)
            stores.U64(entry region head + nativeint OffsetCounter, counter)
            stores.U8(entry region head, 1uy)

        while i < descriptors.Length && current < size do
            let descriptor = &descriptors[i]
            let place = entry region current

            if i = descriptors.Length - 1 then
                stores.U16(entry region head + nativeint OffsetLast, current)

            stores.U16(entry region head + nativeint OffsetNum, uint16 (i + 1))
            stores.U64(place + nativeint OffsetAddress, descriptor.Address)
            stores.U32(place + nativeint OffsetLength, descriptor.Length)
            stores.U16(place + nativeint OffsetFlags, descriptor.Flags)
            stores.U16(place + nativeint OffsetId, descriptor.Id)
            current <- Shared.readU16 (place + nativeint OffsetNext)
            stores.U16(region + nativeint OffsetFreeHead, current)
            i <- i + 1

        if i < descriptors.Length then
            UInt16.MaxValue
        else
            stores.U16(region + nativeint OffsetOldFreeHead, current)
            head

    /// Before `publish`: the entries of a buffer are free again, if the batch is published.
    let free<'S when 'S: struct and 'S :> IStores> (stores: 'S) (region: nativeint) (size: uint16) (head: uint16) =
        let last = Shared.readU16 (entry region head + nativeint OffsetLast)

        if last < size then
            stores.U16(entry region last + nativeint OffsetNext, Shared.readU16 (region + nativeint OffsetFreeHead))
            stores.U16(region + nativeint OffsetFreeHead, head)

    /// Before `publish` and after the whole batch: where the used side of the ring will be.
    let advance<'S when 'S: struct and 'S :> IStores>
        (stores: 'S)
        (region: nativeint)
        (usedIndex: uint16)
        (usedWrap: bool)
        =
        setUsed
            stores
            region
            usedIndex
            (wrapByte usedWrap)
            (Shared.readU16 (region + nativeint OffsetOldUsedIndex))
            (uint64 (Shared.readU8 (region + nativeint OffsetOldUsedWrap)))

    /// After `publish`: the batch is no more in flight.
    let settle<'S when 'S: struct and 'S :> IStores> (stores: 'S) (region: nativeint) (heads: ReadOnlySpan<uint16>) =
        for i in 0 .. heads.Length - 1 do
            stores.U8(entry region heads[i], 0uy)

        commit stores region

    /// The place of the used side and what was in flight when the process before this one died. `desc` is the ring's
    /// descriptors. Nothing if the region is not one of a queue of this size.
    let recover<'S when 'S: struct and 'S :> IStores>
        (stores: 'S)
        (region: nativeint)
        (size: uint16)
        (desc: nativeint)
        : Recovered voption =
        let oldIndex = Shared.readU16 (region + nativeint OffsetOldUsedIndex)

        if
            not (Inflight.isValid region size)
            || oldIndex >= size
            || Shared.readU16 (region + nativeint OffsetUsedIndex) >= size
        then
            ValueNone
        else
            let oldWrap = Shared.readU8 (region + nativeint OffsetOldUsedWrap)

            // A batch of the whole ring comes back to the same slot.
            let isUnsettled =
                oldIndex <> Shared.readU16 (region + nativeint OffsetUsedIndex)
                || oldWrap <> Shared.readU8 (region + nativeint OffsetUsedWrap)

            let flags = Shared.acquireU16 (desc + 16n * nativeint oldIndex + 14n)

            if isUnsettled && not (PackedRing.isAvailable flags (oldWrap <> 0uy)) then
                // It was published.
                commit stores region
            else
                rollBack stores region

            let mutable index = Shared.readU16 (region + nativeint OffsetFreeHead)
            let mutable steps = 0us

            while index < size && steps < size do
                stores.U8(entry region index, 0uy)
                index <- Shared.readU16 (entry region index + nativeint OffsetNext)
                steps <- steps + 1us

            let entries = ResizeArray()

            for i in 0us .. size - 1us do
                if Shared.readU8 (entry region i) <> 0uy then
                    entries.Add(struct (Shared.readU64 (entry region i + nativeint OffsetCounter), i))

            ValueSome(Inflight.ordered entries)

    let usedIndex (region: nativeint) : uint16 =
        Shared.readU16 (region + nativeint OffsetUsedIndex)
    let usedWrap (region: nativeint) : bool =
        Shared.readU8 (region + nativeint OffsetUsedWrap) <> 0uy

    /// Copies the descriptors of an entry; how many, or -1 if they make no sense.
    let load (region: nativeint) (size: uint16) (head: uint16) (descriptors: Span<PackedDescriptor>) : int =
        let count = int (Shared.readU16 (entry region head + nativeint OffsetNum))
        let mutable index = head
        let mutable i = 0

        while i < count && i < descriptors.Length && index < size do
            let place = entry region index
            let descriptor = &descriptors[i]
            descriptor.Address <- Shared.readU64 (place + nativeint OffsetAddress)
            descriptor.Length <- Shared.readU32 (place + nativeint OffsetLength)
            descriptor.Flags <- Shared.readU16 (place + nativeint OffsetFlags)
            descriptor.Id <- Shared.readU16 (place + nativeint OffsetId)
            index <- Shared.readU16 (place + nativeint OffsetNext)
            i <- i + 1

        if i = count && count > 0 then i else -1
