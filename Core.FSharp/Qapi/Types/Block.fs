namespace StorageDaemon.Core.Qapi

/// `BlockdevDiscardOptions` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type BlockdevDiscardOptions =
    | Ignore
    | Unmap

/// `BlockdevDetectZeroesOptions` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type BlockdevDetectZeroesOptions =
    | Off
    | On
    | Unmap

/// `BlockdevAioOptions` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type BlockdevAioOptions =
    | Threads
    | Native
    | IoUring

/// `BlockdevCacheOptions` of qapi/block-core.json.
type BlockdevCacheOptions = {
    /// O_DIRECT.
    Direct: bool option
    /// Ignore flush requests.
    NoFlush: bool option
}

/// `BlockdevOptionsFile` of qapi/block-core.json: drivers `file`, `host_device` and `host_cdrom`.
type BlockdevOptionsFile = {
    Filename: string
    /// The id of an object that handles persistent reservations.
    PrManager: string option
    Locking: OnOffAuto option
    Aio: BlockdevAioOptions option
    /// Requests per submission; 0 leaves it to the driver.
    AioMaxBatch: int64 option
    DropCache: bool option
    CheckCacheDropped: bool option
}

/// `BlockdevOptionsNull` of qapi/block-core.json: drivers `null-co` and `null-aio`.
type BlockdevOptionsNull = {
    /// Bytes; 1 GiB if absent.
    Size: int64 option
    LatencyNs: uint64 option
    ReadZeroes: bool option
}

/// `BlockPermission` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type BlockPermission =
    | ConsistentRead
    | Write
    | WriteUnchanged
    | Resize

/// `QuorumReadPattern` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type QuorumReadPattern =
    | Quorum
    | Fifo

/// `BlkdebugInjectErrorOptions` of qapi/block-core.json.
type BlkdebugInjectErrorOptions = {
    /// A number of `BlkDebugRules.events`.
    Event: int
    State: int64 option
    Iotype: StorageDaemon.Core.Filter.BlkDebugIoType option
    Errno: int64 option
    /// Of 512 bytes.
    Sector: int64 option
    Once: bool option
    Immediately: bool option
}

/// `BlkdebugSetStateOptions` of qapi/block-core.json.
type BlkdebugSetStateOptions = {
    /// A number of `BlkDebugRules.events`.
    Event: int
    State: int64 option
    NewState: int64
}

/// `Qcow2CompressionType` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type Qcow2CompressionType =
    | Zlib
    | Zstd

/// `Qcow2OverlapCheckMode` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type Qcow2OverlapCheckMode =
    | None
    | Constant
    | Cached
    | All

/// `Qcow2OverlapCheckFlags` of qapi/block-core.json: what is not given is as the template has it.
type Qcow2OverlapCheckFlags = {
    Template: Qcow2OverlapCheckMode option
    MainHeader: bool option
    ActiveL1: bool option
    ActiveL2: bool option
    RefcountTable: bool option
    RefcountBlock: bool option
    SnapshotTable: bool option
    InactiveL1: bool option
    InactiveL2: bool option
    BitmapDirectory: bool option
}

/// `Qcow2OverlapChecks` of qapi/block-core.json.
[<RequireQualifiedAccess>]
type Qcow2OverlapChecks =
    | Flags of Qcow2OverlapCheckFlags
    | Mode of Qcow2OverlapCheckMode

/// `BlockdevOptions` of qapi/block-core.json: a node to be made.
type BlockdevOptions = {
    NodeName: string option
    Discard: BlockdevDiscardOptions option
    Cache: BlockdevCacheOptions option
    Active: bool option
    ReadOnly: bool option
    AutoReadOnly: bool option
    ForceShare: bool option
    DetectZeroes: BlockdevDetectZeroesOptions option
    Driver: BlockdevDriver
}

/// The branches of `BlockdevOptions`, by driver.
and [<RequireQualifiedAccess>] BlockdevDriver =
    | File of BlockdevOptionsFile
    | HostDevice of BlockdevOptionsFile
    | HostCdrom of BlockdevOptionsFile
    | NullAio of BlockdevOptionsNull
    | NullCo of BlockdevOptionsNull
    | Raw of BlockdevOptionsRaw
    | Throttle of BlockdevOptionsThrottle
    | CopyOnRead of BlockdevOptionsCor
    | Compress of BlockdevOptionsGenericFormat
    | Preallocate of BlockdevOptionsPreallocate
    | Qcow2 of BlockdevOptionsQcow2
    | Quorum of BlockdevOptionsQuorum
    | Blkverify of BlockdevOptionsBlkverify
    | Blkdebug of BlockdevOptionsBlkdebug
    | Blklogwrites of BlockdevOptionsBlklogwrites
    | Unavailable of UnavailableBranch

