namespace StorageDaemon.Core.Graph

open StorageDaemon.Core.Filter
open StorageDaemon.Core.Image
open StorageDaemon.Core.Qcow2

[<Measure>]
type nodeId

[<Measure>]
type edgeId

[<Measure>]
type backendId

/// The number of a node. Numbers are given in order of creation and never again: a child that is opened for its
/// parent has a smaller one.
type NodeId = int64<nodeId>

/// The number of a parent's use of a node; the newest use has the greatest.
type EdgeId = int64<edgeId>

/// The number of a user that is not a node.
type BackendId = int64<backendId>

type LockingMode =
    | LockingAuto
    | LockingOn
    | LockingOff

type AioMode =
    | AioThreads
    | AioNative
    | AioIoUring

type DiscardMode =
    | DiscardIgnore
    | DiscardUnmap

type DetectZeroesMode =
    | DetectZeroesOff
    | DetectZeroesOn
    | DetectZeroesUnmap

/// Which of the drivers over one host file.
type FileKind =
    | RegularFile
    | HostDevice
    | HostCdrom

/// Options of file, host_device and host_cdrom.
[<NoComparison>]
type FileOptions = {
    Filename: string
    Locking: LockingMode
    Aio: AioMode
    AioMaxBatch: int64
    DropCache: bool
    CheckCacheDropped: bool
    PrManager: string option
}

type NullKind =
    | NullCo
    | NullAio

/// Options of null-co and null-aio; what was not given is told apart because it shows in the file name.
[<NoComparison>]
type NullOptions = {
    SizeBytes: int64 option
    LatencyNs: uint64
    ReadZeroes: bool option
}

/// Options of blkdebug.
[<NoComparison>]
type BlkDebugOptions = {
    /// A file with rules. They stand in `Rules` before those that were given otherwise.
    Config: string option
    Limits: BlkDebugLimits
    Rules: BlkDebugRule list
    /// Permissions to hold on the child whether they are needed or not.
    TakePerms: Perm
    /// Permissions that others may not have on the child.
    UnsharePerms: Perm
}

/// What a node finds out when it is opened.
[<NoComparison; NoEquality>]
type NodeFacts = {
    SizeBytes: int64
    /// The unit of its requests, in bytes.
    AlignmentBytes: int
    Header: Header option
    /// Those in an image.
    Snapshots: Snapshot list
}

/// A block driver with its own options; children are given apart.
[<NoComparison>]
type Driver =
    | File of FileKind * FileOptions
    | Null of NullKind * NullOptions
    | Raw of RawOptions
    /// Requests wait for the throttle group of that id.
    | Throttle of group: string
    /// What is read is kept; not below the node of that name.
    | CopyOnRead of bottom: string option
    /// What is written is compressed.
    | Compress
    /// A file that grows is made longer than is needed.
    | Preallocate of PreallocateOptions
    /// Children with the same data, which vote.
    | Quorum of QuorumOptions
    /// An image under test beside one that is held to be right.
    | BlkVerify
    /// A qcow2 image.
    | Qcow2 of Qcow2Options
    /// Errors on demand.
    | BlkDebug of BlkDebugOptions
    /// Writes are logged for tests of crash consistency.
    | BlkLogWrites of LogWritesOptions

module FileOptions =
    /// All options but the name at their defaults.
    let ofFilename (filename: string) : FileOptions = {
        Filename = filename
        Locking = LockingAuto
        Aio = AioThreads
        AioMaxBatch = 0L
        DropCache = true
        CheckCacheDropped = false
        PrManager = None
    }

