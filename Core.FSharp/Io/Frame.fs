namespace StorageDaemon.Core.Io

open System
open System.Collections.Generic

/// What a layer's machine has come to.
type FrameOp =
    /// The request is complete once its child requests are; `Frame.Error` says how.
    | Done = 0uy
    /// Child requests are under way; the end of each one is told.
    | Wait = 1uy
    /// Nothing to do before `Frame.WakeNs`.
    | Sleep = 2uy
    /// To be let in by the layer's throttle group: `Frame.AdmitBytes` of reading or writing.
    | Admit = 3uy
    /// Nothing to do until a step of another frame wakes this one by its `FrameMemory.Ticket`.
    | Park = 4uy
    /// To go on at once, with the buffers that `Frame.ScratchCount` and `ScratchBytes` ask for instead of those it has.
    | Rent = 5uy

/// Where the data of a child request are.
type FrameBuffer =
    /// The request has no data.
    | None = -2
    /// In the buffer of the request itself.
    | Own = -1
    /// At the address that stands in `ChildRequest.BufferOffset`: memory of the layer's own, which does not move.
    | Address = -3

/// One request at one layer: a value in a pre-allocated slot, moved on by the layer's machine. Offsets and lengths are
/// in bytes of the layer's node.
[<Struct; NoEquality; NoComparison>]
type Frame =
    val mutable Kind: RequestKind
    val mutable Flags: RequestFlags
    val mutable Op: FrameOp
    val mutable Offset: int64
    val mutable Length: int64
    /// Linux error number, zero for success. Valid when `Op` is `Done`.
    val mutable Error: int
    /// For `Sleep`: monotonic time in nanoseconds.
    val mutable WakeNs: int64
    /// For `Admit`: bytes to account for.
    val mutable AdmitBytes: int64
    /// Buffers of the layer's own that the request needs; set in `Layer.Prepare`.
    val mutable ScratchCount: int
    /// Bytes of each of them; zero for `Length`.
    val mutable ScratchBytes: int64
    /// The request comes through a format driver right above the layer.
    val mutable ViaFormat: bool
    /// Nothing may be written, by the layer either: its node is read-only or inactive.
    val mutable ReadOnly: bool
    /// For a block status: what is known of the first `StatusBytes` of the range. The machine's answer when it is done,
    /// and what a child has answered when that is told: a filter need not touch it.
    val mutable Status: BlockStatus
    val mutable StatusBytes: int64
    /// The machine's own.
    val mutable Phase: int
    val mutable Counter: int
    val mutable First: int64
    val mutable Second: int64

/// What a layer asks of one of its children.
[<Struct; NoEquality; NoComparison>]
type ChildRequest = {
    /// Which child, in the order of the node's children.
    Child: int
    /// Comes back with the end; 0 to `ChildRequests.MaxTag`.
    Tag: int
    Kind: RequestKind
    Flags: RequestFlags
    Offset: int64
    Length: int64
    /// `FrameBuffer.None`, `FrameBuffer.Own`, or the number of a scratch buffer.
    Buffer: int
    /// Bytes from the buffer's start.
    BufferOffset: int64
}

module ChildRequest =
    /// A request for the bytes from one offset up to another.
    let between child tag kind flags (from: int64) (until: int64) buffer bufferOffset : ChildRequest = {
        Child = child
        Tag = tag
        Kind = kind
        Flags = flags
        Offset = from
        Length = until - from
        Buffer = buffer
        BufferOffset = bufferOffset
    }

/// Something about a node that its users may want to know; rare.
type LayerNotice = interface end

/// Where a machine puts its child requests and notices; one for each I/O thread, emptied by the shell after each step.
[<Sealed; AllowNullLiteral>]
type ChildRequests() =
    let mutable items: ChildRequest[] = Array.zeroCreate 32
    let mutable count = 0
    let mutable notices: LayerNotice list = []
    let woken = List<obj>()

    /// The greatest `ChildRequest.Tag`.
    static member MaxTag = 1023

    member _.Count = count
    member _.At(index: int) : inref<ChildRequest> = &items[index]

    /// Child requests of one step are independent of one another: they may run and end in any order.
    member _.Add(request: ChildRequest) =
        if count = items.Length then
            let larger = Array.zeroCreate (count * 2)
            Array.blit items 0 larger 0 count
            items <- larger

        items[count] <- request
        count <- count + 1

    member _.Notify(notice: LayerNotice) = notices <- notice :: notices

    /// The notices of the step, the oldest first.
    member _.Notices = List.rev notices
    member _.HasNotices = not notices.IsEmpty

    /// Parked frames go on, by their tickets, and have left the place where they waited.
    member _.WakeAll(tickets: List<obj>) =
        woken.AddRange tickets
        tickets.Clear()

    member _.Woken = woken

    member _.Clear() =
        count <- 0
        woken.Clear()
        notices <- []

