namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core

/// An entry of the snapshot table ("Snapshots").
type Snapshot = {
    /// Bytes from the start of the file; anything, even what no file has.
    L1Offset: int64
    L1Entries: uint32
    /// Bytes, as names are.
    Id: byte[]
    Name: byte[]
    /// Since the Epoch.
    Seconds: uint32
    Nanoseconds: uint32
    /// Time that the guest had run, in nanoseconds.
    GuestNs: uint64
    /// Bytes; `Extra` has the value that counts if it is long enough.
    VmStateBytes32: uint32
    /// The extra data as they are, up to 1024 bytes: fields of later programs survive.
    Extra: byte[]
}

/// What the start of a snapshot table turned out to hold.
type SnapshotRead =
    /// The entry and the bytes that it takes with its padding.
    | Complete of Snapshot * lengthBytes: int
    /// At least so many bytes are needed.
    | NeedBytes of int
    | Refused of QapiError

/// The codec of snapshot tables. A table's length stands nowhere: it is read entry by entry.
module Snapshots =
    /// Bytes of an entry's fixed fields.
    [<Literal>]
    let fixedBytes = 40

    /// Bytes of extra data at most.
    [<Literal>]
    let extraBytesMax = 1024

    /// Bytes of a whole table at most.
    [<Literal>]
    let tableBytesMax = 0x4000000L

    /// Bytes of extra data that version 3 demands: VM state size and disk size.
    [<Literal>]
    let extraBytesVersion3 = 16

    let private extraU64 (at: int) (snapshot: Snapshot) : uint64 voption =
        if snapshot.Extra.Length >= at + 8 then
            ValueSome(BigEndian.readU64 (ReadOnlySpan snapshot.Extra) at)
        else
            ValueNone

    /// Bytes.
    let vmStateBytes (snapshot: Snapshot) : uint64 =
        match extraU64 0 snapshot with
        | ValueSome size -> size
        | ValueNone -> uint64 snapshot.VmStateBytes32

    /// Bytes of the virtual disk when the snapshot was taken; none in old entries, where it is that of the image.
    let diskBytes (snapshot: Snapshot) : uint64 voption = extraU64 8 snapshot

    /// Instructions executed; none if they were not counted.
    let icount (snapshot: Snapshot) : uint64 voption =
        match extraU64 16 snapshot with
        | ValueSome UInt64.MaxValue -> ValueNone
        | count -> count

    /// Extra data with all fields known today.
    let encodeExtra (vmStateBytes: uint64) (diskBytes: uint64) (icount: uint64 voption) : byte[] =
        let extra = Array.zeroCreate 24
        BigEndian.writeU64 (Span extra) 0 vmStateBytes
        BigEndian.writeU64 (Span extra) 8 diskBytes
        BigEndian.writeU64 (Span extra) 16 (ValueOption.defaultValue UInt64.MaxValue icount)
        extra

    /// Bytes of an entry, with its padding; at most about 132 KiB.
    let encodedBytes (snapshot: Snapshot) : int =
        Padding.roundUp (fixedBytes + snapshot.Extra.Length + snapshot.Id.Length + snapshot.Name.Length)

    /// Entry number `index`, at the start of `bytes`. Allocates for nothing but the three strings.
    let decode (index: int) (bytes: ReadOnlySpan<byte>) : SnapshotRead =
        if bytes.Length < fixedBytes then
            NeedBytes fixedBytes
        else
            let idBytes = int (BigEndian.readU16 bytes 12)
            let nameBytes = int (BigEndian.readU16 bytes 14)
            let extraBytes = BigEndian.readU32 bytes 36

            if extraBytes > uint32 extraBytesMax then
                Refused(QapiError.generic ("Too much extra metadata in snapshot table entry " + string index))
            else
                let extraBytes = int extraBytes
                let idStart = fixedBytes + extraBytes
                let length = Padding.roundUp (idStart + idBytes + nameBytes)

                if bytes.Length < length then
                    NeedBytes length
                else
                    Complete(
                        {
                            L1Offset = int64 (BigEndian.readU64 bytes 0)
                            L1Entries = BigEndian.readU32 bytes 8
                            Id = bytes.Slice(idStart, idBytes).ToArray()
                            Name = bytes.Slice(idStart + idBytes, nameBytes).ToArray()
                            Seconds = BigEndian.readU32 bytes 16
                            Nanoseconds = BigEndian.readU32 bytes 20
                            GuestNs = BigEndian.readU64 bytes 24
                            VmStateBytes32 = BigEndian.readU32 bytes 32
                            Extra = bytes.Slice(fixedBytes, extraBytes).ToArray()
                        },
                        length
                    )

    let private encodeEntry (snapshot: Snapshot) (entry: Span<byte>) : unit =
        BigEndian.writeU64 entry 0 (uint64 snapshot.L1Offset)
        BigEndian.writeU32 entry 8 snapshot.L1Entries
        BigEndian.writeU16 entry 12 (uint16 snapshot.Id.Length)
        BigEndian.writeU16 entry 14 (uint16 snapshot.Name.Length)
        BigEndian.writeU32 entry 16 snapshot.Seconds
        BigEndian.writeU32 entry 20 snapshot.Nanoseconds
        BigEndian.writeU64 entry 24 snapshot.GuestNs
        BigEndian.writeU32 entry 32 snapshot.VmStateBytes32
        BigEndian.writeU32 entry 36 (uint32 snapshot.Extra.Length)
        let idStart = fixedBytes + snapshot.Extra.Length
        snapshot.Extra.AsSpan().CopyTo(entry.Slice fixedBytes)
        snapshot.Id.AsSpan().CopyTo(entry.Slice idStart)
        snapshot.Name.AsSpan().CopyTo(entry.Slice(idStart + snapshot.Id.Length))

    let private isEncodable (snapshot: Snapshot) =
        snapshot.Id.Length <= 65535
        && snapshot.Name.Length <= 65535
        && snapshot.Extra.Length <= extraBytesMax

    /// The whole table. EFBIG when it has too many or too long entries.
    let encode (snapshots: Snapshot list) : Result<byte[], int> =
        let total = snapshots |> List.sumBy (encodedBytes >> int64)

        if
            List.length snapshots > int Limits.snapshots
            || total > tableBytesMax
            || not (List.forall isEncodable snapshots)
        then
            Error Errno.EFBIG
        else
            let table: byte[] = Array.zeroCreate (int total)
            let mutable at = 0

            for snapshot in snapshots do
                encodeEntry snapshot (Span(table).Slice at)
                at <- at + encodedBytes snapshot

            Ok table
