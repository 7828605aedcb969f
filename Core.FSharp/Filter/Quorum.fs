namespace StorageDaemon.Core.Filter

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// How a quorum reads (qapi/block-core.json, QuorumReads).
type QuorumReads =
    /// All children, and the majority decides.
    | ReadAll
    /// The first child that can.
    | ReadFifo

/// Options of quorum.
[<NoComparison>]
type QuorumOptions = {
    /// How many children must agree.
    VoteThreshold: int64
    /// Two children, which must not differ.
    BlkVerify: bool
    /// Writes what the majority has over what a minority has.
    RewriteCorrupted: bool
    /// What was given; all children are read by default.
    ReadPattern: QuorumReads option
}

/// What a child was asked for when it failed (qapi/block-core.json, QuorumOpType).
type QuorumOperation =
    | QuorumRead
    | QuorumWrite
    | QuorumFlush

/// What the users of a quorum are told. Offsets and lengths are in bytes.
[<NoComparison>]
type QuorumNotice =
    /// Too few children agree.
    | QuorumFailed of offset: int64 * length: int64
    /// A child, by its place, has failed with an error number, or has other data than the majority (error 0).
    | QuorumBad of child: int * operation: QuorumOperation * error: int * offset: int64 * length: int64
    /// The two children of the blkverify mode differ.
    | QuorumDiffers of offset: int64 * length: int64

    interface LayerNotice

/// What the children of one request have answered. Kept with the request's slot, so that it is made once only.
[<Sealed; AllowNullLiteral>]
type private Ballot(children: int) =
    member val Errors: int[] = Array.zeroCreate children
    /// For each child the first one with the same data.
    member val Versions: int[] = Array.zeroCreate children

    static member Of(memory: FrameMemory) : Ballot =
        match memory.State with
        | :? Ballot as ballot when ballot.Errors.Length = memory.ChildCount -> ballot
        | _ ->
            let ballot = Ballot(memory.ChildCount)
            memory.State <- ballot
            ballot

module Quorum =
    /// The most children: a request keeps track of each by its tag.
    let MaxChildren = ChildRequests.MaxTag

    let private ofKind (kind: RequestKind) =
        match kind with
        | RequestKind.Read
        | RequestKind.BlockStatus -> QuorumRead
        | RequestKind.Flush -> QuorumFlush
        | _ -> QuorumWrite

    let operation (frame: inref<Frame>) = ofKind frame.Kind

    /// The value that most entries have, the last one of equals, and its votes; `counts` says which entries vote.
    let inline internal majority (values: int[]) ([<InlineIfLambda>] counts: int -> bool) : struct (int * int) =
        let mutable best = -1
        let mutable bestVotes = 0

        for i in 0 .. values.Length - 1 do
            if counts i then
                let mutable votes = 0
                let mutable isFirst = true

                for j in 0 .. values.Length - 1 do
                    if counts j && values[j] = values[i] then
                        votes <- votes + 1
                        isFirst <- isFirst && j >= i

                if isFirst && votes >= bestVotes then
                    best <- values[i]
                    bestVotes <- votes

        struct (best, bestVotes)

