namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json: the answer of `query-blockstats`.
module BlockStatsCodecs =
    let private latencyHistogram: StructCodec<BlockLatencyHistogramInfo> =
        object "BlockLatencyHistogramInfo" {
            let! boundaries = required "boundaries" (Codec.list Codec.uint64) _.Boundaries
            and! bins = required "bins" (Codec.list Codec.uint64) _.Bins
            return { Boundaries = boundaries; Bins = bins }
        }

    let private timedStats: StructCodec<BlockDeviceTimedStats> =
        object "BlockDeviceTimedStats" {
            let! intervalLength = required "interval_length" Codec.int64 _.IntervalLength
            and! minRdLatencyNs = required "min_rd_latency_ns" Codec.int64 _.MinRdLatencyNs
            and! maxRdLatencyNs = required "max_rd_latency_ns" Codec.int64 _.MaxRdLatencyNs
            and! avgRdLatencyNs = required "avg_rd_latency_ns" Codec.int64 _.AvgRdLatencyNs
            and! minWrLatencyNs = required "min_wr_latency_ns" Codec.int64 _.MinWrLatencyNs
            and! maxWrLatencyNs = required "max_wr_latency_ns" Codec.int64 _.MaxWrLatencyNs
            and! avgWrLatencyNs = required "avg_wr_latency_ns" Codec.int64 _.AvgWrLatencyNs
            and! minZoneAppendLatencyNs = required "min_zone_append_latency_ns" Codec.int64 _.MinZoneAppendLatencyNs
            and! maxZoneAppendLatencyNs = required "max_zone_append_latency_ns" Codec.int64 _.MaxZoneAppendLatencyNs
            and! avgZoneAppendLatencyNs = required "avg_zone_append_latency_ns" Codec.int64 _.AvgZoneAppendLatencyNs
            and! minFlushLatencyNs = required "min_flush_latency_ns" Codec.int64 _.MinFlushLatencyNs
            and! maxFlushLatencyNs = required "max_flush_latency_ns" Codec.int64 _.MaxFlushLatencyNs
            and! avgFlushLatencyNs = required "avg_flush_latency_ns" Codec.int64 _.AvgFlushLatencyNs
            and! avgRdQueueDepth = required "avg_rd_queue_depth" Codec.number _.AvgRdQueueDepth
            and! avgWrQueueDepth = required "avg_wr_queue_depth" Codec.number _.AvgWrQueueDepth
            and! avgZoneAppendQueueDepth = required "avg_zone_append_queue_depth" Codec.number _.AvgZoneAppendQueueDepth

            return {
                IntervalLength = intervalLength
                MinRdLatencyNs = minRdLatencyNs
                MaxRdLatencyNs = maxRdLatencyNs
                AvgRdLatencyNs = avgRdLatencyNs
                MinWrLatencyNs = minWrLatencyNs
                MaxWrLatencyNs = maxWrLatencyNs
                AvgWrLatencyNs = avgWrLatencyNs
                MinZoneAppendLatencyNs = minZoneAppendLatencyNs
                MaxZoneAppendLatencyNs = maxZoneAppendLatencyNs
                AvgZoneAppendLatencyNs = avgZoneAppendLatencyNs
                MinFlushLatencyNs = minFlushLatencyNs
                MaxFlushLatencyNs = maxFlushLatencyNs
                AvgFlushLatencyNs = avgFlushLatencyNs
                AvgRdQueueDepth = avgRdQueueDepth
                AvgWrQueueDepth = avgWrQueueDepth
                AvgZoneAppendQueueDepth = avgZoneAppendQueueDepth
            }
        }

    let deviceStats: StructCodec<BlockDeviceStats> =
        object "BlockDeviceStats" {
            let! rdBytes = required "rd_bytes" Codec.int64 _.RdBytes
            and! wrBytes = required "wr_bytes" Codec.int64 _.WrBytes
            and! zoneAppendBytes = required "zone_append_bytes" Codec.int64 _.ZoneAppendBytes
            and! unmapBytes = required "unmap_bytes" Codec.int64 _.UnmapBytes
            and! rdOperations = required "rd_operations" Codec.int64 _.RdOperations
            and! wrOperations = required "wr_operations" Codec.int64 _.WrOperations
            and! zoneAppendOperations = required "zone_append_operations" Codec.int64 _.ZoneAppendOperations
            and! flushOperations = required "flush_operations" Codec.int64 _.FlushOperations
            and! unmapOperations = required "unmap_operations" Codec.int64 _.UnmapOperations
            and! rdTotalTimeNs = required "rd_total_time_ns" Codec.int64 _.RdTotalTimeNs
            and! wrTotalTimeNs = required "wr_total_time_ns" Codec.int64 _.WrTotalTimeNs
            and! zoneAppendTotalTimeNs = required "zone_append_total_time_ns" Codec.int64 _.ZoneAppendTotalTimeNs
            and! flushTotalTimeNs = required "flush_total_time_ns" Codec.int64 _.FlushTotalTimeNs
            and! unmapTotalTimeNs = required "unmap_total_time_ns" Codec.int64 _.UnmapTotalTimeNs
            and! wrHighestOffset = required "wr_highest_offset" Codec.int64 _.WrHighestOffset
            and! rdMerged = required "rd_merged" Codec.int64 _.RdMerged
            and! wrMerged = required "wr_merged" Codec.int64 _.WrMerged
            and! zoneAppendMerged = required "zone_append_merged" Codec.int64 _.ZoneAppendMerged
            and! unmapMerged = required "unmap_merged" Codec.int64 _.UnmapMerged
            and! idleTimeNs = optional "idle_time_ns" Codec.int64 _.IdleTimeNs
            and! failedRdOperations = required "failed_rd_operations" Codec.int64 _.FailedRdOperations
            and! failedWrOperations = required "failed_wr_operations" Codec.int64 _.FailedWrOperations
            and! failedZoneAppendOperations = required "failed_zone_append_operations" Codec.int64 _.FailedZoneAppendOperations
            and! failedFlushOperations = required "failed_flush_operations" Codec.int64 _.FailedFlushOperations
            and! failedUnmapOperations = required "failed_unmap_operations" Codec.int64 _.FailedUnmapOperations
            and! invalidRdOperations = required "invalid_rd_operations" Codec.int64 _.InvalidRdOperations
            and! invalidWrOperations = required "invalid_wr_operations" Codec.int64 _.InvalidWrOperations
            and! invalidZoneAppendOperations = required "invalid_zone_append_operations" Codec.int64 _.InvalidZoneAppendOperations
            and! invalidFlushOperations = required "invalid_flush_operations" Codec.int64 _.InvalidFlushOperations
            and! invalidUnmapOperations = required "invalid_unmap_operations" Codec.int64 _.InvalidUnmapOperations
            and! accountInvalid = required "account_invalid" Codec.bool _.AccountInvalid
            and! accountFailed = required "account_failed" Codec.bool _.AccountFailed
            and! timedStats = required "timed_stats" (Codec.list (StructCodec.codec timedStats)) _.TimedStats
            and! rdLatencyHistogram = optional "rd_latency_histogram" (StructCodec.codec latencyHistogram) _.RdLatencyHistogram
            and! wrLatencyHistogram = optional "wr_latency_histogram" (StructCodec.codec latencyHistogram) _.WrLatencyHistogram
            and! zoneAppendLatencyHistogram = optional "zone_append_latency_histogram" (StructCodec.codec latencyHistogram) _.ZoneAppendLatencyHistogram
            and! flushLatencyHistogram = optional "flush_latency_histogram" (StructCodec.codec latencyHistogram) _.FlushLatencyHistogram

            return {
                RdBytes = rdBytes
                WrBytes = wrBytes
                ZoneAppendBytes = zoneAppendBytes
                UnmapBytes = unmapBytes
                RdOperations = rdOperations
                WrOperations = wrOperations
                ZoneAppendOperations = zoneAppendOperations
                FlushOperations = flushOperations
                UnmapOperations = unmapOperations
                RdTotalTimeNs = rdTotalTimeNs
                WrTotalTimeNs = wrTotalTimeNs
                ZoneAppendTotalTimeNs = zoneAppendTotalTimeNs
                FlushTotalTimeNs = flushTotalTimeNs
                UnmapTotalTimeNs = unmapTotalTimeNs
                WrHighestOffset = wrHighestOffset
                RdMerged = rdMerged
                WrMerged = wrMerged
                ZoneAppendMerged = zoneAppendMerged
                UnmapMerged = unmapMerged
                IdleTimeNs = idleTimeNs
                FailedRdOperations = failedRdOperations
                FailedWrOperations = failedWrOperations
                FailedZoneAppendOperations = failedZoneAppendOperations
                FailedFlushOperations = failedFlushOperations
                FailedUnmapOperations = failedUnmapOperations
                InvalidRdOperations = invalidRdOperations
                InvalidWrOperations = invalidWrOperations
                InvalidZoneAppendOperations = invalidZoneAppendOperations
                InvalidFlushOperations = invalidFlushOperations
                InvalidUnmapOperations = invalidUnmapOperations
                AccountInvalid = accountInvalid
                AccountFailed = accountFailed
                TimedStats = timedStats
                RdLatencyHistogram = rdLatencyHistogram
                WrLatencyHistogram = wrLatencyHistogram
                ZoneAppendLatencyHistogram = zoneAppendLatencyHistogram
                FlushLatencyHistogram = flushLatencyHistogram
            }
        }

    let private specificFile: StructCodec<BlockStatsSpecificFile> =
        object "BlockStatsSpecificFile" {
            let! discardNbOk = required "discard-nb-ok" Codec.uint64 _.DiscardNbOk
            and! discardNbFailed = required "discard-nb-failed" Codec.uint64 _.DiscardNbFailed
            and! discardBytesOk = required "discard-bytes-ok" Codec.uint64 _.DiscardBytesOk

            return {
                DiscardNbOk = discardNbOk
                DiscardNbFailed = discardNbFailed
                DiscardBytesOk = discardBytesOk
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
                and! qdev = optional "qdev" Codec.str _.Qdev
                and! nodeName = optional "node-name" Codec.str _.NodeName
                and! stats = required "stats" (StructCodec.codec deviceStats) _.Stats
                and! driverSpecific = optional "driver-specific" (StructCodec.codec specific) _.DriverSpecific
                and! parent = optional "parent" (StructCodec.codec self) _.Parent
                and! backing = optional "backing" (StructCodec.codec self) _.Backing

                return {
                    Device = device
                    Qdev = qdev
                    NodeName = nodeName
                    Stats = stats
                    DriverSpecific = driverSpecific
                    Parent = parent
                    Backing = backing
                }
            })
