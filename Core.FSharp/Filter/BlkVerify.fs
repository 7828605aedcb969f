namespace StorageDaemon.Core.Filter

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// The two images of a blkverify node differ: in what a request came to, or from that byte of the node on.
[<NoComparison>]
type BlkVerifyNotice =
    | OutcomesDiffer of kind: RequestKind * offset: int64 * length: int64 * raw: int * test: int
    | ContentsDiffer of offset: int64 * length: int64 * at: int64

    interface LayerNotice

/// The machine of blkverify: two images get the same requests, and must do the same. The first child is the raw image,
/// which is held to be right, the second the one under test.
[<Sealed>]
type BlkVerifyLayer() =
    inherit Layer()

    [<Literal>]
    let Raw = 0

    [<Literal>]
    let Test = 1

    let toBoth (frame: byref<Frame>) (sink: ChildRequests) =
        frame.Op <- FrameOp.Wait
        frame.Counter <- 2

        for child in Raw..Test do
            sink.Add {
                Child = child
                Tag = child
                Kind = frame.Kind
                Flags = frame.Flags
                Offset = frame.Offset
                Length = frame.Length
                Buffer =
                    match frame.Kind with
                    | RequestKind.Read when child = Raw -> 0
                    | RequestKind.Read
                    | RequestKind.Write -> int FrameBuffer.Own
                    | _ -> int FrameBuffer.None
                BufferOffset = 0L
            }

    let decide (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) =
        let raw = int frame.First
        let test = int frame.Second

        if raw <> test then
            sink.Notify(OutcomesDiffer(frame.Kind, frame.Offset, frame.Length, raw, test))
            Frame.finish Errno.EIO &frame
        elif raw <> 0 || frame.Kind <> RequestKind.Read then
            Frame.finish raw &frame
        else
            let length = int frame.Length
            let expected: ReadOnlySpan<byte> = Span.op_Implicit (memory.Span(0, 0L, length))
            let found: ReadOnlySpan<byte> = Span.op_Implicit (memory.Span(int FrameBuffer.Own, 0L, length))
            let same = MemoryExtensions.CommonPrefixLength(expected, found)

            if same < length then
                sink.Notify(ContentsDiffer(frame.Offset, frame.Length, frame.Offset + int64 same))
                Frame.finish Errno.EIO &frame
            else
                Frame.finish 0 &frame

    override _.Prepare(_, frame) =
        if frame.Kind = RequestKind.Read then
            frame.ScratchCount <- 1

    override _.Start(_, _, frame, sink) =
        match frame.Kind with
        | RequestKind.Read
        | RequestKind.Write
        | RequestKind.WriteZeroes -> toBoth &frame sink
        // Only the image under test is worth keeping.
        | RequestKind.Flush -> Frame.passAt Test Test frame.Offset &frame sink
        | RequestKind.BlockStatus -> Frame.passAt Raw Raw frame.Offset &frame sink
        // Images may keep discarded data or not: that would look like a difference.
        | _ -> Frame.finish 0 &frame

    override _.ChildDone(_, memory, frame, tag, error, sink) =
        if frame.Kind = RequestKind.Flush || frame.Kind = RequestKind.BlockStatus then
            Frame.finish error &frame
        else
            if tag = Raw then
                frame.First <- int64 error
            else
                frame.Second <- int64 error

            frame.Counter <- frame.Counter - 1

            if frame.Counter = 0 then
                decide memory &frame sink
