namespace StorageDaemon.Core.Filter

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What copy-on-read knows of what stands below it. Bytes.
[<Sealed; AllowNullLiteral>]
type CopyGround(grainBytes: int64, lengths: int64[]) =
    /// The unit of copies, a power of two: what the image maps as a whole. Zero where nothing can be missing.
    member _.GrainBytes = grainBytes

    /// The length of each child.
    member _.Lengths = lengths

/// How far a copying request has come. Kept with its slot.
[<Sealed; AllowNullLiteral>]
type internal CopyRequest() =
    /// Up to here everything is read, or is going to be read from `PlainFrom` on.
    member val Position = 0L with get, set
    /// Bytes from here to `Position` are in the image: they are read in one piece.
    member val PlainFrom = 0L with get, set
    /// The end of the piece that is looked at.
    member val Until = 0L with get, set
    /// The child that is being asked for the piece.
    member val Asked = 0 with get, set
    /// The bytes that are copied, in whole grains.
    member val CopyFrom = 0L with get, set
    member val CopyUntil = 0L with get, set
    member val Outstanding = 0 with get, set
    /// Nothing is left but to wait for reads.
    member val IsAtEnd = false with get, set
    member val Error = 0 with get, set

/// The machine of copy-on-read: what a read finds missing in the image that is its first child is read from below it, and
/// then written to the image with leave to write only what is still missing there. So nobody's data can be overwritten by
/// what they were before, whoever writes. A copy that fails does not fail a read, only a prefetch. Further children are
/// the images below, in their order: there is nothing to be copied that none of them has.
[<Sealed>]
type CopyOnReadLayer() =
    inherit Layer()

    /// Bytes of one copy at most, where grains are not larger.
    [<Literal>]
    let MaxCopy = 1048576L

    [<Literal>]
    let PlainTag = 0

    [<Literal>]
    let StatusTag = 1

    [<Literal>]
    let LoadTag = 2

    [<Literal>]
    let StoreTag = 3

    let mutable ground: CopyGround = null

    let requestOf (memory: FrameMemory) : CopyRequest =
        match memory.State with
        | :? CopyRequest as request -> request
        | _ ->
            let request = CopyRequest()
            memory.State <- request
            request

    let send
        (request: CopyRequest)
        child
        tag
        kind
        flags
        (from: int64)
        (until: int64)
        buffer
        at
        (frame: byref<Frame>)
        (sink: ChildRequests)
        =
        request.Outstanding <- request.Outstanding + 1
        frame.Op <- FrameOp.Wait

        sink.Add(ChildRequest.between child tag kind flags from until buffer at)

    /// Reads what is in the image already.
    let sendPlain (request: CopyRequest) (frame: byref<Frame>) (sink: ChildRequests) =
        if request.PlainFrom < request.Position && frame.Kind = RequestKind.Read then
            let at = request.PlainFrom - frame.Offset

            send
                request
                0
                PlainTag
                RequestKind.Read
                frame.Flags
                request.PlainFrom
                request.Position
                (int FrameBuffer.Own)
                at
                &frame
                sink

        request.PlainFrom <- request.Position

    let ask (request: CopyRequest) (child: int) (frame: byref<Frame>) (sink: ChildRequests) =
        request.Asked <- child
        let none = int FrameBuffer.None
        let flags = RequestFlags.OwnOnly
        send request child StatusTag RequestKind.BlockStatus flags request.Position request.Until none 0L &frame sink

    /// Goes on with the next piece, or ends with the last one.
    let next (request: CopyRequest) (frame: byref<Frame>) (sink: ChildRequests) =
        let until = frame.Offset + frame.Length

        if request.Position < until && request.Error = 0 then
            request.Until <- until
            ask request 0 &frame sink
        else
            if request.Error = 0 then
                sendPlain request &frame sink

            request.IsAtEnd <- true

            if request.Outstanding > 0 then
                frame.Op <- FrameOp.Wait
            else
                Frame.finish request.Error &frame

    /// The piece is read as it is.
    let keep (request: CopyRequest) (frame: byref<Frame>) (sink: ChildRequests) =
        request.Position <- request.Until
        next request &frame sink

    /// The piece cannot be copied, which matters to those only who asked for nothing else.
    let giveUp (request: CopyRequest) (error: int) (frame: byref<Frame>) (sink: ChildRequests) =
        if frame.Kind = RequestKind.Prefetch then
            request.Error <- error

        keep request &frame sink

    let load (request: CopyRequest) (frame: byref<Frame>) (sink: ChildRequests) =
        let from = request.CopyFrom
        send request 0 LoadTag RequestKind.Read RequestFlags.None from request.CopyUntil 0 0L &frame sink

    /// Copies the piece, or its beginning.
    let copy (request: CopyRequest) (frame: byref<Frame>) (sink: ChildRequests) =
        sendPlain request &frame sink
        let grain = ground.GrainBytes
        let from = request.Position &&& -grain
        request.Until <- min request.Until (from + max grain MaxCopy)
        let rounded = (request.Until + grain - 1L) &&& -grain
        request.CopyFrom <- from
        // The disk may have become longer since its length was told.
        request.CopyUntil <- max request.Until (min rounded ground.Lengths[0])
        let bytes = request.CopyUntil - from

        if frame.ScratchCount = 1 && frame.ScratchBytes >= bytes then
            load request &frame sink
        else
            frame.ScratchCount <- 1
            frame.ScratchBytes <- bytes
            frame.Op <- FrameOp.Rent

    /// What the images below are to be asked about the piece begins with the next one that is long enough.
    let rec askBelow (request: CopyRequest) (child: int) (frame: byref<Frame>) (sink: ChildRequests) =
        if child >= ground.Lengths.Length then
            keep request &frame sink
        elif request.Position >= ground.Lengths[child] then
            askBelow request (child + 1) &frame sink
        else
            request.Until <- min request.Until ground.Lengths[child]
            ask request child &frame sink

    /// A child has told of the piece's beginning.
    let judge (request: CopyRequest) (error: int) (frame: byref<Frame>) (sink: ChildRequests) =
        if error <> 0 || frame.StatusBytes <= 0L then
            giveUp request (if error = 0 then Errno.EIO else error) &frame sink
        else
            request.Until <- min request.Until (request.Position + frame.StatusBytes)
            let isThere = frame.Status &&& BlockStatus.Allocated <> BlockStatus.None

            if request.Asked = 0 then
                if isThere then keep request &frame sink
                elif ground.Lengths.Length = 1 then copy request &frame sink
                else askBelow request 1 &frame sink
            elif isThere then
                copy request &frame sink
            else
                askBelow request (request.Asked + 1) &frame sink

    /// The bytes are here: the reader gets its part, and the image all of them.
    let store (request: CopyRequest) (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) =
        let whole = memory.Span(0, 0L, int (request.CopyUntil - request.CopyFrom))

        if frame.Kind = RequestKind.Read then
            let length = int (request.Until - request.Position)
            let own = memory.Span(int FrameBuffer.Own, request.Position - frame.Offset, length)
            whole.Slice(int (request.Position - request.CopyFrom), length).CopyTo own

        let isZero = whole.IndexOfAnyExcept 0uy < 0

        let kind, buffer =
            if isZero then
                RequestKind.WriteZeroes, int FrameBuffer.None
            else
                RequestKind.Write, 0

        send request 0 StoreTag kind RequestFlags.OnlyMissing request.CopyFrom request.CopyUntil buffer 0L &frame sink

        request.Position <- request.Until
        request.PlainFrom <- request.Position

    /// What stands below; told before requests come, and again when it changes.
    member _.Ground
        with get () = ground
        and set (value: CopyGround) = ground <- value

    override _.Start(_, memory, frame, sink) =
        let copies = frame.Kind = RequestKind.Read || frame.Kind = RequestKind.Prefetch

        if not copies || frame.ReadOnly || isNull ground || ground.GrainBytes = 0L then
            frame.Phase <- 1
            Frame.pass 0 &frame sink
        else
            let request = requestOf memory
            request.Position <- frame.Offset
            request.PlainFrom <- frame.Offset
            request.Outstanding <- 0
            request.IsAtEnd <- false
            request.Error <- 0
            next request &frame sink

    override _.ChildDone(_, memory, frame, tag, error, sink) =
        if frame.Phase = 1 then
            Frame.finish error &frame
        else
            let request = requestOf memory
            request.Outstanding <- request.Outstanding - 1

            match tag with
            | StatusTag -> judge request error &frame sink
            | LoadTag when error <> 0 -> giveUp request error &frame sink
            | LoadTag -> store request memory &frame sink
            | StoreTag ->
                if error <> 0 && frame.Kind = RequestKind.Prefetch then
                    request.Error <- error

                next request &frame sink
            | _ ->
                if error <> 0 && request.Error = 0 then
                    request.Error <- error

                // A step that is under way, or a buffer that is to come, goes on at its own end.
                if request.IsAtEnd then
                    next request &frame sink
                else
                    frame.Op <- FrameOp.Wait

    override _.Resume(_, memory, frame, sink) = load (requestOf memory) &frame sink

    override _.OutOfMemory(_, memory, frame, sink) =
        frame.ScratchCount <- 0
        frame.ScratchBytes <- 0L
        giveUp (requestOf memory) Errno.ENOMEM &frame sink