module Driver =
    /// The child that is read where a node has nothing of its own.
    [<Literal>]
    let BackingName = "backing"

    /// The child with the data of an image that keeps them apart.
    [<Literal>]
    let DataFileName = "data-file"

    /// Whether a node can have a backing child.
    let supportsBacking (driver: Driver) =
        match driver with
        | Qcow2 _ -> true
        | File _
        | Null _
        | Raw _
        | Throttle _
        | CopyOnRead _
        | Compress
        | Preallocate _
        | Quorum _
        | BlkVerify
        | BlkDebug _
        | BlkLogWrites _ -> false

    /// Whether a node shows its child's data as they are.
    let isFilter (driver: Driver) =
        match driver with
        | Throttle _
        | CopyOnRead _
        | Compress
        | Preallocate _
        | BlkVerify
        | BlkDebug _
        | BlkLogWrites _ -> true
        | File _
        | Null _
        | Raw _
        | Qcow2 _
        | Quorum _ -> false

    /// Whether a node has metadata of its own, which it writes whether or not it has users.
    let isImage (driver: Driver) =
        match driver with
        | Qcow2 _ -> true
        | _ -> false

    /// Whether a node takes writes that are to be compressed.
    let canCompress (driver: Driver) =
        match driver with
        | Throttle _
        | CopyOnRead _
        | Qcow2 _ -> true
        | _ -> false

    let supportsReopen (driver: Driver) =
        match driver with
        | CopyOnRead _
        | Compress
        | Quorum _
        | BlkVerify
        | BlkLogWrites _ -> false
        | _ -> true

    /// Whether a node has to read its children to find out what it is.
    let opensByReading (driver: Driver) =
        match driver with
        | BlkLogWrites options -> options.Append
        | Qcow2 _ -> true
        | _ -> false

    /// Whether a child is looked for only when the image has told what it is.
    let opensLater (driver: Driver) (childName: string) =
        match driver with
        | Qcow2 _ -> childName <> "file"
        | _ -> false

    /// Whether a child is written beyond its end, and grows then.
    let growsChild (driver: Driver) (childName: string) =
        match driver with
        | BlkLogWrites _ -> childName = "log"
        | Preallocate _ -> true
        | Qcow2 _ -> childName <> BackingName
        | _ -> false

    /// Bytes; the unit of requests that a driver asks for by itself, whatever its children take.
    let alignment (driver: Driver) : int =
        match driver with
        | BlkDebug options -> int (max 1UL options.Limits.Align)
        | BlkLogWrites options -> int (defaultArg options.SectorBytes LogWritesOptions.DefaultSectorBytes)
        | _ -> 1

    /// The name of a quorum's child with that number.
    let quorumChildName (number: int) = "children." + string number

    /// The object that carries out persistent reservations of a node.
    let prManager (driver: Driver) =
        match driver with
        | File(_, file) -> file.PrManager
        | _ -> None

    /// The throttle group of a node.
    let throttleGroup (driver: Driver) =
        match driver with
        | Throttle group -> Some group
        | _ -> None

    /// The options of a driver that a reopen may change or leave out.
    let mutableOptions (driver: Driver) =
        match driver with
        | File _ -> [ "x-check-cache-dropped" ]
        | Raw _ -> [ "offset"; "size" ]
        | Throttle _ -> [ "throttle-group" ]
        | Qcow2 _ -> [
            "lazy-refcounts"
            "pass-discard-request"
            "pass-discard-snapshot"
            "pass-discard-other"
            "discard-no-unref"
            "overlap-check"
            "overlap-check.template"
            "overlap-check.main-header"
            "overlap-check.active-l1"
            "overlap-check.active-l2"
            "overlap-check.refcount-table"
            "overlap-check.refcount-block"
            "overlap-check.snapshot-table"
            "overlap-check.inactive-l1"
            "overlap-check.inactive-l2"
            "overlap-check.bitmap-directory"
            "cache-size"
            "l2-cache-size"
            "l2-cache-entry-size"
            "refcount-cache-size"
            "cache-clean-interval"
          ]
        | _ -> []

    /// The options that a reopen may change but not leave out.
    let stickyOptions (driver: Driver) =
        match driver with
        | File _ -> [ "drop-cache" ]
        | Preallocate _ -> [ "prealloc-align"; "prealloc-size" ]
        | _ -> []

    /// The driver's name in the QAPI schema.
    let name (driver: Driver) =
        match driver with
        | File(RegularFile, _) -> "file"
        | File(HostDevice, _) -> "host_device"
        | File(HostCdrom, _) -> "host_cdrom"
        | Null(NullCo, _) -> "null-co"
        | Null(NullAio, _) -> "null-aio"
        | Raw _ -> "raw"
        | Throttle _ -> "throttle"
        | CopyOnRead _ -> "copy-on-read"
        | Compress -> "compress"
        | Preallocate _ -> "preallocate"
        | Quorum _ -> "quorum"
        | BlkVerify -> "blkverify"
        | Qcow2 _ -> "qcow2"
        | BlkDebug _ -> "blkdebug"
        | BlkLogWrites _ -> "blklogwrites"

    /// What the child of that name is to a node of this driver.
    let childRole (driver: Driver) (childName: string) : ChildRole =
        match driver with
        | _ when childName = BackingName -> ChildRole.Cow
        | Raw options when not (Raw.isPassThrough options) -> ChildRole.Data ||| ChildRole.Primary
        | File _
        | Null _ -> ChildRole.None
        | Quorum _ -> ChildRole.Data
        | BlkVerify when childName = "test" -> ChildRole.Data
        | BlkLogWrites _ when childName = "log" -> ChildRole.Metadata
        | Qcow2 _ when childName = DataFileName -> ChildRole.Data
        | Qcow2 _ -> ChildRole.Data ||| ChildRole.Metadata ||| ChildRole.Primary
        | _ -> ChildRole.Filtered ||| ChildRole.Primary

    /// What a node of this driver wants of its child, from what its own users want.
    let childPerms (driver: Driver) (isActive: bool) (readOnly: bool) (role: ChildRole) (users: PermPair) : PermPair =
        match driver with
        | _ when role.HasFlag ChildRole.Cow -> Perm.forBacking users
        | Raw options -> Perm.forRaw (Raw.needsFixedChild options) users
        | CopyOnRead _ when isActive -> { users with Used = users.Used ||| Perm.WriteUnchanged }
        | Preallocate _ when isActive -> Perm.forPreallocate users
        | Quorum options -> Perm.forQuorum options.RewriteCorrupted users
        | BlkVerify when role.HasFlag ChildRole.Data -> Perm.forStorage users |> Perm.whileInactive isActive
        | BlkLogWrites _
        | Qcow2 _ when role.HasFlag ChildRole.Metadata ->
            Perm.forFormat (isActive && not readOnly) users |> Perm.whileInactive isActive
        | Qcow2 _ -> Perm.forStorage users |> Perm.whileInactive isActive
        | BlkDebug options -> {
            Used = users.Used ||| options.TakePerms
            Shared = Perm.without options.UnsharePerms users.Shared
          }
        | _ -> Perm.forFilter users

