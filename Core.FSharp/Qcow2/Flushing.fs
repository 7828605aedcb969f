namespace StorageDaemon.Core.Qcow2

open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Flushes: one request at a time writes a checkpoint for all; those that come meanwhile wait and have the next one,
/// which one of them writes.
module internal Flushing =
    let private flushChildren (image: Image) (request: Request) (sink: ChildRequests) =
        let flush child =
            request.Send(sink, child, Tag.step, RequestKind.Flush, RequestFlags.None, 0L, 0L, int FrameBuffer.None, 0L)

        flush 0

        if image.Children.DataChild <> 0 then
            flush image.Children.DataChild

    /// References that clusters have lost for good go along. False while a refcount block is being read for that.
    let private applyFreed (image: Image) (request: Request) (sink: ChildRequests) : bool =
        let ready = image.Freed.Ready
        let mutable going = true

        while going && ready.Count > 0 do
            match image.Refcounts.Free(ready.Peek()) with
            | NeedsBlock index ->
                Tables.loadBlock image request index sink
                going <- false
            | _ ->
                // A cluster without references in the first place is a matter for a check.
                ready.Dequeue() |> ignore

        going

    let private finish (image: Image) (request: Request) (sink: ChildRequests) =
        request.IsCheckpointer <- false
        image.IsCheckpointing <- false
        request.Checkpoint <- null

        for ticket in image.CheckpointWaiters do
            sink.Wake ticket

        image.CheckpointWaiters.Clear()

    /// A request that writes a checkpoint has failed: everything is only in memory again.
    let abandon (image: Image) (request: Request) (sink: ChildRequests) =
        if request.IsCheckpointer then
            if not (isNull request.Checkpoint) then
                request.Checkpoint.Fail()

            finish image request sink

    let private begin' (image: Image) (request: Request) (sink: ChildRequests) =
        if image.IsCheckpointing && not request.IsCheckpointer then
            image.CheckpointWaiters.Add request.Memory.Ticket
            request.Wait FrameOp.Park
        else
            image.IsCheckpointing <- true
            request.IsCheckpointer <- true

            if applyFreed image request sink then
                request.Checkpoint <- Checkpoint image
                request.Part <- 0
                request.IsFlushing <- false

    let private writePart (request: Request) (sink: ChildRequests) =
        for write in request.Checkpoint.Writes request.Part do
            request.Send(
                sink,
                0,
                Tag.step,
                RequestKind.Write,
                RequestFlags.None,
                write.Offset,
                int64 write.Data.Length,
                int FrameBuffer.Address,
                write.Address
            )

    /// One step of the stage: parts without writes are passed over, but for the first: its flush is for the data, too.
    let step (image: Image) (request: Request) (sink: ChildRequests) : unit =
        if request.StepOutstanding > 0 then
            request.Wait FrameOp.Wait
        elif isNull request.Checkpoint || not request.IsCheckpointer then
            begin' image request sink

            if request.Part = 0 && request.IsCheckpointer then
                writePart request sink
        elif not request.IsFlushing then
            if request.Part = 0 || request.Checkpoint.Writes(request.Part).Count > 0 then
                request.IsFlushing <- true
                flushChildren image request sink
            else
                request.IsFlushing <- true
        else
            request.IsFlushing <- false
            request.Part <- request.Part + 1

            if request.Part < Checkpoint.PartCount then
                writePart request sink
            else
                request.Checkpoint.Succeed()
                request.Part <- -1
                finish image request sink
                request.Stage <- request.AfterCheckpoint
