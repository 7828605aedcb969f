namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json: what the queries about nodes answer.
module BlockInfoCodecs =
    let private cacheInfo: StructCodec<BlockdevCacheInfo> =
        record "BlockdevCacheInfo" "How a node is cached." {
            let! writeback =
                doc "Whether writes are answered before they are durable." (required "writeback" Codec.bool _.Writeback)
            let! direct = doc "Whether the host's page cache is passed by." (required "direct" Codec.bool _.Direct)
            let! noFlush = doc "Whether flushes are ignored." (required "no-flush" Codec.bool _.NoFlush)

            return
                fun m -> {
                    Writeback = writeback m
                    Direct = direct m
                    NoFlush = noFlush m
                }
        }

    let snapshotInfo: StructCodec<SnapshotInfo> =
        record "SnapshotInfo" "An internal snapshot." {
            let! id = doc "Its id." (required "id" Codec.str _.Id)
            let! name = doc "Its name." (required "name" Codec.str _.Name)
            let! vmStateSize =
                doc "Bytes of the guest's state that it has." (required "vm-state-size" Codec.int64 _.VmStateSize)
            let! dateSec = doc "When it was taken, in seconds." (required "date-sec" Codec.int64 _.DateSec)
            let! dateNsec = doc "The nanoseconds of that." (required "date-nsec" Codec.int64 _.DateNsec)
            let! vmClockSec =
                doc "How long the guest had run, in seconds." (required "vm-clock-sec" Codec.int64 _.VmClockSec)
            let! vmClockNsec = doc "The nanoseconds of that." (required "vm-clock-nsec" Codec.int64 _.VmClockNsec)
            let! icount =
                doc "Instructions that the guest had executed, if known." (optional "icount" Codec.int64 _.Icount)

            return
                fun m -> {
                    Id = id m
                    Name = name m
                    VmStateSize = vmStateSize m
                    DateSec = dateSec m
                    DateNsec = dateNsec m
                    VmClockSec = vmClockSec m
                    VmClockNsec = vmClockNsec m
                    Icount = icount m
                }
        }

    let private specificFile: StructCodec<uint64 option> =
        record "ImageInfoSpecificFile" "A host file." {
            let! extentSizeHint =
                doc
                    "Bytes in which the file system allocates, if it has been told."
                    (optional "extent-size-hint" Codec.size id)
            return extentSizeHint
        }

    let private specificQcow2: StructCodec<ImageInfoSpecificQcow2> =
        record "ImageInfoSpecificQCow2" "A qcow2 image." {
            let! compat = doc "0.10 for version 2, 1.1 for version 3." (required "compat" Codec.str _.Compat)
            let! dataFile = doc "The name of the file with the data." (optional "data-file" Codec.str _.DataFile)
            let! dataFileRaw =
                doc "Whether that file is a raw image by itself." (optional "data-file-raw" Codec.bool _.DataFileRaw)
            let! extendedL2 =
                doc "Whether clusters have subclusters." (optional "extended-l2" Codec.bool _.ExtendedL2)
            let! lazyRefcounts =
                doc
                    "Whether refcounts may be out of date after a crash."
                    (optional "lazy-refcounts" Codec.bool _.LazyRefcounts)
            let! corrupt = doc "Whether damage was noticed." (optional "corrupt" Codec.bool _.Corrupt)
            let! refcountBits = doc "The width of a refcount." (required "refcount-bits" Codec.int64 _.RefcountBits)
            let! compressionType =
                doc
                    "How clusters are compressed."
                    (required "compression-type" Qcow2Codecs.compressionType _.CompressionType)

            return
                fun m -> {
                    Compat = compat m
                    DataFile = dataFile m
                    DataFileRaw = dataFileRaw m
                    ExtendedL2 = extendedL2 m
                    LazyRefcounts = lazyRefcounts m
                    Corrupt = corrupt m
                    RefcountBits = refcountBits m
                    CompressionType = compressionType m
                }
        }

    let private imageInfoSpecific: StructCodec<ImageInfoSpecific> =
        let ofFile specific =
            match specific with
            | ImageInfoSpecific.File hint -> ValueSome hint
            | ImageInfoSpecific.Qcow2 _ -> ValueNone

        StructCodec.union "ImageInfoSpecific" "type" "ImageInfoSpecificKind" [
            branch
                "file"
                (StructCodec.wrapped "ImageInfoSpecificFileWrapper" specificFile)
                ImageInfoSpecific.File
                ofFile
            branch
                "qcow2"
                (StructCodec.wrapped "ImageInfoSpecificQCow2Wrapper" specificQcow2)
                ImageInfoSpecific.Qcow2
                (function
                 | ImageInfoSpecific.Qcow2 info -> ValueSome info
                 | ImageInfoSpecific.File _ -> ValueNone)
        ]
        |> about "What only one format has."

    let private imageInfoOver (below: StructCodec<ImageInfo>) : StructCodec<ImageInfo> =
        record "ImageInfo" "An image." {
            let! filename = doc "Its file name." (required "filename" Codec.str _.Filename)
            let! format = doc "Its format." (required "format" Codec.str _.Format)
            let! dirtyFlag = doc "Whether it was not closed properly." (optional "dirty-flag" Codec.bool _.DirtyFlag)
            let! actualSize = doc "Bytes that it takes on disk." (optional "actual-size" Codec.int64 _.ActualSize)
            let! virtualSize =
                doc "The length in bytes that users see." (required "virtual-size" Codec.int64 _.VirtualSize)
            let! clusterSize = doc "The bytes of a cluster." (optional "cluster-size" Codec.int64 _.ClusterSize)
            let! encrypted = doc "Whether it is encrypted." (optional "encrypted" Codec.bool _.Encrypted)
            let! compressed = doc "Whether it is compressed." (optional "compressed" Codec.bool _.Compressed)
            let! backingFilename =
                doc
                    "The name of the backing image, as the image has it."
                    (optional "backing-filename" Codec.str _.BackingFilename)
            let! fullBackingFilename =
                doc "Where that name leads to." (optional "full-backing-filename" Codec.str _.FullBackingFilename)
            let! backingFilenameFormat =
                doc
                    "The format of the backing image."
                    (optional "backing-filename-format" Codec.str _.BackingFilenameFormat)
            let! snapshots =
                doc
                    "Its internal snapshots, if it has any."
                    (optional "snapshots" (Codec.list (StructCodec.codec snapshotInfo)) _.Snapshots)
            let! backingImage =
                doc "The image of the backing node." (optional "backing-image" (StructCodec.codec below) _.BackingImage)
            let! formatSpecific =
                doc
                    "What only its format has."
                    (optional "format-specific" (StructCodec.codec imageInfoSpecific) _.FormatSpecific)

            return
                fun m -> {
                    Filename = filename m
                    Format = format m
                    DirtyFlag = dirtyFlag m
                    ActualSize = actualSize m
                    VirtualSize = virtualSize m
                    ClusterSize = clusterSize m
                    Encrypted = encrypted m
                    Compressed = compressed m
                    BackingFilename = backingFilename m
                    FullBackingFilename = fullBackingFilename m
                    BackingFilenameFormat = backingFilenameFormat m
                    Snapshots = snapshots m
                    BackingImage = backingImage m
                    FormatSpecific = formatSpecific m
                }
        }

    let imageInfo: StructCodec<ImageInfo> = StructCodec.recursiveAbout "ImageInfo" "An image." imageInfoOver

    let blockDeviceInfo: StructCodec<BlockDeviceInfo> =
        record "BlockDeviceInfo" "A node with its image." {
            let! file = doc "The file name of the node." (required "file" Codec.str _.File)
            let! nodeName = doc "The name of the node." (optional "node-name" Codec.str _.NodeName)
            let! readOnly = doc "Whether it is read-only." (required "ro" Codec.bool _.ReadOnly)
            let! driver = doc "Its driver." (required "drv" Codec.str _.Driver)
            let! backingFile =
                doc "The file name of the backing node." (optional "backing_file" Codec.str _.BackingFile)
            let! backingFileDepth =
                doc
                    "How many backing nodes are below it."
                    (required "backing_file_depth" Codec.int64 _.BackingFileDepth)
            let! active = doc "Whether it is active." (required "active" Codec.bool _.Active)
            let! encrypted = doc "Whether the image is encrypted." (required "encrypted" Codec.bool _.Encrypted)
            let! detectZeroes =
                doc
                    "What becomes of writes of zeroes."
                    (required "detect_zeroes" BlockCodecs.detectZeroes _.DetectZeroes)
            let! bps = doc "Limit of bytes per second, 0 for none." (required "bps" Codec.int64 _.Bps)
            let! bpsRd = doc "Limit of bytes read per second." (required "bps_rd" Codec.int64 _.BpsRd)
            let! bpsWr = doc "Limit of bytes written per second." (required "bps_wr" Codec.int64 _.BpsWr)
            let! iops = doc "Limit of requests per second." (required "iops" Codec.int64 _.Iops)
            let! iopsRd = doc "Limit of reads per second." (required "iops_rd" Codec.int64 _.IopsRd)
            let! iopsWr = doc "Limit of writes per second." (required "iops_wr" Codec.int64 _.IopsWr)
            let! image = doc "The image." (required "image" (StructCodec.codec imageInfo) _.Image)
            let! cache = doc "How it is cached." (required "cache" (StructCodec.codec cacheInfo) _.Cache)
            let! writeThreshold =
                doc "The threshold in bytes, 0 for none." (required "write_threshold" Codec.int64 _.WriteThreshold)

            return
                fun m -> {
                    File = file m
                    NodeName = nodeName m
                    ReadOnly = readOnly m
                    Driver = driver m
                    BackingFile = backingFile m
                    BackingFileDepth = backingFileDepth m
                    Active = active m
                    Encrypted = encrypted m
                    DetectZeroes = detectZeroes m
                    Bps = bps m
                    BpsRd = bpsRd m
                    BpsWr = bpsWr m
                    Iops = iops m
                    IopsRd = iopsRd m
                    IopsWr = iopsWr m
                    Image = image m
                    Cache = cache m
                    WriteThreshold = writeThreshold m
                }
        }

    let private ioStatus: Codec<BlockDeviceIoStatus> =
        Codec.enum "BlockDeviceIoStatus" [
            BlockDeviceIoStatus.Ok, "ok"
            BlockDeviceIoStatus.Failed, "failed"
            BlockDeviceIoStatus.Nospace, "nospace"
        ]
        |> Codec.documented "Whether a guest device has been stopped by an error." [
            "ok", "There was no error."
            "failed", "An error has stopped it."
            "nospace", "A lack of space has stopped it."
        ]

    let blockInfo: StructCodec<BlockInfo> =
        record "BlockInfo" "A guest device." {
            let! device = doc "Its name." (required "device" Codec.str _.Device)
            let! qdev = doc "Its path among the devices." (optional "qdev" Codec.str _.Qdev)
            let! typeName = doc "Not used." (required "type" Codec.str _.Type)
            let! removable = doc "Whether its medium can be removed." (required "removable" Codec.bool _.Removable)
            let! locked = doc "Whether the guest has locked it." (required "locked" Codec.bool _.Locked)
            let! inserted = doc "Its medium." (optional "inserted" (StructCodec.codec blockDeviceInfo) _.Inserted)
            let! trayOpen = doc "Whether its tray is open." (optional "tray_open" Codec.bool _.TrayOpen)
            let! ioStatus = doc "Whether an error has stopped it." (optional "io-status" ioStatus _.IoStatus)

            return
                fun m -> {
                    Device = device m
                    Qdev = qdev m
                    Type = typeName m
                    Removable = removable m
                    Locked = locked m
                    Inserted = inserted m
                    TrayOpen = trayOpen m
                    IoStatus = ioStatus m
                }
        }
