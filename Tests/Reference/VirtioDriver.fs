/// The driver's side of virtqueues, written straight from the specification, over the guest's memory. It throws when
/// the device breaks the rules.
module StorageDaemon.Tests.Reference.VirtioDriver

open System.Collections.Generic
open System.Threading
open StorageDaemon.Core.Virtio
open StorageDaemon.Tests.Reference.GuestMemory

/// A part of a buffer, in guest addresses.
type Part = { Address: uint64; Length: int; Writable: bool }

/// What a driver does, whatever the layout of its ring.
[<AbstractClass>]
type Driver() =
    /// Makes a buffer available, in an indirect table at the given address if there is one. Its identifier; nothing if
    /// there is no room.
    abstract Offer: parts: Part list * table: uint64 voption -> uint16 voption
    /// Whether the device wants a kick for what was offered since the last question.
    abstract NeedsKick: unit -> bool
    /// Buffers that have come back, with the bytes written.
    abstract Collect: unit -> (uint16 * int) list
    /// Asks to be called for the next buffer. False if one is there already.
    abstract EnableCalls: unit -> bool
    abstract DisableCalls: unit -> unit
    /// Buffers that the device has.
    abstract Outstanding: int

/// 2.7.13 and following.
type SplitDriver(memory: GuestMemory, size: int, eventIndex: bool) =
    inherit Driver()
    let desc = RingBase
    let avail = RingBase + 0x20000UL
    let used = RingBase + 0x28000UL
    let free = Stack<uint16>(seq { for i in size - 1 .. -1 .. 0 -> uint16 i })
    let chains = Dictionary<uint16, uint16 list>()
    let mutable next = 0us
    let mutable asked = 0us
    let mutable seen = 0us

    let write (place: uint64) (part: Part) flags (successor: uint16) =
        memory.Set(place, 8, part.Address)
        memory.Set(place + 8UL, 4, uint64 part.Length)
        memory.Set(place + 12UL, 2, flags ||| (if part.Writable then 2UL else 0UL))
        memory.Set(place + 14UL, 2, uint64 successor)

    let place (index: uint16) = desc + 16UL * uint64 index

    let index at = Shared.acquireU16 (memory.Place at)

    member _.Desc = desc
    member _.Avail = avail
    member _.Used = used
    /// Goes on as if so many buffers had gone round already.
    member _.Begin(index: uint16) =
        next <- index
        asked <- index
        seen <- index
        memory.Set(avail + 2UL, 2, uint64 index)
        memory.Set(used + 2UL, 2, uint64 index)

    override _.Outstanding = chains.Count

    override _.Offer(parts, table) =
        let needed = if table.IsSome then 1 else parts.Length

        if free.Count < needed then
            ValueNone
        else
            let indices = [ for _ in 1..needed -> free.Pop() ]

            match table with
            | ValueSome address ->
                parts
                |> List.iteri (fun i part ->
                    let isLast = (i = parts.Length - 1)
                    write (address + 16UL * uint64 i) part (if isLast then 0UL else 1UL) (uint16 (i + 1)))

                let part = {
                    Address = address
                    Length = 16 * parts.Length
                    Writable = false
                }
                write (place indices.Head) part 4UL 0us
            | ValueNone ->
                for (position, chosen), part in List.zip (List.indexed indices) parts do
                    if position = needed - 1 then
                        write (place chosen) part 0UL 0us
                    else
                        write (place chosen) part 1UL indices[position + 1]

            chains.Add(indices.Head, indices)
            memory.Set(avail + 4UL + 2UL * uint64 (int next % size), 2, uint64 indices.Head)
            next <- next + 1us
            Shared.releaseU16 (memory.Place(avail + 2UL)) next
            ValueSome indices.Head

    override _.NeedsKick() =
        Thread.MemoryBarrier()
        let before = asked
        asked <- next

        if eventIndex then
            let event = uint16 (memory.Get(used + 4UL + 8UL * uint64 size, 2))
            // Whether one of the indices from `before` on is the event.
            event - before < next - before
        else
            next <> before && memory.Get(used, 2) &&& 1UL = 0UL

    override _.Collect() = [
        while index (used + 2UL) <> seen do
            let entry = used + 4UL + 8UL * uint64 (int seen % size)
            let id = memory.Get(entry, 4)

            match chains.TryGetValue(uint16 id) with
            | true, indices when id < uint64 size ->
                chains.Remove(uint16 id) |> ignore
                indices |> List.iter free.Push
            | _ -> failwith ("buffer " + string id + " was not available")

            seen <- seen + 1us
            uint16 id, int (memory.Get(entry + 4UL, 4))
    ]

    override _.EnableCalls() =
        memory.Set(avail, 2, 0UL)
        // An event index may be read at any time: it is written whole.
        Shared.writeU16 (memory.Place(avail + 4UL + 2UL * uint64 size)) seen
        Thread.MemoryBarrier()
        index (used + 2UL) = seen

    override _.DisableCalls() = memory.Set(avail, 2, 1UL)

