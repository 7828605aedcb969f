namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core

/// What an L2 entry makes of its cluster, or of one subcluster.
type ClusterKind =
    /// Reads come from the backing file, or are zeroes without one.
    | Unallocated = 0uy
    /// As `Unallocated`; another subcluster's host cluster has room for it.
    | UnallocatedReserved = 1uy
    /// Reads as zeroes; there is no host cluster.
    | ZeroPlain = 2uy
    /// Reads as zeroes; the host cluster is kept for writes.
    | ZeroAllocated = 3uy
    | Normal = 4uy
    | Compressed = 5uy

/// What makes an entry unusable: a read or write that meets it fails with EIO, and the image is corrupt.
type EntryFault =
    | None = 0uy
    /// The offset is no multiple of the cluster size.
    | Unaligned = 1uy
    /// The zero flag in an image of version 2.
    | ZeroFlag = 2uy
    /// A compressed cluster with an external data file, where it cannot lie.
    | CompressedExternal = 3uy
    /// A subcluster is both allocated and zero, or allocated without a host cluster.
    | Subclusters = 4uy

/// Where the data of a compressed cluster are.
[<Struct>]
type CompressedPlace = {
    /// Bytes from the start of the file; any.
    HostOffset: int64
    /// Bytes to the end of the last sector: at least what the data take.
    LengthBytes: int
}

/// One L2 entry: the first eight bytes, and for extended entries the bitmaps of the subclusters.
[<Struct>]
type L2Entry = {
    Descriptor: uint64
    /// Bits 0-31 allocated, bits 32-63 zero; zero for entries that are not extended.
    Bitmap: uint64
}

/// What entries of all tables have in common.
module Entry =
    /// Bits 9-55: a host offset, below 64 PiB.
    [<Literal>]
    let offsetMask = 0x00fffffffffffe00UL

    /// The table or cluster has exactly one reference, so that it may be written in place.
    [<Literal>]
    let copied = 0x8000000000000000UL

    /// The entries of an L1 table or a refcount table.
    let readTable (bytes: byte[]) : uint64[] =
        Array.init (bytes.Length / 8) (fun i -> BigEndian.readU64 (ReadOnlySpan bytes) (i * 8))

    /// Puts entries down at the start of `bytes`.
    let writeTable (entries: ReadOnlySpan<uint64>) (bytes: Span<byte>) : unit =
        for i in 0 .. entries.Length - 1 do
            BigEndian.writeU64 bytes (i * 8) entries[i]

    let inline internal isAligned (g: inref<Geometry>) (offset: uint64) : bool =
        offset &&& ((1UL <<< g.ClusterBits) - 1UL) = 0UL

/// "L1 table entry"
module L1Entry =
    [<Literal>]
    let reserved = 0x7f000000000001ffUL

    /// Zero when there is no L2 table.
    let inline l2Offset (entry: uint64) : int64 = int64 (entry &&& Entry.offsetMask)

    let inline isCopied (entry: uint64) : bool = entry &&& Entry.copied <> 0UL

    /// Reserved bits disturb nobody but a check.
    let inline hasReservedBits (entry: uint64) : bool = entry &&& reserved <> 0UL

    /// Takes an aligned offset below 64 PiB.
    let inline encode (l2Offset: int64) (copied: bool) : uint64 =
        uint64 l2Offset ||| (if copied then Entry.copied else 0UL)

    let fault (g: inref<Geometry>) (entry: uint64) : EntryFault =
        if Entry.isAligned &g (entry &&& Entry.offsetMask) then
            EntryFault.None
        else
            EntryFault.Unaligned

/// "Refcount table entry"
module RefcountTableEntry =
    [<Literal>]
    let reserved = 0x1ffUL

    /// Bits 9-63. Zero when there is no refcount block; negative for offsets that no file has.
    let inline blockOffset (entry: uint64) : int64 = int64 (entry &&& ~~~reserved)

    let inline hasReservedBits (entry: uint64) : bool = entry &&& reserved <> 0UL

    let fault (g: inref<Geometry>) (entry: uint64) : EntryFault =
        if Entry.isAligned &g (entry &&& ~~~reserved) then
            EntryFault.None
        else
            EntryFault.Unaligned

