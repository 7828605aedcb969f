namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open System.Runtime.InteropServices
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

    let private finish (image: Image) (request: Request) (sink: ChildRequests) =
        request.IsCheckpointer <- false
        image.IsCheckpointing <- false
        request.Checkpoint <- null
        request.Kept <- null

        sink.WakeAll image.CheckpointWaiters

    /// A request that writes a checkpoint has failed: everything is only in memory again.
    let abandon (image: Image) (request: Request) (sink: ChildRequests) =
        if request.IsCheckpointer then
            if not (isNull request.Checkpoint) then
                request.Checkpoint.Fail()

            finish image request sink

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

    /// Reads what a view of earlier metadata still needs of the places that the part is going to write to.
    let private readKept (request: Request) (view: MetadataView) (sink: ChildRequests) =
        for write in request.Checkpoint.Writes request.Part do
            match view.Missing(write.Offset, write.Data.Length) with
            | ValueNone -> ()
            | ValueSome(struct (offset, lengthBytes)) ->
                let bytes = GC.AllocateArray<byte>(lengthBytes, pinned = true)

                if isNull request.Kept then
                    request.Kept <- List()

                request.Kept.Add(struct (offset, bytes))

                request.Send(
                    sink,
                    0,
                    // Where it cannot be read, the flush goes on without the view.
                    Tag.advice,
                    RequestKind.Read,
                    RequestFlags.None,
                    offset,
                    min (int64 lengthBytes) (view.FileBytes - offset),
                    int FrameBuffer.Address,
                    int64 (Marshal.UnsafeAddrOfPinnedArrayElement(bytes, 0))
                )

    let private beginPart (image: Image) (request: Request) (sink: ChildRequests) =
        if not (isNull image.View || image.View.IsBroken) then
            readKept request image.View sink

        if isNull request.Kept then
            writePart request sink

    /// What was to be kept has been read.
    let private keep (image: Image) (request: Request) =
        if not (isNull image.View) then
            for struct (offset, bytes) in request.Kept do
                image.View.Keep(offset, bytes)

        request.Kept <- null

    let private begin' (image: Image) (request: Request) (sink: ChildRequests) =
        if image.IsCheckpointing && not request.IsCheckpointer then
            request.ParkAt image.CheckpointWaiters
        else
            image.IsCheckpointing <- true
            request.IsCheckpointer <- true

            // References that clusters have lost for good go along.
            match image.ApplyFreed() with
            | NeedsBlock index -> Tables.loadBlock image request index sink
            | _ ->
                request.Checkpoint <- Checkpoint image
                request.Part <- 0
                request.IsFlushing <- false
                beginPart image request sink

    /// One step of the stage: parts without writes are passed over, but for the first: its flush is for the data, too.
    let step (image: Image) (request: Request) (sink: ChildRequests) : unit =
        if request.StepOutstanding > 0 then
            request.Wait FrameOp.Wait
        elif isNull request.Checkpoint then
            begin' image request sink
        elif not (isNull request.Kept) then
            keep image request
            writePart request sink
        elif not request.IsFlushing then
            request.IsFlushing <- true

            if request.Part = 0 || request.Checkpoint.Writes(request.Part).Count > 0 then
                flushChildren image request sink
        else
            request.IsFlushing <- false
            request.Part <- request.Part + 1

            if request.Part < Checkpoint.PartCount then
                beginPart image request sink
            else
                request.Checkpoint.Succeed()
                finish image request sink
                request.Stage <- request.AfterCheckpoint
