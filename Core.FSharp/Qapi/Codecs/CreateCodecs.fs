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

    /// The drivers that make images.
    let private creators: Branch<BlockdevCreateOptions> list = [
        branch "file" fileOptions BlockdevCreateOptions.File (function
            | BlockdevCreateOptions.File options -> ValueSome options
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
