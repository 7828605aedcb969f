namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of what `blockdev-create` takes. A driver that learns to make images gets a branch in `creators`.
module CreateCodecs =
    let preallocMode: Codec<PreallocMode> =
        Codec.enum "PreallocMode" [
            PreallocMode.Off, "off"
            PreallocMode.Metadata, "metadata"
            PreallocMode.Falloc, "falloc"
            PreallocMode.Full, "full"
        ]
        |> Codec.documented "What a new image has of its room from the start." [
            "off", "Nothing."
            "metadata", "The tables of its format."
            "falloc", "All room is reserved without writing to it."
            "full", "All room is written to."
        ]

    let private fileOptions: StructCodec<BlockdevCreateOptionsFile> =
        record "BlockdevCreateOptionsFile" "A host file." {
            let! filename =
                doc
                    "Where. A file that is there is emptied first, unless somebody uses it."
                    (required "filename" Codec.str _.Filename)
            let! size = doc "Its length in bytes." (required "size" Codec.size _.Size)
            let! preallocation =
                doc
                    "What it has of its room from the start; off by default. A file has no metadata of its own."
                    (optional "preallocation" preallocMode _.Preallocation)
            let! nocow =
                doc
                    "Whether to ask the file system to write in place, which btrfs can; not by default."
                    (optional "nocow" Codec.bool _.Nocow)
            let! extentSizeHint =
                doc
                    "By how many bytes the file system had better extend the file at a time; 1 MiB by default. 0 leaves it to the file system."
                    (optional "extent-size-hint" Codec.size _.ExtentSizeHint)

            return
                fun m -> {
                    Filename = filename m
                    Size = size m
                    Preallocation = preallocation m
                    Nocow = nocow m
                    ExtentSizeHint = extentSizeHint m
                }
        }

    let private qcow2Version: Codec<BlockdevQcow2Version> =
        Codec.enum "BlockdevQcow2Version" [ BlockdevQcow2Version.V2, "v2"; BlockdevQcow2Version.V3, "v3" ]
        |> Codec.documented "Versions of the qcow2 format." [
            "v2", "Can be read by QEMU 0.10 and later; also called compatibility level 0.10."
            "v3", "Can be read by QEMU 1.1 and later; also called compatibility level 1.1."
        ]

    /// A driver by its name, whether it is built here or not: an image may name it all the same.
    let private driverName: Codec<string> =
        let drivers = BlockCodecs.drivers.Value

        Codec.enum "BlockdevDriver" (drivers |> List.map (fun driver -> driver.Name, driver.Name))
        |> Codec.documented
            "A driver, by its name."
            (drivers
             |> List.map (fun driver -> driver.Name, (if driver.Doc = "" then "That driver." else driver.Doc)))

    let private qcow2Options: StructCodec<BlockdevCreateOptionsQcow2> =
        record "BlockdevCreateOptionsQcow2" "A qcow2 image." {
            let! file = doc "The node that the image is written to." (required "file" BlockCodecs.blockdevRef _.File)
            let! dataFile =
                doc
                    "The node for the guest's data, which are then not in the image file."
                    (optional "data-file" BlockCodecs.blockdevRef _.DataFile)
            let! dataFileRaw =
                doc
                    "Whether the data file is to be a raw image of the disk at all times; not by default."
                    (optional "data-file-raw" Codec.bool _.DataFileRaw)
            let! extendedL2 =
                doc
                    "Whether clusters are divided into 32 parts each, which are allocated by themselves; not by default."
                    (optional "extended-l2" Codec.bool _.ExtendedL2)
            let! size = doc "The disk's length in bytes." (required "size" Codec.size _.Size)
            let! version = doc "The format's version; v3 by default." (optional "version" qcow2Version _.Version)
            let! backingFile =
                doc
                    "The name of the image that is read where this one has nothing. It need not be there."
                    (optional "backing-file" Codec.str _.BackingFile)
            let! backingFmt = doc "The driver of that image." (optional "backing-fmt" driverName _.BackingFmt)
            let! clusterSize =
                doc
                    "The size of a cluster in bytes; 64 KiB by default."
                    (optional "cluster-size" Codec.size _.ClusterSize)
            let! preallocation =
                doc
                    "What the image has of its room from the start; off by default."
                    (optional "preallocation" preallocMode _.Preallocation)
            let! lazyRefcounts =
                doc
                    "Whether refcounts may be written late, for speed; a crash then costs a check. Not by default."
                    (optional "lazy-refcounts" Codec.bool _.LazyRefcounts)
            let! refcountBits =
                doc "The width of a refcount; 16 by default." (optional "refcount-bits" Codec.int64 _.RefcountBits)
            let! compression =
                doc
                    "How clusters are compressed; zlib by default."
                    (optional "compression-type" Qcow2Codecs.compressionType _.CompressionType)

            return
                fun m -> {
                    File = file m
                    DataFile = dataFile m
                    DataFileRaw = dataFileRaw m
                    ExtendedL2 = extendedL2 m
                    Size = size m
                    Version = version m
                    BackingFile = backingFile m
                    BackingFmt = backingFmt m
                    ClusterSize = clusterSize m
                    Preallocation = preallocation m
                    LazyRefcounts = lazyRefcounts m
                    RefcountBits = refcountBits m
                    CompressionType = compression m
                }
        }

    /// The drivers that make images; of those that `blockdev-add` does not know, nothing shows.
    let private creators: Branch<BlockdevCreateOptions> list = [
        branch "file" fileOptions BlockdevCreateOptions.File (function
            | BlockdevCreateOptions.File options -> ValueSome options
            | _ -> ValueNone)
        branch "qcow2" qcow2Options BlockdevCreateOptions.Qcow2 (function
            | BlockdevCreateOptions.Qcow2 options -> ValueSome options
            | _ -> ValueNone)
    ]

    /// The branch of a driver that makes none.
    let private nothing (driver: EnumMember) : Branch<BlockdevCreateOptions> =
        let bare =
            branch driver.Name StructCodec.empty (fun () -> BlockdevCreateOptions.None driver.Name) (function
                | BlockdevCreateOptions.None name when name = driver.Name -> ValueSome()
                | _ -> ValueNone)

        { bare with Case = driver }

    /// `BlockdevCreateOptions`: the tag is that of `blockdev-add`, so all drivers are in it.
    let blockdevCreateOptions: StructCodec<BlockdevCreateOptions> =
        let branchOf (driver: EnumMember) =
            match creators |> List.tryFind (fun creator -> creator.Case.Name = driver.Name) with
            | Some creator -> { creator with Case = driver }
            | None -> nothing driver

        StructCodec.union
            "BlockdevCreateOptions"
            "driver"
            "BlockdevDriver"
            (BlockCodecs.drivers.Value |> List.map branchOf)
        |> about "An image to make: its driver, and what the driver wants to know."

    let blockdevCreate: StructCodec<BlockdevCreate> =
        record "BlockdevCreateArgs" "Arguments of blockdev-create." {
            let! jobId = doc "A new id for the job." (required "job-id" Codec.str _.JobId)
            let! options = doc "The image." (required "options" (StructCodec.codec blockdevCreateOptions) _.Options)
            return fun m -> { JobId = jobId m; Options = options m }
        }
