namespace StorageDaemon.Core.Qcow2

/// The arithmetic of an image: fixed by its header, changed by nothing but an amendment of it.
[<Struct>]
type Geometry = {
    /// Binary logarithm of the cluster size in bytes, 9 to 21.
    ClusterBits: int
    /// Binary logarithm of a refcount's width in bits, 0 to 6.
    RefcountOrder: int
    /// L2 entries of 16 bytes, with 32 subclusters to a cluster.
    ExtendedL2: bool
    /// Version 2 knows no clusters that read as zeroes.
    Version2: bool
    /// Guest clusters lie in a file of their own, each at its guest offset.
    ExternalData: bool
}

/// Where a guest offset is looked up.
[<Struct>]
type GuestPlace = {
    L1Index: int64
    L2Index: int
    /// 0 to 31; 0 where there are no subclusters.
    Subcluster: int
    /// Bytes from the start of the cluster.
    OffsetInCluster: int
}

/// qcow2 specification, "Host cluster management", "Cluster mapping" and "Extended L2 Entries".
module Geometry =
    let ofHeader (header: Header) : Geometry = {
        ClusterBits = header.ClusterBits
        RefcountOrder = header.RefcountOrder
        ExtendedL2 = header.Incompatible &&& Feature.extendedL2 <> 0UL
        Version2 = header.Version = 2
        ExternalData = header.Incompatible &&& Feature.dataFile <> 0UL
    }

    /// Bytes.
    let inline clusterBytes (g: inref<Geometry>) : int = 1 <<< g.ClusterBits

    /// How many clusters so many bytes take.
    let clusters (g: inref<Geometry>) (bytes: int64) : int64 =
        (bytes + (1L <<< g.ClusterBits) - 1L) >>> g.ClusterBits

    /// Bytes from the start of its cluster.
    let inline offsetInCluster (g: inref<Geometry>) (offset: int64) : int =
        int (offset &&& ((1L <<< g.ClusterBits) - 1L))

    /// Whether a host offset starts a cluster.
    let inline isAligned (g: inref<Geometry>) (offset: int64) : bool =
        offset &&& ((1L <<< g.ClusterBits) - 1L) = 0L

    let inline l2EntryBytes (g: inref<Geometry>) : int = if g.ExtendedL2 then 16 else 8

    /// Binary logarithm of the number of entries of an L2 table.
    let inline l2Bits (g: inref<Geometry>) : int =
        if g.ExtendedL2 then
            g.ClusterBits - 4
        else
            g.ClusterBits - 3

    let inline l2Entries (g: inref<Geometry>) : int = 1 <<< l2Bits &g

    /// Subclusters of a cluster: 32, or 1 where there are none.
    let inline subclusters (g: inref<Geometry>) : int = if g.ExtendedL2 then 32 else 1

    /// Binary logarithm of the subcluster size in bytes.
    let inline subclusterBits (g: inref<Geometry>) : int =
        if g.ExtendedL2 then g.ClusterBits - 5 else g.ClusterBits

    let inline subclusterBytes (g: inref<Geometry>) : int = 1 <<< subclusterBits &g

    /// The width of a refcount.
    let inline refcountBits (g: inref<Geometry>) : int = 1 <<< g.RefcountOrder

    /// The greatest refcount.
    let inline refcountMax (g: inref<Geometry>) : uint64 =
        System.UInt64.MaxValue >>> (64 - refcountBits &g)

    /// Binary logarithm of the number of refcounts in a refcount block.
    let inline refblockBits (g: inref<Geometry>) : int = g.ClusterBits + 3 - g.RefcountOrder

    let inline refblockEntries (g: inref<Geometry>) : int = 1 <<< refblockBits &g

    /// Binary logarithm of the guest bytes that one L1 entry covers.
    let inline l1Bits (g: inref<Geometry>) : int = g.ClusterBits + l2Bits &g

    /// Entries that an L1 table for a disk of `sizeBytes`, not negative, needs.
    let l1Entries (g: inref<Geometry>) (sizeBytes: int64) : int64 =
        let shift = l1Bits &g
        let rest = sizeBytes &&& ((1L <<< shift) - 1L)
        (sizeBytes >>> shift) + (if rest = 0L then 0L else 1L)

    /// The longest disk, in bytes: what the greatest L1 table covers.
    let sizeMax (g: inref<Geometry>) : int64 =
        int64 (Limits.l1TableBytes / 8UL) <<< l1Bits &g

    /// Takes a guest offset that is not negative.
    let split (g: inref<Geometry>) (offset: int64) : GuestPlace =
        let inCluster = offsetInCluster &g offset

        {
            L1Index = offset >>> l1Bits &g
            L2Index = int (offset >>> g.ClusterBits) &&& (l2Entries &g - 1)
            Subcluster = inCluster >>> subclusterBits &g
            OffsetInCluster = inCluster
        }

    /// The guest offset that `split` has taken apart.
    let join (g: inref<Geometry>) (place: GuestPlace) : int64 =
        (place.L1Index <<< l1Bits &g)
        + (int64 place.L2Index <<< g.ClusterBits)
        + int64 place.OffsetInCluster

    /// The index into the refcount table for a cluster of the file.
    let inline refcountTableIndex (g: inref<Geometry>) (cluster: int64) : int64 = cluster >>> refblockBits &g

    /// The index into the refcount block for a cluster of the file.
    let inline refblockIndex (g: inref<Geometry>) (cluster: int64) : int =
        int cluster &&& (refblockEntries &g - 1)
