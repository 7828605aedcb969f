/// A front end of vhost-user over a real socket, and a driver of its disk: memory that the daemon maps, split rings.
module StorageDaemon.Tests.Harness.VhostUserClient

open System
open System.IO
open System.Net.Sockets
open System.Runtime.InteropServices
open System.Threading
open StorageDaemon.Core.VhostUser
open StorageDaemon.Core.Virtio
open StorageDaemon.Tests.Reference

module private Native =
    [<DllImport("libc", EntryPoint = "memfd_create", SetLastError = true)>]
    extern int memfdCreate(string name, uint32 flags)

    [<DllImport("libc", EntryPoint = "ftruncate", SetLastError = true)>]
    extern int ftruncate(int fd, int64 length)

    [<DllImport("libc", EntryPoint = "mmap", SetLastError = true)>]
    extern nativeint mmap(nativeint address, unativeint length, int protection, int flags, int fd, int64 offset)

    [<DllImport("libc", EntryPoint = "munmap", SetLastError = true)>]
    extern int munmap(nativeint address, unativeint length)

    [<DllImport("libc", EntryPoint = "eventfd", SetLastError = true)>]
    extern int eventfd(uint32 value, int flags)

    [<DllImport("libc", EntryPoint = "close", SetLastError = true)>]
    extern int close(int fd)

    [<DllImport("libc", EntryPoint = "write", SetLastError = true)>]
    extern nativeint write(int fd, byte[] buffer, unativeint count)

    [<DllImport("libc", EntryPoint = "read", SetLastError = true)>]
    extern nativeint read(int fd, byte[] buffer, unativeint count)

    [<DllImport("libc", EntryPoint = "sendmsg", SetLastError = true)>]
    extern nativeint sendmsg(int fd, nativeint message, int flags)

    [<DllImport("libc", EntryPoint = "recvmsg", SetLastError = true)>]
    extern nativeint recvmsg(int fd, nativeint message, int flags)

let close (fd: int) = Native.close fd |> ignore

/// Maps a file for reading and writing, shared.
let mapShared (fd: int) (length: int64) : nativeint =
    match Native.mmap (0n, unativeint length, 3, 1, fd, 0L) with
    | -1n -> failwith "mmap"
    | address -> address

let unmap (address: nativeint) (length: int64) : unit =
    Native.munmap (address, unativeint length) |> ignore

/// A file in memory of so many bytes.
let memoryFile (length: int64) : int =
    let fd = Native.memfdCreate ("test", 1u)

    if fd < 0 || Native.ftruncate (fd, length) < 0 then
        failwith "no file in memory"

    fd

let private EFD_CLOEXEC = 0x80000
let private EFD_NONBLOCK = 0x800

let event () : int =
    Native.eventfd (0u, EFD_CLOEXEC ||| EFD_NONBLOCK)

let signal (fd: int) =
    Native.write (fd, BitConverter.GetBytes 1UL, 8un) |> ignore

/// Whether the event was signalled since the last look.
let isSignalled (fd: int) : bool =
    Native.read (fd, Array.zeroCreate 8, 8un) = 8n

