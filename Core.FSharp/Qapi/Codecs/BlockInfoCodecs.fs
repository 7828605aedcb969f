namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json: what the queries about nodes answer.
module BlockInfoCodecs =
    let private cacheInfo: StructCodec<BlockdevCacheInfo> =
        object "BlockdevCacheInfo" {
            let! writeback = required "writeback" Codec.bool _.Writeback
            let! direct = required "direct" Codec.bool _.Direct
            let! noFlush = required "no-flush" Codec.bool _.NoFlush

            return
                fun m -> {
                    Writeback = writeback m
                    Direct = direct m
                    NoFlush = noFlush m
                }
        }

    let private specificFile: StructCodec<uint64 option> =
        object "ImageInfoSpecificFile" {
            let! extentSizeHint = optional "extent-size-hint" Codec.size id
            return extentSizeHint
        }

    let private imageInfoSpecific: StructCodec<ImageInfoSpecific> =
        let ofFile specific =
            match specific with
            | ImageInfoSpecific.File hint -> ValueSome hint

        StructCodec.union "ImageInfoSpecific" "type" "ImageInfoSpecificKind" [
            branch
                "file"
                (StructCodec.wrapped "ImageInfoSpecificFileWrapper" specificFile)
                ImageInfoSpecific.File
                ofFile
        ]

    let private imageInfoOver (below: StructCodec<ImageInfo>) : StructCodec<ImageInfo> =
        object "ImageInfo" {
            let! filename = required "filename" Codec.str _.Filename
            let! format = required "format" Codec.str _.Format
            let! dirtyFlag = optional "dirty-flag" Codec.bool _.DirtyFlag
            let! actualSize = optional "actual-size" Codec.int64 _.ActualSize
            let! virtualSize = required "virtual-size" Codec.int64 _.VirtualSize
            let! clusterSize = optional "cluster-size" Codec.int64 _.ClusterSize
            let! encrypted = optional "encrypted" Codec.bool _.Encrypted
            let! compressed = optional "compressed" Codec.bool _.Compressed
            let! backingImage = optional "backing-image" (StructCodec.codec below) _.BackingImage
            let! formatSpecific = optional "format-specific" (StructCodec.codec imageInfoSpecific) _.FormatSpecific

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
                    BackingImage = backingImage m
                    FormatSpecific = formatSpecific m
                }
        }

    let imageInfo: StructCodec<ImageInfo> = StructCodec.recursive "ImageInfo" imageInfoOver

    let blockDeviceInfo: StructCodec<BlockDeviceInfo> =
        object "BlockDeviceInfo" {
            let! file = required "file" Codec.str _.File
            let! nodeName = optional "node-name" Codec.str _.NodeName
            let! readOnly = required "ro" Codec.bool _.ReadOnly
            let! driver = required "drv" Codec.str _.Driver
            let! backingFileDepth = required "backing_file_depth" Codec.int64 _.BackingFileDepth
            let! active = required "active" Codec.bool _.Active
            let! encrypted = required "encrypted" Codec.bool _.Encrypted
            let! detectZeroes = required "detect_zeroes" BlockCodecs.detectZeroes _.DetectZeroes
            let! bps = required "bps" Codec.int64 _.Bps
            let! bpsRd = required "bps_rd" Codec.int64 _.BpsRd
            let! bpsWr = required "bps_wr" Codec.int64 _.BpsWr
            let! iops = required "iops" Codec.int64 _.Iops
            let! iopsRd = required "iops_rd" Codec.int64 _.IopsRd
            let! iopsWr = required "iops_wr" Codec.int64 _.IopsWr
            let! image = required "image" (StructCodec.codec imageInfo) _.Image
            let! cache = required "cache" (StructCodec.codec cacheInfo) _.Cache
            let! writeThreshold = required "write_threshold" Codec.int64 _.WriteThreshold

            return
                fun m -> {
                    File = file m
                    NodeName = nodeName m
                    ReadOnly = readOnly m
                    Driver = driver m
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

    let blockInfo: StructCodec<BlockInfo> =
        object "BlockInfo" {
            let! device = required "device" Codec.str _.Device
            let! qdev = optional "qdev" Codec.str _.Qdev
            let! typeName = required "type" Codec.str _.Type
            let! removable = required "removable" Codec.bool _.Removable
            let! locked = required "locked" Codec.bool _.Locked
            let! inserted = optional "inserted" (StructCodec.codec blockDeviceInfo) _.Inserted
            let! trayOpen = optional "tray_open" Codec.bool _.TrayOpen
            let! ioStatus = optional "io-status" ioStatus _.IoStatus

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