/// 2.8.21 and following.
type PackedDriver(memory: GuestMemory, size: int, eventIndex: bool) =
    inherit Driver()
    let desc = RingBase
    let driverEvent = RingBase + 0x20000UL
    let deviceEvent = RingBase + 0x28000UL
    let free = Stack<uint16>(seq { for i in size - 1 .. -1 .. 0 -> uint16 i })
    let lengths = Dictionary<uint16, int>()
    let mutable room = size
    let mutable next = 0
    let mutable nextWrap = true
    let mutable seen = 0
    let mutable seenWrap = true
    /// Slots gone through since the last question, which ends at `next`.
    let mutable offered = 0

    let place slot = desc + 16UL * uint64 slot
    let lapFlags wrap = if wrap then 0x80UL else 0x8000UL

    let write (at: uint64) (part: Part) (id: uint16) =
        memory.Set(at, 8, part.Address)
        memory.Set(at + 8UL, 4, uint64 part.Length)
        memory.Set(at + 12UL, 2, uint64 id)

    let writeFlag part = if part.Writable then 2UL else 0UL

    let isUsed () =
        let flags = Shared.acquireU16 (memory.Place(place seen + 14UL))
        (flags &&& 0x80us <> 0us) = seenWrap && (flags &&& 0x8000us <> 0us) = seenWrap

    member _.Desc = desc
    member _.Avail = driverEvent
    member _.Used = deviceEvent
    override _.Outstanding = lengths.Count

    override _.Offer(parts, table) =
        let parts =
            match table with
            | ValueSome address ->
                parts
                |> List.iteri (fun i part ->
                    write (address + 16UL * uint64 i) part 0us
                    memory.Set(address + 16UL * uint64 i + 14UL, 2, writeFlag part))

                [
                    {
                        Address = address
                        Length = 16 * parts.Length
                        Writable = false
                    }
                ]
            | ValueNone -> parts

        if room < parts.Length then
            ValueNone
        else
            let id = free.Pop()
            let first = next
            let mutable firstFlags = 0UL

            parts
            |> List.iteri (fun i part ->
                let flags =
                    lapFlags nextWrap
                    ||| writeFlag part
                    ||| (if i < parts.Length - 1 then 1UL else 0UL)
                    ||| (if table.IsSome then 4UL else 0UL)

                write (place next) part id

                if i = 0 then
                    firstFlags <- flags
                else
                    memory.Set(place next + 14UL, 2, flags)

                next <- next + 1

                if next = size then
                    next <- 0
                    nextWrap <- not nextWrap)

            Shared.releaseU16 (memory.Place(place first + 14UL)) (uint16 firstFlags)
            room <- room - parts.Length
            offered <- offered + parts.Length
            lengths.Add(id, parts.Length)
            ValueSome id

    override _.NeedsKick() =
        Thread.MemoryBarrier()
        let steps = offered
        offered <- 0
        let flags = memory.Get(deviceEvent + 2UL, 2)

        if steps = 0 || flags = 1UL then
            false
        elif flags = 2UL && eventIndex then
            let event = int (Shared.readU16 (memory.Place deviceEvent))
            // Whether one of the slots that were gone through is the event, in its lap.
            let slots = [
                let mutable slot = next
                let mutable wrap = nextWrap

                for _ in 1..steps do
                    slot <- slot - 1

                    if slot < 0 then
                        slot <- size - 1
                        wrap <- not wrap

                    slot ||| (if wrap then 0x8000 else 0)
            ]

            List.contains event slots
        else
            true

    override _.Collect() = [
        while isUsed () do
            let id = uint16 (memory.Get(place seen + 12UL, 2))

            match lengths.TryGetValue id with
            | true, length ->
                let written = int (memory.Get(place seen + 8UL, 4))
                lengths.Remove id |> ignore
                free.Push id
                room <- room + length
                seen <- seen + length

                if seen >= size then
                    seen <- seen - size
                    seenWrap <- not seenWrap

                id, written
            | _ -> failwith ("buffer " + string id + " was not available")
    ]

    override _.EnableCalls() =
        if eventIndex then
            Shared.writeU16 (memory.Place driverEvent) (uint16 (seen ||| (if seenWrap then 0x8000 else 0)))
            Shared.releaseU16 (memory.Place(driverEvent + 2UL)) 2us
        else
            Shared.writeU16 (memory.Place(driverEvent + 2UL)) 0us

        Thread.MemoryBarrier()
        not (isUsed ())

    override _.DisableCalls() =
        Shared.writeU16 (memory.Place(driverEvent + 2UL)) 1us