/// The machine of quorum: requests go to all children, and as many as the threshold says must agree on the outcome.
[<Sealed>]
type QuorumLayer(options: QuorumOptions) =
    inherit Layer()

    let threshold = options.VoteThreshold
    let isFifo = options.ReadPattern = Some ReadFifo

    /// The first child reads into the request's own buffer, the others into the layer's.
    let bufferOf (child: int) =
        if child = 0 then int FrameBuffer.Own else child - 1

    let toChild (child: int) (kind: RequestKind) (buffer: int) (frame: byref<Frame>) (sink: ChildRequests) =
        sink.Add {
            Child = child
            Tag = child
            Kind = kind
            Flags = frame.Flags
            Offset = frame.Offset
            Length = frame.Length
            Buffer = buffer
            BufferOffset = 0L
        }

    let data (child: int) (memory: FrameMemory) (frame: byref<Frame>) : Span<byte> =
        memory.Span(bufferOf child, 0L, int frame.Length)

    let ended (child: int) (error: int) (frame: byref<Frame>) (sink: ChildRequests) =
        if error <> 0 then
            let struct (offset, length) =
                if frame.Kind = RequestKind.Flush then
                    struct (0L, 0L)
                else
                    struct (frame.Offset, frame.Length)

            sink.Notify(QuorumBad(child, Quorum.operation &frame, error, offset, length))

    let fail (error: int) (frame: byref<Frame>) (sink: ChildRequests) =
        if frame.Kind <> RequestKind.Flush then
            sink.Notify(QuorumFailed(frame.Offset, frame.Length))

        Frame.finish error &frame

    /// Groups the children by what they have read.
    let compare (ballot: Ballot) (memory: FrameMemory) (frame: byref<Frame>) =
        for child in 0 .. ballot.Errors.Length - 1 do
            let mutable version = child
            let mutable other = 0

            while version = child && other < child && ballot.Errors[child] = 0 do
                if
                    ballot.Errors[other] = 0
                    && ballot.Versions[other] = other
                    && Span
                        .op_Implicit(data other memory &frame: Span<byte>)
                        .SequenceEqual(Span.op_Implicit (data child memory &frame))
                then
                    version <- other

                other <- other + 1

            ballot.Versions[child] <- version

    let rewrite (winner: int) (ballot: Ballot) (frame: byref<Frame>) (sink: ChildRequests) =
        frame.Phase <- 1
        frame.Counter <- 0

        for child in 0 .. ballot.Errors.Length - 1 do
            if ballot.Errors[child] = 0 && ballot.Versions[child] <> winner then
                frame.Counter <- frame.Counter + 1
                toChild child RequestKind.Write (int FrameBuffer.Own) &frame sink

    let voteOnData (ballot: Ballot) (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) =
        compare ballot memory &frame
        let errors = ballot.Errors
        let struct (winner, votes) = Quorum.majority ballot.Versions (fun child -> errors[child] = 0)
        let mutable agree = true

        for child in 0 .. errors.Length - 1 do
            agree <- agree && (errors[child] <> 0 || ballot.Versions[child] = winner)

        if not agree && options.BlkVerify then
            sink.Notify(QuorumDiffers(frame.Offset, frame.Length))
            Frame.finish Errno.EIO &frame
        elif not agree && int64 votes < threshold then
            fail Errno.EIO &frame sink
        else
            for child in 0 .. errors.Length - 1 do
                if errors[child] = 0 && ballot.Versions[child] <> winner then
                    sink.Notify(QuorumBad(child, QuorumRead, 0, frame.Offset, frame.Length))

            if winner <> 0 then
                (data winner memory &frame).CopyTo(data 0 memory &frame)

            if not agree && options.RewriteCorrupted then
                rewrite winner ballot &frame sink
            else
                Frame.finish 0 &frame

    let decide (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) =
        let ballot = Ballot.Of memory
        let errors = ballot.Errors
        let mutable successes = 0L

        for child in 0 .. errors.Length - 1 do
            if errors[child] = 0 then
                successes <- successes + 1L

        if successes < threshold then
            let struct (error, _) = Quorum.majority errors (fun child -> errors[child] <> 0)
            fail error &frame sink
        elif frame.Kind = RequestKind.Read then
            voteOnData ballot memory &frame sink
        else
            Frame.finish 0 &frame

    let toAll (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) =
        let ballot = Ballot.Of memory
        frame.Op <- FrameOp.Wait
        frame.Counter <- ballot.Errors.Length

        for child in 0 .. ballot.Errors.Length - 1 do
            let buffer =
                match frame.Kind with
                | RequestKind.Read -> bufferOf child
                | RequestKind.Write -> int FrameBuffer.Own
                | _ -> int FrameBuffer.None

            toChild child frame.Kind buffer &frame sink

    /// What one child says of a block status: all is zeroes where all children say so. Without an answer it is data.
    let count (child: int) (error: int) (frame: byref<Frame>) (sink: ChildRequests) =
        ended child error &frame sink
        frame.Counter <- frame.Counter - 1

        if error <> 0 then
            frame.Second <- frame.Length
        elif frame.Status &&& BlockStatus.Zero <> BlockStatus.None then
            frame.First <- min frame.First frame.StatusBytes
        else
            frame.Second <- max frame.Second frame.StatusBytes

        if frame.Counter = 0 then
            if frame.Second > 0L then
                Frame.answer (BlockStatus.Data ||| BlockStatus.Allocated) frame.Second &frame
            else
                Frame.answer (BlockStatus.Zero ||| BlockStatus.Allocated) frame.First &frame

    override _.Prepare(memory, frame) =
        if frame.Kind = RequestKind.Read && not isFifo then
            frame.ScratchCount <- memory.ChildCount - 1

    override _.Start(_, memory, frame, sink) =
        match frame.Kind with
        | RequestKind.Read when isFifo -> Frame.pass 0 &frame sink
        // Children may keep discarded data or not: that would look like damage.
        | RequestKind.Discard
        | RequestKind.Prefetch -> Frame.finish 0 &frame
        | RequestKind.BlockStatus ->
            frame.First <- frame.Length
            toAll memory &frame sink
        | _ -> toAll memory &frame sink

    override _.ChildDone(_, memory, frame, tag, error, sink) =
        if frame.Phase = 1 then
            // What a rewrite comes to does not matter to the reader.
            frame.Counter <- frame.Counter - 1

            if frame.Counter = 0 then
                Frame.finish 0 &frame
        elif frame.Kind = RequestKind.BlockStatus then
            count tag error &frame sink
        elif frame.Kind = RequestKind.Read && isFifo then
            let child = frame.Counter
            ended child error &frame sink

            if error = 0 || child + 1 >= memory.ChildCount then
                Frame.finish error &frame
            else
                frame.Counter <- child + 1
                Frame.pass (child + 1) &frame sink
        else
            (Ballot.Of memory).Errors[ tag ] <- error
            ended tag error &frame sink
            frame.Counter <- frame.Counter - 1

            if frame.Counter = 0 then
                decide memory &frame sink