/// `BlockdevOptionsRaw` of qapi/block-core.json.
and BlockdevOptionsRaw = {
    File: BlockdevRef
    /// Bytes into the child at which the image starts.
    Offset: int64 option
    /// Bytes; to the end of the child if absent.
    Size: int64 option
}

/// `BlockdevOptionsThrottle` of qapi/block-core.json.
and BlockdevOptionsThrottle = {
    /// The id of a throttle-group object.
    ThrottleGroup: string
    File: BlockdevRef
}

/// `BlockdevOptionsCor` of qapi/block-core.json.
and BlockdevOptionsCor = {
    File: BlockdevRef
    /// The last node that data are copied from.
    Bottom: string option
}

/// `BlockdevOptionsGenericFormat` of qapi/block-core.json.
and BlockdevOptionsGenericFormat = { File: BlockdevRef }

/// `BlockdevOptionsPreallocate` of qapi/block-core.json.
and BlockdevOptionsPreallocate = {
    File: BlockdevRef
    /// Bytes; 1 MiB if absent.
    PreallocAlign: int64 option
    /// Bytes; 128 MiB if absent.
    PreallocSize: int64 option
}

/// `BlockdevOptionsQuorum` of qapi/block-core.json.
and BlockdevOptionsQuorum = {
    Blkverify: bool option
    Children: BlockdevRef list
    VoteThreshold: int64
    RewriteCorrupted: bool option
    ReadPattern: QuorumReadPattern option
}

/// `BlockdevOptionsQcow2` of qapi/block-core.json. Sizes are in bytes.
and BlockdevOptionsQcow2 = {
    File: BlockdevRef
    /// What the image names if absent.
    Backing: BlockdevRefOrNull option
    LazyRefcounts: bool option
    PassDiscardRequest: bool option
    PassDiscardSnapshot: bool option
    PassDiscardOther: bool option
    DiscardNoUnref: bool option
    OverlapCheck: Qcow2OverlapChecks option
    CacheSize: int64 option
    L2CacheSize: int64 option
    L2CacheEntrySize: int64 option
    RefcountCacheSize: int64 option
    /// Seconds.
    CacheCleanInterval: int64 option
    /// What the image names if absent.
    DataFile: BlockdevRef option
}

/// `BlockdevOptionsBlkverify` of qapi/block-core.json.
and BlockdevOptionsBlkverify = { Test: BlockdevRef; Raw: BlockdevRef }

/// `BlockdevOptionsBlkdebug` of qapi/block-core.json. Limits are in bytes.
and BlockdevOptionsBlkdebug = {
    Image: BlockdevRef
    Config: string option
    Align: int64 option
    MaxTransfer: int64 option
    OptWriteZero: int64 option
    MaxWriteZero: int64 option
    OptDiscard: int64 option
    MaxDiscard: int64 option
    InjectError: BlkdebugInjectErrorOptions list option
    SetState: BlkdebugSetStateOptions list option
    TakeChildPerms: BlockPermission list option
    UnshareChildPerms: BlockPermission list option
}

/// `BlockdevOptionsBlklogwrites` of qapi/block-core.json.
and BlockdevOptionsBlklogwrites = {
    File: BlockdevRef
    Log: BlockdevRef
    /// Bytes; 512 if absent.
    LogSectorSize: uint32 option
    LogAppend: bool option
    /// Entries; 4096 if absent.
    LogSuperUpdateInterval: uint64 option
}

/// `BlockdevRef` of qapi/block-core.json: a child is a node of its own or one that exists.
and [<RequireQualifiedAccess>] BlockdevRef =
    | Definition of BlockdevOptions
    /// The name of a node.
    | Reference of string

/// `BlockdevRefOrNull` of qapi/block-core.json.
and [<RequireQualifiedAccess>] BlockdevRefOrNull =
    | Definition of BlockdevOptions
    /// The name of a node.
    | Reference of string
    /// No node at all.
    | Null

/// Arguments of `blockdev-del`.
type BlockdevDel = { NodeName: string }

/// Arguments of `block_resize`.
type BlockResize = {
    Device: string option
    NodeName: string option
    /// Bytes.
    Size: int64
}

/// Arguments of `query-named-block-nodes`.
type QueryNamedBlockNodes = {
    /// Leave out the information about backing images.
    Flat: bool option
}

/// Arguments of `query-blockstats`.
type QueryBlockstats = {
    /// Answer for the nodes rather than for the devices.
    QueryNodes: bool option
}
