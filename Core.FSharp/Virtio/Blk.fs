namespace StorageDaemon.Core.Virtio

open System
open System.Buffers.Binary
open System.Runtime.CompilerServices
open Microsoft.FSharp.NativeInterop
open StorageDaemon.Core.Io
open StorageDaemon.Core.Virtio.BlkWire

/// What is to be done with a request of the block device.
type BlkVerdict =
    /// Carry it out: `Kind`, `Flags`, `OffsetBytes`, `LengthBytes`, with the data in the segments.
    | Execute = 0
    /// Write the device's identifier: `Blk.writeId`, then answer.
    | Identify = 1
    /// Answer with `Status` and do nothing.
    | Answer = 2
    /// There is nowhere to answer: the ring is broken.
    | Malformed = 3

/// A request of the block device (5.2.6), as it was read from a chain.
[<Struct; NoEquality; NoComparison>]
type BlkRequest =
    val mutable Kind: RequestKind
    val mutable Flags: RequestFlags
    /// For `Answer`.
    val mutable Status: byte
    val mutable OffsetBytes: int64
    val mutable LengthBytes: int64
    /// Where the status goes.
    val mutable StatusPlace: nativeint
    /// The data are in this segment and those that follow.
    val mutable FirstSegment: int
    val mutable SegmentCount: int

