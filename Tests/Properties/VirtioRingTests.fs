module StorageDaemon.Tests.Properties.VirtioRing

open System
open System.Collections.Generic
open System.Threading
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Virtio
open StorageDaemon.Tests.Reference.GuestMemory
open StorageDaemon.Tests.Reference.VirtioDriver
open StorageDaemon.Tests.Reference.VirtioDevice

let private forSeeds name count check =
    let config = { FsCheckConfig.defaultConfig with maxTest = count }

    testPropertyWithConfig config name
    <| Prop.forAll (Arb.fromGen (Gen.choose (0, Int32.MaxValue))) check

/// Parts of a buffer with random cuts, in the first two regions: some cross the border between them.
let private randomParts (random: Random) (address: uint64) : Part list =
    let readable = random.Next 4
    let writable = random.Next 4 + (if readable = 0 then 1 else 0)
    let mutable at = address

    [
        for i in 0 .. readable + writable - 1 do
            let length = 1 + random.Next 40
            yield { Address = at; Length = length; Writable = i >= readable }
            at <- at + uint64 length
    ]

/// What a device is to write for the bytes that it has read.
let private echo (bytes: byte[]) length =
    let seed = bytes |> Array.fold (fun sum value -> sum * 31 + int value) 17
    Array.init length (fun i -> byte (seed + i * 7))

/// A driver's work: buffers in slots of memory of their own, and what becomes of them.
type private Client(memory: GuestMemory, driver: Driver, random: Random, slots: int) =
    let slotLength = 1024UL
    // Around the border of the first two regions.
    let start = 0x20000UL - slotLength * uint64 (slots / 2) - 100UL
    let free = Queue<int>(seq { 0 .. slots - 1 })
    let inFlight = Dictionary<uint16, int * Part list * byte[]>()
    member val Completed = 0 with get, set
    member _.InFlight = inFlight.Count

    /// Offers one buffer. False if there is no room.
    member _.Offer() =
        if free.Count = 0 then
            false
        else
            let slot = free.Peek()
            let address = start + slotLength * uint64 slot
            let parts = randomParts random address
            let content = [|
                for part in parts do
                    if not part.Writable then
                        for _ in 1 .. part.Length -> byte (random.Next 256)
            |]
            memory.Write(address, content)
            let table =
                if random.Next 3 = 0 then
                    ValueSome(address + 512UL)
                else
                    ValueNone

            match driver.Offer(parts, table) with
            | ValueSome id ->
                free.Dequeue() |> ignore
                inFlight.Add(id, (slot, parts, content))
                true
            | ValueNone -> false

    /// Takes what has come back, and looks at it.
    member this.Collect() =
        for id, written in driver.Collect() do
            let slot, parts, content = inFlight[id]
            let writable = parts |> List.filter _.Writable
            let expected = echo content (writable |> List.sumBy _.Length)
            let got =
                writable
                |> List.map (fun part -> memory.Read(part.Address, part.Length))
                |> Array.concat
            Expect.equal written expected.Length "bytes written"
            Expect.equal got expected "the device's bytes"
            inFlight.Remove id |> ignore
            free.Enqueue slot
            this.Completed <- this.Completed + 1

let private complete (device: Device) (taken: Taken) =
    let length = taken.Writable |> Array.sumBy (fun segment -> int segment.Length)
    fill taken.Writable (echo (bytesOf taken.Readable) length)
    device.Put(taken, uint32 length)

