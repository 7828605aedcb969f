namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Job
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Observe
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qcow2
open StorageDaemon.Core.Qom

[<Measure>]
type exportKey

/// The shell's handle of an export; never given twice.
type ExportKey = int<exportKey>

/// A host file that a new node owns, with the options that matter to the I/O path.
type AdoptedFile = {
    Node: NodeId
    Aio: AioMode
    AioMaxBatch: int64
    Direct: bool
    IsDevice: bool
}

/// A file system of one file that shows a node.
type FuseOffer = {
    /// The file to mount it on.
    Mountpoint: string
    Writable: bool
    /// Writes beyond the end make the node longer.
    Growable: bool
    AllowOther: FuseExportAllowOther
}

/// A disk for one virtual machine at a time, with the machine's memory shared.
type VhostUserOffer = {
    /// Of type unix or fd.
    Addr: SocketAddress
    Writable: bool
    /// Bytes; a power of two from 512 on.
    LogicalBlockSize: uint32
    NumQueues: uint16
}

/// How clients reach an export.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type ExportProtocol =
    | Nbd of ExportInfo
    | Fuse of FuseOffer
    | VhostUser of VhostUserOffer

module ExportProtocol =
    let exportType (protocol: ExportProtocol) : BlockExportType =
        match protocol with
        | ExportProtocol.Nbd _ -> BlockExportType.Nbd
        | ExportProtocol.Fuse _ -> BlockExportType.Fuse
        | ExportProtocol.VhostUser _ -> BlockExportType.VhostUserBlk

/// An export for the shell to serve.
[<NoComparison; NoEquality>]
type ServedExport = {
    Key: ExportKey
    Protocol: ExportProtocol
    /// The nodes of the host files that the node stands on, without those of backing images.
    Files: NodeId list
    Path: DataPath
    Writethrough: bool
    /// Ids of iothread objects; none for the daemon's own threads.
    Iothreads: string list
}

/// What the shell is asked, and must answer before the command goes on.
[<NoComparison; NoEquality>]
type Call =
    /// Read small files whole: each up to that many bytes.
    | ReadFiles of paths: string list * maxBytes: int
    /// Open files, in order, and keep them until they are adopted or discarded.
    | OpenFiles of OpenRequest list
    /// Adopt the files that were opened last, then run the change's file steps (`FileChange`).
    | ApplyFiles of adopt: AdoptedFile list * FileChange list
    /// Look what kind of file an image is, and how it begins.
    | ProbeImage of path: string
    /// Let a node read its children, as far as they go below the layer that the path ends in, and make its machine.
    | OpenLayer of DataPath
    | TruncateFile of NodeId * bytes: int64
    /// Change the length of the image that the path ends in; nobody uses it meanwhile.
    | ResizeImage of DataPath * bytes: int64
    /// Change the metadata of the image that the path ends in; no request is under way.
    | ChangeImage of DataPath * ImageChange
    /// Let it be read how the metadata of the image that the path ends in are now, until `EndView`. Nobody uses the image
    /// meanwhile.
    | BeginView of DataPath
    /// Repair the image that the path ends in, which nobody uses; afterwards its node is to be opened anew.
    | RepairImage of DataPath * CheckFix
    | MeasureFile of NodeId
    /// Bytes that each file takes on disk.
    | AllocatedSizes of NodeId list
    /// What has been asked of nodes and exports so far.
    | CountIo
    /// Stop exports from sending requests down the graph, and the scripts of these jobs; wait until none is in flight.
    | Quiesce of ExportKey list * JobKey list
    /// Open or make the file that a job works on, and lock it; it is the job's until `RunFileTask` has ended.
    | OpenJobFile of JobKey * path: string * LockChange
    /// Make the image of an overlay in a file, which is created or emptied.
    | MakeOverlay of OverlayCreation
    /// Let a job's work come to an end early, and wait for that.
    | AwaitJob of JobKey
    | OpenNbdServer of NbdServerOptions
    /// Let clients use an export.
    | StartExport of ServedExport
    /// How many clients an export has.
    | CountClients of ExportKey
    /// End exports' connections and wait until they are gone.
    | StopExports of ExportKey list
    /// Close the NBD server's listener, and clients that have not chosen an export.
    | CloseNbdServer
    /// Bring an object to life.
    | StartObject of id: string * UserObject
    /// Get the bytes of a secret and keep them under the object's id.
    | LoadSecret of id: string * SecretOrder
    /// Let the thread of an object run elsewhere.
    | PlaceThread of id: string * Affinity
    | OpenChardev of id: string * ChardevBackend
    | ReplaceChardev of id: string * ChardevBackend
    /// Labels and states of chardevs, which change as clients come and go.
    | DescribeChardevs
    /// Take bytes out of a ring buffer.
    | ReadRing of id: string * limit: int64
    | StartMonitor of MonitorOptions

