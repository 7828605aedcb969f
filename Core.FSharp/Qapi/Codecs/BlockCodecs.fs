namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json: arguments.
module BlockCodecs =
    let discard: Codec<BlockdevDiscardOptions> =
        Codec.enum "BlockdevDiscardOptions" [
            BlockdevDiscardOptions.Ignore, "ignore"
            BlockdevDiscardOptions.Unmap, "unmap"
        ]

    let detectZeroes: Codec<BlockdevDetectZeroesOptions> =
        Codec.enum "BlockdevDetectZeroesOptions" [
            BlockdevDetectZeroesOptions.Off, "off"
            BlockdevDetectZeroesOptions.On, "on"
            BlockdevDetectZeroesOptions.Unmap, "unmap"
        ]

    let aio: Codec<BlockdevAioOptions> =
        Codec.enum "BlockdevAioOptions" [
            BlockdevAioOptions.Threads, "threads"
            BlockdevAioOptions.Native, "native"
            BlockdevAioOptions.IoUring, "io_uring"
        ]

    let cacheOptions: StructCodec<BlockdevCacheOptions> =
        object "BlockdevCacheOptions" {
            let! direct = optional "direct" Codec.bool _.Direct
            let! noFlush = optional "no-flush" Codec.bool _.NoFlush
            return fun m -> { Direct = direct m; NoFlush = noFlush m }
        }

    let fileOptions: StructCodec<BlockdevOptionsFile> =
        objectWith "BlockdevOptionsFile" [ "dynamic-auto-read-only" ] {
            let! filename = required "filename" Codec.str _.Filename
            let! prManager = optional "pr-manager" Codec.str _.PrManager
            let! locking = optional "locking" SocketCodecs.onOffAuto _.Locking
            let! aio = optional "aio" aio _.Aio
            let! aioMaxBatch = optional "aio-max-batch" Codec.int64 _.AioMaxBatch
            let! dropCache = optional "drop-cache" Codec.bool _.DropCache

            let! checkCacheDropped =
                optionalWith [ Feature.Unstable ] "x-check-cache-dropped" Codec.bool _.CheckCacheDropped

            return
                fun m -> {
                    Filename = filename m
                    PrManager = prManager m
                    Locking = locking m
                    Aio = aio m
                    AioMaxBatch = aioMaxBatch m
                    DropCache = dropCache m
                    CheckCacheDropped = checkCacheDropped m
                }
        }

    let nullOptions: StructCodec<BlockdevOptionsNull> =
        object "BlockdevOptionsNull" {
            let! size = optional "size" Codec.int64 _.Size
            let! latencyNs = optional "latency-ns" Codec.uint64 _.LatencyNs
            let! readZeroes = optional "read-zeroes" Codec.bool _.ReadZeroes

            return
                fun m -> {
                    Size = size m
                    LatencyNs = latencyNs m
                    ReadZeroes = readZeroes m
                }
        }

    /// `BlockdevRef` over the node's own options.
    let private refTo (options: StructCodec<BlockdevOptions>) : Codec<BlockdevRef> =
        let ofDefinition reference =
            match reference with
            | BlockdevRef.Definition definition -> ValueSome definition
            | BlockdevRef.Reference _ -> ValueNone

        let ofReference reference =
            match reference with
            | BlockdevRef.Reference name -> ValueSome name
            | BlockdevRef.Definition _ -> ValueNone

        Alternate.alternate "BlockdevRef" [
            Alternate.alternative (StructCodec.codec options) BlockdevRef.Definition ofDefinition
            Alternate.alternative Codec.str BlockdevRef.Reference ofReference
        ]

    let private rawOptionsOver child : StructCodec<BlockdevOptionsRaw> =
        object "BlockdevOptionsRaw" {
            let! file = required "file" child _.File
            let! offset = optional "offset" Codec.int64 _.Offset
            let! size = optional "size" Codec.int64 _.Size

            return fun m -> { File = file m; Offset = offset m; Size = size m }
        }

    let private throttleOptionsOver child : StructCodec<BlockdevOptionsThrottle> =
        object "BlockdevOptionsThrottle" {
            let! throttleGroup = required "throttle-group" Codec.str _.ThrottleGroup
            let! file = required "file" child _.File

            return fun m -> { ThrottleGroup = throttleGroup m; File = file m }
        }

    let private corOptionsOver child : StructCodec<BlockdevOptionsCor> =
        object "BlockdevOptionsCor" {
            let! file = required "file" child _.File
            let! bottom = optional "bottom" Codec.str _.Bottom

            return fun m -> { File = file m; Bottom = bottom m }
        }

    let private genericFormatOptionsOver child : StructCodec<BlockdevOptionsGenericFormat> =
        object "BlockdevOptionsGenericFormat" {
            let! file = required "file" child _.File
            return fun m -> { File = file m }
        }

    let private preallocateOptionsOver child : StructCodec<BlockdevOptionsPreallocate> =
        object "BlockdevOptionsPreallocate" {
            let! file = required "file" child _.File
            let! preallocAlign = optional "prealloc-align" Codec.int64 _.PreallocAlign
            let! preallocSize = optional "prealloc-size" Codec.int64 _.PreallocSize

            return
                fun m -> {
                    File = file m
                    PreallocAlign = preallocAlign m
                    PreallocSize = preallocSize m
                }
        }

    let private driverBranches child : Branch<BlockdevDriver> list =
        let blkreplay = Unavailable.members "BlockdevOptionsBlkreplay" [ Unavailable.must "image" child ]

        [
            Unavailable.branchWith [] "blkreplay" blkreplay BlockdevDriver.Unavailable (function
                | BlockdevDriver.Unavailable unavailable -> ValueSome unavailable
                | _ -> ValueNone)
            branch "compress" (genericFormatOptionsOver child) BlockdevDriver.Compress (function
                | BlockdevDriver.Compress options -> ValueSome options
                | _ -> ValueNone)
            branch "copy-on-read" (corOptionsOver child) BlockdevDriver.CopyOnRead (function
                | BlockdevDriver.CopyOnRead options -> ValueSome options
                | _ -> ValueNone)
            branch "file" fileOptions BlockdevDriver.File (function
                | BlockdevDriver.File file -> ValueSome file
                | _ -> ValueNone)
            branch "host_cdrom" fileOptions BlockdevDriver.HostCdrom (function
                | BlockdevDriver.HostCdrom file -> ValueSome file
                | _ -> ValueNone)
            branch "host_device" fileOptions BlockdevDriver.HostDevice (function
                | BlockdevDriver.HostDevice file -> ValueSome file
                | _ -> ValueNone)
            branch "null-aio" nullOptions BlockdevDriver.NullAio (function
                | BlockdevDriver.NullAio options -> ValueSome options
                | _ -> ValueNone)
            branch "null-co" nullOptions BlockdevDriver.NullCo (function
                | BlockdevDriver.NullCo options -> ValueSome options
                | _ -> ValueNone)
            branch "preallocate" (preallocateOptionsOver child) BlockdevDriver.Preallocate (function
                | BlockdevDriver.Preallocate options -> ValueSome options
                | _ -> ValueNone)
            branch "raw" (rawOptionsOver child) BlockdevDriver.Raw (function
                | BlockdevDriver.Raw options -> ValueSome options
                | _ -> ValueNone)
            branch "throttle" (throttleOptionsOver child) BlockdevDriver.Throttle (function
                | BlockdevDriver.Throttle options -> ValueSome options
                | _ -> ValueNone)
        ]

    let private commonOptions: Fields<BlockdevOptions, BlockdevDriver -> BlockdevOptions> =
        fields {
            let! nodeName = optional "node-name" Codec.str _.NodeName
            let! discard = optional "discard" discard _.Discard
            let! cache = optional "cache" (StructCodec.codec cacheOptions) _.Cache
            let! active = optional "active" Codec.bool _.Active
            let! readOnly = optional "read-only" Codec.bool _.ReadOnly
            let! autoReadOnly = optional "auto-read-only" Codec.bool _.AutoReadOnly
            let! forceShare = optional "force-share" Codec.bool _.ForceShare
            let! detectZeroes = optional "detect-zeroes" detectZeroes _.DetectZeroes

            return
                fun m driver -> {
                    NodeName = nodeName m
                    Discard = discard m
                    Cache = cache m
                    Active = active m
                    ReadOnly = readOnly m
                    AutoReadOnly = autoReadOnly m
                    ForceShare = forceShare m
                    DetectZeroes = detectZeroes m
                    Driver = driver
                }
        }

    /// `BlockdevOptions`: arguments of `blockdev-add`, and `--blockdev`.
    let blockdevOptions: StructCodec<BlockdevOptions> =
        StructCodec.recursive "BlockdevOptions" (fun self ->
            let branches = driverBranches (refTo self)
            StructCodec.unionWith "BlockdevOptions" "driver" "BlockdevDriver" branches commonOptions _.Driver)

    let blockdevRef: Codec<BlockdevRef> = refTo blockdevOptions

    let blockdevDel: StructCodec<BlockdevDel> =
        object "BlockdevDelArgs" {
            let! nodeName = required "node-name" Codec.str _.NodeName
            return fun m -> { NodeName = nodeName m }
        }

    let blockResize: StructCodec<BlockResize> =
        object "BlockResizeArgs" {
            let! device = optional "device" Codec.str _.Device
            let! nodeName = optional "node-name" Codec.str _.NodeName
            let! size = required "size" Codec.int64 _.Size

            return fun m -> { Device = device m; NodeName = nodeName m; Size = size m }
        }

    let queryNamedBlockNodes: StructCodec<QueryNamedBlockNodes> =
        object "QueryNamedBlockNodesArgs" {
            let! flat = optional "flat" Codec.bool _.Flat
            return fun m -> { Flat = flat m }
        }

    let queryBlockstats: StructCodec<QueryBlockstats> =
        object "QueryBlockstatsArgs" {
            let! queryNodes = optional "query-nodes" Codec.bool _.QueryNodes
            return fun m -> { QueryNodes = queryNodes m }
        }
