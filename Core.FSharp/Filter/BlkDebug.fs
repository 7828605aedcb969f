namespace StorageDaemon.Core.Filter

open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Limits that a blkdebug node pretends to have, in bytes; zero for none of its own.
[<Struct; NoComparison>]
type BlkDebugLimits = {
    Align: uint64
    MaxTransfer: uint64
    OptWriteZero: uint64
    MaxWriteZero: uint64
    OptDiscard: uint64
    MaxDiscard: uint64
}

module BlkDebugLimits =
    let none: BlkDebugLimits = {
        Align = 0UL
        MaxTransfer = 0UL
        OptWriteZero = 0UL
        MaxWriteZero = 0UL
        OptDiscard = 0UL
        MaxDiscard = 0UL
    }

    /// The greatest limit; QEMU's are ints.
    [<Literal>]
    let private Most = 0x7fffffffUL

    /// Each limit by itself: below 2 GiB and whole multiples of what it builds on.
    let check (limits: BlkDebugLimits) : Result<unit, QapiError> =
        let align = max 1UL limits.Align

        let fails (name: string) (value: uint64) (unit': uint64) =
            if value >= Most || value % unit' <> 0UL then
                Some("Cannot meet constraints with " + name + " " + string value)
            else
                None

        let failure =
            [
                (if
                     limits.Align >= Most
                     || (limits.Align &&& (limits.Align - 1UL) <> 0UL && limits.Align <> 0UL)
                 then
                     Some("Cannot meet constraints with align " + string limits.Align)
                 else
                     None)
                fails "max-transfer" limits.MaxTransfer align
                fails "opt-write-zero" limits.OptWriteZero align
                fails "max-write-zero" limits.MaxWriteZero (max align limits.OptWriteZero)
                fails "opt-discard" limits.OptDiscard align
                fails "max-discard" limits.MaxDiscard (max align limits.OptDiscard)
            ]
            |> List.tryPick id

        match failure with
        | Some text -> QapiError.fail text
        | None -> Ok()

/// The machine of blkdebug: each request is cut as the limits say, and each piece meets the rules. Of a request that
/// fails, the pieces before stay done.
[<Sealed>]
type BlkDebugLayer(limits: BlkDebugLimits, rules: BlkDebugRule[]) =
    inherit Layer()

    /// Where nothing was written, rules see no flush. The image below is flushed all the same.
    let tally = WriteTally()

    let engine = BlkDebugEngine rules
    do engine.Happen BlkDebugRules.none

    let align = int64 (max 1UL limits.Align)
    let zeroAlign = max align (int64 limits.OptWriteZero)
    let discardAlign = max align (int64 limits.OptDiscard)

    let finish (error: int) (frame: byref<Frame>) =
        match frame.Kind with
        | RequestKind.Write
        | RequestKind.WriteZeroes
        | RequestKind.Discard -> tally.WriteEnded()
        | _ -> ()

        Frame.finish error &frame

    /// The greatest piece under a limit, in whole units.
    let greatest (limit: uint64) (unit': int64) =
        let most = if limit = 0UL then 0x7fffffffL else int64 limit
        max unit' (most / unit' * unit')

    let maxTransfer = greatest limits.MaxTransfer align
    let maxZero = greatest limits.MaxWriteZero zeroAlign
    let maxDiscard = greatest limits.MaxDiscard discardAlign

    /// The next piece of zeroes or of a discard: up to a boundary of the unit, whole units, the rest.
    let alignedPiece (unit': int64) (most: int64) (offset: int64) (left: int64) : int64 =
        let head = offset % unit'

        if head <> 0L then min left (unit' - head)
        elif left < unit' then left
        else min most (left / unit' * unit')

    let pieceOf (frame: byref<Frame>) (offset: int64) (left: int64) : int64 =
        match frame.Kind with
        | RequestKind.WriteZeroes -> alignedPiece zeroAlign maxZero offset left
        | RequestKind.Discard -> alignedPiece discardAlign maxDiscard offset left
        | _ -> min left (maxTransfer - offset % align)

    let ask
        (kind: RequestKind)
        (length: int64)
        (buffer: int)
        (start: int64)
        (frame: byref<Frame>)
        (sink: ChildRequests)
        =
        frame.Second <- length
        frame.Op <- FrameOp.Wait

        sink.Add {
            Child = 0
            Tag = 0
            Kind = kind
            Flags = frame.Flags
            Offset = frame.Offset + frame.First
            Length = length
            Buffer = buffer
            BufferOffset = start
        }

    /// Whether a piece cannot go as the request wants it, because it is no whole unit.
    let isFragment (length: int64) (unit': int64) = length < unit'

    let rec nextPiece (frame: byref<Frame>) (sink: ChildRequests) : unit =
        let left = frame.Length - frame.First

        if left <= 0L then
            if frame.Kind = RequestKind.Write || frame.Kind = RequestKind.WriteZeroes then
                engine.Happen BlkDebugRules.pwritevDone

            finish 0 &frame
        else
            let offset = frame.Offset + frame.First
            let length = pieceOf &frame offset left

            match frame.Kind with
            | RequestKind.Read -> underRules BlkDebugIoType.Read length (int FrameBuffer.Own) frame.First &frame sink
            | RequestKind.Write -> underRules BlkDebugIoType.Write length (int FrameBuffer.Own) frame.First &frame sink
            | RequestKind.WriteZeroes when isFragment length zeroAlign ->
                if frame.Flags &&& RequestFlags.NoFallback <> RequestFlags.None then
                    finish Errno.ENOTSUP &frame
                else
                    underRules BlkDebugIoType.Write length (int FrameBuffer.None) 0L &frame sink
            | RequestKind.WriteZeroes ->
                underRules BlkDebugIoType.WriteZeroes length (int FrameBuffer.None) 0L &frame sink
            // Fragments are not worth the discard: they are passed over.
            | RequestKind.Discard when isFragment length discardAlign ->
                frame.First <- frame.First + length
                nextPiece &frame sink
            | _ -> underRules BlkDebugIoType.Discard length (int FrameBuffer.None) 0L &frame sink

    /// Lets the rules have their say, then sends the piece on.
    and underRules (ioType: BlkDebugIoType) (length: int64) (buffer: int) (start: int64) (frame: byref<Frame>) sink =
        let offset = frame.Offset + frame.First
        let first = offset / align * align
        let last = (offset + length + align - 1L) / align * align
        let error = engine.Check(ioType, first, last - first)

        if error <> 0 then
            finish error &frame
        else
            ask frame.Kind length buffer start &frame sink

    let flush (frame: byref<Frame>) (sink: ChildRequests) =
        frame.First <- tally.Covered

        if frame.ViaFormat then
            engine.Happen BlkDebugRules.flushToOs

        if tally.IsClean then
            Frame.pass 0 &frame sink
        else
            if frame.ViaFormat then
                engine.Happen BlkDebugRules.flushToDisk

            match engine.Check(BlkDebugIoType.Flush, 0L, 0L) with
            | 0 -> Frame.pass 0 &frame sink
            | error -> Frame.finish error &frame

    override _.IsStateful = true

    override _.Start(_, _, frame, sink) =
        match frame.Kind with
        | RequestKind.Flush -> flush &frame sink
        | RequestKind.Prefetch -> Frame.pass 0 &frame sink
        | RequestKind.BlockStatus ->
            match engine.Check(BlkDebugIoType.BlockStatus, frame.Offset, frame.Length) with
            | 0 -> Frame.pass 0 &frame sink
            | error -> Frame.finish error &frame
        | kind ->
            if kind = RequestKind.Read && frame.ViaFormat then
                engine.Happen BlkDebugRules.readAio

            if kind = RequestKind.Write then
                if frame.ViaFormat then
                    engine.Happen BlkDebugRules.writeAio

                engine.Happen BlkDebugRules.pwritev

            if kind = RequestKind.WriteZeroes then
                engine.Happen BlkDebugRules.pwritevZero

            nextPiece &frame sink

    override _.ChildDone(_, _, frame, _, error, sink) =
        if
            error <> 0
            || frame.Kind = RequestKind.Flush
            || frame.Kind = RequestKind.Prefetch
            || frame.Kind = RequestKind.BlockStatus
        then
            if frame.Kind = RequestKind.Flush && error = 0 then
                tally.Flushed frame.First

            finish error &frame
        else
            frame.First <- frame.First + frame.Second
            nextPiece &frame sink
