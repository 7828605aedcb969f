namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json: the answer of `query-blockstats`.
module BlockStatsCodecs =
    let private latencyHistogram: StructCodec<BlockLatencyHistogramInfo> =
        object "BlockLatencyHistogramInfo" {
            let! boundaries = required "boundaries" (Codec.list Codec.uint64) _.Boundaries
            let! bins = required "bins" (Codec.list Codec.uint64) _.Bins
            return fun m -> { Boundaries = boundaries m; Bins = bins m }
        }

    let private timedStats: StructCodec<BlockDeviceTimedStats> =
        object "BlockDeviceTimedStats" {
            let! intervalLength = required "interval_length" Codec.int64 _.IntervalLength
            let! minRdLatencyNs = required "min_rd_latency_ns" Codec.int64 _.MinRdLatencyNs
            let! maxRdLatencyNs = required "max_rd_latency_ns" Codec.int64 _.MaxRdLatencyNs
            let! avgRdLatencyNs = required "avg_rd_latency_ns" Codec.int64 _.AvgRdLatencyNs
            let! minWrLatencyNs = required "min_wr_latency_ns" Codec.int64 _.MinWrLatencyNs
            let! maxWrLatencyNs = required "max_wr_latency_ns" Codec.int64 _.MaxWrLatencyNs
            let! avgWrLatencyNs = required "avg_wr_latency_ns" Codec.int64 _.AvgWrLatencyNs
            let! minZoneAppendLatencyNs = required "min_zone_append_latency_ns" Codec.int64 _.MinZoneAppendLatencyNs
            let! maxZoneAppendLatencyNs = required "max_zone_append_latency_ns" Codec.int64 _.MaxZoneAppendLatencyNs
            let! avgZoneAppendLatencyNs = required "avg_zone_append_latency_ns" Codec.int64 _.AvgZoneAppendLatencyNs
            let! minFlushLatencyNs = required "min_flush_latency_ns" Codec.int64 _.MinFlushLatencyNs
            let! maxFlushLatencyNs = required "max_flush_latency_ns" Codec.int64 _.MaxFlushLatencyNs
            let! avgFlushLatencyNs = required "avg_flush_latency_ns" Codec.int64 _.AvgFlushLatencyNs
            let! avgRdQueueDepth = required "avg_rd_queue_depth" Codec.number _.AvgRdQueueDepth
            let! avgWrQueueDepth = required "avg_wr_queue_depth" Codec.number _.AvgWrQueueDepth
            let! avgZoneAppendQueueDepth =
                required "avg_zone_append_queue_depth" Codec.number _.AvgZoneAppendQueueDepth

            return
                fun m -> {
                    IntervalLength = intervalLength m
                    MinRdLatencyNs = minRdLatencyNs m
                    MaxRdLatencyNs = maxRdLatencyNs m
                    AvgRdLatencyNs = avgRdLatencyNs m
                    MinWrLatencyNs = minWrLatencyNs m
                    MaxWrLatencyNs = maxWrLatencyNs m
                    AvgWrLatencyNs = avgWrLatencyNs m
                    MinZoneAppendLatencyNs = minZoneAppendLatencyNs m
                    MaxZoneAppendLatencyNs = maxZoneAppendLatencyNs m
                    AvgZoneAppendLatencyNs = avgZoneAppendLatencyNs m
                    MinFlushLatencyNs = minFlushLatencyNs m
                    MaxFlushLatencyNs = maxFlushLatencyNs m
                    AvgFlushLatencyNs = avgFlushLatencyNs m
                    AvgRdQueueDepth = avgRdQueueDepth m
                    AvgWrQueueDepth = avgWrQueueDepth m
                    AvgZoneAppendQueueDepth = avgZoneAppendQueueDepth m
                }
        }

    let deviceStats: StructCodec<BlockDeviceStats> =
        object "BlockDeviceStats" {
            let! rdBytes = required "rd_bytes" Codec.int64 _.RdBytes
            let! wrBytes = required "wr_bytes" Codec.int64 _.WrBytes
            let! zoneAppendBytes = required "zone_append_bytes" Codec.int64 _.ZoneAppendBytes
            let! unmapBytes = required "unmap_bytes" Codec.int64 _.UnmapBytes
            let! rdOperations = required "rd_operations" Codec.int64 _.RdOperations
            let! wrOperations = required "wr_operations" Codec.int64 _.WrOperations
            let! zoneAppendOperations = required "zone_append_operations" Codec.int64 _.ZoneAppendOperations
            let! flushOperations = required "flush_operations" Codec.int64 _.FlushOperations
            let! unmapOperations = required "unmap_operations" Codec.int64 _.UnmapOperations
            let! rdTotalTimeNs = required "rd_total_time_ns" Codec.int64 _.RdTotalTimeNs
            let! wrTotalTimeNs = required "wr_total_time_ns" Codec.int64 _.WrTotalTimeNs
            let! zoneAppendTotalTimeNs = required "zone_append_total_time_ns" Codec.int64 _.ZoneAppendTotalTimeNs
            let! flushTotalTimeNs = required "flush_total_time_ns" Codec.int64 _.FlushTotalTimeNs
            let! unmapTotalTimeNs = required "unmap_total_time_ns" Codec.int64 _.UnmapTotalTimeNs
            let! wrHighestOffset = required "wr_highest_offset" Codec.int64 _.WrHighestOffset
            let! rdMerged = required "rd_merged" Codec.int64 _.RdMerged
            let! wrMerged = required "wr_merged" Codec.int64 _.WrMerged
            let! zoneAppendMerged = required "zone_append_merged" Codec.int64 _.ZoneAppendMerged
            let! unmapMerged = required "unmap_merged" Codec.int64 _.UnmapMerged
            let! idleTimeNs = optional "idle_time_ns" Codec.int64 _.IdleTimeNs
            let! failedRdOperations = required "failed_rd_operations" Codec.int64 _.FailedRdOperations
            let! failedWrOperations = required "failed_wr_operations" Codec.int64 _.FailedWrOperations

            let! failedZoneAppendOperations =
                required "failed_zone_append_operations" Codec.int64 _.FailedZoneAppendOperations

            let! failedFlushOperations = required "failed_flush_operations" Codec.int64 _.FailedFlushOperations
            let! failedUnmapOperations = required "failed_unmap_operations" Codec.int64 _.FailedUnmapOperations
            let! invalidRdOperations = required "invalid_rd_operations" Codec.int64 _.InvalidRdOperations
            let! invalidWrOperations = required "invalid_wr_operations" Codec.int64 _.InvalidWrOperations

            let! invalidZoneAppendOperations =
                required "invalid_zone_append_operations" Codec.int64 _.InvalidZoneAppendOperations

            let! invalidFlushOperations = required "invalid_flush_operations" Codec.int64 _.InvalidFlushOperations
            let! invalidUnmapOperations = required "invalid_unmap_operations" Codec.int64 _.InvalidUnmapOperations
            let! accountInvalid = required "account_invalid" Codec.bool _.AccountInvalid
            let! accountFailed = required "account_failed" Codec.bool _.AccountFailed
            let! timedStats = required "timed_stats" (Codec.list (StructCodec.codec timedStats)) _.TimedStats

            let! rdLatencyHistogram =
                optional "rd_latency_histogram" (StructCodec.codec latencyHistogram) _.RdLatencyHistogram

            let! wrLatencyHistogram =
                optional "wr_latency_histogram" (StructCodec.codec latencyHistogram) _.WrLatencyHistogram

            let! zoneAppendLatencyHistogram =
                optional
                    "zone_append_latency_histogram"
                    (StructCodec.codec latencyHistogram)
                    _.ZoneAppendLatencyHistogram

            let! flushLatencyHistogram =
                optional "flush_latency_histogram" (StructCodec.codec latencyHistogram) _.FlushLatencyHistogram

            return
                fun m -> {
                    RdBytes = rdBytes m
                    WrBytes = wrBytes m
                    ZoneAppendBytes = zoneAppendBytes m
                    UnmapBytes = unmapBytes m
                    RdOperations = rdOperations m
                    WrOperations = wrOperations m
                    ZoneAppendOperations = zoneAppendOperations m
                    FlushOperations = flushOperations m
                    UnmapOperations = unmapOperations m
                    RdTotalTimeNs = rdTotalTimeNs m
                    WrTotalTimeNs = wrTotalTimeNs m
                    ZoneAppendTotalTimeNs = zoneAppendTotalTimeNs m
                    FlushTotalTimeNs = flushTotalTimeNs m
                    UnmapTotalTimeNs = unmapTotalTimeNs m
                    WrHighestOffset = wrHighestOffset m
                    RdMerged = rdMerged m
                    WrMerged = wrMerged m
                    ZoneAppendMerged = zoneAppendMerged m
                    UnmapMerged = unmapMerged m
                    IdleTimeNs = idleTimeNs m
                    FailedRdOperations = failedRdOperations m
                    FailedWrOperations = failedWrOperations m
                    FailedZoneAppendOperations = failedZoneAppendOperations m
                    FailedFlushOperations = failedFlushOperations m
                    FailedUnmapOperations = failedUnmapOperations m
                    InvalidRdOperations = invalidRdOperations m
                    InvalidWrOperations = invalidWrOperations m
                    InvalidZoneAppendOperations = invalidZoneAppendOperations m
                    InvalidFlushOperations = invalidFlushOperations m
                    InvalidUnmapOperations = invalidUnmapOperations m
                    AccountInvalid = accountInvalid m
                    AccountFailed = accountFailed m
                    TimedStats = timedStats m
                    RdLatencyHistogram = rdLatencyHistogram m
                    WrLatencyHistogram = wrLatencyHistogram m
                    ZoneAppendLatencyHistogram = zoneAppendLatencyHistogram m
                    FlushLatencyHistogram = flushLatencyHistogram m
                }
        }

    let private specificFile: StructCodec<BlockStatsSpecificFile> =
        object "BlockStatsSpecificFile" {
            let! discardNbOk = required "discard-nb-ok" Codec.uint64 _.DiscardNbOk
            let! discardNbFailed = required "discard-nb-failed" Codec.uint64 _.DiscardNbFailed
            let! discardBytesOk = required "discard-bytes-ok" Codec.uint64 _.DiscardBytesOk

            return
                fun m -> {
                    DiscardNbOk = discardNbOk m
                    DiscardNbFailed = discardNbFailed m
                    DiscardBytesOk = discardBytesOk m
                }
        }

    let private specific: StructCodec<BlockStatsSpecific> =
        StructCodec.union "BlockStatsSpecific" "driver" "BlockStatsSpecificDriver" [
            branch "file" specificFile BlockStatsSpecific.File (function
                | BlockStatsSpecific.File file -> ValueSome file
                | BlockStatsSpecific.HostDevice _ -> ValueNone)
            branch "host_device" specificFile BlockStatsSpecific.HostDevice (function
                | BlockStatsSpecific.HostDevice file -> ValueSome file
                | BlockStatsSpecific.File _ -> ValueNone)
        ]

    /// `BlockStats`: of a node and of those below it.
    let blockStats: StructCodec<BlockStats> =
        StructCodec.recursive "BlockStats" (fun self ->
            object "BlockStats" {
                let! device = optional "device" Codec.str _.Device
                let! qdev = optional "qdev" Codec.str _.Qdev
                let! nodeName = optional "node-name" Codec.str _.NodeName
                let! stats = required "stats" (StructCodec.codec deviceStats) _.Stats
                let! driverSpecific = optional "driver-specific" (StructCodec.codec specific) _.DriverSpecific
                let! parent = optional "parent" (StructCodec.codec self) _.Parent
                let! backing = optional "backing" (StructCodec.codec self) _.Backing

                return
                    fun m -> {
                        Device = device m
                        Qdev = qdev m
                        NodeName = nodeName m
                        Stats = stats m
                        DriverSpecific = driverSpecific m
                        Parent = parent m
                        Backing = backing m
                    }
            })
