namespace StorageDaemon.Core.Filter

open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Options of preallocate, in bytes.
[<Struct>]
type PreallocateOptions = {
    /// The file grows to multiples of this.
    AlignBytes: int64
    /// The file grows to at least this much more than is needed.
    SizeBytes: int64
}

module PreallocateOptions =
    /// Of qapi/block-core.json, BlockdevOptionsPreallocate.
    let defaults: PreallocateOptions = { AlignBytes = 1048576L; SizeBytes = 134217728L }

    /// Where a file ends after it has grown for data up to `dataEnd`: never before that, and never beyond what a file
    /// can be.
    let grownEnd (options: PreallocateOptions) (dataEnd: int64) : int64 =
        let align = max 1L options.AlignBytes
        let wanted = bigint dataEnd + bigint (max 0L options.SizeBytes)
        let units = (wanted + bigint align - 1I) / bigint align
        let aligned = units * bigint align

        if aligned > bigint System.Int64.MaxValue then
            dataEnd
        else
            int64 aligned

/// The machine of preallocate over a file that it may let grow: a write beyond the file's end first makes the file
/// longer than is needed, with space of its own, so that the next ones find it there. What is asked for never touches
/// data: neither those that are there nor those that other writes bring meanwhile. Where the file cannot grow ahead, the
/// write alone makes it longer.
/// `lengthBytes` is the file's real length.
[<Sealed>]
type PreallocateLayer(options: PreallocateOptions, lengthBytes: int64) =
    inherit Layer()

    [<Literal>]
    let Growing = 0

    [<Literal>]
    let Passed = 1

    let mutable options = options
    /// Where the data end, those of writes under way included.
    let mutable dataEnd = lengthBytes
    /// Where the file ends when all that is under way has succeeded; not before the data.
    let mutable fileEnd = lengthBytes
    /// The farthest end that has been asked for; zero before the first time.
    let mutable askedEnd = 0L

    let grow (frame: byref<Frame>) (sink: ChildRequests) =
        let target = PreallocateOptions.grownEnd options dataEnd
        frame.Op <- FrameOp.Wait

        sink.Add {
            Child = 0
            Tag = Growing
            Kind = RequestKind.Allocate
            Flags = RequestFlags.None
            Offset = fileEnd
            Length = target - fileEnd
            Buffer = int FrameBuffer.None
            BufferOffset = 0L
        }

        fileEnd <- target
        askedEnd <- max askedEnd target

    /// Where the data end, in bytes.
    member _.DataEnd = dataEnd

    /// Other options, while no request is under way.
    member _.Tune(next: PreallocateOptions) = options <- next

    /// The file has that length now. What is longer than this machine knows of is somebody's data.
    member _.Observe(lengthBytes: int64) =
        if lengthBytes > fileEnd then
            dataEnd <- lengthBytes
            fileEnd <- lengthBytes

    /// The length to cut the file to when it is that long and no request is under way; nothing where it does not end in
    /// what this machine has asked for.
    member _.CutFrom(lengthBytes: int64) : int64 voption =
        if dataEnd < lengthBytes && lengthBytes <= askedEnd then
            ValueSome dataEnd
        else
            ValueNone

    override _.IsStateful = true

    override _.Start(_, _, frame, sink) =
        match frame.Kind with
        | RequestKind.Write
        | RequestKind.WriteZeroes ->
            dataEnd <- max dataEnd (frame.Offset + frame.Length)

            if dataEnd > fileEnd then
                grow &frame sink
            else
                Frame.passAt 0 Passed frame.Offset &frame sink
        | _ -> Frame.passAt 0 Passed frame.Offset &frame sink

    override _.ChildDone(_, _, frame, tag, error, sink) =
        if tag = Growing then
            // The next write beyond the data tries again.
            if error <> 0 then
                fileEnd <- dataEnd

            Frame.passAt 0 Passed frame.Offset &frame sink
        else
            Frame.finish error &frame
