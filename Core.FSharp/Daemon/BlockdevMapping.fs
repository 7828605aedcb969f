namespace StorageDaemon.Core.Daemon

open System
open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Json
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Image
open StorageDaemon.Core.Qapi

/// From the schema's `BlockdevOptions` to the graph's own description.
module BlockdevMapping =
    let private fileOptions (o: BlockdevOptionsFile) : FileOptions = {
        Filename = o.Filename
        Locking =
            match o.Locking with
            | None
            | Some OnOffAuto.Auto -> LockingAuto
            | Some OnOffAuto.On -> LockingOn
            | Some OnOffAuto.Off -> LockingOff
        // The daemon's own default is the ring, where the kernel has it.
        Aio =
            match o.Aio with
            | Some BlockdevAioOptions.Threads -> AioThreads
            | Some BlockdevAioOptions.Native -> AioNative
            | None
            | Some BlockdevAioOptions.IoUring -> AioIoUring
        AioMaxBatch = defaultArg o.AioMaxBatch 0L
        DropCache = defaultArg o.DropCache true
        CheckCacheDropped = defaultArg o.CheckCacheDropped false
        PrManager = o.PrManager
    }

    let private nullOptions (o: BlockdevOptionsNull) : NullOptions = {
        SizeBytes = o.Size
        LatencyNs = defaultArg o.LatencyNs 0UL
        ReadZeroes = o.ReadZeroes
    }

    let private rawOptions (o: BlockdevOptionsRaw) : RawOptions = { OffsetBytes = o.Offset; SizeBytes = o.Size }

    /// What was given, by dotted names, without the children. `members` is the description encoded.
    let private given (children: (string * ChildSpec) list) (members: (string * Json) list) : Map<string, string> =
        let isChild (name: string) =
            children
            |> List.exists (fun (child, _) -> child = name || child.StartsWith(name + ".", StringComparison.Ordinal))

        // Options of a driver are a few levels deep; children, which nest, are left out.
        let rec flatten prefix (members: (string * Json) list) =
            members
            |> List.collect (fun (name, value) ->
                match value with
                | Object members -> flatten (prefix + name + ".") members
                | List items ->
                    items
                    |> List.mapi (fun number item -> string number, item)
                    |> flatten (prefix + name + ".")
                | value -> [ prefix + name, JsonPrinter.toString value ])

        members
        |> List.filter (fun (name, _) -> not (isChild name))
        |> flatten ""
        |> Map.ofList

    /// The members of a child, which a dotted name leads to.
    let private membersOf (name: string) (members: (string * Json) list) =
        let find key (members: (string * Json) list) =
            members |> List.tryFind (fun (k, _) -> k = key) |> Option.map snd

        let found =
            match name.Split '.' with
            | [| list; number |] ->
                match find list members with
                | Some(List items) -> List.tryItem (int number) items
                | _ -> None
            | _ -> find name members

        match found with
        | Some(Object members) -> members
        | _ -> []

    let private sequence (results: Result<'T, QapiError> list) : Result<'T list, QapiError> =
        List.foldBack (fun item rest -> Result.bind (fun x -> Result.map (fun xs -> x :: xs) rest) item) results (Ok [])

    let private quorumOptions (o: BlockdevOptionsQuorum) : QuorumOptions = {
        VoteThreshold = o.VoteThreshold
        BlkVerify = defaultArg o.Blkverify false
        RewriteCorrupted = defaultArg o.RewriteCorrupted false
        ReadPattern =
            o.ReadPattern
            |> Option.map (function
                | QuorumReadPattern.Quorum -> ReadAll
                | QuorumReadPattern.Fifo -> ReadFifo)
    }

    let private limit (name: string) (value: int64 option) : Result<uint64, QapiError> =
        match value with
        | Some value when value < 0L ->
            QapiError.fail ("Value '" + string value + "' is out of range for parameter '" + name + "'")
        | value -> Ok(uint64 (defaultArg value 0L))

    let private limits (o: BlockdevOptionsBlkdebug) : Result<BlkDebugLimits, QapiError> =
        result {
            let! align = limit "align" o.Align
            let! maxTransfer = limit "max-transfer" o.MaxTransfer
            let! optWriteZero = limit "opt-write-zero" o.OptWriteZero
            let! maxWriteZero = limit "max-write-zero" o.MaxWriteZero
            let! optDiscard = limit "opt-discard" o.OptDiscard
            let! maxDiscard = limit "max-discard" o.MaxDiscard

            return {
                Align = align
                MaxTransfer = maxTransfer
                OptWriteZero = optWriteZero
                MaxWriteZero = maxWriteZero
                OptDiscard = optDiscard
                MaxDiscard = maxDiscard
            }
        }

    let private injectRule (o: BlkdebugInjectErrorOptions) : BlkDebugRule = {
        Event = o.Event
        State = int (defaultArg o.State 0L)
        Action =
            InjectError(
                int (defaultArg o.Errno (int64 Errno.EIO)),
                defaultArg o.Sector -1L,
                defaultArg o.Once false,
                defaultArg o.Iotype BlkDebugRules.allData
            )
    }

    let private stateRule (o: BlkdebugSetStateOptions) : BlkDebugRule = {
        Event = o.Event
        State = int (defaultArg o.State 0L)
        Action = SetState(int o.NewState)
    }

    let private permissions (names: BlockPermission list option) : Perm =
        defaultArg names []
        |> List.fold
            (fun set name ->
                set
                ||| match name with
                    | BlockPermission.ConsistentRead -> Perm.ConsistentRead
                    | BlockPermission.Write -> Perm.Write
                    | BlockPermission.WriteUnchanged -> Perm.WriteUnchanged
                    | BlockPermission.Resize -> Perm.Resize)
            Perm.None

    let private blkDebugOptions (o: BlockdevOptionsBlkdebug) : Result<BlkDebugOptions, QapiError> =
        limits o
        |> Result.map (fun limits -> {
            Config = o.Config
            Limits = limits
            Rules =
                (defaultArg o.InjectError [] |> List.map injectRule)
                @ (defaultArg o.SetState [] |> List.map stateRule)
            TakePerms = permissions o.TakeChildPerms
            UnsharePerms = permissions o.UnshareChildPerms
        })

    let rec private specOf
        (members: (string * Json) list)
        (options: BlockdevOptions)
        : Result<BlockdevSpec, QapiError> =
        let make driver children = {
            BlockdevSpec.ofDriver options.NodeName driver children with
                ReadOnly = options.ReadOnly
                AutoReadOnly = options.AutoReadOnly
                ForceShare = options.ForceShare
                Discard =
                    options.Discard
                    |> Option.map (function
                        | BlockdevDiscardOptions.Ignore -> DiscardIgnore
                        | BlockdevDiscardOptions.Unmap -> DiscardUnmap)
                DetectZeroes =
                    options.DetectZeroes
                    |> Option.map (function
                        | BlockdevDetectZeroesOptions.Off -> DetectZeroesOff
                        | BlockdevDetectZeroesOptions.On -> DetectZeroesOn
                        | BlockdevDetectZeroesOptions.Unmap -> DetectZeroesUnmap)
                Direct = options.Cache |> Option.bind _.Direct
                NoFlush = options.Cache |> Option.bind _.NoFlush
                Active = options.Active
                Given = given children members
        }

        let child name (reference: BlockdevRef) : Result<string * ChildSpec, QapiError> =
            match reference with
            | BlockdevRef.Reference node -> Ok(name, Reference node)
            | BlockdevRef.Definition options ->
                specOf (membersOf name members) options
                |> Result.map (fun spec -> name, Inline spec)

        match options.Driver with
        | BlockdevDriver.File o -> Ok(make (File(RegularFile, fileOptions o)) [])
        | BlockdevDriver.HostDevice o -> Ok(make (File(HostDevice, fileOptions o)) [])
        | BlockdevDriver.HostCdrom o -> Ok(make (File(HostCdrom, fileOptions o)) [])
        | BlockdevDriver.NullCo o -> Ok(make (Null(NullCo, nullOptions o)) [])
        | BlockdevDriver.NullAio o -> Ok(make (Null(NullAio, nullOptions o)) [])
        | BlockdevDriver.Raw o ->
            child "file" o.File
            |> Result.map (fun file -> make (Raw(rawOptions o)) [ file ])
        | BlockdevDriver.Throttle o ->
            child "file" o.File
            |> Result.map (fun file -> make (Throttle o.ThrottleGroup) [ file ])
        | BlockdevDriver.CopyOnRead o ->
            child "file" o.File
            |> Result.map (fun file -> make (CopyOnRead o.Bottom) [ file ])
        | BlockdevDriver.Compress o -> child "file" o.File |> Result.map (fun file -> make Compress [ file ])
        | BlockdevDriver.Preallocate o ->
            let options = {
                AlignBytes = defaultArg o.PreallocAlign PreallocateOptions.defaults.AlignBytes
                SizeBytes = defaultArg o.PreallocSize PreallocateOptions.defaults.SizeBytes
            }

            child "file" o.File
            |> Result.map (fun file -> make (Preallocate options) [ file ])
        | BlockdevDriver.Quorum o ->
            o.Children
            |> List.mapi (fun number reference -> child (Driver.quorumChildName number) reference)
            |> sequence
            |> Result.map (make (Quorum(quorumOptions o)))
        | BlockdevDriver.Qcow2 o ->
            let backing =
                match o.Backing with
                | None -> Ok []
                | Some BlockdevRefOrNull.Null -> Ok [ Driver.BackingName, Nothing ]
                | Some(BlockdevRefOrNull.Reference node) -> Ok [ Driver.BackingName, Reference node ]
                | Some(BlockdevRefOrNull.Definition options) ->
                    child Driver.BackingName (BlockdevRef.Definition options)
                    |> Result.map List.singleton

            result {
                let! file = child "file" o.File
                let! dataFile = o.DataFile |> Option.toList |> List.map (child Driver.DataFileName) |> sequence
                let! backing = backing
                return make (Qcow2(Qcow2Mapping.options o)) (file :: dataFile @ backing)
            }
        | BlockdevDriver.Blkverify o ->
            result {
                let! raw = child "raw" o.Raw
                let! test = child "test" o.Test
                return make BlkVerify [ raw; test ]
            }
        | BlockdevDriver.Blkdebug o ->
            result {
                let! options = blkDebugOptions o
                let! image = child "image" o.Image
                return make (BlkDebug options) [ image ]
            }
        | BlockdevDriver.Blklogwrites o ->
            result {
                let! file = child "file" o.File
                let! log = child "log" o.Log

                let options = {
                    SectorBytes = o.LogSectorSize |> Option.map uint64
                    Append = defaultArg o.LogAppend false
                    SuperInterval = o.LogSuperUpdateInterval
                }

                return make (BlkLogWrites options) [ file; log ]
            }
        | BlockdevDriver.Unavailable branch -> QapiError.fail ("Unknown driver '" + branch.Tag + "'")

    /// The description, or the error for a driver that is listed but not built.
    let spec (options: BlockdevOptions) : Result<BlockdevSpec, QapiError> =
        specOf (StructCodec.encode BlockCodecs.blockdevOptions options) options

    /// A node that a command names or describes.
    let reference (reference: BlockdevRef) : Result<ChildSpec, QapiError> =
        match reference with
        | BlockdevRef.Reference name -> Ok(Reference name)
        | BlockdevRef.Definition options -> spec options |> Result.map Inline

    let detectZeroes (mode: DetectZeroesMode) =
        match mode with
        | DetectZeroesOff -> BlockdevDetectZeroesOptions.Off
        | DetectZeroesOn -> BlockdevDetectZeroesOptions.On
        | DetectZeroesUnmap -> BlockdevDetectZeroesOptions.Unmap
