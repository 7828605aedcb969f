namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core

/// Guest bytes that one request can have at once: what they are is the same for all, and host bytes are contiguous.
[<Struct; NoEquality; NoComparison>]
type Run = {
    /// The entry cannot be; nothing else of the run counts then.
    IsFaulty: bool
    Kind: ClusterKind
    /// Of the first byte, for kinds that have a host cluster: bytes from the start of the data file.
    HostOffset: int64
    LengthBytes: int64
    /// The host cluster has no other user.
    IsCopied: bool
    /// The descriptor of the first cluster.
    Descriptor: uint64
}

/// What a slice of an L2 table says of guest bytes.
module Mapping =
    let entryAt (g: inref<Geometry>) (slice: ReadOnlySpan<byte>) (index: int) : L2Entry =
        let at = index * Geometry.l2EntryBytes &g

        {
            Descriptor = BigEndian.readU64 slice at
            Bitmap =
                if g.ExtendedL2 then
                    BigEndian.readU64 slice (at + 8)
                else
                    0UL
        }

    let setEntry (g: inref<Geometry>) (slice: Span<byte>) (index: int) (entry: L2Entry) : unit =
        let at = index * Geometry.l2EntryBytes &g
        BigEndian.writeU64 slice at entry.Descriptor

        if g.ExtendedL2 then
            BigEndian.writeU64 slice (at + 8) entry.Bitmap

    let private hasHost (kind: ClusterKind) =
        kind = ClusterKind.Normal
        || kind = ClusterKind.ZeroAllocated
        || kind = ClusterKind.UnallocatedReserved

    let private isSound (g: inref<Geometry>) (entry: inref<L2Entry>) =
        L2Entry.fault &g &entry = EntryFault.None

    /// The longest run from a guest offset, at most to `limitBytes` and to the slice's end. `index` is the number of the
    /// first cluster's entry in the slice.
    let runAt
        (g: inref<Geometry>)
        (slice: ReadOnlySpan<byte>)
        (index: int)
        (guestOffset: int64)
        (limitBytes: int64)
        : Run =
        let entries = slice.Length / Geometry.l2EntryBytes &g
        let unitBits = Geometry.subclusterBits &g
        let perCluster = Geometry.subclusters &g
        let inCluster = Geometry.offsetInCluster &g guestOffset
        let first = entryAt &g slice index
        let mutable unit = inCluster >>> unitBits
        let isFaulty = not (isSound &g &first)
        let kind = L2Entry.subclusterKind &g &first unit
        let copied = L2Entry.isCopied first.Descriptor
        // Guest clusters of an external data file lie at their own offsets whatever is mapped there.
        let hostCluster =
            if hasHost kind then
                L2Entry.hostOffset first.Descriptor
            else
                0L

        let mutable length = (int64 (unit + 1) <<< unitBits) - int64 inCluster
        let mutable at = index
        let mutable entry = first
        let mutable going = kind <> ClusterKind.Compressed && not isFaulty

        while going && length < limitBytes do
            unit <- unit + 1

            if unit = perCluster then
                unit <- 0
                at <- at + 1

                if at < entries then
                    entry <- entryAt &g slice at

                    going <-
                        isSound &g &entry
                        && (not (hasHost kind)
                            || L2Entry.isCopied entry.Descriptor = copied
                               && L2Entry.hostOffset entry.Descriptor =
                                   hostCluster + (int64 (at - index) <<< g.ClusterBits))
                else
                    going <- false

            if going then
                if L2Entry.subclusterKind &g &entry unit = kind then
                    length <- length + (1L <<< unitBits)
                else
                    going <- false

        if kind = ClusterKind.Compressed then
            length <- (1L <<< g.ClusterBits) - int64 inCluster

        {
            IsFaulty = isFaulty
            Kind = kind
            HostOffset = hostCluster + int64 inCluster
            LengthBytes = min length limitBytes
            IsCopied = copied
            Descriptor = first.Descriptor
        }