/// "L2 table entry", "Standard Cluster Descriptor", "Compressed Clusters Descriptor", "Subcluster Allocation Bitmap"
module L2Entry =
    [<Literal>]
    let compressed = 0x4000000000000000UL

    [<Literal>]
    let zero = 1UL

    /// Of a standard descriptor; bit 0 is `zero`.
    [<Literal>]
    let reserved = 0x3f000000000001feUL

    /// The bitmap's half of allocated subclusters.
    [<Literal>]
    let allAllocated = 0xffffffffUL

    let inline isCopied (descriptor: uint64) : bool = descriptor &&& Entry.copied <> 0UL

    let inline isCompressed (descriptor: uint64) : bool = descriptor &&& compressed <> 0UL

    /// Of a standard descriptor. Reserved bits disturb nobody but a check.
    let inline hasReservedBits (descriptor: uint64) : bool = descriptor &&& reserved <> 0UL

    /// Of a standard descriptor; zero when there is no host cluster, but with an external data file.
    let inline hostOffset (descriptor: uint64) : int64 = int64 (descriptor &&& Entry.offsetMask)

    let inline private hasHostCluster (g: inref<Geometry>) (descriptor: uint64) : bool =
        descriptor &&& Entry.offsetMask <> 0UL
        || (g.ExternalData && isCopied descriptor)

    /// The cluster as a whole, whatever its subclusters are.
    let clusterKind (g: inref<Geometry>) (descriptor: uint64) : ClusterKind =
        if isCompressed descriptor then
            ClusterKind.Compressed
        elif descriptor &&& zero <> 0UL && not g.ExtendedL2 then
            // Even with an external data file: there the real daemon takes no heed of the "copied" flag of zeroes.
            if hostOffset descriptor <> 0L then
                ClusterKind.ZeroAllocated
            else
                ClusterKind.ZeroPlain
        elif hasHostCluster &g descriptor then
            ClusterKind.Normal
        else
            ClusterKind.Unallocated

    /// One subcluster, 0 to 31, of an entry without a fault; without extended entries the cluster.
    let subclusterKind (g: inref<Geometry>) (entry: inref<L2Entry>) (subcluster: int) : ClusterKind =
        let cluster = clusterKind &g entry.Descriptor

        if not g.ExtendedL2 || cluster = ClusterKind.Compressed then
            cluster
        else
            let hasHost = cluster = ClusterKind.Normal

            if entry.Bitmap &&& (1UL <<< (32 + subcluster)) <> 0UL then
                if hasHost then
                    ClusterKind.ZeroAllocated
                else
                    ClusterKind.ZeroPlain
            elif entry.Bitmap &&& (1UL <<< subcluster) <> 0UL then
                ClusterKind.Normal
            elif hasHost then
                ClusterKind.UnallocatedReserved
            else
                ClusterKind.Unallocated

    /// Subclusters from `subcluster` on, at least 1, that are of the same kind. Takes an entry without a fault.
    let sameKindFrom (g: inref<Geometry>) (entry: inref<L2Entry>) (subcluster: int) : int =
        if not g.ExtendedL2 then
            1
        elif isCompressed entry.Descriptor then
            32 - subcluster
        else
            // Bit by bit, whether the subcluster differs from the first one in one of the two maps.
            let allocated = uint32 entry.Bitmap >>> subcluster
            let zeroes = uint32 (entry.Bitmap >>> 32) >>> subcluster
            let flip (map: uint32) = if map &&& 1u = 0u then map else ~~~map

            System.Numerics.BitOperations.TrailingZeroCount(flip allocated ||| flip zeroes)
            |> min (32 - subcluster)

    /// The entry of that number in a table, or in a slice of one.
    let read (g: inref<Geometry>) (table: ReadOnlySpan<byte>) (index: int) : L2Entry =
        let at = index * Geometry.l2EntryBytes &g

        {
            Descriptor = BigEndian.readU64 table at
            Bitmap =
                if g.ExtendedL2 then
                    BigEndian.readU64 table (at + 8)
                else
                    0UL
        }

    let write (g: inref<Geometry>) (table: Span<byte>) (index: int) (entry: L2Entry) : unit =
        let at = index * Geometry.l2EntryBytes &g
        BigEndian.writeU64 table at entry.Descriptor

        if g.ExtendedL2 then
            BigEndian.writeU64 table (at + 8) entry.Bitmap

    /// Bits of a compressed descriptor's offset.
    let inline private compressedOffsetBits (g: inref<Geometry>) : int = 62 - (g.ClusterBits - 8)

    /// The greatest host offset of compressed data: the field's width, and never past 64 PiB.
    let compressedOffsetMax (g: inref<Geometry>) : int64 =
        (1L <<< min 56 (compressedOffsetBits &g)) - 1L

    let compressedPlace (g: inref<Geometry>) (descriptor: uint64) : CompressedPlace =
        let bits = compressedOffsetBits &g
        let offset = int64 (descriptor &&& ((1UL <<< bits) - 1UL))
        let more = int ((descriptor >>> bits) &&& ((1UL <<< (g.ClusterBits - 8)) - 1UL))

        {
            HostOffset = offset
            LengthBytes = (more + 1) * 512 - int (offset &&& 511L)
        }

    /// Takes an offset up to `compressedOffsetMax` and a length from 1 byte to a cluster.
    let encodeCompressed (g: inref<Geometry>) (hostOffset: int64) (lengthBytes: int) : uint64 =
        let more = (hostOffset + int64 lengthBytes - 1L) / 512L - hostOffset / 512L
        compressed ||| (uint64 more <<< compressedOffsetBits &g) ||| uint64 hostOffset

    /// Whether the bitmap contradicts itself or the descriptor, which is a standard one.
    let hasSubclusterFault (g: inref<Geometry>) (entry: inref<L2Entry>) : bool =
        g.ExtendedL2
        && (if hasHostCluster &g entry.Descriptor then
                (entry.Bitmap >>> 32) &&& entry.Bitmap <> 0UL
            else
                entry.Bitmap &&& allAllocated <> 0UL)

    let fault (g: inref<Geometry>) (entry: inref<L2Entry>) : EntryFault =
        let descriptor = entry.Descriptor

        if isCompressed descriptor then
            if g.ExternalData then
                EntryFault.CompressedExternal
            else
                EntryFault.None
        elif hasSubclusterFault &g &entry then
            EntryFault.Subclusters
        elif descriptor &&& zero <> 0UL && g.Version2 then
            EntryFault.ZeroFlag
        elif not (Entry.isAligned &g (descriptor &&& Entry.offsetMask)) then
            EntryFault.Unaligned
        else
            EntryFault.None
