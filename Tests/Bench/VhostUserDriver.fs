/// A front end and driver of vhost-user-blk that is no bottleneck: what it does per request is a few stores. It asks for
/// calls, kicks and waits as the driver of a Linux guest does: indirect tables, event indices, and a rest until the call.
module StorageDaemon.Bench.VhostUserDriver

open System
open System.Diagnostics
open System.Runtime.InteropServices
open System.Threading
open StorageDaemon.Core.VhostUser
open StorageDaemon.Core.Virtio
open StorageDaemon.Tests.Harness.VhostUserClient

[<DllImport("libc", EntryPoint = "eventfd")>]
extern int private sysEventFd(uint32 value, int flags)

[<DllImport("libc", EntryPoint = "read")>]
extern nativeint private sysRead(int fd, nativeint buffer, unativeint count)

[<DllImport("libc", EntryPoint = "write")>]
extern nativeint private sysWrite(int fd, nativeint buffer, unativeint count)

[<Literal>]
let private RingSize = 128

[<Literal>]
let private BlockBytes = 4096

/// Memory of a queue: rings, then a page of headers, tables and states for each request, then data.
[<Literal>]
let private QueueBytes = 0x200000

let private UserBase = 0x7f0000000000UL
let private EFD_CLOEXEC = 0x80000

/// VIRTIO_RING_F_EVENT_IDX.
let private eventIndices = 1UL <<< 29
/// VHOST_F_LOG_ALL and VIRTIO_F_NOTIFY_ON_EMPTY, which no driver asks for.
let private unwanted = (1UL <<< 26) ||| (1UL <<< 24)
/// VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD.
let private inflight = 1UL <<< 12

/// One queue; `Run` is a thread's.
type private Queue(memory: nativeint, index: int, depth: int, blocks: uint64) =
    let start = memory + nativeint (index * QueueBytes)
    let avail = start + 0x4000n
    let used = start + 0x8000n
    let table slot =
        start + 0x10000n + nativeint (slot * 256)
    let data slot =
        start + 0x80000n + nativeint (slot * BlockBytes)
    // Blocking: the thread rests until the call.
    let call = sysEventFd (0u, EFD_CLOEXEC)
    let kick = sysEventFd (0u, EFD_CLOEXEC)
    let scratch = Marshal.AllocHGlobal 16
    let mutable offered = 0us
    let mutable seen = 0us
    let mutable random = uint64 (index + 1) * 0x9E3779B97F4A7C15UL
    let mutable completed = 0L
    let mutable failed = 0L

    let guest (address: nativeint) = uint64 (address - memory)

    let describe (at: nativeint) (address: nativeint) (length: int) (flags: uint16) (next: int) =
        Shared.writeU64 at (guest address)
        Shared.writeU32 (at + 8n) (uint32 length)
        Shared.writeU16 (at + 12n) flags
        Shared.writeU16 (at + 14n) (uint16 next)

    do
        for slot in 0 .. depth - 1 do
            // Header at 0, state at 32, the table at 64: header, data to be written, state to be written.
            let at = table slot
            describe (at + 64n) at 16 1us 1
            describe (at + 80n) (data slot) BlockBytes 3us 2
            describe (at + 96n) (at + 32n) 1 2us 0
            // The ring's own descriptor: an indirect table.
            describe (start + nativeint (16 * slot)) (at + 64n) 48 4us 0

    member _.Kick = kick
    member _.Call = call
    member _.Completed = completed
    member _.Failed = failed

    member _.Address: VringAddress = {
        Desc = UserBase + guest start
        Avail = UserBase + guest avail
        Used = UserBase + guest used
        Log = 0UL
        Flags = 0u
    }

    /// Makes a read of some block available; the daemon sees it with the next `Publish`.
    member inline private _.Put(slot: int) =
        // xorshift64
        random <- random ^^^ (random <<< 13)
        random <- random ^^^ (random >>> 7)
        random <- random ^^^ (random <<< 17)
        let at = table slot
        Shared.writeU32 at 0u
        Shared.writeU64 (at + 8n) ((random % blocks) * uint64 (BlockBytes / 512))
        Shared.writeU8 (at + 32n) 0xffuy
        Shared.writeU16 (avail + 4n + nativeint (2 * (int offered % RingSize))) (uint16 slot)
        offered <- offered + 1us

    /// Shows the daemon what was put since `before`, and kicks it if it wants that.
    member inline private _.Publish(before: uint16) =
        Shared.releaseU16 (avail + 2n) offered
        Thread.MemoryBarrier()
        // avail_event, behind the used ring.
        let event = Shared.readU16 (used + 4n + nativeint (8 * RingSize))

        if offered - event - 1us < offered - before then
            Shared.writeU64 scratch 1UL
            sysWrite (kick, scratch, 8un) |> ignore

    /// Reads until the time has passed; all requests have come back then.
    member this.Run(ticks: int64) : unit =
        let until = Stopwatch.GetTimestamp() + ticks

        for slot in 0 .. depth - 1 do
            this.Put slot

        this.Publish 0us
        let mutable inFlight = depth

        while inFlight > 0 do
            let before = offered
            let goesOn = Stopwatch.GetTimestamp() < until

            while seen <> Shared.acquireU16 (used + 2n) do
                let slot = int (Shared.readU32 (used + 4n + nativeint (8 * (int seen % RingSize))))

                if Shared.readU8 (table slot + 32n) = 0uy then
                    completed <- completed + 1L
                else
                    failed <- failed + 1L

                seen <- seen + 1us

                if goesOn then this.Put slot else inFlight <- inFlight - 1

            if offered <> before then
                this.Publish before

            // used_event, behind the available ring: a call for the very next one.
            Shared.writeU16 (avail + 4n + nativeint (2 * RingSize)) seen
            Thread.MemoryBarrier()

            if inFlight > 0 && seen = Shared.acquireU16 (used + 2n) then
                sysRead (call, scratch + 8n, 8un) |> ignore

    interface IDisposable with
        member _.Dispose() =
            close call
            close kick
            Marshal.FreeHGlobal scratch

