namespace StorageDaemon.Core.Qapi

/// `BlockDeviceTimedStats` of qapi/block-core.json: latencies within one interval.
type BlockDeviceTimedStats = {
    /// Seconds.
    IntervalLength: int64
    MinRdLatencyNs: int64
    MaxRdLatencyNs: int64
    AvgRdLatencyNs: int64
    MinWrLatencyNs: int64
    MaxWrLatencyNs: int64
    AvgWrLatencyNs: int64
    MinZoneAppendLatencyNs: int64
    MaxZoneAppendLatencyNs: int64
    AvgZoneAppendLatencyNs: int64
    MinFlushLatencyNs: int64
    MaxFlushLatencyNs: int64
    AvgFlushLatencyNs: int64
    AvgRdQueueDepth: float
    AvgWrQueueDepth: float
    AvgZoneAppendQueueDepth: float
}

/// `BlockLatencyHistogramInfo` of qapi/block-core.json.
type BlockLatencyHistogramInfo = {
    /// Nanoseconds, ascending.
    Boundaries: uint64 list
    /// Requests per bin; one more than there are boundaries.
    Bins: uint64 list
}

/// `BlockDeviceStats` of qapi/block-core.json. All counters only grow.
type BlockDeviceStats = {
    RdBytes: int64
    WrBytes: int64
    ZoneAppendBytes: int64
    UnmapBytes: int64
    RdOperations: int64
    WrOperations: int64
    ZoneAppendOperations: int64
    FlushOperations: int64
    UnmapOperations: int64
    RdTotalTimeNs: int64
    WrTotalTimeNs: int64
    ZoneAppendTotalTimeNs: int64
    FlushTotalTimeNs: int64
    UnmapTotalTimeNs: int64
    /// The end of the highest byte written so far.
    WrHighestOffset: int64
    RdMerged: int64
    WrMerged: int64
    ZoneAppendMerged: int64
    UnmapMerged: int64
    /// Nanoseconds since the last request; absent if there was none.
    IdleTimeNs: int64 option
    FailedRdOperations: int64
    FailedWrOperations: int64
    FailedZoneAppendOperations: int64
    FailedFlushOperations: int64
    FailedUnmapOperations: int64
    InvalidRdOperations: int64
    InvalidWrOperations: int64
    InvalidZoneAppendOperations: int64
    InvalidFlushOperations: int64
    InvalidUnmapOperations: int64
    AccountInvalid: bool
    AccountFailed: bool
    TimedStats: BlockDeviceTimedStats list
    RdLatencyHistogram: BlockLatencyHistogramInfo option
    WrLatencyHistogram: BlockLatencyHistogramInfo option
    ZoneAppendLatencyHistogram: BlockLatencyHistogramInfo option
    FlushLatencyHistogram: BlockLatencyHistogramInfo option
}

module BlockDeviceStats =
    /// What a node shows that has seen no request.
    let zero = {
        RdBytes = 0L
        WrBytes = 0L
        ZoneAppendBytes = 0L
        UnmapBytes = 0L
        RdOperations = 0L
        WrOperations = 0L
        ZoneAppendOperations = 0L
        FlushOperations = 0L
        UnmapOperations = 0L
        RdTotalTimeNs = 0L
        WrTotalTimeNs = 0L
        ZoneAppendTotalTimeNs = 0L
        FlushTotalTimeNs = 0L
        UnmapTotalTimeNs = 0L
        WrHighestOffset = 0L
        RdMerged = 0L
        WrMerged = 0L
        ZoneAppendMerged = 0L
        UnmapMerged = 0L
        IdleTimeNs = None
        FailedRdOperations = 0L
        FailedWrOperations = 0L
        FailedZoneAppendOperations = 0L
        FailedFlushOperations = 0L
        FailedUnmapOperations = 0L
        InvalidRdOperations = 0L
        InvalidWrOperations = 0L
        InvalidZoneAppendOperations = 0L
        InvalidFlushOperations = 0L
        InvalidUnmapOperations = 0L
        AccountInvalid = false
        AccountFailed = false
        TimedStats = []
        RdLatencyHistogram = None
        WrLatencyHistogram = None
        ZoneAppendLatencyHistogram = None
        FlushLatencyHistogram = None
    }

/// `BlockStatsSpecificFile` of qapi/block-core.json.
type BlockStatsSpecificFile = {
    DiscardNbOk: uint64
    DiscardNbFailed: uint64
    DiscardBytesOk: uint64
}

/// `BlockStatsSpecific` of qapi/block-core.json, the branches that have members.
[<RequireQualifiedAccess>]
type BlockStatsSpecific =
    | File of BlockStatsSpecificFile
    | HostDevice of BlockStatsSpecificFile

/// What the clients of one export have asked for; an addition of this daemon.
type BlockExportStats = {
    Id: string
    Type: BlockExportType
    ShuttingDown: bool
    Stats: BlockDeviceStats
}

/// `BlockStats` of qapi/block-core.json.
type BlockStats = {
    Device: string option
    Qdev: string option
    NodeName: string option
    Stats: BlockDeviceStats
    DriverSpecific: BlockStatsSpecific option
    /// The node below (its file child).
    Parent: BlockStats option
    Backing: BlockStats option
    /// `x-exports`, an addition of this daemon: exports that offer this node, the oldest first. Absent where there
    /// are none, and in entries of nodes below another one, so that each export is told once.
    Exports: BlockExportStats list option
}
