/// Runs the machine of a layer over children in memory: child requests end in any order, sleepers wake when the clock
/// reaches them, and children fail where they are told to.
module internal StorageDaemon.Tests.Reference.LayerRunner

open System
open System.Collections.Generic
open StorageDaemon.Core.Io

/// A child: its bytes, which may grow, and the error of a request, zero for none.
type MemoryChild(content: byte[], fails: ChildRequest -> int) =
    member val Content = content with get, set
    member val Requests = List<ChildRequest>()

    /// What the request does to the content, if it does not fail. Behind the end everything reads as zeroes.
    abstract Apply: request: ChildRequest * buffer: Span<byte> -> unit

    default this.Apply(request, buffer) =
        let start = int request.Offset
        let length = int request.Length

        if request.Kind = RequestKind.BlockStatus then
            ()
        elif request.Kind = RequestKind.Read then
            let there = max 0 (min length (this.Content.Length - start))
            buffer.Slice(there).Clear()

            if there > 0 then
                this.Content.AsSpan(start, there).CopyTo buffer
        else
            if start + length > this.Content.Length then
                this.Content <- Array.append this.Content (Array.zeroCreate (start + length - this.Content.Length))

            match request.Kind with
            | RequestKind.Write -> buffer.CopyTo(this.Content.AsSpan(start, length))
            | RequestKind.WriteZeroes
            | RequestKind.Discard -> this.Content.AsSpan(start, length).Clear()
            | _ -> ()

    /// The space that the content takes, in bytes.
    member val SpaceBytes = int64 content.Length with get, set

    /// What is known of the first bytes of a range. Sectors that are zero are known to be.
    abstract Status: offset: int64 * length: int64 -> struct (BlockStatus * int64)

    default this.Status(offset, length) =
        let isZero (at: int64) =
            let from = int (min at this.Content.LongLength)
            let until = int (min ((at ||| 511L) + 1L) this.Content.LongLength)
            not (this.Content.AsSpan(from, until - from).ContainsAnyExcept 0uy)

        let first = isZero offset
        let mutable at = (offset ||| 511L) + 1L

        while at < offset + length && isZero at = first do
            at <- at + 512L

        let status = if first then BlockStatus.Zero else BlockStatus.Data
        struct (status ||| BlockStatus.Allocated, min length (at - offset))

    /// A request has been sent; it is carried out later.
    abstract Issued: request: ChildRequest -> unit

    default _.Issued _ = ()

    member this.Run(request: ChildRequest, buffer: Span<byte>) : int =
        this.Requests.Add request

        match fails request with
        | 0 ->
            this.Apply(request, buffer)
            0
        | error -> error

let private addressOf (pinned: byte[]) : nativeint =
    if pinned.Length = 0 then
        0n
    else
        Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0)

let private pinned (length: int) : byte[] =
    GC.AllocateArray<byte>(length, pinned = true)

/// A request at the layer.
[<AllowNullLiteral>]
type Slot(kind: RequestKind, flags: RequestFlags, offset: int64, length: int64, data: byte[], viaFormat: bool) =
    [<DefaultValue>]
    val mutable Frame: Frame

    member val Buffers: byte[][] = [||] with get, set
    member val Memory = FrameMemory()
    member val Outstanding = 0 with get, set
    member val IsDone = false with get, set
    member _.Data = data

    member this.Init() =
        this.Frame.Kind <- kind
        this.Frame.Flags <- flags
        this.Frame.Offset <- offset
        this.Frame.Length <- length
        this.Frame.ViaFormat <- viaFormat

    member this.Error = this.Frame.Error

    /// The buffers that the frame asks for, full of rubbish.
    member this.Rent() =
        let bytes =
            if this.Frame.ScratchBytes > 0L then
                this.Frame.ScratchBytes
            else
                length

        this.Buffers <-
            Array.init this.Frame.ScratchCount (fun _ ->
                let buffer = pinned (int bytes)
                Array.fill buffer 0 buffer.Length 0xa5uy
                buffer)

        this.Memory.Scratch <- Array.map addressOf this.Buffers