let private removeRandom (random: Random) (list: List<'T>) =
    let index = random.Next list.Count
    let item = list[index]
    list.RemoveAt index
    item

/// Random steps of both sides, buffers given back in any order.
let private exactlyOnce isPacked seed =
    let random = Random seed
    use memory = new GuestMemory()
    let size = if isPacked then 1 + random.Next 40 else 1 <<< random.Next 6
    let driver, device = pair memory isPacked size true (uint16 (random.Next 65536))
    let client = Client(memory, driver, random, 48)
    let taken = List<Taken>()

    let pop () =
        match device.Pop() with
        | ValueSome buffer ->
            taken.Add buffer
            true
        | ValueNone -> false

    let finish () =
        while taken.Count > 0 do
            complete device (removeRandom random taken)

        device.Publish()
        client.Collect()

    for _ in 1..300 do
        match random.Next 5 with
        | 0
        | 1 -> client.Offer() |> ignore
        | 2 -> pop () |> ignore
        | 3 when taken.Count > 0 -> complete device (removeRandom random taken)
        | _ ->
            device.Publish()
            client.Collect()

    finish ()

    while pop () do
        finish ()

    Expect.equal device.Error RingError.None "the ring is whole"
    Expect.equal client.InFlight 0 "all came back"
    Expect.isTrue memory.GuardsAreWhole "nothing written elsewhere"
    // A chain may be longer than a small ring, so that the driver never gets one in.
    Expect.isTrue (size < 8 || client.Completed > 10) "there was something to do"

/// Each side sleeps until the other one tells it: nobody may sleep with work left.
let private noLostNotification isPacked eventIndex seed =
    let random = Random seed
    use memory = new GuestMemory()
    let size = if isPacked then 8 + random.Next 30 else 8 <<< random.Next 3
    let driver, device = pair memory isPacked size eventIndex (uint16 (random.Next 65536))
    let client = Client(memory, driver, random, 40)
    let taken = List<Taken>()
    let mutable wanted = 200
    let mutable kicked = true
    let mutable called = true
    let mutable devicePolls = false
    let mutable sawNothing = false

    let driverStep () =
        called <- false
        if random.Next 2 = 0 then
            driver.DisableCalls()

        client.Collect()
        let mutable offering = random.Next 6

        while offering > 0 && wanted > 0 && client.Offer() do
            wanted <- wanted - 1
            offering <- offering - 1

        if driver.NeedsKick() then
            kicked <- true

        // It sleeps only when nothing is there, and comes back by itself while it has something to offer.
        if not (driver.EnableCalls()) || wanted > 0 && client.InFlight = 0 then
            called <- true

    let deviceStep () =
        if kicked then
            kicked <- false
            device.DisableKicks()
            devicePolls <- true

        if devicePolls then
            match random.Next 4 with
            | 0
            | 1 ->
                match device.Pop() with
                | ValueSome buffer -> taken.Add buffer
                | ValueNone -> sawNothing <- true
            | _ when sawNothing ->
                // The driver may have offered something since.
                sawNothing <- false

                if not (device.EnableKicks()) then
                    devicePolls <- false
            | _ -> ()

        // Requests in flight end whether or not the device polls.
        let mutable ending = if taken.Count = 0 then 0 else random.Next(taken.Count + 1)

        if ending > 0 then
            while ending > 0 do
                complete device (removeRandom random taken)
                ending <- ending - 1

            device.Publish()

            if device.NeedsCall() then
                called <- true

    let mutable rounds = 0

    while (called || kicked || devicePolls || taken.Count > 0) && rounds < 100000 do
        rounds <- rounds + 1

        if random.Next 2 = 0 then
            if called then
                driverStep ()
        else
            deviceStep ()

    Expect.isLessThan rounds 100000 "an end"
    Expect.equal (wanted, client.InFlight) (0, 0) "nobody sleeps over work"

/// Two threads, and real sleeping.
let private threads isPacked eventIndex =
    let name =
        (if isPacked then "packed" else "split")
        + (if eventIndex then " with event index" else "")

    testCase name
    <| fun () ->
        use memory = new GuestMemory()
        let driver, device = pair memory isPacked 16 eventIndex 65500us
        let total = 20000
        use kick = new AutoResetEvent false
        use call = new AutoResetEvent false
        let mutable failure: exn = null
        let mutable stopped = false

        let deviceThread =
            Thread(fun () ->
                try
                    while not (Volatile.Read &stopped) do
                        match device.Pop() with
                        | ValueSome taken ->
                            complete device taken
                            device.Publish()

                            if device.NeedsCall() then
                                call.Set() |> ignore
                        | ValueNone ->
                            if not (device.EnableKicks()) && not (kick.WaitOne 20000) then
                                failwith "no kick came"

                            device.DisableKicks()
                with error ->
                    failure <- error
                    Volatile.Write(&stopped, true)
                    call.Set() |> ignore)

        let client = Client(memory, driver, Random 5, 12)
        deviceThread.Start()
        let mutable offered = 0

        try
            while client.Completed < total && not (Volatile.Read &stopped) do
                client.Collect()

                while offered < total && client.Offer() do
                    offered <- offered + 1

                if driver.NeedsKick() then
                    kick.Set() |> ignore

                if client.Completed < total && driver.EnableCalls() && not (call.WaitOne 20000) then
                    failwith "no call came"
        finally
            Volatile.Write(&stopped, true)
            kick.Set() |> ignore
            deviceThread.Join()

        Expect.isNull failure "the device's thread"
        Expect.equal client.Completed total "all came back"

/// Memory full of something like descriptors; a driver that changes it at any time.
let private garbage isPacked seed =
    let random = Random seed
    use memory = new GuestMemory()
    let size = if isPacked then 1 + random.Next 64 else 1 <<< random.Next 7
    let driver, device = pair memory isPacked size (random.Next 2 = 0) 0us
    ignore driver

    let value () =
        match random.Next 8 with
        | 0 -> uint64 (random.Next 4)
        | 1 -> uint64 (random.Next 0x20000)
        | 2 -> 0x1ff00UL + uint64 (random.Next 512)
        | 3 -> RingBase + uint64 (random.Next 0x800)
        | 4 -> RingBase + 0x3fff0UL + uint64 (random.Next 32)
        | 5 -> UInt64.MaxValue - uint64 (random.Next 64)
        | 6 -> uint64 (16 * random.Next 16)
        | _ -> uint64 (random.NextInt64())

    let pokeDescriptor (place: uint64) =
        memory.Set(place, 8, value ())
        memory.Set(place + 8UL, 4, value ())
        let flags = [| 0; 1; 2; 3; 4; 5; 7 |][random.Next 7]

        if isPacked then
            memory.Set(place + 12UL, 2, uint64 (random.Next(size + 1)))
            memory.Set(place + 14UL, 2, uint64 (flags ||| (if random.Next 4 = 0 then random.Next 65536 else 0x80)))
        else
            memory.Set(place + 12UL, 2, uint64 flags)
            memory.Set(place + 14UL, 2, uint64 (random.Next(size + 1)))

    let poke () =
        match random.Next 4 with
        | 0 when not isPacked ->
            let index = memory.Get(RingBase + 0x20000UL + 2UL, 2)
            memory.Set(RingBase + 0x20000UL + 2UL, 2, (index + uint64 (random.Next 4)) &&& 0xffffUL)
        | 1 -> memory.Set(RingBase + 0x20000UL + 4UL + uint64 (2 * random.Next size), 2, uint64 (random.Next(size + 1)))
        | 2 -> pokeDescriptor (uint64 (16 * random.Next 64))
        | _ -> pokeDescriptor (RingBase + uint64 (16 * random.Next size))

    for i in 0 .. size - 1 do
        pokeDescriptor (RingBase + uint64 (16 * i))

    for i in 0..63 do
        pokeDescriptor (uint64 (16 * i))

    let mutable popped = 0

    for _ in 1..100 do
        poke ()

        match device.Pop() with
        | ValueSome taken ->
            popped <- popped + 1
            Expect.isTrue (taken.Readable |> Array.forall memory.Contains) "readable pieces lie in the memory"
            Expect.isTrue (taken.Writable |> Array.forall memory.Contains) "writable pieces lie in the memory"
            Expect.isLessThanOrEqual (taken.Readable.Length + taken.Writable.Length) Chain.MaxSegments "bounded"

            if random.Next 2 = 0 then
                device.Put(taken, 1u)
                device.Publish()

            device.NeedsCall() |> ignore
            device.EnableKicks() |> ignore
        | ValueNone -> ()

    Expect.isTrue memory.GuardsAreWhole "nothing written elsewhere"

// One broken ring each -------------------------------------------------------------------------------------------------

let private descriptor (memory: GuestMemory) index (address: uint64) (length: uint64) (flags: uint64) (next: uint64) =
    let place = RingBase + 16UL * index
    memory.Set(place, 8, address)
    memory.Set(place + 8UL, 4, length)
    memory.Set(place + 12UL, 2, flags)
    memory.Set(place + 14UL, 2, next)

let private available (memory: GuestMemory) (head: uint64) =
    memory.Set(RingBase + 0x20004UL, 2, head)
    memory.Set(RingBase + 0x20002UL, 2, 1UL)

let private indirect (memory: GuestMemory) (address: uint64) (length: uint64) (flags: uint64) (next: uint64) =
    memory.Set(0x1000UL, 8, address)
    memory.Set(0x1008UL, 4, length)
    memory.Set(0x100cUL, 2, flags)
    memory.Set(0x100eUL, 2, next)

let private breakages: (string * RingError * (GuestMemory -> unit)) list = [
    "a head outside the ring", RingError.IndexOutOfRange, (fun memory -> available memory 8UL)
    "a next outside the ring",
    RingError.IndexOutOfRange,
    (fun memory ->
        descriptor memory 0UL 0UL 16UL 1UL 8UL
        available memory 0UL)
    "a loop",
    RingError.Loop,
    (fun memory ->
        descriptor memory 0UL 0UL 16UL 1UL 1UL
        descriptor memory 1UL 0UL 16UL 1UL 0UL
        available memory 0UL)
    "an available index too far ahead", RingError.TooFarAhead, (fun memory -> memory.Set(RingBase + 0x20002UL, 2, 9UL))
    "nothing in a buffer",
    RingError.ZeroLength,
    (fun memory ->
        descriptor memory 0UL 0UL 0UL 0UL 0UL
        available memory 0UL)
    "readable after writable",
    RingError.ReadableAfterWritable,
    (fun memory ->
        descriptor memory 0UL 0UL 16UL 3UL 1UL
        descriptor memory 1UL 0UL 16UL 0UL 0UL
        available memory 0UL)
    "a buffer between regions",
    RingError.OutsideMemory,
    (fun memory ->
        descriptor memory 0UL 0x3ffffUL 2UL 0UL 0UL
        available memory 0UL)
    "a buffer around the end of the addresses",
    RingError.OutsideMemory,
    (fun memory ->
        descriptor memory 0UL UInt64.MaxValue 2UL 0UL 0UL
        available memory 0UL)
    "an indirect table with a next",
    RingError.IndirectWithNext,
    (fun memory ->
        descriptor memory 0UL 0x1000UL 16UL 5UL 1UL
        available memory 0UL)
    "an indirect table of nothing",
    RingError.IndirectLength,
    (fun memory ->
        descriptor memory 0UL 0x1000UL 0UL 4UL 0UL
        available memory 0UL)
    "an indirect table of 17 bytes",
    RingError.IndirectLength,
    (fun memory ->
        descriptor memory 0UL 0x1000UL 17UL 4UL 0UL
        available memory 0UL)
    "a table in a table",
    RingError.NestedIndirect,
    (fun memory ->
        descriptor memory 0UL 0x1000UL 16UL 4UL 0UL
        indirect memory 0x1000UL 16UL 4UL 0UL
        available memory 0UL)
    "a loop in a table",
    RingError.Loop,
    (fun memory ->
        descriptor memory 0UL 0x1000UL 16UL 4UL 0UL
        indirect memory 0UL 16UL 1UL 0UL
        available memory 0UL)
    "a next outside a table",
    RingError.IndexOutOfRange,
    (fun memory ->
        descriptor memory 0UL 0x1000UL 16UL 4UL 0UL
        indirect memory 0UL 16UL 1UL 1UL
        available memory 0UL)
    "a table outside the memory",
    RingError.OutsideMemory,
    (fun memory ->
        descriptor memory 0UL 0x50000UL 16UL 4UL 0UL
        available memory 0UL)
]

let private takenFrom (device: Device) =
    match device.Pop() with
    | ValueSome taken -> taken
    | ValueNone -> failwith "nothing is taken"

let private pops (device: Device) =
    match device.Pop() with
    | ValueSome _ -> true
    | ValueNone -> false

let private broken =
    testList "a ring breaks" [
        for name, error, make in breakages do
            testCase name
            <| fun () ->
                use memory = new GuestMemory()
                let _, device = pair memory false 8 false 0us
                make memory
                Expect.isFalse (pops device) "nothing is taken"
                Expect.equal device.Error error "why"
                Expect.isFalse (pops device) "it stays so"
    ]

let private details =
    testList "details" [
        testCase "a buffer across neighbours is cut"
        <| fun () ->
            use memory = new GuestMemory()
            let _, device = pair memory false 8 false 0us
            descriptor memory 0UL 0x1fff0UL 32UL 2UL 0UL
            available memory 0UL
            let taken = takenFrom device

            Expect.equal
                [ for segment in taken.Writable -> segment.Base, int segment.Length ]
                [ memory.Place 0x1fff0UL, 16; memory.Place 0x20000UL, 16 ]
                "two pieces"

        testCase "descriptors before an indirect table"
        <| fun () ->
            use memory = new GuestMemory()
            let _, device = pair memory false 8 false 0us
            descriptor memory 0UL 0UL 16UL 1UL 3UL
            descriptor memory 3UL 0x1000UL 16UL 4UL 0UL
            indirect memory 0x20UL 8UL 2UL 0UL
            available memory 0UL
            let taken = takenFrom device
            Expect.equal (taken.Readable.Length, taken.Writable.Length) (1, 1) "one of each"

        testCase "no more in use than the ring has"
        <| fun () ->
            use memory = new GuestMemory()
            let _, device = pair memory false 8 false 0us
            descriptor memory 0UL 0UL 16UL 2UL 0UL

            for i in 1UL .. 8UL do
                memory.Set(RingBase + 0x20002UL, 2, i)
                Expect.isTrue (pops device) "taken"

            memory.Set(RingBase + 0x20002UL, 2, 9UL)
            Expect.isFalse (pops device) "not taken"
            Expect.equal device.Error RingError.TooManyInUse "why"

        testCase "a ring that cannot be bound"
        <| fun () ->
            let mutable ring = SplitRing()
            use memory = new GuestMemory()
            let at = memory.Place RingBase
            Expect.isFalse (SplitRing.bind 0n at at &ring) "not mapped"
            Expect.isFalse (SplitRing.bind (at + 8n) at at &ring) "not aligned"
            Expect.isFalse (SplitRing.bind at (at + 1n) at &ring) "not aligned"
            Expect.isFalse (SplitRing.bind at at (at + 2n) &ring) "not aligned"

        testCase "an event is passed"
        <| fun () ->
            // Event, index now, index before: whether one of the entries from before up to now is the event.
            let cases = [
                5us, 6us, 5us, true
                5us, 5us, 5us, false
                5us, 5us, 4us, false
                4us, 8us, 2us, true
                65535us, 0us, 65535us, true
                0us, 0us, 65535us, false
                1us, 3us, 65530us, true
                3us, 3us, 65530us, false
            ]

            for event, now, before, expected in cases do
                Expect.equal (SplitRing.passes event now before) expected (string event)
    ]

let private threadTests =
    testSequenced
    <| testList "two threads" [
        for isPacked in [ false; true ] do
            for eventIndex in [ false; true ] do
                threads isPacked eventIndex
    ]

[<Tests>]
let tests =
    testList "Virtio.Ring" [
        broken
        details
        forSeeds "split: each buffer comes back once" 300 (exactlyOnce false)
        forSeeds "packed: each buffer comes back once" 300 (exactlyOnce true)
        forSeeds "split: no kick or call is lost" 200 (noLostNotification false false)
        forSeeds "split: no kick or call is lost with event index" 300 (noLostNotification false true)
        forSeeds "packed: no kick or call is lost" 200 (noLostNotification true false)
        forSeeds "packed: no kick or call is lost with event index" 300 (noLostNotification true true)
        forSeeds "split: garbage" 1000 (garbage false)
        forSeeds "packed: garbage" 1000 (garbage true)
        threadTests
    ]
