namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/qom.json: objects that users create.
module ObjectCodecs =
    let private eventLoopProperties: StructCodec<EventLoopProperties> =
        record "EventLoopBaseProperties" "A loop that waits for events and handles them." {
            let! aioMaxBatch =
                doc
                    "The most requests that are submitted at once; 0 leaves it to the daemon."
                    (optional "aio-max-batch" Codec.int64 _.AioMaxBatch)
            let! threadPoolMin =
                doc "The fewest worker threads." (optional "thread-pool-min" Codec.int64 _.ThreadPoolMin)
            let! threadPoolMax =
                doc "The most worker threads." (optional "thread-pool-max" Codec.int64 _.ThreadPoolMax)

            return
                fun m -> {
                    AioMaxBatch = aioMaxBatch m
                    ThreadPoolMin = threadPoolMin m
                    ThreadPoolMax = threadPoolMax m
                }
        }

    let private iothreadProperties: StructCodec<IothreadProperties> =
        record "IothreadProperties" "A thread that serves exports." {
            let! loop = inherits eventLoopProperties _.Loop
            let! pollMaxNs =
                doc
                    "How long it looks for work before it sleeps, at most, in nanoseconds."
                    (optional "poll-max-ns" Codec.int64 _.PollMaxNs)
            let! pollGrow =
                doc
                    "The factor by which that time grows; 0 for the daemon's choice."
                    (optional "poll-grow" Codec.int64 _.PollGrow)
            let! pollShrink =
                doc
                    "The divisor by which it shrinks; 0 drops it to nothing."
                    (optional "poll-shrink" Codec.int64 _.PollShrink)

            return
                fun m -> {
                    Loop = loop m
                    PollMaxNs = pollMaxNs m
                    PollGrow = pollGrow m
                    PollShrink = pollShrink m
                }
        }

    /// The members of `ThrottleLimits`.
    let limitNames =
        [
            for unit in [ "iops"; "bps" ] do
                for direction in [ "total"; "read"; "write" ] do
                    for suffix in [ ""; "-max"; "-max-length" ] -> unit + "-" + direction + suffix
        ]
        @ [ "iops-size" ]

    /// What a limit of that name means.
    let private limitText (name: string) =
        let unit = if name.StartsWith "bps" then "Bytes" else "Requests"

        if name = "iops-size" then
            "Bytes that count as one request; larger ones count as several."
        elif name.EndsWith "-max-length" then
            "Seconds that a burst at the peak rate may last."
        elif name.EndsWith "-max" then
            unit + " per second at the peak of a burst."
        else
            unit + " per second in the long run."

    /// `ThrottleLimits` of qapi/block-core.json: what is given, by name.
    let throttleLimits: StructCodec<Map<string, int64>> =
        StructCodec.integers "ThrottleLimits" [] limitNames
        |> StructCodec.explained "Limits; one that is absent or 0 does not limit." limitText

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
            |> StructCodec.explained "Limits under their older names." (fun name ->
                limitText (name.Substring prefix.Length))

        record "ThrottleGroupProperties" "Limits that the throttle nodes of the group share." {
            let! limits = doc "The limits." (optional "limits" (StructCodec.codec throttleLimits) _.Limits)
            let! legacy = inherits legacy (fun whole -> rename (fun name -> prefix + name) whole.Legacy)

            return
                fun m -> {
                    Limits = limits m
                    Legacy = rename (fun (name: string) -> name.Substring prefix.Length) (legacy m)
                }
        }

    let private threadContextProperties: StructCodec<ThreadContextProperties> =
        record "ThreadContextProperties" "A thread with a choice of processors." {
            let! cpus =
                doc "Processors that it may run on." (optional "cpu-affinity" (Codec.list Codec.uint16) _.CpuAffinity)
            let! nodes =
                doc
                    "NUMA nodes whose processors it may run on."
                    (optional "node-affinity" (Codec.list Codec.uint16) _.NodeAffinity)

            return fun m -> { CpuAffinity = cpus m; NodeAffinity = nodes m }
        }

    let private prManagerHelperProperties: StructCodec<PrManagerHelperProperties> =
        record "PrManagerHelperProperties" "A helper process that carries out persistent reservations." {
            let! path = doc "The unix socket of the helper." (required "path" Codec.str _.Path)
            return fun m -> { Path = path m }
        }

    /// Data of PR_MANAGER_STATUS_CHANGED.
    let prManagerStatusChanged: StructCodec<PrManagerStatusChanged> =
        record "PR_MANAGER_STATUS_CHANGED-data" "Data of the event PR_MANAGER_STATUS_CHANGED." {
            let! connected = doc "Whether there is a connection now." (required "connected" Codec.bool _.Connected)
            let! id = doc "The object." (required "id" Codec.str _.Id)
            return fun m -> { Id = id m; Connected = connected m }
        }

    /// The name that the schema of the real daemon has for `authz-list-file`, which is the type's name elsewhere.
    [<Literal>]
    let AuthzListFileAlias = "authz-listfile"

    let private built: Branch<ObjectBranch> list =
        let authzListFile name isAlias =
            let wrap properties =
                ObjectBranch.AuthzListFile(isAlias, properties)

            branch name AuthzCodecs.listFileProperties wrap (function
                | ObjectBranch.AuthzListFile(alias, properties) when alias = isAlias -> ValueSome properties
                | _ -> ValueNone)

        [
            branch "authz-list" AuthzCodecs.listProperties ObjectBranch.AuthzList (function
                | ObjectBranch.AuthzList properties -> ValueSome properties
                | _ -> ValueNone)
            authzListFile AuthzListFileAlias true
            authzListFile "authz-list-file" false
            branch "authz-simple" AuthzCodecs.simpleProperties ObjectBranch.AuthzSimple (function
                | ObjectBranch.AuthzSimple properties -> ValueSome properties
                | _ -> ValueNone)
            branch "iothread" iothreadProperties ObjectBranch.Iothread (function
                | ObjectBranch.Iothread properties -> ValueSome properties
                | _ -> ValueNone)
            branch "main-loop" eventLoopProperties ObjectBranch.MainLoop (function
                | ObjectBranch.MainLoop properties -> ValueSome properties
                | _ -> ValueNone)
            branch "pr-manager-helper" prManagerHelperProperties ObjectBranch.PrManagerHelper (function
                | ObjectBranch.PrManagerHelper properties -> ValueSome properties
                | _ -> ValueNone)
            branch "secret" SecretCodecs.secretProperties ObjectBranch.Secret (function
                | ObjectBranch.Secret properties -> ValueSome properties
                | _ -> ValueNone)
            branch "secret_keyring" SecretCodecs.keyringProperties ObjectBranch.SecretKeyring (function
                | ObjectBranch.SecretKeyring properties -> ValueSome properties
                | _ -> ValueNone)
            branch "thread-context" threadContextProperties ObjectBranch.ThreadContext (function
                | ObjectBranch.ThreadContext properties -> ValueSome properties
                | _ -> ValueNone)
            branch "throttle-group" throttleGroupProperties ObjectBranch.ThrottleGroup (function
                | ObjectBranch.ThrottleGroup properties -> ValueSome properties
                | _ -> ValueNone)
        ]

    /// The types that are built, with their properties, by all names that the schema has for them.
    let builtTypes: (string * ObjectType) list =
        built |> List.map (fun branch -> branch.Case.Name, branch.Type)

    let private commonOptions: Fields<ObjectOptions, ObjectBranch -> ObjectOptions> =
        fields {
            let! id = doc "A new id." (required "id" Codec.str _.Id)
            return fun m qomType -> { Id = id m; QomType = qomType }
        }

    /// `ObjectOptions`: arguments of `object-add`, and `--object`.
    let objectOptions: StructCodec<ObjectOptions> =
        let branches = built @ UnavailableObjects.branches
        StructCodec.unionWith "ObjectOptions" "qom-type" "ObjectType" branches commonOptions _.QomType
        |> about "An object: its type and properties."

    let objectDel: StructCodec<ObjectDel> =
        record "ObjectDelArgs" "Arguments of object-del." {
            let! id = doc "The object." (required "id" Codec.str _.Id)
            return fun m -> { Id = id m }
        }
