namespace StorageDaemon.Core.Qapi

/// Arguments of `blockdev-reopen`.
type BlockdevReopen = { Options: BlockdevOptions list }

/// Arguments of `blockdev-set-active`.
type BlockdevSetActive = {
    /// All nodes if absent.
    NodeName: string option
    Active: bool
}

/// `BlockdevSnapshot` of qapi/block-core.json.
type BlockdevSnapshot = { Node: string; Overlay: string }

/// `NewImageMode` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type NewImageMode =
    | Existing
    | AbsolutePaths

/// `BlockdevSnapshotInternal` of qapi/block-core.json.
type BlockdevSnapshotInternal = { Device: string; Name: string }

/// Arguments of `blockdev-snapshot-delete-internal-sync`.
type BlockdevSnapshotDeleteInternal = { Device: string; Id: string option; Name: string option }

/// `BlockdevSnapshotSync` of qapi/block-core.json.
type BlockdevSnapshotSync = {
    Device: string option
    NodeName: string option
    SnapshotFile: string
    SnapshotNodeName: string option
    /// qcow2 if absent.
    Format: string option
    Mode: NewImageMode option
}

/// `TransactionAction` of qapi/transaction.json.
[<RequireQualifiedAccess>]
type TransactionAction =
    | Abort
    | Snapshot of BlockdevSnapshot
    | SnapshotInternal of BlockdevSnapshotInternal
    | SnapshotSync of BlockdevSnapshotSync

/// `ActionCompletionMode` of qapi/transaction.json.
[<RequireQualifiedAccess>]
type ActionCompletionMode =
    | Individual
    | Grouped

/// `TransactionProperties` of qapi/transaction.json.
type TransactionProperties = { CompletionMode: ActionCompletionMode option }

/// Arguments of `transaction`.
type TransactionArguments = {
    Actions: TransactionAction list
    Properties: TransactionProperties option
}

/// Arguments of `x-blockdev-change`.
type BlockdevChange = {
    Parent: string
    Child: string option
    Node: string option
}

/// Arguments of `x-blockdev-set-iothread`.
type BlockdevSetIothread = {
    NodeName: string
    /// None for the main loop.
    Iothread: string option
    Force: bool option
}

/// Arguments of `block-set-write-threshold`.
type BlockSetWriteThreshold = { NodeName: string; WriteThreshold: uint64 }

/// Data of `BLOCK_WRITE_THRESHOLD`.
type BlockWriteThreshold = {
    NodeName: string
    /// Bytes by which the write ends beyond the threshold.
    AmountExceeded: uint64
    WriteThreshold: uint64
}

/// Data of `BLOCK_IMAGE_CORRUPTED`.
type BlockImageCorrupted = {
    /// Empty: a storage daemon has no devices.
    Device: string
    NodeName: string option
    Msg: string
    /// Bytes.
    Offset: int64 option
    /// Bytes.
    Size: int64 option
    Fatal: bool
}

/// Arguments of `change-backing-file`.
type ChangeBackingFile = {
    Device: string
    ImageNodeName: string
    BackingFile: string
}

/// `XDbgBlockGraphNodeType` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type DebugBlockGraphNodeType =
    | BlockBackend
    | BlockJob
    | BlockDriver

/// `XDbgBlockGraphNode` of qapi/block-core.json.
type DebugBlockGraphNode = { Id: uint64; Type: DebugBlockGraphNodeType; Name: string }

/// `QuorumOpType` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type QuorumOpType =
    | Read
    | Write
    | Flush

/// Data of `QUORUM_FAILURE`. Sectors are of 512 bytes.
type QuorumFailure = {
    /// The quorum's node name.
    Reference: string
    SectorNum: int64
    SectorsCount: int64
}

/// Data of `QUORUM_REPORT_BAD`. Sectors are of 512 bytes.
type QuorumReportBad = {
    Type: QuorumOpType
    /// The C library's text of the errno; none where the data differ.
    Error: string option
    /// The child.
    NodeName: string
    SectorNum: int64
    SectorsCount: int64
}

/// `XDbgBlockGraphEdge` of qapi/block-core.json.
type DebugBlockGraphEdge = {
    Parent: uint64
    Child: uint64
    Name: string
    Perm: BlockPermission list
    SharedPerm: BlockPermission list
}

/// `XDbgBlockGraph` of qapi/block-core.json.
type DebugBlockGraph = {
    Nodes: DebugBlockGraphNode list
    Edges: DebugBlockGraphEdge list
}
