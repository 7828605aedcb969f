namespace StorageDaemon.Core.Qcow2

/// Feature bits ("Header", bytes 72 to 95).
module Feature =
    /// Incompatible: refcounts may be too great or too small, and are to be repaired before the image is written to.
    [<Literal>]
    let dirty = 0x1UL

    /// Incompatible: the image may only be written to for repair.
    [<Literal>]
    let corrupt = 0x2UL

    /// Incompatible: guest clusters lie in a file of their own.
    [<Literal>]
    let dataFile = 0x4UL

    /// Incompatible: compressed clusters are not deflated but as the header's field says.
    [<Literal>]
    let compression = 0x8UL

    /// Incompatible: entries of L2 tables have 16 bytes, for 32 subclusters.
    [<Literal>]
    let extendedL2 = 0x10UL

    let incompatible = dirty ||| corrupt ||| dataFile ||| compression ||| extendedL2

    /// Compatible.
    [<Literal>]
    let lazyRefcounts = 0x1UL

    /// Autoclear: the bitmaps extension is to be trusted.
    [<Literal>]
    let bitmaps = 0x1UL

    /// Autoclear: the data file alone is a raw image of the disk.
    [<Literal>]
    let dataFileRaw = 0x2UL

    let autoclear = bitmaps ||| dataFileRaw

/// What the real daemon accepts at most; a header beyond it is refused before anything is allocated.
module Limits =
    [<Literal>]
    let clusterBitsMin = 9

    [<Literal>]
    let clusterBitsMax = 21

    /// Bytes of an L1 table, the active one or a snapshot's.
    [<Literal>]
    let l1TableBytes = 0x2000000UL

    [<Literal>]
    let refcountTableBytes = 0x800000UL

    [<Literal>]
    let refcountOrderMax = 6u

    [<Literal>]
    let snapshots = 65536u

    [<Literal>]
    let backingFileBytes = 1023

    /// Bytes of a subcluster at least: a sector.
    [<Literal>]
    let subclusterBytesMin = 512

    [<Literal>]
    let bitmaps = 65535u

    /// Bytes of the bitmap directory.
    [<Literal>]
    let bitmapDirectoryBytes = 67107840UL
