namespace StorageDaemon.Core

open System
open System.Buffers.Binary

/// Big-endian fields, as NBD and qcow2 have them: at a byte offset of a span that the caller has checked.
module BigEndian =
    let inline readU16 (span: ReadOnlySpan<byte>) (offset: int) =
        BinaryPrimitives.ReadUInt16BigEndian(span.Slice offset)

    let inline readU32 (span: ReadOnlySpan<byte>) (offset: int) =
        BinaryPrimitives.ReadUInt32BigEndian(span.Slice offset)

    let inline readU64 (span: ReadOnlySpan<byte>) (offset: int) =
        BinaryPrimitives.ReadUInt64BigEndian(span.Slice offset)

    let inline writeU16 (span: Span<byte>) (offset: int) (value: uint16) =
        BinaryPrimitives.WriteUInt16BigEndian(span.Slice offset, value)

    let inline writeU32 (span: Span<byte>) (offset: int) (value: uint32) =
        BinaryPrimitives.WriteUInt32BigEndian(span.Slice offset, value)

    let inline writeU64 (span: Span<byte>) (offset: int) (value: uint64) =
        BinaryPrimitives.WriteUInt64BigEndian(span.Slice offset, value)
