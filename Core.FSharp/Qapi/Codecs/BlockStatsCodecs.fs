namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json: the answer of `query-blockstats`.
module BlockStatsCodecs =
    let private latencyHistogram: StructCodec<BlockLatencyHistogramInfo> =
        record "BlockLatencyHistogramInfo" "How many requests took how long." {
            let! boundaries =
                doc
                    "Bounds between the bins, in nanoseconds."
                    (required "boundaries" (Codec.list Codec.uint64) _.Boundaries)
            let! bins =
                doc
                    "Requests in each bin, one more than there are bounds."
                    (required "bins" (Codec.list Codec.uint64) _.Bins)
            return fun m -> { Boundaries = boundaries m; Bins = bins m }
        }

    let private timedStats: StructCodec<BlockDeviceTimedStats> =
        record "BlockDeviceTimedStats" "Figures of an interval. Times are in nanoseconds." {
            let! intervalLength =
                doc "The interval in seconds." (required "interval_length" Codec.int64 _.IntervalLength)
            let! minRdLatencyNs =
                doc "The shortest read." (required "min_rd_latency_ns" Codec.int64 _.MinRdLatencyNs)
            let! maxRdLatencyNs = doc "The longest read." (required "max_rd_latency_ns" Codec.int64 _.MaxRdLatencyNs)
            let! avgRdLatencyNs =
                doc "The mean of reads." (required "avg_rd_latency_ns" Codec.int64 _.AvgRdLatencyNs)
            let! minWrLatencyNs =
                doc "The shortest write." (required "min_wr_latency_ns" Codec.int64 _.MinWrLatencyNs)
            let! maxWrLatencyNs =
                doc "The longest write." (required "max_wr_latency_ns" Codec.int64 _.MaxWrLatencyNs)
            let! avgWrLatencyNs =
                doc "The mean of writes." (required "avg_wr_latency_ns" Codec.int64 _.AvgWrLatencyNs)
            let! minZoneAppendLatencyNs =
                doc "The shortest append." (required "min_zone_append_latency_ns" Codec.int64 _.MinZoneAppendLatencyNs)
            let! maxZoneAppendLatencyNs =
                doc "The longest append." (required "max_zone_append_latency_ns" Codec.int64 _.MaxZoneAppendLatencyNs)
            let! avgZoneAppendLatencyNs =
                doc "The mean of appends." (required "avg_zone_append_latency_ns" Codec.int64 _.AvgZoneAppendLatencyNs)
            let! minFlushLatencyNs =
                doc "The shortest flush." (required "min_flush_latency_ns" Codec.int64 _.MinFlushLatencyNs)
            let! maxFlushLatencyNs =
                doc "The longest flush." (required "max_flush_latency_ns" Codec.int64 _.MaxFlushLatencyNs)
            let! avgFlushLatencyNs =
                doc "The mean of flushes." (required "avg_flush_latency_ns" Codec.int64 _.AvgFlushLatencyNs)
            let! avgRdQueueDepth =
                doc "The mean number of reads under way." (required "avg_rd_queue_depth" Codec.number _.AvgRdQueueDepth)
            let! avgWrQueueDepth =
                doc
                    "The mean number of writes under way."
                    (required "avg_wr_queue_depth" Codec.number _.AvgWrQueueDepth)
            let! avgZoneAppendQueueDepth =
                doc
                    "The mean number of appends under way."
                    (required "avg_zone_append_queue_depth" Codec.number _.AvgZoneAppendQueueDepth)

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
        record "BlockDeviceStats" "What has been asked so far. Times are in nanoseconds." {
            let! rdBytes = doc "Bytes read." (required "rd_bytes" Codec.int64 _.RdBytes)
            let! wrBytes = doc "Bytes written." (required "wr_bytes" Codec.int64 _.WrBytes)
            let! zoneAppendBytes =
                doc "Bytes appended to zones." (required "zone_append_bytes" Codec.int64 _.ZoneAppendBytes)
            let! unmapBytes = doc "Bytes discarded." (required "unmap_bytes" Codec.int64 _.UnmapBytes)
            let! rdOperations = doc "Reads that succeeded." (required "rd_operations" Codec.int64 _.RdOperations)
            let! wrOperations = doc "Writes that succeeded." (required "wr_operations" Codec.int64 _.WrOperations)
            let! zoneAppendOperations =
                doc "Appends that succeeded." (required "zone_append_operations" Codec.int64 _.ZoneAppendOperations)
            let! flushOperations =
                doc "Flushes that succeeded." (required "flush_operations" Codec.int64 _.FlushOperations)
            let! unmapOperations =
                doc "Discards that succeeded." (required "unmap_operations" Codec.int64 _.UnmapOperations)
            let! rdTotalTimeNs =
                doc "Time that reads took." (required "rd_total_time_ns" Codec.int64 _.RdTotalTimeNs)
            let! wrTotalTimeNs =
                doc "Time that writes took." (required "wr_total_time_ns" Codec.int64 _.WrTotalTimeNs)
            let! zoneAppendTotalTimeNs =
                doc "Time that appends took." (required "zone_append_total_time_ns" Codec.int64 _.ZoneAppendTotalTimeNs)
            let! flushTotalTimeNs =
                doc "Time that flushes took." (required "flush_total_time_ns" Codec.int64 _.FlushTotalTimeNs)
            let! unmapTotalTimeNs =
                doc "Time that discards took." (required "unmap_total_time_ns" Codec.int64 _.UnmapTotalTimeNs)
            let! wrHighestOffset =
                doc "Where the highest write ended." (required "wr_highest_offset" Codec.int64 _.WrHighestOffset)
            let! rdMerged = doc "Reads that were joined with others." (required "rd_merged" Codec.int64 _.RdMerged)
            let! wrMerged = doc "Writes that were joined with others." (required "wr_merged" Codec.int64 _.WrMerged)
            let! zoneAppendMerged =
                doc
                    "Appends that were joined with others."
                    (required "zone_append_merged" Codec.int64 _.ZoneAppendMerged)
            let! unmapMerged =
                doc "Discards that were joined with others." (required "unmap_merged" Codec.int64 _.UnmapMerged)
            let! idleTimeNs = doc "Time since the last request." (optional "idle_time_ns" Codec.int64 _.IdleTimeNs)
            let! failedRdOperations =
                doc "Reads that failed." (required "failed_rd_operations" Codec.int64 _.FailedRdOperations)
            let! failedWrOperations =
                doc "Writes that failed." (required "failed_wr_operations" Codec.int64 _.FailedWrOperations)

            let! failedZoneAppendOperations =
                doc
                    "Appends that failed."
                    (required "failed_zone_append_operations" Codec.int64 _.FailedZoneAppendOperations)

            let! failedFlushOperations =
                doc "Flushes that failed." (required "failed_flush_operations" Codec.int64 _.FailedFlushOperations)
            let! failedUnmapOperations =
                doc "Discards that failed." (required "failed_unmap_operations" Codec.int64 _.FailedUnmapOperations)
            let! invalidRdOperations =
                doc
                    "Reads that were refused as malformed."
                    (required "invalid_rd_operations" Codec.int64 _.InvalidRdOperations)
            let! invalidWrOperations =
                doc
                    "Writes that were refused as malformed."
                    (required "invalid_wr_operations" Codec.int64 _.InvalidWrOperations)

            let! invalidZoneAppendOperations =
                doc
                    "Appends that were refused as malformed."
                    (required "invalid_zone_append_operations" Codec.int64 _.InvalidZoneAppendOperations)

            let! invalidFlushOperations =
                doc
                    "Flushes that were refused as malformed."
                    (required "invalid_flush_operations" Codec.int64 _.InvalidFlushOperations)
            let! invalidUnmapOperations =
                doc
                    "Discards that were refused as malformed."
                    (required "invalid_unmap_operations" Codec.int64 _.InvalidUnmapOperations)
            let! accountInvalid =
                doc
                    "Whether malformed requests count in times."
                    (required "account_invalid" Codec.bool _.AccountInvalid)
            let! accountFailed =
                doc "Whether failed requests count in times." (required "account_failed" Codec.bool _.AccountFailed)
            let! timedStats =
                doc
                    "Figures of intervals."
                    (required "timed_stats" (Codec.list (StructCodec.codec timedStats)) _.TimedStats)

            let! rdLatencyHistogram =
                doc
                    "How long reads took."
                    (optional "rd_latency_histogram" (StructCodec.codec latencyHistogram) _.RdLatencyHistogram)

            let! wrLatencyHistogram =
                doc
                    "How long writes took."
                    (optional "wr_latency_histogram" (StructCodec.codec latencyHistogram) _.WrLatencyHistogram)

            let! zoneAppendLatencyHistogram =
                doc
                    "How long appends took."
                    (optional
                        "zone_append_latency_histogram"
                        (StructCodec.codec latencyHistogram)
                        _.ZoneAppendLatencyHistogram)

            let! flushLatencyHistogram =
                doc
                    "How long flushes took."
                    (optional "flush_latency_histogram" (StructCodec.codec latencyHistogram) _.FlushLatencyHistogram)

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
        record "BlockStatsSpecificFile" "Discards that reached a host file." {
            let! discardNbOk = doc "Discards that succeeded." (required "discard-nb-ok" Codec.uint64 _.DiscardNbOk)
            let! discardNbFailed =
                doc "Discards that failed." (required "discard-nb-failed" Codec.uint64 _.DiscardNbFailed)
            let! discardBytesOk =
                doc "Bytes that were discarded." (required "discard-bytes-ok" Codec.uint64 _.DiscardBytesOk)

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
        |> about "Figures that only one driver has."

    /// `BlockExportStats`: not in the real daemon.
    let private exportStats: StructCodec<BlockExportStats> =
        record "BlockExportStats" "What the clients of an export have asked for." {
            let! id = doc "Its id." (required "id" Codec.str _.Id)
            let! exportType = doc "Its protocol." (required "type" ExportCodecs.exportType _.Type)
            let! shuttingDown =
                doc "Whether it is about to end." (required "shutting-down" Codec.bool _.ShuttingDown)
            let! stats = doc "The figures." (required "stats" (StructCodec.codec deviceStats) _.Stats)

            return
                fun m -> {
                    Id = id m
                    Type = exportType m
                    ShuttingDown = shuttingDown m
                    Stats = stats m
                }
        }

    /// `BlockStats`: of a node and of those below it.
    let blockStats: StructCodec<BlockStats> =
        StructCodec.recursiveAbout "BlockStats" "What has been asked of a device, a node or an export." (fun self ->
            record "BlockStats" "What has been asked of a device, a node or an export." {
                let! device = doc "The guest device." (optional "device" Codec.str _.Device)
                let! qdev = doc "Its path among the devices." (optional "qdev" Codec.str _.Qdev)
                let! nodeName = doc "The node." (optional "node-name" Codec.str _.NodeName)
                let! stats = doc "The figures." (required "stats" (StructCodec.codec deviceStats) _.Stats)
                let! driverSpecific =
                    doc
                        "Figures that only its driver has."
                        (optional "driver-specific" (StructCodec.codec specific) _.DriverSpecific)
                let! parent =
                    doc
                        "Figures of the node below that holds the data."
                        (optional "parent" (StructCodec.codec self) _.Parent)
                let! backing =
                    doc "Figures of the backing node." (optional "backing" (StructCodec.codec self) _.Backing)
                let! exports =
                    doc
                        "Exports that offer this node, the oldest first."
                        (optional "x-exports" (Codec.list (StructCodec.codec exportStats)) _.Exports)

                return
                    fun m -> {
                        Device = device m
                        Qdev = qdev m
                        NodeName = nodeName m
                        Stats = stats m
                        DriverSpecific = driverSpecific m
                        Parent = parent m
                        Backing = backing m
                        Exports = exports m
                    }
            })