/// Reads requests. Nothing here allocates or throws. A driver may cut header, data and status as it likes (2.7.4.1).
module Blk =
    /// Copies the first bytes of `segments` to `target` and takes them away there. False, and nothing is of use, if
    /// there are not so many.
    let private takeFront (segments: Span<Iovec>) (first: byref<int>) (target: Span<byte>) : bool =
        let mutable at = 0

        while at < target.Length && first < segments.Length do
            let segment = &segments[first]
            let part = int (min segment.Length (unativeint (target.Length - at)))
            let source = NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> segment.Base)
            ReadOnlySpan<byte>(source, part).CopyTo(target.Slice at)
            segment.Base <- segment.Base + nativeint part
            segment.Length <- segment.Length - unativeint part
            at <- at + part

            if segment.Length = 0un then
                first <- first + 1

        at = target.Length

    /// Takes the last byte of the segments away; where it is. There is one.
    let private takeStatus (segments: Span<Iovec>) (count: byref<int>) : nativeint =
        let segment = &segments[count - 1]
        segment.Length <- segment.Length - 1un

        if segment.Length = 0un then
            count <- count - 1

        segment.Base + nativeint segment.Length

    let private answer (status: byte) (request: byref<BlkRequest>) =
        request.Status <- status
        BlkVerdict.Answer

    /// Whether a range lies on the disk and starts at a block of it.
    let private isRange (device: inref<BlkDevice>) (sector: uint64) (length: uint64) =
        length % SectorLength = 0UL
        && sector <= device.CapacitySectors
        && length / SectorLength <= device.CapacitySectors - sector
        && (sector * SectorLength) &&& uint64 (device.LogicalBlockSize - 1u) = 0UL

    let private setRange (sector: uint64) (length: uint64) (request: byref<BlkRequest>) =
        request.OffsetBytes <- int64 (sector * SectorLength)
        request.LengthBytes <- int64 length

    /// A read or write of `length` bytes; nothing to do for none.
    let private transfer (device: inref<BlkDevice>) (sector: uint64) (length: uint64) (request: byref<BlkRequest>) =
        // The block layer's limit of one request.
        if length > 0x7fff_fe00UL || not (isRange &device sector length) then
            answer VIRTIO_BLK_S_IOERR &request
        elif length = 0UL then
            answer VIRTIO_BLK_S_OK &request
        else
            setRange sector length &request
            BlkVerdict.Execute

    /// Discard and write zeroes: one segment says which sectors.
    let private range
        (device: inref<BlkDevice>)
        (isDiscard: bool)
        (bytes: ReadOnlySpan<byte>)
        (request: byref<BlkRequest>)
        =
        let sector = BinaryPrimitives.ReadUInt64LittleEndian bytes
        let count = BinaryPrimitives.ReadUInt32LittleEndian(bytes.Slice 8)
        let flags = BinaryPrimitives.ReadUInt32LittleEndian(bytes.Slice 12)
        let length = uint64 count * SectorLength

        if count > BlkDevice.MaxRangeSectors || not (isRange &device sector length) then
            answer VIRTIO_BLK_S_IOERR &request
        elif
            flags &&& ~~~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP <> 0u
            || isDiscard && flags <> 0u
        then
            answer VIRTIO_BLK_S_UNSUPP &request
        elif count = 0u then
            answer VIRTIO_BLK_S_OK &request
        else
            if flags <> 0u then
                request.Flags <- request.Flags ||| RequestFlags.MayUnmap

            setRange sector length &request
            BlkVerdict.Execute

    let private parseRange
        (device: inref<BlkDevice>)
        (isDiscard: bool)
        (readable: Span<Iovec>)
        (first: byref<int>)
        (bytesLeft: uint64)
        (request: byref<BlkRequest>)
        =
        let place = NativePtr.stackalloc<byte> RangeLength
        let bytes = Span<byte>(NativePtr.toVoidPtr place, RangeLength)

        if device.ReadOnly then
            answer VIRTIO_BLK_S_IOERR &request
        elif bytesLeft > uint64 RangeLength then
            answer VIRTIO_BLK_S_UNSUPP &request
        elif not (takeFront readable &first bytes) then
            answer VIRTIO_BLK_S_IOERR &request
        else
            range &device isDiscard (Span<byte>.op_Implicit bytes) &request

    /// Reads the request of a chain. `segments` are the chain's: they are changed, so that those of the data are left.
    /// `writeThrough` says whether writes must be on stable storage when they complete.
    let parse
        (device: inref<BlkDevice>)
        (writeThrough: bool)
        (segments: Span<Iovec>)
        (chain: inref<Chain>)
        (request: byref<BlkRequest>)
        : BlkVerdict =
        if chain.Writable = 0 then
            BlkVerdict.Malformed
        else
            let readable = segments.Slice(0, chain.Readable)
            let mutable writableCount = chain.Writable
            request.StatusPlace <- takeStatus (segments.Slice(chain.Readable, chain.Writable)) &writableCount
            request.Flags <- RequestFlags.None
            request.Status <- VIRTIO_BLK_S_OK
            request.OffsetBytes <- 0L
            request.LengthBytes <- 0L
            request.FirstSegment <- 0
            request.SegmentCount <- 0
            let place = NativePtr.stackalloc<byte> HeaderLength
            let header = Span<byte>(NativePtr.toVoidPtr place, HeaderLength)
            let mutable first = 0

            if not (takeFront readable &first header) then
                answer VIRTIO_BLK_S_IOERR &request
            else
                let header: ReadOnlySpan<byte> = Span<byte>.op_Implicit header
                let kind = BinaryPrimitives.ReadUInt32LittleEndian header
                let sector = BinaryPrimitives.ReadUInt64LittleEndian(header.Slice 8)
                let outBytes = chain.ReadableBytes - uint64 HeaderLength

                match kind &&& ~~~VIRTIO_BLK_T_BARRIER with
                | VIRTIO_BLK_T_IN ->
                    request.Kind <- RequestKind.Read
                    request.FirstSegment <- chain.Readable
                    request.SegmentCount <- writableCount
                    transfer &device sector (chain.WritableBytes - 1UL) &request
                | VIRTIO_BLK_T_OUT when device.ReadOnly -> answer VIRTIO_BLK_S_IOERR &request
                | VIRTIO_BLK_T_OUT ->
                    request.Kind <- RequestKind.Write
                    request.FirstSegment <- first
                    request.SegmentCount <- chain.Readable - first

                    if writeThrough then
                        request.Flags <- RequestFlags.Fua

                    transfer &device sector outBytes &request
                | VIRTIO_BLK_T_FLUSH ->
                    request.Kind <- RequestKind.Flush
                    BlkVerdict.Execute
                | VIRTIO_BLK_T_GET_ID ->
                    request.FirstSegment <- chain.Readable
                    request.SegmentCount <- writableCount
                    request.LengthBytes <- int64 (min (chain.WritableBytes - 1UL) (uint64 VIRTIO_BLK_ID_BYTES))
                    BlkVerdict.Identify
                | VIRTIO_BLK_T_DISCARD ->
                    request.Kind <- RequestKind.Discard
                    parseRange &device true readable &first outBytes &request
                | VIRTIO_BLK_T_WRITE_ZEROES ->
                    request.Kind <- RequestKind.WriteZeroes

                    if writeThrough then
                        request.Flags <- RequestFlags.Fua

                    parseRange &device false readable &first outBytes &request
                | _ -> answer VIRTIO_BLK_S_UNSUPP &request

    /// Writes the identifier into the data of VIRTIO_BLK_T_GET_ID: up to 20 bytes, the rest of them zeroes, without a
    /// zero at the end of a long one.
    let writeId (serial: ReadOnlySpan<byte>) (segments: Span<Iovec>) (request: inref<BlkRequest>) =
        let mutable at = 0
        let mutable index = request.FirstSegment
        let length = int request.LengthBytes

        while at < length && index < request.FirstSegment + request.SegmentCount do
            let segment = &segments[index]
            let part = int (min segment.Length (unativeint (length - at)))
            let target = Span<byte>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> segment.Base), part)
            let known = max 0 (min part (serial.Length - at))

            if known > 0 then
                serial.Slice(at, known).CopyTo target

            target.Slice(known).Clear()
            at <- at + part
            index <- index + 1

    /// The status for a Linux error number, zero for success. The real daemon has one for all errors.
    let statusOf (errno: int) : byte =
        if errno = 0 then VIRTIO_BLK_S_OK else VIRTIO_BLK_S_IOERR

    /// Writes the status; returns the bytes that the device has written, for the used ring. What a failed read left in
    /// the buffer does not count.
    let complete (status: byte) (request: inref<BlkRequest>) (wroteData: bool) : uint32 =
        Shared.writeU8 request.StatusPlace status

        if wroteData && status = VIRTIO_BLK_S_OK then
            uint32 request.LengthBytes + 1u
        else
            1u
