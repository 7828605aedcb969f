namespace StorageDaemon.Core.Qcow2

open StorageDaemon.Core
open StorageDaemon.Core.Io

/// The machine of an open image: child 0 is the image file. See `Reading`, `Writing`, `Clearing` and `Flushing` for what
/// becomes of a request, and `Checkpoint` for what makes changes durable.
[<Sealed>]
type Qcow2Layer(image: Image) =
    inherit Layer()

    // The field of the header that tells of corruption: memory that does not move.
    let marks = System.GC.AllocateArray<byte>(8, pinned = true)

    let requestOf (memory: FrameMemory) : Request =
        match memory.State with
        | :? Request as request -> request
        | _ ->
            let request = Request()
            memory.State <- request
            request

    /// What the frame is to do now. It is told once: a request that goes on waiting for the same asks for nothing again.
    let publish (request: Request) (frame: byref<Frame>) (sink: ChildRequests) =
        image.Tell sink
        frame.Op <- request.Op
        frame.Error <- request.Error
        frame.Status <- request.AnswerStatus
        frame.StatusBytes <- request.AnswerBytes
        frame.ScratchCount <- 1
        frame.ScratchBytes <- request.ScratchBytes

    let map (request: Request) (sink: ChildRequests) =
        match request.Kind with
        | RequestKind.Read ->
            if Reading.run image request sink then
                request.Stage <- Stage.End
        | RequestKind.Write ->
            if request.Position = request.Until then
                request.Stage <- Stage.End
            elif request.Position = request.Limit then
                Compressing.map image request sink
            else
                Writing.map image request sink
        | RequestKind.WriteZeroes
        | RequestKind.Discard ->
            if request.Position = request.Until then
                request.Stage <- Stage.End
            else
                Clearing.map image request sink
        | RequestKind.Flush ->
            request.AfterCheckpoint <- Stage.End
            request.Stage <- Stage.Checkpoint
        | RequestKind.BlockStatus -> Status.map image request sink
        | RequestKind.Prefetch -> request.Stage <- Stage.End
        | _ -> request.Fail Errno.ENOTSUP

    /// The file is told that it is corrupt; whether that can be written or not, the image is not used any more.
    let markCorrupt (request: Request) (sink: ChildRequests) =
        image.MustMarkCorrupt <- false
        let features = image.Header.Incompatible ||| Feature.corrupt
        image.Header <- { image.Header with Incompatible = features }
        BigEndian.writeU64 (System.Span marks) 0 features

        request.Send(
            sink,
            0,
            Tag.advice,
            RequestKind.Write,
            RequestFlags.None,
            int64 Header.incompatibleFieldOffset,
            8L,
            int FrameBuffer.Address,
            int64 (System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(marks, 0))
        )

        request.Wait FrameOp.Wait

    let finish (request: Request) (sink: ChildRequests) =
        if request.Outstanding > 0 then
            request.Wait FrameOp.Wait
        elif request.Error = 0 && request.Flags &&& RequestFlags.Fua <> RequestFlags.None then
            request.Flags <- request.Flags &&& ~~~RequestFlags.Fua
            request.AfterCheckpoint <- Stage.End
            request.Stage <- Stage.Checkpoint
        else
            if not request.HasLeft then
                Writing.abandon image request sink
                PrivateTable.abandon image request sink
                Flushing.abandon image request sink
                image.Freed.Leave request.Generation
                request.HasLeft <- true

            Discarding.abandon image request

            if image.MustMarkCorrupt then
                markCorrupt request sink
            elif Discarding.isDue image request then
                Discarding.begin' image request
            else
                request.Wait FrameOp.Done

    let advance (request: Request) (sink: ChildRequests) =
        request.Waits <- false

        while not request.Waits do
            if request.Error <> 0 then
                request.Stage <- Stage.End

            match request.Stage with
            | Stage.Map -> map request sink
            | Stage.Allocate
            | Stage.Pack when image.MustCheckpoint ->
                request.AfterCheckpoint <- request.Stage
                request.Stage <- Stage.Checkpoint
            | Stage.Allocate -> Writing.allocate image request sink
            | Stage.Pack -> Compressing.pack image request sink
            | Stage.Packed -> Compressing.commit image request sink
            | Stage.Surround -> Writing.surround image request sink
            | Stage.Fill -> Writing.fill image request sink
            | Stage.Commit -> Writing.commit image request sink
            | Stage.Probe -> Zeroing.step image request sink
            | Stage.Unmap -> Clearing.settle image request sink
            | Stage.Discard -> Discarding.step image request sink
            | Stage.Checkpoint -> Flushing.step image request sink
            | _ -> finish request sink

    member _.Image = image

    /// The backing image is that child now, or there is none; no request is under way. Lengths in bytes.
    member _.SetBacking(child: int, lengthBytes: int64) =
        if
            image.Children.BackingChild <> child
            || image.Children.BackingBytes <> lengthBytes
        then
            image.Children <- {
                image.Children with
                    BackingChild = child
                    BackingBytes = lengthBytes
            }

    /// The children that stand for the backing image, in their order: all but the file and the data file.
    member _.BackingChildNumber = image.Children.DataChild + 1

    override _.IsStateful = true

    override _.RouteGrainBits = if image.IsWritable then 0 else image.Geometry.ClusterBits

    override _.TryRoute(offset, limit, route) = Routing.find image offset limit &route

    override _.Start(_, memory, frame, sink) =
        let request = requestOf memory
        request.Begin(memory, frame.Kind, frame.Flags, frame.Offset, frame.Length)
        request.Generation <- image.Freed.Enter()

        if image.IsDead then
            request.Fail Errno.ENOMEDIUM
        elif
            image.IsFenced
            && frame.Kind <> RequestKind.Read
            && frame.Kind <> RequestKind.BlockStatus
        then
            request.Fail Errno.EIO
        elif Compressing.isWanted request then
            request.Limit <- request.Position

            match Compressing.refusal image frame.Offset frame.Length with
            | 0 -> ()
            | error -> request.Fail error

        Reading.start request (int FrameBuffer.Own) 0L frame.Offset (frame.Offset + frame.Length) Tag.data
        advance request sink
        publish request &frame sink

    override _.ChildDone(_, memory, frame, tag, error, sink) =
        let request = requestOf memory
        request.Outstanding <- request.Outstanding - 1

        if tag <> Tag.data then
            request.StepOutstanding <- request.StepOutstanding - 1

        if tag = Tag.table then
            Tables.loaded image request error sink
        elif tag = Tag.probe then
            Zeroing.take request error frame.Status frame.StatusBytes
        elif error <> 0 then
            if tag <> Tag.advice then
                request.NoteError error
            elif not (isNull request.Kept) then
                image.BreakView()
        elif request.Kind = RequestKind.BlockStatus then
            Status.take request frame.Status frame.StatusBytes

        // A request that waits for something else than its child requests goes on when that comes.
        if request.Op = FrameOp.Wait && isNull request.Loading then
            advance request sink
            publish request &frame sink
        else
            frame.Op <- FrameOp.Wait

    override _.Resume(_, memory, frame, sink) =
        let request = requestOf memory
        advance request sink
        publish request &frame sink

    override this.OutOfMemory(now, memory, frame, sink) =
        let request = requestOf memory
        request.ScratchBytes <- 0L
        request.Fail Errno.ENOMEM
        this.Resume(now, memory, &frame, sink)