/// The memory of one request: addresses of its data.
[<Sealed; AllowNullLiteral>]
type FrameMemory() =
    let mutable scratch: nativeint[] = Array.empty

    /// The request's own buffer, `Frame.Length` bytes; zero where it has no data.
    member val Own = 0n with get, set

    /// Names the frame to `ChildRequests.WakeAll`; the shell's.
    member val Ticket: obj = null with get, set

    /// How many children the layer has.
    member val ChildCount = 0 with get, set

    /// What the machine keeps with the slot from request to request, so that it is made once only.
    member val State: obj = null with get, set

    /// The layer's own buffers, `Frame.ScratchBytes` each.
    member _.Scratch
        with get () = scratch
        and set value = scratch <- value

    member this.Span(buffer: int, offset: int64, length: int) : Span<byte> =
        let start =
            if buffer = int FrameBuffer.Own then this.Own
            elif buffer = int FrameBuffer.Address then 0n
            else scratch[buffer]
        Span<byte>(
            NativeInterop.NativePtr.toVoidPtr (NativeInterop.NativePtr.ofNativeInt<byte>(start + nativeint offset)),
            length
        )

/// Where a machine would pass a read on to, as it is. Offsets are bytes of the machine's node.
[<Struct; NoEquality; NoComparison>]
type Route = {
    /// In the order of the node's children.
    Child: int
    /// To be added to an offset for the child's.
    Shift: int64
    /// The bytes that all go the same way.
    From: int64
    Until: int64
}

/// The machine of a node that does more with a request than to pass it on. Its methods are transitions of the frame
/// (and of the layer's own state, which the caller guards): they set `Frame.Op` and put child requests into the sink.
/// A frame ends when its `Op` is `Done` and no child request is under way.
[<AbstractClass>]
type Layer() =
    /// Whether the machine has state of its own, so that its transitions must not overlap.
    abstract IsStateful: bool

    default _.IsStateful = false

    /// Binary logarithm of the bytes in whose multiples routes begin and end as a rule; zero where `TryRoute` never finds
    /// any, so that it need not be asked. Stays the same.
    abstract RouteGrainBits: int

    default _.RouteGrainBits = 0

    /// Where a read of the bytes from `offset` goes, if that is known at once, does not change as long as the node's
    /// children are the same ones, and the machine does nothing else with it: users may then keep the answer and leave
    /// the machine out. False if not.
    abstract TryRoute: offset: int64 * limit: int64 * route: byref<Route> -> bool

    default _.TryRoute(_, _, _) = false

    /// Says how much memory of its own a request needs, before it starts.
    abstract Prepare: memory: FrameMemory * frame: byref<Frame> -> unit

    default _.Prepare(_, _) = ()

    /// A request arrives: kind, flags, offset and length are set, everything else is zero. The range lies in the node,
    /// and writes are allowed.
    abstract Start: nowNs: int64 * memory: FrameMemory * frame: byref<Frame> * sink: ChildRequests -> unit

    /// A child request has ended with an error number, or zero.
    abstract ChildDone:
        nowNs: int64 * memory: FrameMemory * frame: byref<Frame> * tag: int * error: int * sink: ChildRequests -> unit

    /// The time to sleep is over, the throttle group lets the request in, another frame woke this one, or the buffers
    /// are there.
    abstract Resume: nowNs: int64 * memory: FrameMemory * frame: byref<Frame> * sink: ChildRequests -> unit

    default _.Resume(_, _, frame, _) =
        frame.Error <- StorageDaemon.Core.Errno.EIO
        frame.Op <- FrameOp.Done

    /// The buffers that the frame asked for in `Rent` cannot be had.
    abstract OutOfMemory: nowNs: int64 * memory: FrameMemory * frame: byref<Frame> * sink: ChildRequests -> unit

    default _.OutOfMemory(_, _, frame, _) =
        frame.Error <- StorageDaemon.Core.Errno.ENOMEM
        frame.Op <- FrameOp.Done

module Frame =
    /// Answers a block status.
    let answer (status: BlockStatus) (lengthBytes: int64) (frame: byref<Frame>) =
        frame.Status <- status
        frame.StatusBytes <- lengthBytes
        frame.Error <- 0
        frame.Op <- FrameOp.Done

    /// Passes the request on to a child as it is, with its data at `offset` of the child.
    let passAt (child: int) (tag: int) (offset: int64) (frame: byref<Frame>) (sink: ChildRequests) =
        frame.Op <- FrameOp.Wait

        sink.Add {
            Child = child
            Tag = tag
            Kind = frame.Kind
            Flags = frame.Flags
            Offset = offset
            Length = frame.Length
            Buffer =
                match frame.Kind with
                | RequestKind.Read
                | RequestKind.Write -> int FrameBuffer.Own
                | _ -> int FrameBuffer.None
            BufferOffset = 0L
        }

    /// Passes the request on to a child as it is.
    let pass (child: int) (frame: byref<Frame>) (sink: ChildRequests) = passAt child 0 frame.Offset &frame sink

    let finish (error: int) (frame: byref<Frame>) =
        frame.Error <- error
        frame.Op <- FrameOp.Done
