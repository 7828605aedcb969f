namespace StorageDaemon.Core.Qapi

/// `BlockdevCacheInfo` of qapi/block-core.json.
type BlockdevCacheInfo = { Writeback: bool; Direct: bool; NoFlush: bool }

/// `ImageInfoSpecificQCow2` of qapi/block-core.json.
type ImageInfoSpecificQcow2 = {
    Compat: string
    DataFile: string option
    DataFileRaw: bool option
    ExtendedL2: bool option
    LazyRefcounts: bool option
    Corrupt: bool option
    RefcountBits: int64
    CompressionType: Qcow2CompressionType
}

/// `ImageInfoSpecific` of qapi/block-core.json, the branches of drivers that are built.
[<RequireQualifiedAccess>]
type ImageInfoSpecific =
    /// `ImageInfoSpecificFile`: XFS's extent size hint in bytes, if the file has one.
    | File of extentSizeHint: uint64 option
    | Qcow2 of ImageInfoSpecificQcow2

/// `SnapshotInfo` of qapi/block-core.json.
type SnapshotInfo = {
    Id: string
    Name: string
    /// Bytes.
    VmStateSize: int64
    /// When it was taken, since the Epoch.
    DateSec: int64
    DateNsec: int64
    /// How long the guest had run.
    VmClockSec: int64
    VmClockNsec: int64
    /// Instructions executed, if they were counted.
    Icount: int64 option
}

/// `ImageInfo` of qapi/block-core.json.
type ImageInfo = {
    Filename: string
    /// The driver's name.
    Format: string
    DirtyFlag: bool option
    /// Bytes that the image takes on disk.
    ActualSize: int64 option
    /// Bytes.
    VirtualSize: int64
    /// Bytes.
    ClusterSize: int64 option
    Encrypted: bool option
    Compressed: bool option
    BackingFilename: string option
    /// What the name leads to.
    FullBackingFilename: string option
    BackingFilenameFormat: string option
    Snapshots: SnapshotInfo list option
    BackingImage: ImageInfo option
    FormatSpecific: ImageInfoSpecific option
}

/// `BlockDeviceInfo` of qapi/block-core.json. The limits of the old I/O throttling are always 0.
type BlockDeviceInfo = {
    File: string
    NodeName: string option
    ReadOnly: bool
    Driver: string
    BackingFile: string option
    BackingFileDepth: int64
    Active: bool
    Encrypted: bool
    DetectZeroes: BlockdevDetectZeroesOptions
    Bps: int64
    BpsRd: int64
    BpsWr: int64
    Iops: int64
    IopsRd: int64
    IopsWr: int64
    Image: ImageInfo
    Cache: BlockdevCacheInfo
    WriteThreshold: int64
}

/// `BlockDeviceIoStatus` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type BlockDeviceIoStatus =
    | Ok
    | Failed
    | Nospace

/// `BlockInfo` of qapi/block-core.json: a device of a guest. A storage daemon has none.
type BlockInfo = {
    Device: string
    Qdev: string option
    Type: string
    Removable: bool
    Locked: bool
    Inserted: BlockDeviceInfo option
    TrayOpen: bool option
    IoStatus: BlockDeviceIoStatus option
}
