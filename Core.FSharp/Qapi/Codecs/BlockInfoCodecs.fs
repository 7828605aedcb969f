namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json: what the queries about nodes answer.
module BlockInfoCodecs =
    let private cacheInfo: StructCodec<BlockdevCacheInfo> =
        object "BlockdevCacheInfo" {
            let! writeback = required "writeback" Codec.bool _.Writeback
            and! direct = required "direct" Codec.bool _.Direct
            and! noFlush = required "no-flush" Codec.bool _.NoFlush

            return {
                Writeback = writeback
                Direct = direct
                NoFlush = noFlush
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
            branch "file" (StructCodec.wrapped "ImageInfoSpecificFileWrapper" specificFile) ImageInfoSpecific.File ofFile
        ]

    let imageInfo: StructCodec<ImageInfo> =
        object "ImageInfo" {
            let! filename = required "filename" Codec.str _.Filename
            and! format = required "format" Codec.str _.Format
            and! dirtyFlag = optional "dirty-flag" Codec.bool _.DirtyFlag
            and! actualSize = optional "actual-size" Codec.int64 _.ActualSize
            and! virtualSize = required "virtual-size" Codec.int64 _.VirtualSize
            and! clusterSize = optional "cluster-size" Codec.int64 _.ClusterSize
            and! encrypted = optional "encrypted" Codec.bool _.Encrypted
            and! compressed = optional "compressed" Codec.bool _.Compressed
            and! formatSpecific = optional "format-specific" (StructCodec.codec imageInfoSpecific) _.FormatSpecific

            return {
                Filename = filename
                Format = format
                DirtyFlag = dirtyFlag
                ActualSize = actualSize
                VirtualSize = virtualSize
                ClusterSize = clusterSize
                Encrypted = encrypted
                Compressed = compressed
                FormatSpecific = formatSpecific
            }
        }

    let blockDeviceInfo: StructCodec<BlockDeviceInfo> =
        object "BlockDeviceInfo" {
            let! file = required "file" Codec.str _.File
            and! nodeName = optional "node-name" Codec.str _.NodeName
            and! readOnly = required "ro" Codec.bool _.ReadOnly
            and! driver = required "drv" Codec.str _.Driver
            and! backingFileDepth = required "backing_file_depth" Codec.int64 _.BackingFileDepth
            and! active = required "active" Codec.bool _.Active
            and! encrypted = required "encrypted" Codec.bool _.Encrypted
            and! detectZeroes = required "detect_zeroes" BlockCodecs.detectZeroes _.DetectZeroes
            and! bps = required "bps" Codec.int64 _.Bps
            and! bpsRd = required "bps_rd" Codec.int64 _.BpsRd
            and! bpsWr = required "bps_wr" Codec.int64 _.BpsWr
            and! iops = required "iops" Codec.int64 _.Iops
            and! iopsRd = required "iops_rd" Codec.int64 _.IopsRd
            and! iopsWr = required "iops_wr" Codec.int64 _.IopsWr
            and! image = required "image" (StructCodec.codec imageInfo) _.Image
            and! cache = required "cache" (StructCodec.codec cacheInfo) _.Cache
            and! writeThreshold = required "write_threshold" Codec.int64 _.WriteThreshold

            return {
                File = file
                NodeName = nodeName
                ReadOnly = readOnly
                Driver = driver
                BackingFileDepth = backingFileDepth
                Active = active
                Encrypted = encrypted
                DetectZeroes = detectZeroes
                Bps = bps
                BpsRd = bpsRd
                BpsWr = bpsWr
                Iops = iops
                IopsRd = iopsRd
                IopsWr = iopsWr
                Image = image
                Cache = cache
                WriteThreshold = writeThreshold
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
            and! qdev = optional "qdev" Codec.str _.Qdev
            and! typeName = required "type" Codec.str _.Type
            and! removable = required "removable" Codec.bool _.Removable
            and! locked = required "locked" Codec.bool _.Locked
            and! inserted = optional "inserted" (StructCodec.codec blockDeviceInfo) _.Inserted
            and! trayOpen = optional "tray_open" Codec.bool _.TrayOpen
            and! ioStatus = optional "io-status" ioStatus _.IoStatus

            return {
                Device = device
                Qdev = qdev
                Type = typeName
                Removable = removable
                Locked = locked
                Inserted = inserted
                TrayOpen = trayOpen
                IoStatus = ioStatus
            }
        }
