/// A device's side of a ring for tests: the same operations for both layouts.
module StorageDaemon.Tests.Reference.VirtioDevice

open System
open System.Collections.Generic
open StorageDaemon.Core.Virtio
open StorageDaemon.Tests.Reference.GuestMemory
open StorageDaemon.Tests.Reference.VirtioDriver

/// A buffer that the device has taken.
[<NoComparison; NoEquality>]
type Taken = {
    Id: uint16
    Descriptors: uint16
    Readable: Iovec[]
    Writable: Iovec[]
}

[<AbstractClass>]
type Device() =
    let segments = Array.zeroCreate<Iovec> Chain.MaxSegments
    member _.Segments = segments

    member _.TakenOf(chain: Chain) = {
        Id = chain.Id
        Descriptors = chain.Descriptors
        Readable = Array.sub segments 0 chain.Readable
        Writable = Array.sub segments chain.Readable chain.Writable
    }

    /// Nothing if nothing is available, or if the ring is broken.
    abstract Pop: unit -> Taken voption
    abstract Put: taken: Taken * written: uint32 -> unit
    abstract Publish: unit -> unit
    abstract NeedsCall: unit -> bool
    abstract EnableKicks: unit -> bool
    abstract DisableKicks: unit -> unit
    abstract Error: RingError

type SplitDevice(memory: GuestMemory, driver: SplitDriver, size: int, eventIndex: bool) =
    inherit Device()
    let mutable ring = SplitRing()

    do
        ring.EventIndex <- eventIndex
        ring.Indirect <- true

        if
            not (SplitRing.bind (memory.Place driver.Desc) (memory.Place driver.Avail) (memory.Place driver.Used) &ring)
        then
            failwith "the ring cannot be bound"

        SplitRing.start (uint16 size) (Shared.readU16 (memory.Place(driver.Used + 2UL))) &ring

    override this.Pop() =
        let mutable chain = Chain()

        match SplitRing.pop memory.Table (this.Segments.AsSpan()) &chain &ring with
        | Pop.Taken -> ValueSome(this.TakenOf chain)
        | _ -> ValueNone

    override _.Put(taken, written) = SplitRing.put taken.Id written &ring
    override _.Publish() = SplitRing.publish &ring
    override _.NeedsCall() = SplitRing.needsCall &ring
    override _.EnableKicks() = SplitRing.enableKicks &ring
    override _.DisableKicks() = SplitRing.disableKicks &ring
    override _.Error = ring.Error

type PackedDevice(memory: GuestMemory, driver: PackedDriver, size: int, eventIndex: bool) =
    inherit Device()
    let mutable ring = PackedRing()
    let descriptors = Array.zeroCreate<PackedDescriptor> Chain.MaxSegments

    do
        ring.EventIndex <- eventIndex
        ring.Indirect <- true

        if
            not (
                PackedRing.bind (memory.Place driver.Desc) (memory.Place driver.Avail) (memory.Place driver.Used) &ring
            )
        then
            failwith "the ring cannot be bound"

        if not (PackedRing.start (uint16 size) 0x80008000u &ring) then
            failwith "the ring cannot be started"

    override this.Pop() =
        let mutable chain = Chain()

        match PackedRing.pop memory.Table (this.Segments.AsSpan()) (descriptors.AsSpan()) &chain &ring with
        | Pop.Taken -> ValueSome(this.TakenOf chain)
        | _ -> ValueNone

    override _.Put(taken, written) =
        PackedRing.put taken.Id taken.Descriptors written &ring
    override _.Publish() = PackedRing.publish &ring
    override _.NeedsCall() = PackedRing.needsCall &ring
    override _.EnableKicks() = PackedRing.enableKicks &ring
    override _.DisableKicks() = PackedRing.disableKicks &ring
    override _.Error = ring.Error

/// A driver and a device at the same ring. A split ring may have gone round `turns` entries before.
let pair (memory: GuestMemory) (isPacked: bool) (size: int) (eventIndex: bool) (turns: uint16) : Driver * Device =
    if isPacked then
        let driver = PackedDriver(memory, size, eventIndex)
        driver, PackedDevice(memory, driver, size, eventIndex)
    else
        let driver = SplitDriver(memory, size, eventIndex)
        driver.Begin turns
        driver, SplitDevice(memory, driver, size, eventIndex)
