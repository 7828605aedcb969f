namespace StorageDaemon.Core.Qapi

/// `PreallocMode` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type PreallocMode =
    | Off
    | Metadata
    | Falloc
    | Full

/// `BlockdevCreateOptionsFile` of qapi/block-core.json.
type BlockdevCreateOptionsFile = {
    Filename: string
    Size: uint64
    Preallocation: PreallocMode option
    Nocow: bool option
    /// Bytes.
    ExtentSizeHint: uint64 option
}

/// `BlockdevQcow2Version` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type BlockdevQcow2Version =
    | V2
    | V3

/// `BlockdevCreateOptionsQcow2` of qapi/block-core.json.
type BlockdevCreateOptionsQcow2 = {
    File: BlockdevRef
    DataFile: BlockdevRef option
    DataFileRaw: bool option
    ExtendedL2: bool option
    /// Bytes.
    Size: uint64
    Version: BlockdevQcow2Version option
    BackingFile: string option
    /// A driver's name.
    BackingFmt: string option
    /// Bytes.
    ClusterSize: uint64 option
    Preallocation: PreallocMode option
    LazyRefcounts: bool option
    RefcountBits: int64 option
    CompressionType: Qcow2CompressionType option
}

/// `BlockdevCreateOptions` of qapi/block-core.json: the branch says all.
[<RequireQualifiedAccess>]
type BlockdevCreateOptions =
    | File of BlockdevCreateOptionsFile
    | Qcow2 of BlockdevCreateOptionsQcow2
    /// A driver that makes no images; the schema lists all drivers.
    | None of driver: string

/// Arguments of `blockdev-create`.
type BlockdevCreate = { JobId: string; Options: BlockdevCreateOptions }
