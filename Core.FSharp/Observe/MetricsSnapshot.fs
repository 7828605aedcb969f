namespace StorageDaemon.Core.Observe

[<NoComparison>]
type ExportMetrics = {
    Id: string
    /// Such as "nbd".
    Type: string
    NodeName: string
    /// Clients that have chosen this export.
    Connections: int
    /// Requests that have begun and not ended.
    InFlight: int
    Io: IoCounters
}

[<NoComparison>]
type NodeMetrics = { NodeName: string; Driver: string; Io: IoCounters }

/// A monitor since it was started, over all its clients.
[<NoComparison>]
type MonitorMetrics = {
    Chardev: string
    /// Commands taken up, known or not.
    Commands: uint64
    /// Replies with a value.
    Successes: uint64
    /// Replies with an error, those to malformed input included.
    Errors: uint64
    /// Events sent.
    Events: uint64
}

/// NBD clients, those in the handshake included.
[<NoComparison>]
type NbdMetrics = {
    Connections: int64
    /// Since the start of the process.
    Accepted: uint64
    HandshakesDone: uint64
    HandshakesFailed: uint64
}

/// The process as /proc shows it.
[<NoComparison>]
type ProcessMetrics = {
    /// User and system time.
    CpuSeconds: float
    ResidentBytes: int64
    VirtualBytes: int64
    OpenFds: int
    MaxFds: int64
    Threads: int
    /// Seconds since the epoch.
    StartTimeSeconds: float
}

/// All that the daemon tells about itself at one moment.
[<NoComparison>]
type MetricsSnapshot = {
    /// The version text of this program.
    Package: string
    Process: ProcessMetrics
    Nbd: NbdMetrics
    Monitors: MonitorMetrics list
    Exports: ExportMetrics list
    Nodes: NodeMetrics list
}
