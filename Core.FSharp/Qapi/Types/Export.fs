namespace StorageDaemon.Core.Qapi

/// `NbdServerOptions` of qapi/block-export.json (`--nbd-server`), and the same in `nbd-server-start`'s older spelling.
type NbdServerOptions = {
    /// 0 means no limit; 10 if absent.
    HandshakeMaxSeconds: uint32 option
    TlsCreds: string option
    TlsAuthz: string option
    /// 0 means no limit; 100 if absent.
    MaxConnections: uint32 option
    Addr: SocketAddress
}

/// Arguments of `nbd-server-add` (deprecated).
type NbdServerAddOptions = {
    Name: string option
    Description: string option
    /// A device or node.
    Device: string
    Writable: bool option
}

/// `BlockExportRemoveMode` of qapi/block-export.json.
[<RequireQualifiedAccess>]
type BlockExportRemoveMode =
    | Safe
    | Hard

/// Arguments of `nbd-server-remove` (deprecated).
type NbdServerRemove = { Name: string; Mode: BlockExportRemoveMode option }

/// `BlockExportType` of qapi/block-export.json, the types that are built.
[<RequireQualifiedAccess>]
type BlockExportType =
    | Nbd
    | Fuse
    | VhostUserBlk

/// `BlockExportOptionsNbd` of qapi/block-export.json.
type BlockExportOptionsNbd = {
    /// The node's name if absent.
    Name: string option
    Description: string option
}

/// `FuseExportAllowOther` of qapi/block-export.json.
[<RequireQualifiedAccess>]
type FuseExportAllowOther =
    | Off
    | On
    | Auto

/// `BlockExportOptionsFuse` of qapi/block-export.json.
type BlockExportOptionsFuse = {
    /// An existing regular file.
    Mountpoint: string
    Growable: bool option
    AllowOther: FuseExportAllowOther option
}

/// `BlockExportOptionsVhostUserBlk` of qapi/block-export.json.
type BlockExportOptionsVhostUserBlk = {
    Addr: SocketAddress
    /// Bytes; 512 if absent.
    LogicalBlockSize: uint64 option
    /// 1 if absent.
    NumQueues: uint16 option
}

/// The iothreads that serve an export. The real daemon takes one; a list is an addition of this daemon.
[<RequireQualifiedAccess>]
type ExportIothread =
    | One of string
    | Many of string list

/// The branches of `BlockExportOptions`, by type.
[<RequireQualifiedAccess>]
type BlockExportBranch =
    | Nbd of BlockExportOptionsNbd
    | Fuse of BlockExportOptionsFuse
    | VhostUserBlk of BlockExportOptionsVhostUserBlk

/// `BlockExportOptions` of qapi/block-export.json: arguments of `block-export-add` and `--export`.
type BlockExportOptions = {
    Id: string
    FixedIothread: bool option
    Iothread: ExportIothread option
    NodeName: string
    Writable: bool option
    Writethrough: bool option
    AllowInactive: bool option
    Type: BlockExportBranch
}

/// Arguments of `block-export-del`.
type BlockExportDel = { Id: string; Mode: BlockExportRemoveMode option }

/// `BlockExportInfo` of qapi/block-export.json.
type BlockExportInfo = {
    Id: string
    Type: BlockExportType
    NodeName: string
    ShuttingDown: bool
}

/// Data of the event BLOCK_EXPORT_DELETED.
type BlockExportDeleted = { Id: string }
