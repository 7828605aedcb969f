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

/// `BlockdevCreateOptions` of qapi/block-core.json: the branch says all.
[<RequireQualifiedAccess>]
type BlockdevCreateOptions =
    | File of BlockdevCreateOptionsFile
    /// A driver that makes no images; the schema lists all drivers.
    | None of driver: string

/// Arguments of `blockdev-create`.
type BlockdevCreate = { JobId: string; Options: BlockdevCreateOptions }
