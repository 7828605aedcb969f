namespace StorageDaemon.Core.Filter

open System
open System.Buffers.Binary
open StorageDaemon.Core

/// The super block of a write log, in its first sector (Linux, drivers/md/dm-log-writes.c, version 1).
[<Struct>]
type LogWritesSuper = { Entries: uint64; SectorBytes: uint32 }

/// One entry of a write log: one sector, before the sectors of its data.
[<Struct>]
type LogWritesEntry = {
    /// The place on the logged device, in sectors of the log's size.
    Sector: uint64
    /// The length on the logged device, in sectors.
    Sectors: uint64
    Flags: uint64
    /// Bytes of a mark's text within the entry's own sector.
    DataBytes: uint64
}

/// Where the next entry goes.
[<Struct>]
type LogWritesCursor = { NextEntry: uint64; NextSector: uint64 }

/// The format of dm-log-writes: little-endian fields at the start of otherwise empty sectors.
module LogWrites =
    [<Literal>]
    let magic = 0x6a736677736872UL

    [<Literal>]
    let version = 1UL

    [<Literal>]
    let flagFlush = 1UL

    [<Literal>]
    let flagFua = 2UL

    [<Literal>]
    let flagDiscard = 4UL

    [<Literal>]
    let flagMark = 8UL

    [<Literal>]
    let flagMetadata = 16UL

    let private knownFlags = flagFlush ||| flagFua ||| flagDiscard ||| flagMark ||| flagMetadata

    /// Bytes that the fields of an entry take.
    [<Literal>]
    let entryBytes = 32

    /// Bytes that the fields of the super block take.
    [<Literal>]
    let superBytes = 28

    /// Whether sectors of a log may have that size: a power of two from 32 bytes, which an entry takes, to 8 MiB.
    let isSectorSize (bytes: uint64) : bool =
        bytes >= uint64 entryBytes && bytes <= 0x800000UL && UInt64.IsPow2 bytes

    /// Fills one sector.
    let encodeSuper (super: LogWritesSuper) (sector: Span<byte>) : unit =
        sector.Clear()
        BinaryPrimitives.WriteUInt64LittleEndian(sector, magic)
        BinaryPrimitives.WriteUInt64LittleEndian(sector.Slice 8, version)
        BinaryPrimitives.WriteUInt64LittleEndian(sector.Slice 16, super.Entries)
        BinaryPrimitives.WriteUInt32LittleEndian(sector.Slice 24, super.SectorBytes)

    /// The super block of a log that is to be appended to, or the text of the error. Takes at least 28 bytes.
    let decodeSuper (bytes: ReadOnlySpan<byte>) : Result<LogWritesSuper, string> =
        if
            bytes.Length < superBytes
            || BinaryPrimitives.ReadUInt64LittleEndian bytes <> magic
        then
            Error "Invalid log superblock magic"
        else
            let found = BinaryPrimitives.ReadUInt64LittleEndian(bytes.Slice 8)
            let sectorBytes = BinaryPrimitives.ReadUInt32LittleEndian(bytes.Slice 24)

            if found <> version then
                Error("Unsupported log version " + string found)
            elif not (isSectorSize (uint64 sectorBytes)) then
                Error("Invalid log sector size " + string sectorBytes)
            else
                Ok {
                    Entries = BinaryPrimitives.ReadUInt64LittleEndian(bytes.Slice 16)
                    SectorBytes = sectorBytes
                }

    /// Fills one sector.
    let encodeEntry (entry: LogWritesEntry) (sector: Span<byte>) : unit =
        sector.Clear()
        BinaryPrimitives.WriteUInt64LittleEndian(sector, entry.Sector)
        BinaryPrimitives.WriteUInt64LittleEndian(sector.Slice 8, entry.Sectors)
        BinaryPrimitives.WriteUInt64LittleEndian(sector.Slice 16, entry.Flags)
        BinaryPrimitives.WriteUInt64LittleEndian(sector.Slice 24, entry.DataBytes)

    /// The entry with that number from the start of its sector, or the text of the error. Takes at least 32 bytes.
    let decodeEntry (index: uint64) (bytes: ReadOnlySpan<byte>) : Result<LogWritesEntry, string> =
        let flags = BinaryPrimitives.ReadUInt64LittleEndian(bytes.Slice 16)

        if flags &&& ~~~knownFlags <> 0UL then
            Error("Invalid flags 0x" + flags.ToString "x" + " in log entry " + string index)
        else
            Ok {
                Sector = BinaryPrimitives.ReadUInt64LittleEndian bytes
                Sectors = BinaryPrimitives.ReadUInt64LittleEndian(bytes.Slice 8)
                Flags = flags
                DataBytes = BinaryPrimitives.ReadUInt64LittleEndian(bytes.Slice 24)
            }

    /// The cursor of an empty log: after the super block.
    let first: LogWritesCursor = { NextEntry = 0UL; NextSector = 1UL }

    /// Sectors of data after an entry. A discard has a length but no data.
    let dataSectors (entry: LogWritesEntry) : uint64 =
        if entry.Flags &&& flagDiscard <> 0UL then
            0UL
        else
            entry.Sectors

    /// The cursor after an entry; none if the log would grow past what a file's offset can say.
    let advance (sectorBytes: uint32) (entry: LogWritesEntry) (cursor: LogWritesCursor) : LogWritesCursor voption =
        let limit = uint64 Int64.MaxValue / uint64 sectorBytes
        let data = dataSectors entry

        if cursor.NextSector >= limit || data > limit - cursor.NextSector - 1UL then
            ValueNone
        else
            ValueSome {
                NextEntry = cursor.NextEntry + 1UL
                NextSector = cursor.NextSector + 1UL + data
            }
