namespace StorageDaemon.Core.VhostUser

open StorageDaemon.Core.Virtio

/// How the front end has set a queue up.
[<NoComparison>]
type Queue = {
    /// Zero before SET_VRING_NUM.
    Size: uint16
    Address: VringAddress voption
    /// The available index; with packed rings, the used one in the upper half.
    Base: uint32
    /// SET_VRING_KICK has come, and no GET_VRING_BASE after it.
    Kicked: bool
    /// By SET_VRING_ENABLE.
    Enabled: bool
    /// The shell has it.
    Running: bool
}

/// All that the data path needs to serve a queue. Addresses are the front end's.
[<NoComparison>]
type QueueSetup = {
    Queue: int
    Size: uint16
    Base: uint32
    Address: VringAddress
    /// What the driver and the front end have acknowledged.
    Features: uint64
    /// Where the queue's log is in the area of requests in flight, if the front end has given one.
    InflightOffset: uint64 voption
}

/// What the shell must do. Descriptors that came with a message belong to its effects, in their order; those that no
/// effect mentions are to be closed. The outcome of an effect that has one goes to `Session.completed`.
[<NoComparison>]
type Effect =
    | Reply of byte[]
    /// A reply that takes a descriptor along: that of the area made by `CreateInflight`.
    | ReplyWithInflight of byte[]
    /// Map these, one descriptor each, instead of all that is mapped; then bind the running queues anew. Has an outcome.
    | MapMemory of RegionMessage list
    /// Map one more. Has an outcome.
    | AddMemory of RegionMessage
    /// Unmap one, which no running queue may use from now on. Has an outcome.
    | RemoveMemory of Region
    | SetKick of queue: int * hasFd: bool
    | SetCall of queue: int * hasFd: bool
    | SetErr of queue: int * hasFd: bool
    /// Serve a queue, and look at once whether something is available: kicks may have been before.
    | StartQueue of QueueSetup
    /// A running queue has other addresses, or its used ring is logged or not. Has an outcome.
    | RebindQueue of QueueSetup
    /// Let the requests in flight end and serve the queue no more. The outcome is `Session.stopped`.
    | StopQueue of queue: int
    /// The acknowledged features have changed: a running queue may have to log or not.
    | UseFeatures of uint64
    /// Writes complete in the cache, or on stable storage.
    | UseWriteCache of bool
    /// Map the dirty log from this descriptor. Has an outcome.
    | MapLog of lengthBytes: uint64 * offsetBytes: uint64
    /// An event to signal when the log has changed.
    | UseLogFd
    | SetBackendChannel
    /// Make an area of zeroes, as a file without a name that may not shrink; the one before it is forgotten. Has an
    /// outcome.
    | CreateInflight of lengthBytes: uint64
    /// Map an area, whose file must be long enough. Has an outcome.
    | UseInflight of InflightArea
    /// Send this on the channel for requests of the back end, if there is one.
    | SendToFrontend of byte[]
    | Close of reason: string

/// What the session waits for before it can take the next message.
[<NoComparison>]
type Pending =
    | Nothing
    /// The end of an effect, then an acknowledgement.
    | Acknowledge of request: uint32 * needReply: bool
    /// Queues that stop, then an acknowledgement.
    | Stops of queues: int list * request: uint32 * needReply: bool
    /// A queue that stops, then its base.
    | StopForBase of queue: int
    | InflightReply of InflightArea

/// A vhost-user connection's state, the back end's side. An immutable value: another process can go on with it, given
/// the descriptors.
[<NoComparison>]
type SessionState = {
    Device: BlkDevice
    /// Offered features of device and transport.
    Features: uint64
    Acknowledged: uint64
    ProtocolFeatures: uint64
    /// The driver's, as SET_STATUS says.
    Status: byte
    /// config.wce.
    WriteCache: bool
    InitialWriteCache: bool
    Regions: Region list
    Queues: Queue[]
    Inflight: InflightArea voption
    HasBackendChannel: bool
    Pending: Pending
    Closed: bool
}