type Runner(layer: Layer, children: MemoryChild list, seed: int) =
    let random = Random seed
    let sink = ChildRequests()
    let waiting = List<struct (Slot * ChildRequest)>()
    let sleeping = List<Slot>()
    let resumed = List<Slot>()
    let mutable now = 1L

    let afterStep (slot: Slot) =
        for i in 0 .. sink.Count - 1 do
            let request = sink.At i
            children[request.Child].Issued request
            waiting.Add(struct (slot, request))
            slot.Outstanding <- slot.Outstanding + 1

        for ticket in sink.Woken do
            resumed.Add(ticket :?> Slot)

        match slot.Frame.Op with
        | FrameOp.Done when slot.Outstanding = 0 -> slot.IsDone <- true
        | FrameOp.Sleep when slot.Outstanding = 0 -> sleeping.Add slot
        | FrameOp.Rent ->
            slot.Rent()
            resumed.Add slot
        | _ -> ()

    member val Notices = List<LayerNotice>()

    /// Begins a request. Its data are read from or written into `data`.
    member this.Start(kind, flags, offset: int64, length: int64, data: byte[], viaFormat: bool) : Slot =
        let own = pinned data.Length
        data.CopyTo(own, 0)
        let slot = Slot(kind, flags, offset, length, own, viaFormat)
        slot.Init()
        slot.Memory.Own <- addressOf own
        slot.Memory.ChildCount <- children.Length
        layer.Prepare(slot.Memory, &slot.Frame)

        slot.Memory.Ticket <- slot
        slot.Rent()
        layer.Start(now, slot.Memory, &slot.Frame, sink)
        this.After slot
        slot

    member private this.After(slot: Slot) =
        if sink.HasNotices then
            this.Notices.AddRange sink.Notices

        afterStep slot
        sink.Clear()

    /// Child requests that have not ended.
    member _.Waiting = waiting

    /// One thing that can happen next; false if there is none.
    member this.Step() : bool =
        let choices = waiting.Count + sleeping.Count + resumed.Count

        if choices = 0 then
            false
        else
            let choice = random.Next choices

            if choice < waiting.Count then
                let struct (slot, request) = waiting[choice]
                waiting.RemoveAt choice

                let buffer =
                    if request.Buffer = int FrameBuffer.None then
                        Span<byte>.Empty
                    else
                        slot.Memory.Span(request.Buffer, request.BufferOffset, int request.Length)

                let error = children[request.Child].Run(request, buffer)
                slot.Outstanding <- slot.Outstanding - 1

                if request.Kind = RequestKind.BlockStatus then
                    let struct (status, length) = children[request.Child].Status(request.Offset, request.Length)
                    slot.Frame.Status <- status
                    slot.Frame.StatusBytes <- length

                layer.ChildDone(now, slot.Memory, &slot.Frame, request.Tag, error, sink)
                this.After slot
            elif choice - waiting.Count < resumed.Count then
                let slot = resumed[choice - waiting.Count]
                resumed.RemoveAt(choice - waiting.Count)
                slot.Frame.Op <- FrameOp.Wait
                layer.Resume(now, slot.Memory, &slot.Frame, sink)
                this.After slot
            else
                let choice = choice - resumed.Count
                let slot = sleeping[choice - waiting.Count]
                sleeping.RemoveAt(choice - waiting.Count)
                now <- max now slot.Frame.WakeNs
                slot.Frame.Op <- FrameOp.Wait
                layer.Resume(now, slot.Memory, &slot.Frame, sink)
                this.After slot

            true

    /// Lets everything come to its end.
    member this.Finish() =
        let mutable steps = 0

        while this.Step() do
            steps <- steps + 1

            if steps > 200_000 then
                failwith "requests wait for ever"

    /// One request from begin to end: its error and its data.
    member this.Run(kind, flags, offset, length, data, viaFormat) : int * byte[] =
        let slot: Slot = this.Start(kind, flags, offset, length, data, viaFormat)
        this.Finish()

        if not slot.IsDone then
            failwith "a request has not ended"

        slot.Error, slot.Data

    /// What the layer knows of the first bytes of a range: its error, or the answer.
    member this.Status(offset: int64, length: int64, flags: RequestFlags) : Result<struct (BlockStatus * int64), int> =
        let slot: Slot = this.Start(RequestKind.BlockStatus, flags, offset, length, [||], false)
        this.Finish()

        if not slot.IsDone then
            failwith "a block status has not ended"

        if slot.Error = 0 then
            Ok(struct (slot.Frame.Status, slot.Frame.StatusBytes))
        else
            Error slot.Error