/// The behaviour that every node has, settled: given, inherited from the parent that the node was opened for, or
/// default.
[<NoComparison>]
type NodeOptions = {
    ReadOnly: bool
    /// Open the host file for writing only while somebody writes.
    AutoReadOnly: bool
    /// Tolerate every other user of this node as a child.
    ForceShare: bool
    Discard: DiscardMode
    DetectZeroes: DetectZeroesMode
    /// cache.direct: around the host's page cache.
    Direct: bool
    /// cache.no-flush: the guest's flushes do not reach the disk.
    NoFlush: bool
    Active: bool
}

/// A parent's use of a child, as the parent has it.
[<NoComparison>]
type Child = {
    /// "file", "backing", ...
    Name: string
    Role: ChildRole
    Node: NodeId
    Edge: EdgeId
}

/// Who uses a node.
[<NoComparison>]
type EdgeUser =
    | NodeUser of NodeId
    | BackendUser of BackendId

/// A parent's use of a child, as the child has it.
[<NoComparison>]
type ParentEdge = {
    Id: EdgeId
    User: EdgeUser
    /// The name of the child at its parent; "root" for a backend.
    ChildName: string
    Perms: PermPair
}

[<NoComparison; NoEquality>]
type Node = {
    Id: NodeId
    Name: string
    Driver: Driver
    Options: NodeOptions
    Children: Child list
    /// All uses of this node by its parents.
    Parents: Map<EdgeId, ParentEdge>
    /// The sum of the parents' permissions, so that a check need not visit them.
    Users: Users
    /// How many of the parents are backends, and how many of those are tied to their I/O thread.
    BackendCount: int
    FixedBackendCount: int
    /// The I/O thread that serves the node; nothing for the main loop.
    Context: string option
    /// Bytes, whole sectors. Only a resize through this node or a new look at the device changes it.
    SizeBytes: int64
    /// Bytes; the unit of requests that the leaf can take.
    AlignmentBytes: int
    /// The plain file name when one says all; else the name is put together from the options.
    ExactFilename: string option
    /// Whether the monitor holds a reference (blockdev-add of this very node).
    MonitorOwned: bool
    /// The options that the user gave, by their dotted names, without the children: what a reopen must not change is
    /// compared with them.
    Given: Map<string, string>
    /// The parent that the node was described in.
    InheritsFrom: NodeId option
    /// Bytes; a write beyond is told once. Zero for none.
    WriteThreshold: uint64
    /// The header of a node with metadata of its own, as far as listings show it.
    Header: Header option
    /// The internal snapshots of its image.
    Snapshots: Snapshot list
    /// The file name of the backing image that the image names. Once it was opened by that name: the name that it has.
    AutoBackingFile: string option
    /// For a quorum: the number of the next child that it gets, greater than those of all that it has.
    NextChild: int
}

/// A user of a node that is not a node: an export, or a command for its duration.
[<NoComparison; NoEquality>]
type Backend = {
    Id: BackendId
    Node: NodeId
    Edge: EdgeId
    Perms: PermPair
    /// What it has as soon as the node is active; until then it has no permissions.
    Wanted: PermPair
    /// How error texts call it.
    Label: string
    /// Stays in its I/O thread (fixed-iothread).
    FixedContext: bool
    /// Puts up with an inactive node, also when it writes.
    AllowInactive: bool
}

module Backend =
    /// How error texts call a backend without a device.
    [<Literal>]
    let UnnamedLabel = "an unnamed block device"

module Node =
    /// The child that stands for the node's own data.
    let primary (node: Node) : Child option =
        node.Children
        |> List.tryFind (fun child -> child.Role.HasFlag ChildRole.Primary)

    /// What all users of a node want together.
    let perms (node: Node) : PermPair = Users.total node.Users

    /// Whether the driver keeps image locks for this node.
    let takesLocks (node: Node) =
        match node.Driver with
        | File(_, options) -> options.Locking <> LockingOff
        | _ -> false

    /// Whether the host file of this node is open for writing under these permissions.
    let opensWritable (options: NodeOptions) (perms: PermPair) =
        not options.ReadOnly
        && (not options.AutoReadOnly || Perm.intersects Perm.writing perms.Used)
