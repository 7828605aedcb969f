namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json: the options of qcow2 images.
module Qcow2Codecs =
    let compressionType: Codec<Qcow2CompressionType> =
        Codec.enum "Qcow2CompressionType" [ Qcow2CompressionType.Zlib, "zlib"; Qcow2CompressionType.Zstd, "zstd" ]
        |> Codec.documented "How clusters of a qcow2 image are compressed." [
            "zlib", "Deflated, as every reader knows."
            "zstd", "With Zstandard."
        ]

    let private overlapCheckMode: Codec<Qcow2OverlapCheckMode> =
        Codec.enum "Qcow2OverlapCheckMode" [
            Qcow2OverlapCheckMode.None, "none"
            Qcow2OverlapCheckMode.Constant, "constant"
            Qcow2OverlapCheckMode.Cached, "cached"
            Qcow2OverlapCheckMode.All, "all"
        ]
        |> Codec.documented "What writes are compared with before they go out." [
            "none", "Nothing."
            "constant", "Tables whose place the header tells."
            "cached", "These, and tables that are in memory anyway."
            "all", "All tables, also those of snapshots."
        ]

    let private overlapCheckFlags: StructCodec<Qcow2OverlapCheckFlags> =
        record "Qcow2OverlapCheckFlags" "Which tables writes are compared with before they go out." {
            let! template =
                doc "What those that are not given are like." (optional "template" overlapCheckMode _.Template)
            let! mainHeader = doc "The header." (optional "main-header" Codec.bool _.MainHeader)
            let! activeL1 = doc "The L1 table." (optional "active-l1" Codec.bool _.ActiveL1)
            let! activeL2 = doc "L2 tables." (optional "active-l2" Codec.bool _.ActiveL2)
            let! refcountTable = doc "The refcount table." (optional "refcount-table" Codec.bool _.RefcountTable)
            let! refcountBlock = doc "Refcount blocks." (optional "refcount-block" Codec.bool _.RefcountBlock)
            let! snapshotTable = doc "The snapshot table." (optional "snapshot-table" Codec.bool _.SnapshotTable)
            let! inactiveL1 = doc "L1 tables of snapshots." (optional "inactive-l1" Codec.bool _.InactiveL1)
            let! inactiveL2 = doc "L2 tables of snapshots." (optional "inactive-l2" Codec.bool _.InactiveL2)
            let! bitmapDirectory =
                doc "The directory of bitmaps." (optional "bitmap-directory" Codec.bool _.BitmapDirectory)

            return
                fun m -> {
                    Template = template m
                    MainHeader = mainHeader m
                    ActiveL1 = activeL1 m
                    ActiveL2 = activeL2 m
                    RefcountTable = refcountTable m
                    RefcountBlock = refcountBlock m
                    SnapshotTable = snapshotTable m
                    InactiveL1 = inactiveL1 m
                    InactiveL2 = inactiveL2 m
                    BitmapDirectory = bitmapDirectory m
                }
        }

    let private overlapChecks: Codec<Qcow2OverlapChecks> =
        Alternate.alternate "Qcow2OverlapChecks" [
            Alternate.alternative (StructCodec.codec overlapCheckFlags) Qcow2OverlapChecks.Flags (function
                | Qcow2OverlapChecks.Flags flags -> ValueSome flags
                | Qcow2OverlapChecks.Mode _ -> ValueNone)
            Alternate.alternative overlapCheckMode Qcow2OverlapChecks.Mode (function
                | Qcow2OverlapChecks.Mode mode -> ValueSome mode
                | Qcow2OverlapChecks.Flags _ -> ValueNone)
        ]
        |> Codec.documented "What writes are compared with before they go out." []

    let optionsOver
        (child: Codec<BlockdevRef>)
        (childOrNull: Codec<BlockdevRefOrNull>)
        : StructCodec<BlockdevOptionsQcow2> =
        record "BlockdevOptionsQcow2" "A qcow2 image." {
            let! file = doc "The node with the image." (required "file" child _.File)
            let! backing =
                doc
                    "The node that is read where the image has nothing; by default the one that the image names."
                    (optional "backing" childOrNull _.Backing)
            let! lazyRefcounts =
                doc
                    "Whether refcounts may be out of date after a crash; by default as the image says."
                    (optional "lazy-refcounts" Codec.bool _.LazyRefcounts)
            let! passDiscardRequest =
                doc
                    "Whether requests to discard reach the file; by default they do where the node lets discards through."
                    (optional "pass-discard-request" Codec.bool _.PassDiscardRequest)
            let! passDiscardSnapshot =
                doc
                    "Whether the file is told of clusters that a deleted snapshot leaves; by default it is."
                    (optional "pass-discard-snapshot" Codec.bool _.PassDiscardSnapshot)
            let! passDiscardOther =
                doc
                    "Whether the file is told of other clusters that become free; by default it is not."
                    (optional "pass-discard-other" Codec.bool _.PassDiscardOther)
            let! discardNoUnref =
                doc
                    "Whether discarded clusters keep their place in the file, so that it does not fragment; not by default."
                    (optional "discard-no-unref" Codec.bool _.DiscardNoUnref)
            let! overlapCheck =
                doc
                    "Which tables writes are compared with before they go out; cached by default."
                    (optional "overlap-check" overlapChecks _.OverlapCheck)
            let! cacheSize =
                doc "Bytes of tables that are kept in memory." (optional "cache-size" Codec.int64 _.CacheSize)
            let! l2CacheSize =
                doc "Bytes of L2 tables that are kept in memory." (optional "l2-cache-size" Codec.int64 _.L2CacheSize)
            let! l2CacheEntrySize =
                doc
                    "Bytes of an L2 table that are read at a time, a power of two."
                    (optional "l2-cache-entry-size" Codec.int64 _.L2CacheEntrySize)
            let! refcountCacheSize =
                doc
                    "Bytes of refcount blocks that are kept in memory."
                    (optional "refcount-cache-size" Codec.int64 _.RefcountCacheSize)
            let! cacheCleanInterval =
                doc
                    "Seconds after which tables that nobody asked for leave the memory; 600 by default, 0 for never."
                    (optional "cache-clean-interval" Codec.int64 _.CacheCleanInterval)
            let! dataFile =
                doc
                    "The node with the data, for images that keep them apart; by default the file that the image names."
                    (optional "data-file" child _.DataFile)

            return
                fun m -> {
                    File = file m
                    Backing = backing m
                    LazyRefcounts = lazyRefcounts m
                    PassDiscardRequest = passDiscardRequest m
                    PassDiscardSnapshot = passDiscardSnapshot m
                    PassDiscardOther = passDiscardOther m
                    DiscardNoUnref = discardNoUnref m
                    OverlapCheck = overlapCheck m
                    CacheSize = cacheSize m
                    L2CacheSize = l2CacheSize m
                    L2CacheEntrySize = l2CacheEntrySize m
                    RefcountCacheSize = refcountCacheSize m
                    CacheCleanInterval = cacheCleanInterval m
                    DataFile = dataFile m
                }
        }