/// struct msghdr with its vector, room for control data and payload, in one block.
let private withMessage (payload: int) (control: int) (act: nativeint -> nativeint -> nativeint -> 'T) : 'T =
    let block = Marshal.AllocHGlobal(128 + 128 + payload)

    try
        for i in 0..8..248 do
            Marshal.WriteInt64(block, i, 0L)

        let data = block + 256n
        Marshal.WriteInt64(block, 16, int64 (block + 64n))
        Marshal.WriteInt64(block, 24, 1L)
        Marshal.WriteInt64(block, 64, int64 data)
        Marshal.WriteInt64(block, 72, int64 payload)

        if control > 0 then
            Marshal.WriteInt64(block, 32, int64 (block + 128n))
            Marshal.WriteInt64(block, 40, int64 control)

        act block (block + 128n) data
    finally
        Marshal.FreeHGlobal block

let private MSG_NOSIGNAL = 0x4000

/// Sends bytes with descriptors (SCM_RIGHTS).
let send (socket: Socket) (bytes: byte[]) (fds: int list) : unit =
    let control = if fds.IsEmpty then 0 else 16 + (4 * fds.Length + 7) / 8 * 8

    withMessage bytes.Length control (fun message head data ->
        Marshal.Copy(bytes, 0, data, bytes.Length)

        if control > 0 then
            Marshal.WriteInt64(head, int64 (16 + 4 * fds.Length))
            Marshal.WriteInt32(head, 8, 1)
            Marshal.WriteInt32(head, 12, 1)
            fds |> List.iteri (fun i fd -> Marshal.WriteInt32(head, 16 + 4 * i, fd))

        Native.sendmsg (int socket.Handle, message, MSG_NOSIGNAL) |> ignore)

/// Receives so many bytes, and a descriptor if one comes along. Throws at the end of the connection.
let receive (socket: Socket) (length: int) : byte[] * int voption =
    let bytes = Array.zeroCreate<byte> length
    let mutable fd = ValueNone
    let mutable at = 0

    while at < length do
        if not (socket.Poll(int Wait.defaultTimeout.TotalMilliseconds * 1000, SelectMode.SelectRead)) then
            failwith "the daemon does not answer"

        withMessage (length - at) 64 (fun message head data ->
            let count = int (Native.recvmsg (int socket.Handle, message, 0))

            if count <= 0 then
                raise (EndOfStreamException())

            if Marshal.ReadInt64(message, 40) >= 20L then
                fd <- ValueSome(Marshal.ReadInt32(head, 16))

            Marshal.Copy(data, bytes, at, count)
            at <- at + count)

    bytes, fd

let private UserBase = 0x7f0000000000UL
let private MemoryLength = 12L <<< 20

/// Most requests at a time in a queue.
let Slots = 16

let private QueueSize = 64us

/// Most bytes of data in one request.
let MaxData = 0x10000

/// VIRTIO_BLK_T_*.
module Kind =
    let read = 0u
    let write = 1u
    let flush = 4u
    let getId = 8u
    let discard = 11u
    let writeZeroes = 13u

/// The guest: its memory outlives connections.
type Guest(queues: int) =
    let fd = memoryFile MemoryLength
    let memory = mapShared fd MemoryLength
    let kicks = Array.init queues (fun _ -> event ())
    let calls = Array.init queues (fun _ -> event ())
    let offered = Array.zeroCreate<uint16> queues
    let seen = Array.zeroCreate<uint16> queues

    let ring queue = uint64 queue * 0x10000UL
    let avail queue = ring queue + 0x4000UL
    let used queue = ring queue + 0x8000UL
    let frame queue slot =
        0x100000UL + uint64 queue * 0x10000UL + uint64 slot * 64UL
    let data queue slot =
        0x200000UL + uint64 (queue * Slots + slot) * 0x20000UL

    let put16 (at: uint64) (value: uint16) =
        Marshal.WriteInt16(memory + nativeint at, int16 value)
    let put32 (at: uint64) (value: uint32) =
        Marshal.WriteInt32(memory + nativeint at, int value)
    let put64 (at: uint64) (value: uint64) =
        Marshal.WriteInt64(memory + nativeint at, int64 value)

    let descriptor queue (index: int) (address: uint64) (length: int) (flags: uint16) =
        let at = ring queue + 16UL * uint64 index
        put64 at address
        put32 (at + 8UL) (uint32 length)
        put16 (at + 12UL) flags
        put16 (at + 14UL) (uint16 (index + 1))

    let usedIndex queue =
        Shared.acquireU16 (memory + nativeint (used queue) + 2n)

    member _.MemoryFd = fd
    member _.Queues = queues
    member _.Kick queue = kicks[queue]
    member _.Call queue = calls[queue]
    /// What the driver has seen of the used ring: where a queue goes on after a connection has been lost.
    member _.UsedIndex queue = usedIndex queue

    member _.Region: RegionMessage = {
        Region = {
            GuestAddress = 0UL
            UserAddress = UserBase
            LengthBytes = uint64 MemoryLength
        }
        MmapOffset = 0UL
    }

    member _.Address(queue: int) : VringAddress = {
        Desc = UserBase + ring queue
        Used = UserBase + used queue
        Avail = UserBase + avail queue
        Log = 0UL
        Flags = 0u
    }

    /// Makes descriptors from `first` on available.
    member _.Offer(queue: int, first: int) : unit =
        put16 (avail queue + 4UL + 2UL * uint64 (offered[queue] % QueueSize)) (uint16 first)
        offered[queue] <- offered[queue] + 1us
        Shared.releaseU16 (memory + nativeint (avail queue) + 2n) offered[queue]
        signal kicks[queue]

    member _.Descriptor(queue, index, address, length, flags) =
        descriptor queue index address length flags

    /// Makes a request available, in a slot of its own. `bytes` are written; for reads so many are read. The data lie in
    /// two pieces.
    member this.Submit(queue: int, slot: int, kind: uint32, sector: uint64, bytes: byte[]) : unit =
        let head = frame queue slot
        let place = data queue slot
        put32 head kind
        put32 (head + 4UL) 0u
        put64 (head + 8UL) sector
        Marshal.WriteByte(memory + nativeint head + 48n, 0xffuy)
        let half = bytes.Length / 2
        let isRead = kind = Kind.read || kind = Kind.getId
        let dataFlags = if isRead then 3us else 1us
        descriptor queue (4 * slot) head 16 1us
        Marshal.Copy(bytes, 0, memory + nativeint place, half)
        Marshal.Copy(bytes, half, memory + nativeint place + nativeint MaxData, bytes.Length - half)
        let mutable next = 4 * slot + 1

        if half > 0 then
            descriptor queue next place half dataFlags
            descriptor queue (next + 1) (place + uint64 MaxData) (bytes.Length - half) dataFlags
            next <- next + 2

        descriptor queue next (head + 48UL) 1 2us
        this.Offer(queue, 4 * slot)

    /// Waits until so many more requests of a queue have come back, with calls.
    member _.Await(queue: int, count: int) : unit =
        Wait.orFail Wait.defaultTimeout "requests to come back" (fun () ->
            usedIndex queue - seen[queue] >= uint16 count)
        seen[queue] <- usedIndex queue
        Wait.orFail Wait.defaultTimeout "a call" (fun () -> isSignalled calls[queue])

    member _.Returned(queue: int) : int = int (usedIndex queue - seen[queue])

    member _.Status(queue: int, slot: int) : byte =
        Marshal.ReadByte(memory + nativeint (frame queue slot) + 48n)

    member _.Data(queue: int, slot: int, length: int) : byte[] =
        let bytes = Array.zeroCreate<byte> length
        let half = length / 2
        Marshal.Copy(memory + nativeint (data queue slot), bytes, 0, half)
        Marshal.Copy(memory + nativeint (data queue slot) + nativeint MaxData, bytes, half, length - half)
        bytes

    /// One request from start to end: status and data.
    member this.Ask(queue: int, kind: uint32, sector: uint64, bytes: byte[]) : byte * byte[] =
        this.Submit(queue, 0, kind, sector, bytes)
        this.Await(queue, 1)
        this.Status(queue, 0), this.Data(queue, 0, bytes.Length)

    interface IDisposable with
        member _.Dispose() =
            unmap memory MemoryLength
            close fd
            Array.iter close kicks
            Array.iter close calls

/// A connection to the daemon.
type Connection(path: string) =
    let socket = QmpClient.connectUnix path

    member _.Socket = socket

    member _.SendWith(message: Message, fds: int list) : unit =
        send socket (VhostUserFrontend.encode false message) fds

    member this.Send(message: Message) : unit = this.SendWith(message, [])

    /// The payload of the next reply, and a descriptor if one comes along.
    member _.Reply() : byte[] * int voption =
        let header, fd = receive socket 12
        let payload, other = receive socket (BitConverter.ToInt32(header, 8))
        payload, (if fd.IsSome then fd else other)

    member this.Ask(message: Message) : byte[] =
        this.Send message
        fst (this.Reply())

    /// Sends a message and waits until the daemon has done it.
    member this.Do(message: Message, fds: int list) : unit =
        send socket (VhostUserFrontend.encode true message) fds

        if BitConverter.ToUInt64(fst (this.Reply()), 0) <> 0UL then
            failwith $"refused: {message}"

    /// Whether the daemon ends the connection.
    member this.IsClosed() : bool =
        try
            this.Ask GetFeatures |> ignore
            false
        with
        | :? EndOfStreamException
        | :? SocketException -> true

    /// Features without those of the mask, and all that goes before the memory. What is in force then: features and
    /// protocol features.
    member this.NegotiateWithout(mask: uint64) : struct (uint64 * uint64) =
        let features = BitConverter.ToUInt64(this.Ask GetFeatures, 0) &&& ~~~mask
        let protocol = BitConverter.ToUInt64(this.Ask GetProtocolFeatures, 0)
        this.Send(SetProtocolFeatures protocol)
        this.Send SetOwner
        this.Send(SetFeatures features)
        features, protocol

    member this.Negotiate() : unit =
        // Calls and kicks always: no event indices, no log of pages.
        this.NegotiateWithout((1UL <<< 29) ||| (1UL <<< 26) ||| (1UL <<< 24)) |> ignore

    /// Starts a ring of `size` entries at an index of its available ring.
    member this.StartRing(queue: int, size: uint32, from: uint16, place: VringAddress, kick: int, call: int) : unit =
        let index = uint32 queue
        this.Do(SetVringNum(index, size), [])
        this.Do(SetVringBase(index, uint32 from), [])
        this.Do(SetVringAddr(index, place), [])
        this.Do(SetVringCall(index, true), [ call ])
        this.Do(SetVringKick(index, true), [ kick ])
        this.Do(SetVringEnable(index, true), [])

    /// Starts a queue that goes on at an index of its available ring.
    member this.StartQueue(guest: Guest, queue: int, from: uint16) : unit =
        this.StartRing(queue, uint32 QueueSize, from, guest.Address queue, guest.Kick queue, guest.Call queue)

    /// All of it: memory and queues.
    member this.Start(guest: Guest) : unit =
        this.Negotiate()
        this.Do(SetMemTable [ guest.Region ], [ guest.MemoryFd ])

        for queue in 0 .. guest.Queues - 1 do
            this.StartQueue(guest, queue, guest.UsedIndex queue)

    /// config.capacity, in sectors.
    member this.Capacity() : uint64 =
        BitConverter.ToUInt64(this.Ask(GetConfig(ValueSome(struct (0u, 60u, 0u)))), 12)

    interface IDisposable with
        member _.Dispose() = socket.Dispose()
