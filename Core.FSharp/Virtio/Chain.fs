namespace StorageDaemon.Core.Virtio

open System
open System.Runtime.CompilerServices

/// How a driver has broken a ring. The device stops looking at it until it is set up anew.
type RingError =
    | None = 0
    /// The available index is more than the ring's size ahead.
    | TooFarAhead = 1
    /// A descriptor's index, or a buffer's identifier, is not below the ring's size.
    | IndexOutOfRange = 2
    /// More descriptors than the ring has.
    | Loop = 3
    /// More buffers in use than the ring has descriptors.
    | TooManyInUse = 4
    /// More pieces than `Chain.MaxSegments`.
    | TooManySegments = 5
    | ZeroLength = 6
    /// A buffer for the device to read behind one to write.
    | ReadableAfterWritable = 7
    | OutsideMemory = 8
    | IndirectNotNegotiated = 9
    /// An indirect table inside an indirect table.
    | NestedIndirect = 10
    /// An indirect table and a next descriptor.
    | IndirectWithNext = 11
    /// The length of an indirect table is no multiple of 16, or zero.
    | IndirectLength = 12
    /// A request without a byte for its status.
    | NoStatus = 13

type Pop =
    /// The driver has made nothing else available.
    | Empty = 0
    | Taken = 1
    /// The ring's `Error` says why.
    | Broken = 2

/// A buffer that a driver has made available: its pieces stand in the caller's segments, those to read first.
[<Struct; NoEquality; NoComparison>]
type Chain =
    /// To be given back: the first descriptor (split ring) or the buffer identifier (packed ring).
    val mutable Id: uint16
    /// Descriptors of the ring that it occupies.
    val mutable Descriptors: uint16
    /// Segments for the device to read.
    val mutable Readable: int
    /// Segments for the device to write, behind them.
    val mutable Writable: int
    val mutable ReadableBytes: uint64
    val mutable WritableBytes: uint64

module Chain =
    /// Most pieces of one buffer: what the kernel takes in one call (IOV_MAX), and most descriptors of the real
    /// daemon's rings.
    [<Literal>]
    let MaxSegments = 1024

    [<Literal>]
    let DescriptorLength = 16

    let reset (chain: byref<Chain>) =
        chain.Id <- 0us
        chain.Descriptors <- 0us
        chain.Readable <- 0
        chain.Writable <- 0
        chain.ReadableBytes <- 0UL
        chain.WritableBytes <- 0UL

    /// Adds the buffer of one descriptor; one that crosses regions becomes several pieces.
    let add
        (memory: MemoryTable)
        (segments: Span<Iovec>)
        (chain: byref<Chain>)
        (guestAddress: uint64)
        (length: uint32)
        (isWritable: bool)
        : RingError =
        if length = 0u then
            RingError.ZeroLength
        elif not isWritable && chain.Writable > 0 then
            RingError.ReadableAfterWritable
        else
            let mutable error = RingError.None
            let mutable at = guestAddress
            let mutable left = uint64 length

            while left > 0UL && error = RingError.None do
                let mutable available = 0UL
                let mapped = memory.Translate(at, &available)
                let used = chain.Readable + chain.Writable

                if available = 0UL then
                    error <- RingError.OutsideMemory
                elif used >= segments.Length then
                    error <- RingError.TooManySegments
                else
                    let part = min available left
                    let segment = &segments[used]
                    segment.Base <- mapped
                    segment.Length <- unativeint part

                    if isWritable then
                        chain.Writable <- chain.Writable + 1
                    else
                        chain.Readable <- chain.Readable + 1

                    left <- left - part
                    // No region reaches the last address: this cannot wrap.
                    at <- at + part

            if isWritable then
                chain.WritableBytes <- chain.WritableBytes + uint64 length
            else
                chain.ReadableBytes <- chain.ReadableBytes + uint64 length

            error
