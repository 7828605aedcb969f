namespace StorageDaemon.Core.Observe

open System.Numerics

/// The bins into which latencies are counted: powers of two, so that a bin is found without a search and counts of
/// different places add up.
module LatencyHistogram =
    /// Bins; the last one has no upper bound.
    [<Literal>]
    let BinCount = 24

    [<Literal>]
    let private FirstBoundaryLog2 = 10

    /// The upper bounds of all bins but the last, in nanoseconds, exclusive: 1.024 µs to 4.29 s.
    let boundariesNs: uint64 list = [ for i in 0 .. BinCount - 2 -> 1UL <<< (FirstBoundaryLog2 + i) ]

    /// The bin of a latency in nanoseconds; negative ones count as zero.
    let binOf (latencyNs: int64) : int =
        if latencyNs < (1L <<< FirstBoundaryLog2) then
            0
        else
            min (BinCount - 1) (BitOperations.Log2(uint64 latencyNs) - (FirstBoundaryLog2 - 1))

/// What one kind of request has come to so far. All figures only grow.
type OperationCounters = {
    /// Requests that succeeded.
    Operations: int64
    /// Bytes of those requests.
    Bytes: int64
    Failed: int64
    /// Sum of the times that requests took, failed ones too, in nanoseconds.
    TotalNs: int64
    /// Requests per bin of `LatencyHistogram`.
    Latency: int64 list
}

/// What has been asked of a node or an export so far.
type IoCounters = {
    Read: OperationCounters
    Write: OperationCounters
    WriteZeroes: OperationCounters
    Discard: OperationCounters
    Flush: OperationCounters
    /// End of the highest write in bytes; zeroes count as a write.
    WriteHighestOffset: int64
    /// Nanoseconds since the last request ended; nothing if there was none.
    IdleNs: int64 option
}

module IoCounters =
    let private none = {
        Operations = 0L
        Bytes = 0L
        Failed = 0L
        TotalNs = 0L
        Latency = List.replicate LatencyHistogram.BinCount 0L
    }

    /// Of a node that no request has reached.
    let zero = {
        Read = none
        Write = none
        WriteZeroes = none
        Discard = none
        Flush = none
        WriteHighestOffset = 0L
        IdleNs = None
    }
