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

    member this.Run(request: ChildRequest, buffer: Span<byte>) : int =
        this.Requests.Add request

        match fails request with
        | 0 ->
            let start = int request.Offset
            let length = int request.Length

            if start + length > this.Content.Length then
                this.Content <- Array.append this.Content (Array.zeroCreate (start + length - this.Content.Length))

            match request.Kind with
            | RequestKind.Read -> this.Content.AsSpan(start, length).CopyTo buffer
            | RequestKind.Write -> buffer.CopyTo(this.Content.AsSpan(start, length))
            | RequestKind.WriteZeroes
            | RequestKind.Discard -> this.Content.AsSpan(start, length).Clear()
            | _ -> ()

            0
        | error -> error

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

let private addressOf (pinned: byte[]) : nativeint =
    if pinned.Length = 0 then
        0n
    else
        Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0)

let private pinned (length: int) : byte[] =
    GC.AllocateArray<byte>(length, pinned = true)

type Runner(layer: Layer, children: MemoryChild list, seed: int) =
    let random = Random seed
    let sink = ChildRequests()
    let waiting = List<struct (Slot * ChildRequest)>()
    let sleeping = List<Slot>()
    let mutable now = 1L

    let afterStep (slot: Slot) =
        for i in 0 .. sink.Count - 1 do
            waiting.Add(struct (slot, sink.At i))
            slot.Outstanding <- slot.Outstanding + 1

        match slot.Frame.Op with
        | FrameOp.Done when slot.Outstanding = 0 -> slot.IsDone <- true
        | FrameOp.Sleep when slot.Outstanding = 0 -> sleeping.Add slot
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

        let bytes =
            if slot.Frame.ScratchBytes > 0L then
                slot.Frame.ScratchBytes
            else
                length

        slot.Buffers <- Array.init slot.Frame.ScratchCount (fun _ -> pinned (int bytes))
        slot.Memory.Scratch <- Array.map addressOf slot.Buffers
        layer.Start(now, slot.Memory, &slot.Frame, sink)
        this.After slot
        slot

    member private this.After(slot: Slot) =
        if sink.HasNotices then
            this.Notices.AddRange sink.Notices

        afterStep slot
        sink.Clear()

    /// One thing that can happen next; false if there is none.
    member this.Step() : bool =
        let choices = waiting.Count + sleeping.Count

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
                layer.ChildDone(now, slot.Memory, &slot.Frame, request.Tag, error, sink)
                this.After slot
            else
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
