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
    let private hasHost (kind: ClusterKind) =
        kind = ClusterKind.Normal
        || kind = ClusterKind.ZeroAllocated
        || kind = ClusterKind.UnallocatedReserved

    let private isSound (g: inref<Geometry>) (entry: inref<L2Entry>) =
        L2Entry.fault &g &entry = EntryFault.None

    /// Bytes that no table has an entry for.
    let unallocated (lengthBytes: int64) : Run = {
        IsFaulty = false
        Kind = ClusterKind.Unallocated
        HostOffset = 0L
        LengthBytes = lengthBytes
        IsCopied = false
        Descriptor = 0UL
    }

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
        let first = L2Entry.read &g slice index
        let unit = inCluster >>> unitBits
        let isFaulty = not (isSound &g &first)
        let kind = L2Entry.subclusterKind &g &first unit
        let copied = L2Entry.isCopied first.Descriptor
        // Guest clusters of an external data file lie at their own offsets whatever is mapped there.
        let hostCluster =
            if hasHost kind then
                L2Entry.hostOffset first.Descriptor
            else
                0L

        let units = L2Entry.sameKindFrom &g &first unit
        let mutable length = (int64 (unit + units) <<< unitBits) - int64 inCluster
        let mutable at = index

        let mutable going = unit + units = perCluster && kind <> ClusterKind.Compressed && not isFaulty

        while going && length < limitBytes do
            at <- at + 1
            going <- false

            if at < entries then
                let entry = L2Entry.read &g slice at
                let host = hostCluster + (int64 (at - index) <<< g.ClusterBits)

                if
                    isSound &g &entry
                    && L2Entry.subclusterKind &g &entry 0 = kind
                    && (not (hasHost kind)
                        || L2Entry.isCopied entry.Descriptor = copied
                           && L2Entry.hostOffset entry.Descriptor = host)
                then
                    let units = L2Entry.sameKindFrom &g &entry 0
                    length <- length + (int64 units <<< unitBits)
                    going <- units = perCluster

        {
            IsFaulty = isFaulty
            Kind = kind
            HostOffset = hostCluster + int64 inCluster
            LengthBytes = min length limitBytes
            IsCopied = copied
            Descriptor = first.Descriptor
        }