/// A disk with `queues` queues in use; `depth` requests are in flight in each.
type Driver(socket: string, queues: int, depth: int, imageBytes: int64) =
    let length = int64 (queues * QueueBytes)
    let fd = memoryFile length
    let memory = mapShared fd length

    let rings =
        Array.init queues (fun index -> new Queue(memory, index, depth, uint64 (imageBytes / int64 BlockBytes)))

    let connection = new Connection(socket)

    do
        let struct (features, protocol) = connection.NegotiateWithout unwanted

        if features &&& eventIndices = 0UL then
            failwith "no event indices"

        // As QEMU does it: the log is kept where the daemon has one.
        if protocol &&& inflight <> 0UL then
            let wanted = {
                LengthBytes = 0UL
                OffsetBytes = 0UL
                QueueCount = uint16 queues
                QueueSize = uint16 RingSize
            }

            connection.Send(GetInflightFd wanted)
            let reply, log = connection.Reply()

            connection.Do(
                SetInflightFd {
                    wanted with
                        LengthBytes = BitConverter.ToUInt64(reply, 0)
                        OffsetBytes = BitConverter.ToUInt64(reply, 8)
                },
                [ log.Value ]
            )

            close log.Value

        let region: RegionMessage = {
            Region = {
                GuestAddress = 0UL
                UserAddress = UserBase
                LengthBytes = uint64 length
            }
            MmapOffset = 0UL
        }

        connection.Do(SetMemTable [ region ], [ fd ])

        rings
        |> Array.iteri (fun index ring ->
            connection.StartRing(index, uint32 RingSize, 0us, ring.Address, ring.Kick, ring.Call))

    /// Reads with all queues, a thread each, for that long: the number of requests.
    member _.Read(time: TimeSpan) : int64 =
        let ticks = int64 (time.TotalSeconds * float Stopwatch.Frequency)

        let threads =
            rings
            |> Array.map (fun ring -> Thread((fun () -> ring.Run ticks), IsBackground = true))

        threads |> Array.iter (fun thread -> thread.Start())
        threads |> Array.iter (fun thread -> thread.Join())

        match rings |> Array.sumBy (fun ring -> ring.Failed) with
        | 0L -> rings |> Array.sumBy (fun ring -> ring.Completed)
        | failed -> failwith $"{failed} requests failed"

    interface IDisposable with
        member _.Dispose() =
            (connection :> IDisposable).Dispose()
            rings |> Array.iter (fun ring -> (ring :> IDisposable).Dispose())
            unmap memory length
            close fd
