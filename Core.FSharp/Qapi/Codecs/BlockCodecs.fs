namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Filter
open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json: arguments.
module BlockCodecs =
    let discard: Codec<BlockdevDiscardOptions> =
        Codec.enum "BlockdevDiscardOptions" [
            BlockdevDiscardOptions.Ignore, "ignore"
            BlockdevDiscardOptions.Unmap, "unmap"
        ]
        |> Codec.documented "What becomes of requests to discard." [
            "ignore", "They do nothing."
            "unmap", "They give the space back."
        ]

    let detectZeroes: Codec<BlockdevDetectZeroesOptions> =
        Codec.enum "BlockdevDetectZeroesOptions" [
            BlockdevDetectZeroesOptions.Off, "off"
            BlockdevDetectZeroesOptions.On, "on"
            BlockdevDetectZeroesOptions.Unmap, "unmap"
        ]
        |> Codec.documented "What becomes of writes that hold zeroes only." [
            "off", "They are written like others."
            "on", "They become requests to write zeroes."
            "unmap", "The same, and where discard allows it the space is given back."
        ]

    let aio: Codec<BlockdevAioOptions> =
        Codec.enum "BlockdevAioOptions" [
            BlockdevAioOptions.Threads, "threads"
            BlockdevAioOptions.Native, "native"
            BlockdevAioOptions.IoUring, "io_uring"
        ]
        |> Codec.documented "Ways to do I/O on a host file." [
            "threads", "By system calls in worker threads."
            "native", "By Linux AIO, which needs cache.direct."
            "io_uring", "By io_uring."
        ]

    let cacheOptions: StructCodec<BlockdevCacheOptions> =
        record "BlockdevCacheOptions" "How a node is to be cached." {
            let! direct = doc "Passes the host's page cache by (O_DIRECT)." (optional "direct" Codec.bool _.Direct)
            let! noFlush =
                doc "Ignores flushes. Data are lost when the host fails." (optional "no-flush" Codec.bool _.NoFlush)
            return fun m -> { Direct = direct m; NoFlush = noFlush m }
        }

    let fileOptions: StructCodec<BlockdevOptionsFile> =
        recordWith "BlockdevOptionsFile" "A file, a device or a CD-ROM drive of the host." [ "dynamic-auto-read-only" ] {
            let! filename = doc "Its path." (required "filename" Codec.str _.Filename)
            let! prManager =
                doc "The object that carries persistent reservations out." (optional "pr-manager" Codec.str _.PrManager)
            let! locking =
                doc
                    "Whether the image is locked against other processes; auto does where the kernel has locks of open files."
                    (optional "locking" SocketCodecs.onOffAuto _.Locking)
            let! aio = doc "How I/O is done." (optional "aio" aio _.Aio)
            let! aioMaxBatch =
                doc
                    "The most requests that are submitted at once; 0 leaves it to the daemon."
                    (optional "aio-max-batch" Codec.int64 _.AioMaxBatch)
            let! dropCache =
                doc
                    "Whether cached pages are dropped when the node is activated."
                    (optional "drop-cache" Codec.bool _.DropCache)

            let! checkCacheDropped =
                doc
                    "Whether it is checked that they were dropped, for debugging."
                    (optionalWith [ Feature.Unstable ] "x-check-cache-dropped" Codec.bool _.CheckCacheDropped)

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
        record "BlockdevOptionsNull" "A node without an image, for tests." {
            let! size = doc "Its length in bytes; 1 GiB by default." (optional "size" Codec.int64 _.Size)
            let! latencyNs =
                doc "The time that a request takes, in nanoseconds." (optional "latency-ns" Codec.uint64 _.LatencyNs)
            let! readZeroes =
                doc
                    "Whether reads give zeroes; otherwise what they give is left open."
                    (optional "read-zeroes" Codec.bool _.ReadZeroes)

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
        |> Codec.documented "A node that exists, by its name, or one to be made." []

    /// `BlockdevRefOrNull` over the node's own options.
    let private refOrNullTo (options: StructCodec<BlockdevOptions>) : Codec<BlockdevRefOrNull> =
        Alternate.alternate "BlockdevRefOrNull" [
            Alternate.alternative (StructCodec.codec options) BlockdevRefOrNull.Definition (function
                | BlockdevRefOrNull.Definition definition -> ValueSome definition
                | _ -> ValueNone)
            Alternate.alternative Codec.str BlockdevRefOrNull.Reference (function
                | BlockdevRefOrNull.Reference name -> ValueSome name
                | _ -> ValueNone)
            Alternate.alternative Codec.nothing (fun () -> BlockdevRefOrNull.Null) (function
                | BlockdevRefOrNull.Null -> ValueSome()
                | _ -> ValueNone)
        ]
        |> Codec.documented "A node that exists, by its name, one to be made, or null for none." []

    let private rawOptionsOver child : StructCodec<BlockdevOptionsRaw> =
        record "BlockdevOptionsRaw" "An image without a format, or a part of it." {
            let! file = doc "The node below." (required "file" child _.File)
            let! offset = doc "Where the part begins, in bytes." (optional "offset" Codec.int64 _.Offset)
            let! size =
                doc "The length of the part in bytes; all of the rest by default." (optional "size" Codec.int64 _.Size)

            return fun m -> { File = file m; Offset = offset m; Size = size m }
        }

    let private throttleOptionsOver child : StructCodec<BlockdevOptionsThrottle> =
        record "BlockdevOptionsThrottle" "Limits requests per second and bytes per second." {
            let! throttleGroup =
                doc
                    "The object with the limits, which its members share."
                    (required "throttle-group" Codec.str _.ThrottleGroup)
            let! file = doc "The node below." (required "file" child _.File)

            return fun m -> { ThrottleGroup = throttleGroup m; File = file m }
        }

    let private corOptionsOver child : StructCodec<BlockdevOptionsCor> =
        record "BlockdevOptionsCor" "Copies what is read from a backing image into the image." {
            let! file = doc "The node below." (required "file" child _.File)
            let! bottom =
                doc "The lowest node of the chain from which data are copied." (optional "bottom" Codec.str _.Bottom)

            return fun m -> { File = file m; Bottom = bottom m }
        }

    let private genericFormatOptionsOver child : StructCodec<BlockdevOptionsGenericFormat> =
        record "BlockdevOptionsGenericFormat" "A layer over one node, such as one that asks for compressed writes." {
            let! file = doc "The node below." (required "file" child _.File)
            return fun m -> { File = file m }
        }

    let private preallocateOptionsOver child : StructCodec<BlockdevOptionsPreallocate> =
        record "BlockdevOptionsPreallocate" "Lets the file below grow in large steps." {
            let! file = doc "The node below." (required "file" child _.File)
            let! preallocAlign =
                doc
                    "The end of the file is rounded up to a multiple of this, in bytes."
                    (optional "prealloc-align" Codec.int64 _.PreallocAlign)
            let! preallocSize =
                doc "How much is allocated at once, in bytes." (optional "prealloc-size" Codec.int64 _.PreallocSize)

            return
                fun m -> {
                    File = file m
                    PreallocAlign = preallocAlign m
                    PreallocSize = preallocSize m
                }
        }

    let permission: Codec<BlockPermission> =
        Codec.enum "BlockPermission" [
            BlockPermission.ConsistentRead, "consistent-read"
            BlockPermission.Write, "write"
            BlockPermission.WriteUnchanged, "write-unchanged"
            BlockPermission.Resize, "resize"
        ]
        |> Codec.documented "What a user of a node may do with it." [
            "consistent-read", "Read data that make sense together."
            "write", "Write."
            "write-unchanged", "Write what is there already."
            "resize", "Change the length."
        ]

    let private readPattern: Codec<QuorumReadPattern> =
        Codec.enum "QuorumReadPattern" [ QuorumReadPattern.Quorum, "quorum"; QuorumReadPattern.Fifo, "fifo" ]
        |> Codec.documented "How a quorum reads." [
            "quorum", "From all children, and the majority decides."
            "fifo", "From the first child that can."
        ]

    let private quorumOptionsOver child : StructCodec<BlockdevOptionsQuorum> =
        record "BlockdevOptionsQuorum" "Several copies of an image, which vote on what is right." {
            let! blkverify =
                doc
                    "Whether two children are only compared: a difference is an error."
                    (optional "blkverify" Codec.bool _.Blkverify)
            let! children = doc "The copies." (required "children" (Codec.list child) _.Children)
            let! voteThreshold =
                doc
                    "How many copies must agree on data or on an error."
                    (required "vote-threshold" Codec.int64 _.VoteThreshold)
            let! rewriteCorrupted =
                doc
                    "Whether what the majority has is written over what others have."
                    (optional "rewrite-corrupted" Codec.bool _.RewriteCorrupted)
            let! readPattern =
                doc "How it reads; quorum by default." (optional "read-pattern" readPattern _.ReadPattern)

            return
                fun m -> {
                    Blkverify = blkverify m
                    Children = children m
                    VoteThreshold = voteThreshold m
                    RewriteCorrupted = rewriteCorrupted m
                    ReadPattern = readPattern m
                }
        }

    let private blkverifyOptionsOver child : StructCodec<BlockdevOptionsBlkverify> =
        record "BlockdevOptionsBlkverify" "Compares an image under test with a raw one, request by request." {
            let! test = doc "The node under test." (required "test" child _.Test)
            let! raw = doc "The node that is held to be right." (required "raw" child _.Raw)
            return fun m -> { Test = test m; Raw = raw m }
        }

    let private blkdebugEvent: Codec<int> =
        BlkDebugRules.events
        |> Array.mapi (fun number name -> number, name)
        |> List.ofArray
        |> Codec.enum "BlkdebugEvent"
        |> Codec.documented
            "Moments in the life of a request."
            (BlkDebugRules.events
             |> List.ofArray
             |> List.map (fun name ->
                 name,
                 if name = "none" then
                     "The node is opened."
                 else
                     "A format driver or the block layer comes to that step."))

    let private blkdebugIoType: Codec<BlkDebugIoType> =
        Codec.enum "BlkdebugIOType" (BlkDebugRules.ioTypes |> List.map (fun (name, value) -> value, name))
        |> Codec.documented
            "Kinds of requests."
            (BlkDebugRules.ioTypes
             |> List.map (fun (name, _) -> name, "Requests of that kind."))

    let private blkdebugInjectError: StructCodec<BlkdebugInjectErrorOptions> =
        record "BlkdebugInjectErrorOptions" "A rule that lets requests fail once its event has happened." {
            let! event = doc "The event." (required "event" blkdebugEvent _.Event)
            let! state =
                doc "The state in which the rule holds; in all by default." (optional "state" Codec.int64 _.State)
            let! iotype =
                doc
                    "The requests that fail; by default all but block-status."
                    (optional "iotype" blkdebugIoType _.Iotype)
            let! errno = doc "The error number; EIO by default." (optional "errno" Codec.int64 _.Errno)
            let! sector =
                doc "Only requests that touch that sector of 512 bytes." (optional "sector" Codec.int64 _.Sector)
            let! once = doc "Whether it happens only once." (optional "once" Codec.bool _.Once)
            let! immediately =
                doc
                    "Whether the request fails before it is under way."
                    (optional "immediately" Codec.bool _.Immediately)

            return
                fun m -> {
                    Event = event m
                    State = state m
                    Iotype = iotype m
                    Errno = errno m
                    Sector = sector m
                    Once = once m
                    Immediately = immediately m
                }
        }

    let private blkdebugSetState: StructCodec<BlkdebugSetStateOptions> =
        record "BlkdebugSetStateOptions" "A rule that leads to another state once its event has happened." {
            let! event = doc "The event." (required "event" blkdebugEvent _.Event)
            let! state =
                doc "The state in which the rule holds; in all by default." (optional "state" Codec.int64 _.State)
            let! newState = doc "The next state." (required "new_state" Codec.int64 _.NewState)
            return fun m -> { Event = event m; State = state m; NewState = newState m }
        }

    let private blkdebugOptionsOver child : StructCodec<BlockdevOptionsBlkdebug> =
        record "BlockdevOptionsBlkdebug" "Lets requests fail by rules, and pretends to have limits." {
            let! image = doc "The node below." (required "image" child _.Image)
            let! config = doc "A file with rules." (optional "config" Codec.str _.Config)
            let! align = doc "The unit of requests in bytes, a power of two." (optional "align" Codec.int64 _.Align)
            let! maxTransfer =
                doc "The longest read or write in bytes." (optional "max-transfer" Codec.int64 _.MaxTransfer)
            let! optWriteZero =
                doc
                    "The unit of requests to write zeroes, in bytes."
                    (optional "opt-write-zero" Codec.int64 _.OptWriteZero)
            let! maxWriteZero =
                doc
                    "The longest request to write zeroes, in bytes."
                    (optional "max-write-zero" Codec.int64 _.MaxWriteZero)
            let! optDiscard =
                doc "The unit of requests to discard, in bytes." (optional "opt-discard" Codec.int64 _.OptDiscard)
            let! maxDiscard =
                doc "The longest request to discard, in bytes." (optional "max-discard" Codec.int64 _.MaxDiscard)
            let! injectError =
                doc
                    "Rules that let requests fail."
                    (optional "inject-error" (Codec.list (StructCodec.codec blkdebugInjectError)) _.InjectError)
            let! setState =
                doc
                    "Rules that lead to other states."
                    (optional "set-state" (Codec.list (StructCodec.codec blkdebugSetState)) _.SetState)
            let! takeChildPerms =
                doc
                    "What to hold on the node below besides what is needed."
                    (optional "take-child-perms" (Codec.list permission) _.TakeChildPerms)
            let! unshareChildPerms =
                doc
                    "What others may not do with the node below."
                    (optional "unshare-child-perms" (Codec.list permission) _.UnshareChildPerms)

            return
                fun m -> {
                    Image = image m
                    Config = config m
                    Align = align m
                    MaxTransfer = maxTransfer m
                    OptWriteZero = optWriteZero m
                    MaxWriteZero = maxWriteZero m
                    OptDiscard = optDiscard m
                    MaxDiscard = maxDiscard m
                    InjectError = injectError m
                    SetState = setState m
                    TakeChildPerms = takeChildPerms m
                    UnshareChildPerms = unshareChildPerms m
                }
        }

    let private blklogwritesOptionsOver child : StructCodec<BlockdevOptionsBlklogwrites> =
        record "BlockdevOptionsBlklogwrites" "Logs what is written, in the format of dm-log-writes." {
            let! file = doc "The node below." (required "file" child _.File)
            let! log = doc "The node of the log." (required "log" child _.Log)
            let! logSectorSize =
                doc
                    "The sector size of the log in bytes; 512 by default."
                    (optional "log-sector-size" Codec.uint32 _.LogSectorSize)
            let! logAppend =
                doc "Whether to go on after what the log has." (optional "log-append" Codec.bool _.LogAppend)
            let! logSuperUpdateInterval =
                doc
                    "Every how many entries the super block is written; 4096 by default."
                    (optional "log-super-update-interval" Codec.uint64 _.LogSuperUpdateInterval)

            return
                fun m -> {
                    File = file m
                    Log = log m
                    LogSectorSize = logSectorSize m
                    LogAppend = logAppend m
                    LogSuperUpdateInterval = logSuperUpdateInterval m
                }
        }

    let private driverBranches child childOrNull : Branch<BlockdevDriver> list =
        let blkreplay = Unavailable.members "BlockdevOptionsBlkreplay" [ Unavailable.must "image" child ]

        [
            branch "blkdebug" (blkdebugOptionsOver child) BlockdevDriver.Blkdebug (function
                | BlockdevDriver.Blkdebug options -> ValueSome options
                | _ -> ValueNone)
            branch "blklogwrites" (blklogwritesOptionsOver child) BlockdevDriver.Blklogwrites (function
                | BlockdevDriver.Blklogwrites options -> ValueSome options
                | _ -> ValueNone)
            Unavailable.branchWith [] "blkreplay" blkreplay BlockdevDriver.Unavailable (function
                | BlockdevDriver.Unavailable unavailable -> ValueSome unavailable
                | _ -> ValueNone)
            branch "blkverify" (blkverifyOptionsOver child) BlockdevDriver.Blkverify (function
                | BlockdevDriver.Blkverify options -> ValueSome options
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
            branch "qcow2" (Qcow2Codecs.optionsOver child childOrNull) BlockdevDriver.Qcow2 (function
                | BlockdevDriver.Qcow2 options -> ValueSome options
                | _ -> ValueNone)
            branch "quorum" (quorumOptionsOver child) BlockdevDriver.Quorum (function
                | BlockdevDriver.Quorum options -> ValueSome options
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
            let! nodeName =
                doc
                    "A new name. Only nodes that are described within another one may do without."
                    (optional "node-name" Codec.str _.NodeName)
            let! discard =
                doc "What becomes of requests to discard; ignore by default." (optional "discard" discard _.Discard)
            let! cache = doc "How it is cached." (optional "cache" (StructCodec.codec cacheOptions) _.Cache)
            let! active =
                doc "Whether it begins as active; it does by default." (optional "active" Codec.bool _.Active)
            let! readOnly = doc "Whether nobody may write to it." (optional "read-only" Codec.bool _.ReadOnly)
            let! autoReadOnly =
                doc
                    "Whether it becomes read-only by itself when it cannot be opened for writing."
                    (optional "auto-read-only" Codec.bool _.AutoReadOnly)
            let! forceShare =
                doc
                    "Whether other processes may do with the image as they like. The node has to be read-only."
                    (optional "force-share" Codec.bool _.ForceShare)
            let! detectZeroes =
                doc
                    "What becomes of writes of zeroes; off by default."
                    (optional "detect-zeroes" detectZeroes _.DetectZeroes)

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
        StructCodec.recursiveAbout "BlockdevOptions" "A node: its driver, and how it behaves." (fun self ->
            let branches = driverBranches (refTo self) (refOrNullTo self)
            StructCodec.unionWith "BlockdevOptions" "driver" "BlockdevDriver" branches commonOptions _.Driver)

    let blockdevRef: Codec<BlockdevRef> = refTo blockdevOptions

    /// All drivers, as the tag of `BlockdevOptions` lists them.
    let drivers: Lazy<EnumMember list> =
        lazy
            (blockdevOptions.Type.Shape.Value.Members
             |> List.pick (fun m ->
                 match m.Type with
                 | SchemaType.Enum enum when enum.Name = "BlockdevDriver" -> Some enum.Members
                 | _ -> None))

    let blockdevDel: StructCodec<BlockdevDel> =
        record "BlockdevDelArgs" "Arguments of blockdev-del." {
            let! nodeName = doc "The node." (required "node-name" Codec.str _.NodeName)
            return fun m -> { NodeName = nodeName m }
        }

    let blockResize: StructCodec<BlockResize> =
        record "BlockResizeArgs" "Arguments of block_resize." {
            let! device = doc "A guest device. There is none." (optional "device" Codec.str _.Device)
            let! nodeName = doc "The node." (optional "node-name" Codec.str _.NodeName)
            let! size = doc "The new length in bytes." (required "size" Codec.int64 _.Size)

            return fun m -> { Device = device m; NodeName = nodeName m; Size = size m }
        }

    let queryNamedBlockNodes: StructCodec<QueryNamedBlockNodes> =
        record "QueryNamedBlockNodesArgs" "Arguments of query-named-block-nodes." {
            let! flat = doc "Whether to leave the images below out." (optional "flat" Codec.bool _.Flat)
            return fun m -> { Flat = flat m }
        }

    let queryBlockstats: StructCodec<QueryBlockstats> =
        record "QueryBlockstatsArgs" "Arguments of query-blockstats." {
            let! queryNodes =
                doc
                    "Whether to list all nodes instead of guest devices."
                    (optional "query-nodes" Codec.bool _.QueryNodes)
            return fun m -> { QueryNodes = queryNodes m }
        }
