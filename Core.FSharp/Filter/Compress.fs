namespace StorageDaemon.Core.Filter

open StorageDaemon.Core
open StorageDaemon.Core.Io

/// The machine of compress: writes reach the image below as compressed ones. Those take whole clusters, so what surrounds
/// a write in its first and last cluster is read and written along. A cluster that the image has already is refused by
/// it: two writes to one cluster cannot undo one another.
[<Sealed>]
type CompressLayer() =
    inherit Layer()

    [<Literal>]
    let LoadTag = 1

    let mutable clusterBytes = 0L
    let mutable lengthBytes = 0L

    let start (frame: inref<Frame>) = frame.Offset &&& -clusterBytes

    /// Where the last cluster ends, or the disk within it.
    let finish (frame: inref<Frame>) =
        let until = frame.Offset + frame.Length
        max until (min ((until + clusterBytes - 1L) &&& -clusterBytes) lengthBytes)

    let send child tag kind flags (from: int64) (until: int64) buffer at (frame: byref<Frame>) (sink: ChildRequests) =
        frame.Counter <- frame.Counter + 1
        frame.Op <- FrameOp.Wait

        sink.Add(ChildRequest.between child tag kind flags from until buffer at)

    /// Reads what surrounds the data: the bytes of the first cluster into one buffer, those of the last into the other.
    let load (frame: byref<Frame>) (sink: ChildRequests) =
        let first = start &frame
        let last = finish &frame
        let until = frame.Offset + frame.Length
        let none = RequestFlags.None

        if first < frame.Offset then
            send 0 LoadTag RequestKind.Read none first frame.Offset 0 0L &frame sink

        if until < last then
            let cluster = (until - 1L) &&& -clusterBytes
            let buffer = if cluster = first then 0 else 1
            send 0 LoadTag RequestKind.Read none until last buffer (until - cluster) &frame sink

    /// Puts the data's part of a cluster among what surrounds it.
    let fill (memory: FrameMemory) (frame: byref<Frame>) (buffer: int) (cluster: int64) =
        let from = max cluster frame.Offset
        let until = min (frame.Offset + frame.Length) (cluster + clusterBytes)
        let length = int (until - from)
        let own = memory.Span(int FrameBuffer.Own, from - frame.Offset, length)
        own.CopyTo(memory.Span(buffer, from - cluster, length))

    /// Everything is here: whole clusters are written, those in the middle from where they are.
    let store (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) =
        let flags = frame.Flags ||| RequestFlags.Compressed
        let first = start &frame
        let last = finish &frame
        let until = frame.Offset + frame.Length
        let tail = (until - 1L) &&& -clusterBytes
        let hasHead = first < frame.Offset || (tail = first && until < last)
        let hasTail = tail > first && until < last
        frame.Phase <- 2

        if hasHead then
            fill memory &frame 0 first
            send 0 0 RequestKind.Write flags first (min last (first + clusterBytes)) 0 0L &frame sink

        if hasTail then
            fill memory &frame 1 tail
            send 0 0 RequestKind.Write flags tail last 1 0L &frame sink

        let from = if hasHead then first + clusterBytes else first
        let behind = if hasTail then tail else last

        if behind > from then
            let own = int FrameBuffer.Own
            send 0 0 RequestKind.Write flags from behind own (from - frame.Offset) &frame sink

    /// Bytes of the image's clusters, a power of two, and of the disk; told before requests come.
    member _.Tune(clusterBytesBelow: int64, lengthBytesBelow: int64) =
        clusterBytes <- clusterBytesBelow
        lengthBytes <- lengthBytesBelow

    override _.Prepare(_, frame) =
        if frame.Kind = RequestKind.Write && clusterBytes > 0L then
            let until = frame.Offset + frame.Length

            if start &frame < frame.Offset || until < finish &frame then
                frame.ScratchCount <- 2
                frame.ScratchBytes <- clusterBytes

    override _.Start(_, memory, frame, sink) =
        if frame.Kind <> RequestKind.Write then
            Frame.pass 0 &frame sink
        elif clusterBytes = 0L then
            Frame.finish Errno.ENOTSUP &frame
        elif frame.ScratchCount > 0 then
            frame.Phase <- 1
            load &frame sink
        else
            store memory &frame sink

    override _.ChildDone(_, memory, frame, _, error, sink) =
        if frame.Phase = 0 then
            Frame.finish error &frame
        else
            frame.Counter <- frame.Counter - 1

            if error <> 0 && frame.First = 0L then
                frame.First <- int64 error

            if frame.Counter > 0 then
                frame.Op <- FrameOp.Wait
            elif frame.Phase = 1 && frame.First = 0L then
                store memory &frame sink
            else
                Frame.finish (int frame.First) &frame
