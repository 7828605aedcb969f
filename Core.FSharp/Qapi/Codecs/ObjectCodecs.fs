namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/qom.json: objects that users create.
module ObjectCodecs =
    let iothreadProperties: StructCodec<IothreadProperties> =
        object "IothreadProperties" {
            let! aioMaxBatch = optional "aio-max-batch" Codec.int64 _.AioMaxBatch
            let! threadPoolMin = optional "thread-pool-min" Codec.int64 _.ThreadPoolMin
            let! threadPoolMax = optional "thread-pool-max" Codec.int64 _.ThreadPoolMax
            let! pollMaxNs = optional "poll-max-ns" Codec.int64 _.PollMaxNs
            let! pollGrow = optional "poll-grow" Codec.int64 _.PollGrow
            let! pollShrink = optional "poll-shrink" Codec.int64 _.PollShrink

            return
                fun m -> {
                    AioMaxBatch = aioMaxBatch m
                    ThreadPoolMin = threadPoolMin m
                    ThreadPoolMax = threadPoolMax m
                    PollMaxNs = pollMaxNs m
                    PollGrow = pollGrow m
                    PollShrink = pollShrink m
                }
        }

    let private limitNames =
        [
            for unit in [ "iops"; "bps" ] do
                for direction in [ "total"; "read"; "write" ] do
                    for suffix in [ ""; "-max"; "-max-length" ] -> unit + "-" + direction + suffix
        ]
        @ [ "iops-size" ]

    /// `ThrottleLimits` of qapi/block-core.json: what is given, by name.
    let throttleLimits: StructCodec<Map<string, int64>> =
        StructCodec.integers "ThrottleLimits" [] limitNames

    let private throttleGroupProperties: StructCodec<ThrottleGroupProperties> =
        let prefix = "x-"
        let rename change (values: Map<string, int64>) =
            values
            |> Map.toList
            |> List.map (fun (name, value) -> change name, value)
            |> Map.ofList

        let legacy =
            StructCodec.integers
                "ThrottleGroupLegacyProperties"
                [ Feature.Unstable ]
                (limitNames |> List.map (fun name -> prefix + name))

        object "ThrottleGroupProperties" {
            let! limits = optional "limits" (StructCodec.codec throttleLimits) _.Limits
            let! legacy = inherits legacy (fun whole -> rename (fun name -> prefix + name) whole.Legacy)

            return
                fun m -> {
                    Limits = limits m
                    Legacy = rename (fun (name: string) -> name.Substring prefix.Length) (legacy m)
                }
        }

    let private built: Branch<ObjectBranch> list = [
        branch "iothread" iothreadProperties ObjectBranch.Iothread (function
            | ObjectBranch.Iothread properties -> ValueSome properties
            | _ -> ValueNone)
        branch "throttle-group" throttleGroupProperties ObjectBranch.ThrottleGroup (function
            | ObjectBranch.ThrottleGroup properties -> ValueSome properties
            | _ -> ValueNone)
    ]

    /// The types that are built, with their properties.
    let builtTypes: (string * ObjectType) list =
        built |> List.map (fun branch -> branch.Case.Name, branch.Type)

    let private commonOptions: Fields<ObjectOptions, ObjectBranch -> ObjectOptions> =
        fields {
            let! id = required "id" Codec.str _.Id
            return fun m qomType -> { Id = id m; QomType = qomType }
        }

    /// `ObjectOptions`: arguments of `object-add`, and `--object`.
    let objectOptions: StructCodec<ObjectOptions> =
        let branches = built @ UnavailableObjects.branches
        StructCodec.unionWith "ObjectOptions" "qom-type" "ObjectType" branches commonOptions _.QomType

    let objectDel: StructCodec<ObjectDel> =
        object "ObjectDelArgs" {
            let! id = required "id" Codec.str _.Id
            return fun m -> { Id = id m }
        }
