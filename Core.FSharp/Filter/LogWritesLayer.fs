namespace StorageDaemon.Core.Filter

open System
open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Options of blklogwrites.
[<NoComparison>]
type LogWritesOptions = {
    /// Bytes; 512 if absent.
    SectorBytes: uint64 option
    /// Goes on after the entries that the log has.
    Append: bool
    /// Every how many entries the super block is written, besides flushes; 4096 if absent.
    SuperInterval: uint64 option
}

module LogWritesOptions =
    [<Literal>]
    let DefaultSectorBytes = 512UL

    [<Literal>]
    let DefaultSuperInterval = 4096UL

    let check (options: LogWritesOptions) : Result<unit, QapiError> =
        match options.SectorBytes with
        | Some _ when options.Append -> QapiError.fail "log-append and log-sector-size are mutually exclusive"
        | Some bytes when not (LogWrites.isSectorSize bytes) ->
            QapiError.fail ("Invalid log sector size " + string bytes)
        | _ when options.SuperInterval = Some 0UL -> QapiError.fail "Invalid log superblock update interval 0"
        | _ -> Ok()

/// The machine of blklogwrites: what changes the first child is also written to the log, the second child, in the format
/// of dm-log-writes. The log has whole sectors, so a request is widened to them with what the first child holds there;
/// such a request has no other writer beside it. An entry is counted in the super block once all entries up to it are
/// in the log.
[<Sealed>]
type LogWritesLayer(sectorBytes: uint32, start: LogWritesCursor, superInterval: uint64) =
    inherit Layer()

    /// Phases of a frame.
    [<Literal>]
    let Waiting = 0

    [<Literal>]
    let ReadingEdges = 1

    [<Literal>]
    let Writing = 2

    [<Literal>]
    let WritingSuper = 3

    [<Literal>]
    let Flushing = 4

    [<Literal>]
    let FileChild = 0

    [<Literal>]
    let LogChild = 1

    /// How long a request waits before it looks again whether the others are done.
    [<Literal>]
    let RetryNs = 50_000L

    let sector = int64 sectorBytes
    let mutable cursor = start
    /// Entries that are not in the log yet.
    let pending = SortedSet<uint64>()
    let mutable writers = 0
    let mutable aloneWanted = 0
    let mutable isAlone = false
    let mutable superBusy = false
    let mutable superEntries = start.NextEntry
    /// After a failed write to the log, what follows it would be lost to a reader: nothing more is let through.
    let mutable logError = 0

    /// Where nothing was written, the log has no entry of a flush. The children are flushed all the same.
    let tally = WriteTally()

    let down (offset: int64) = offset / sector * sector
    let up (offset: int64) =
        (offset + sector - 1L) / sector * sector
    let first (frame: byref<Frame>) = down frame.Offset
    let length (frame: byref<Frame>) =
        up (frame.Offset + frame.Length) - first &frame

    let isAligned (frame: byref<Frame>) =
        frame.Offset % sector = 0L && frame.Length % sector = 0L

    /// Entries from the first on that are all in the log.
    let entriesDone () =
        if pending.Count = 0 then cursor.NextEntry else pending.Min

    let wait (nowNs: int64) (frame: byref<Frame>) =
        frame.WakeNs <- nowNs + RetryNs
        frame.Op <- FrameOp.Sleep

    let ask child tag kind flags offset length buffer start (frame: byref<Frame>) (sink: ChildRequests) =
        frame.Op <- FrameOp.Wait
        frame.Counter <- frame.Counter + 1

        sink.Add {
            Child = child
            Tag = tag
            Kind = kind
            Flags = flags
            Offset = offset
            Length = length
            Buffer = buffer
            BufferOffset = start
        }

    let toLog kind offset length buffer start (frame: byref<Frame>) (sink: ChildRequests) =
        ask LogChild LogChild kind RequestFlags.None offset length buffer start &frame sink

    /// Scratch buffer 0 holds the entry's sector, the super block and, from this sector on, the widened data.
    let widened = 2L

    let flagsOf (frame: byref<Frame>) =
        let fua =
            if frame.Flags &&& RequestFlags.Fua <> RequestFlags.None then
                LogWrites.flagFua
            else
                0UL

        match frame.Kind with
        | RequestKind.Discard -> LogWrites.flagDiscard ||| fua
        | RequestKind.Flush -> LogWrites.flagFlush
        | _ -> fua

    let entryOf (frame: byref<Frame>) : LogWritesEntry =
        if frame.Kind = RequestKind.Flush then
            {
                Sector = 0UL
                Sectors = 0UL
                Flags = LogWrites.flagFlush
                DataBytes = 0UL
            }
        else
            {
                Sector = uint64 (first &frame / sector)
                Sectors = uint64 (length &frame / sector)
                Flags = flagsOf &frame
                DataBytes = 0UL
            }

    let finish (frame: byref<Frame>) =
        if frame.Kind <> RequestKind.Flush then
            tally.WriteEnded()

        frame.Op <- FrameOp.Done

    let leave (frame: byref<Frame>) =
        if frame.Kind <> RequestKind.Flush then
            if isAlone then isAlone <- false else writers <- writers - 1

    /// Takes a place in the log and writes the entry there, and its data.
    let append (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) : bool =
        let entry = entryOf &frame

        match LogWrites.advance sectorBytes entry cursor with
        | ValueNone ->
            frame.Error <- Errno.EFBIG
            false
        | ValueSome next ->
            let place = int64 cursor.NextSector * sector
            frame.Second <- int64 cursor.NextEntry
            pending.Add cursor.NextEntry |> ignore
            cursor <- next
            LogWrites.encodeEntry entry (memory.Span(0, 0L, int sectorBytes))
            toLog RequestKind.Write place sector 0 0L &frame sink
            let place = place + sector

            match frame.Kind with
            | RequestKind.Write when isAligned &frame ->
                toLog RequestKind.Write place frame.Length (int FrameBuffer.Own) 0L &frame sink
            | RequestKind.WriteZeroes when isAligned &frame ->
                toLog RequestKind.WriteZeroes place frame.Length (int FrameBuffer.None) 0L &frame sink
            | RequestKind.Write
            | RequestKind.WriteZeroes -> toLog RequestKind.Write place (length &frame) 0 (widened * sector) &frame sink
            | _ -> ()

            true

    /// The request itself, on the first child, beside its log.
    let write (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) =
        frame.Phase <- Writing

        if append memory &frame sink then
            match frame.Kind with
            | RequestKind.Flush -> ()
            | kind ->
                let buffer =
                    if kind = RequestKind.Write then
                        int FrameBuffer.Own
                    else
                        int FrameBuffer.None

                ask FileChild FileChild kind frame.Flags frame.Offset frame.Length buffer 0L &frame sink
        else
            leave &frame
            finish &frame

    /// Reads the first child's sectors at the ends of an unaligned request.
    let readEdges (frame: byref<Frame>) (sink: ChildRequests) =
        frame.Phase <- ReadingEdges
        let start = first &frame
        let size = length &frame
        ask FileChild FileChild RequestKind.Read RequestFlags.None start sector 0 (widened * sector) &frame sink

        if size > sector then
            let last = start + size - sector
            let place = widened * sector + size - sector
            ask FileChild FileChild RequestKind.Read RequestFlags.None last sector 0 place &frame sink

    /// Puts the request's own data between the edges.
    let mergeEdges (memory: FrameMemory) (frame: byref<Frame>) =
        let place = widened * sector + (frame.Offset - first &frame)
        let target = memory.Span(0, place, int frame.Length)

        if frame.Kind = RequestKind.Write then
            memory.Span(int FrameBuffer.Own, 0L, int frame.Length).CopyTo target
        else
            target.Clear()

    let enter (nowNs: int64) (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) =
        if logError <> 0 then
            frame.Error <- logError

            if frame.First = 1L then
                aloneWanted <- aloneWanted - 1

            finish &frame
        elif frame.Kind = RequestKind.Flush then
            write memory &frame sink
        elif isAligned &frame then
            if isAlone || aloneWanted > 0 then
                wait nowNs &frame
            else
                writers <- writers + 1
                write memory &frame sink
        else
            if frame.First = 0L then
                frame.First <- 1L
                aloneWanted <- aloneWanted + 1

            if isAlone || writers > 0 then
                wait nowNs &frame
            else
                aloneWanted <- aloneWanted - 1
                frame.First <- 0L
                isAlone <- true
                readEdges &frame sink

    let writeSuper (memory: FrameMemory) (entries: uint64) (frame: byref<Frame>) (sink: ChildRequests) =
        frame.Phase <- WritingSuper
        superBusy <- true
        superEntries <- entries

        LogWrites.encodeSuper { Entries = entries; SectorBytes = sectorBytes } (memory.Span(0, sector, int sectorBytes))

        toLog RequestKind.Write 0L sector 0 sector &frame sink

    /// After the entry is in the log: the super block, where it is due.
    let afterEntry (nowNs: int64) (memory: FrameMemory) (frame: byref<Frame>) (sink: ChildRequests) =
        let complete = entriesDone ()

        if frame.Error <> 0 then
            finish &frame
        elif frame.Kind = RequestKind.Flush then
            if superBusy || complete <= uint64 frame.Second then
                wait nowNs &frame
            else
                writeSuper memory complete &frame sink
        elif not superBusy && complete - superEntries >= superInterval then
            writeSuper memory complete &frame sink
        else
            finish &frame

    let flushBoth (frame: byref<Frame>) (sink: ChildRequests) =
        frame.Phase <- Flushing

        for child in [ FileChild; LogChild ] do
            ask child child RequestKind.Flush RequestFlags.None 0L 0L (int FrameBuffer.None) 0L &frame sink

    /// Finds the end of a log that is to be appended to: past the super block, entry after entry. `logBytes` is the
    /// log's length, `sizeBytes` the logged node's.
    static member Open
        (options: LogWritesOptions, sizeBytes: int64, alignmentBytes: int, logBytes: int64, errorText: int -> string)
        : IoScript<Result<LayerOpened, QapiError>> =
        let fail text = Finished(QapiError.fail text)

        let opened (super: LogWritesSuper) (cursor: LogWritesCursor) : IoScript<Result<LayerOpened, QapiError>> =
            Ok {
                Machine =
                    LogWritesLayer(
                        super.SectorBytes,
                        cursor,
                        defaultArg options.SuperInterval LogWritesOptions.DefaultSuperInterval
                    )
                SizeBytes = sizeBytes
                AlignmentBytes = max alignmentBytes (int super.SectorBytes)
            }
            |> Finished

        let rec walk (super: LogWritesSuper) (cursor: LogWritesCursor) =
            let place = int64 cursor.NextSector * int64 super.SectorBytes

            if cursor.NextEntry >= super.Entries then
                opened super cursor
            elif place >= logBytes then
                // A log that was cut: there is nothing to go on after.
                fail ("Failed to read log entry " + string cursor.NextEntry)
            else
                ReadChild(
                    1,
                    place,
                    LogWrites.entryBytes,
                    fun read ->
                        match read with
                        | Error errno ->
                            fail ("Failed to read log entry " + string cursor.NextEntry + ": " + errorText errno)
                        | Ok bytes ->
                            match LogWrites.decodeEntry cursor.NextEntry (ReadOnlySpan bytes) with
                            | Error text -> fail text
                            | Ok entry ->
                                match LogWrites.advance super.SectorBytes entry cursor with
                                | ValueSome next -> walk super next
                                | ValueNone -> fail "Invalid log entry: beyond the end of the log"
                )

        let empty: LogWritesSuper = {
            Entries = 0UL
            SectorBytes = uint32 LogWritesOptions.DefaultSectorBytes
        }

        if logBytes = 0L then
            opened empty LogWrites.first
        else
            ReadChild(
                1,
                0L,
                LogWrites.superBytes,
                fun read ->
                    match read with
                    | Error errno -> fail ("Could not read log superblock: " + errorText errno)
                    | Ok bytes ->
                        match LogWrites.decodeSuper (ReadOnlySpan bytes) with
                        | Error text -> fail text
                        | Ok super -> walk super LogWrites.first
            )

    /// The machine over an empty log.
    static member Create(options: LogWritesOptions) : LogWritesLayer =
        LogWritesLayer(
            uint32 (defaultArg options.SectorBytes LogWritesOptions.DefaultSectorBytes),
            LogWrites.first,
            defaultArg options.SuperInterval LogWritesOptions.DefaultSuperInterval
        )

    override _.IsStateful = true

    override _.Prepare(_, frame) =
        let own = widened * sector

        match frame.Kind with
        | RequestKind.Read
        | RequestKind.Prefetch
        | RequestKind.BlockStatus -> ()
        | RequestKind.Write
        | RequestKind.WriteZeroes when not (isAligned &frame) ->
            frame.ScratchCount <- 1
            frame.ScratchBytes <- own + length &frame
        | _ ->
            frame.ScratchCount <- 1
            frame.ScratchBytes <- own

    override _.Start(nowNs, memory, frame, sink) =
        match frame.Kind with
        | RequestKind.Read
        | RequestKind.Prefetch
        | RequestKind.BlockStatus -> Frame.passAt FileChild FileChild frame.Offset &frame sink
        | RequestKind.Flush ->
            // A flush has no range: here is what it covers.
            frame.Offset <- tally.Covered

            // What was written before is logged already.
            if frame.ReadOnly || tally.IsClean then
                flushBoth &frame sink
            else
                enter nowNs memory &frame sink
        | RequestKind.Discard when not (isAligned &frame) ->
            // Sectors of which a part is kept are kept.
            let start = up frame.Offset
            let size = down (frame.Offset + frame.Length) - start

            if size <= 0L then
                Frame.finish 0 &frame
            else
                frame.Offset <- start
                frame.Length <- size
                enter nowNs memory &frame sink
        | _ -> enter nowNs memory &frame sink

    override _.Resume(nowNs, memory, frame, sink) =
        if frame.Phase = Waiting then
            enter nowNs memory &frame sink
        else
            afterEntry nowNs memory &frame sink

    override _.ChildDone(nowNs, memory, frame, tag, error, sink) =
        match frame.Kind with
        | RequestKind.Read
        | RequestKind.Prefetch
        | RequestKind.BlockStatus -> Frame.finish error &frame
        | _ ->
            frame.Counter <- frame.Counter - 1

            if error <> 0 then
                frame.Error <- error

                if tag = LogChild then
                    logError <- error

            if frame.Counter = 0 then
                match frame.Phase with
                | ReadingEdges when frame.Error <> 0 ->
                    leave &frame
                    finish &frame
                | ReadingEdges ->
                    mergeEdges memory &frame
                    write memory &frame sink
                | Writing ->
                    pending.Remove(uint64 frame.Second) |> ignore
                    leave &frame
                    afterEntry nowNs memory &frame sink
                | WritingSuper ->
                    superBusy <- false

                    if frame.Kind = RequestKind.Flush && frame.Error = 0 then
                        flushBoth &frame sink
                    else
                        finish &frame
                | _ ->
                    if frame.Kind = RequestKind.Flush && frame.Error = 0 then
                        tally.Flushed frame.Offset

                    finish &frame
