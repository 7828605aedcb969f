namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
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
        let isChild name =
            children |> List.exists (fun (child, _) -> child = name)

        // Options of a driver are one level deep; children, which nest, are left out.
        let rec flatten prefix (members: (string * Json) list) =
            members
            |> List.collect (fun (name, value) ->
                match value with
                | Object members -> flatten (prefix + name + ".") members
                | value -> [ prefix + name, JsonPrinter.toString value ])

        members
        |> List.filter (fun (name, _) -> not (isChild name))
        |> flatten ""
        |> Map.ofList

    let private membersOf (name: string) (members: (string * Json) list) =
        match members |> List.tryFind (fun (key, _) -> key = name) with
        | Some(_, Object members) -> members
        | _ -> []

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
        | BlockdevDriver.Unavailable branch -> QapiError.fail ("Unknown driver '" + branch.Tag + "'")

    /// The description, or the error for a driver that is listed but not built.
    let spec (options: BlockdevOptions) : Result<BlockdevSpec, QapiError> =
        specOf (StructCodec.encode BlockCodecs.blockdevOptions options) options

    let detectZeroes (mode: DetectZeroesMode) =
        match mode with
        | DetectZeroesOff -> BlockdevDetectZeroesOptions.Off
        | DetectZeroesOn -> BlockdevDetectZeroesOptions.On
        | DetectZeroesUnmap -> BlockdevDetectZeroesOptions.Unmap