/// Counts of requests since a node or an export was made; one that is missing has seen none.
[<NoComparison; NoEquality>]
type IoCounts = {
    Nodes: Map<NodeId, IoCounters>
    Exports: Map<ExportKey, IoCounters>
    /// Discards that reached a host file.
    Discards: Map<NodeId, BlockStatsSpecificFile>
}

/// What only the shell knows of a character device.
[<NoComparison>]
type ChardevStatus = {
    Info: ChardevInfo
    /// A socket has a peer.
    Connected: bool
    /// Where a listening socket is bound.
    Bound: SocketAddress option
}

/// Why a file could not be read: the C library's text.
type ReadFault =
    | CannotOpen of reason: string
    | CannotRead of reason: string

/// The answer to a `Call`. A failure carries the text that the command reports, as the real daemon words it.
[<NoComparison; NoEquality>]
type Answer =
    | Finished
    | Refused of QapiError
    /// What files hold.
    | Contents of (string * Result<byte[], ReadFault>) list
    /// Files are as the change wants them; the alignment of those that were opened anew, in bytes.
    | Applied of (NodeId * int) list
    | OpenOutcomes of OpenOutcome list
    /// The C library's text of a failure to open a file.
    | CouldNotOpen of reason: string
    /// How the work of a job went; none where there is none under way.
    | JobWorked of JobReport option
    /// A node has found out what it is.
    | LayerIsOpen of NodeFacts
    /// What the node of a changed image is now.
    | ImageChanged of NodeFacts
    /// A Linux error number, and the C library's text of it.
    | ImageNotChanged of errno: int * reason: string
    /// A node needs the file that its image keeps the data in; its name, if the image has one.
    | LayerLacksDataFile of NamedImage option
    /// The view of an image, the bytes that a check of it has to read, about, and whether it has a mark that only a repair
    /// takes away.
    | ViewHasBegun of MetadataView * checkBytes: int64 * isMarked: bool
    /// What a repair of an image has come to. Refused, if it was not begun.
    | Repaired of Result<CheckReport, string>
    /// Whether a file is a device, and its first bytes; none of what cannot be opened.
    | Probed of isDevice: bool * start: byte[]
    /// A new length in bytes.
    | Measured of int64
    /// The number and the C library's text of a failed truncate.
    | NotMeasured of errno: int * reason: string
    | Sizes of Map<NodeId, int64>
    | Counted of IoCounts
    | Count of int
    | ChardevOpened of ChardevReturn
    | Chardevs of ChardevStatus list
    | Bytes of byte[]
    /// The kernel's number of a thread, and the processors on which it may run.
    | ThreadPlaced of threadId: int64 * cpus: int64 list

/// What the shell does without being asked back, in order.
[<NoComparison; NoEquality>]
type Effect =
    /// Send an event to all monitors.
    | Emit of name: string * data: (string * Json) list
    /// Tell people on standard error, as an error.
    | Complain of text: string
    /// A line on standard error as it is.
    | Announce of text: string
    /// Close the files that were opened last and not adopted.
    | DiscardOpened
    /// File steps that can only give something up; errors are ignored.
    | RelaxFiles of FileChange list
    /// Let the images that the paths end in write everything that is only in memory: they are written to no longer.
    | SettleImages of DataPath list
    /// Close what belongs to nodes that are gone.
    | CloseNodes of NodeId list
    /// Take these steps on the job's file without making anybody wait, and close it; `Step.jobWorked` follows.
    | RunFileTask of JobKey * FileTask
    /// Carry a script out on nodes without making anybody wait; `Step.jobWorked` follows.
    | RunNodeScript of JobKey * NodeScript
    /// The graph below a script that rests is another one now.
    | UpdateNodeScript of JobKey * ScriptChild list
    /// Let scripts that rest go on.
    | ResumeNodeScripts of JobKey list
    /// Let a job's work come to an end early.
    | StopJobWork of JobKey
    /// Nobody reads earlier metadata of an image any more.
    | EndView of NodeId
    /// The graph below a quiesced export is another one now.
    | UpdateExport of ServedExport
    /// The limits of writes below an export are others now; the paths stay.
    | LimitWrites of ServedExport
    /// Let quiesced exports go on.
    | ResumeExports of ExportKey list
    /// Begin to end an export's connections; `Daemon.exportStopped` follows when the last is gone.
    | StopExport of ExportKey
    /// An object has other settings now.
    | TuneObject of id: string * UserObject
    | StopObject of id: string * UserObject
    | CloseChardev of id: string
    /// A line for people on standard error.
    | Warn of string
    /// Write to a character device, as its frontend would.
    | WriteChardev of id: string * byte[]
    /// End the process in good order.
    | Shutdown
