namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

/// The settings of a `throttle-group` object by the names of qapi/block-core.json, ThrottleLimits: bytes or requests
/// a second, seconds for the lengths of bursts. All nineteen are always there.
type ThrottleSettings = Map<string, int64>

/// Checks and defaults of the throttle-group object.
module ThrottleGroup =
    let private units = [ "bps"; "iops" ]
    let private directions = [ "total"; "read"; "write" ]

    [<Literal>]
    let private RequestBytes = "iops-size"

    let private lengthSuffix = "-max-length"

    let private isLength (name: string) =
        name.EndsWith(lengthSuffix, System.StringComparison.Ordinal)

    /// The buckets, in the order in which they are checked.
    let private buckets = [
        for unit in units do
            for direction in directions -> unit + "-" + direction
    ]

    /// The names of all limits, in the order of the schema.
    let names: string list = ObjectCodecs.limitNames

    /// Nothing is limited.
    let defaults: ThrottleSettings =
        names
        |> List.map (fun name -> name, (if isLength name then 1L else 0L))
        |> Map.ofList

    /// The greatest rate of any kind.
    [<Literal>]
    let private MaxValue = 1000000000000000L

    /// Whether a limit of everything stands beside one of reads or writes.
    let private clashes (settings: ThrottleSettings) (suffix: string) unit =
        let value direction =
            settings[unit + "-" + direction + suffix]
        value "total" <> 0L && (value "read" <> 0L || value "write" <> 0L)

    let private checkBucket (settings: ThrottleSettings) (name: string) : Result<unit, QapiError> =
        let average, burst, seconds = settings[name], settings[name + "-max"], settings[name + lengthSuffix]

        let inRange value = value >= 0L && value <= MaxValue

        if not (inRange average && inRange burst) then
            QapiError.fail ("bps/iops/max values must be within [0, " + string MaxValue + "]")
        elif seconds = 0L then
            QapiError.fail "the burst length cannot be 0"
        elif seconds > 1L && burst = 0L then
            QapiError.fail "burst length set without burst rate"
        elif burst > 0L && seconds > MaxValue / burst then
            QapiError.fail "burst length too high for this burst rate"
        elif burst > 0L && average = 0L then
            QapiError.fail "bps_max/iops_max require corresponding bps/iops values"
        elif burst > 0L && burst < average then
            QapiError.fail "bps_max/iops_max cannot be lower than bps/iops"
        else
            Ok()

    /// Checks limits against one another.
    let check (settings: ThrottleSettings) : Result<ThrottleSettings, QapiError> =
        let limitsRequests = directions |> List.exists (fun direction -> settings["iops-" + direction] <> 0L)

        if
            List.exists (clashes settings "") units
            || List.exists (clashes settings "-max") units
        then
            QapiError.fail "bps/iops/max total values and read/write values cannot be used at the same time"
        elif settings[RequestBytes] <> 0L && not limitsRequests then
            QapiError.fail "iops size requires an iops value to be set"
        else
            buckets
            |> List.fold (fun state name -> Result.bind (fun () -> checkBucket settings name) state) (Ok())
            |> Result.map (fun () -> settings)

    let private maxLength = 4294967295L

    let private checkLength (name: string) (value: int64) : Result<unit, QapiError> =
        if isLength name && (value < 0L || value > maxLength) then
            QapiError.fail (name + " value must be in the range [0, " + string maxLength + "]")
        else
            Ok()

    /// Takes new limits over into those that hold; what is not given stays.
    let merge (given: Map<string, int64>) (settings: ThrottleSettings) : Result<ThrottleSettings, QapiError> =
        given
        |> Map.fold (fun state name value -> Result.bind (fun () -> checkLength name value) state) (Ok())
        |> Result.bind (fun () ->
            given
            |> Map.fold (fun (all: ThrottleSettings) name value -> all.Add(name, value)) settings
            |> check)

    /// One of the older properties, `x-` and the name of a limit, at creation.
    let private putLegacy
        (name: string)
        (value: int64)
        (settings: ThrottleSettings)
        : Result<ThrottleSettings, QapiError> =
        if value < 0L then
            QapiError.fail "Property values cannot be negative"
        elif isLength name && value > maxLength then
            // The missing blank is the real daemon's.
            QapiError.fail ("x-" + name + " value must be in therange [0, " + string maxLength + "]")
        else
            Ok(settings.Add(name, value))

    /// Settings of a new object: older properties by their names without `x-`, then the limits. `check` is still to
    /// come, after the object has found its place in the tree.
    let create (legacy: Map<string, int64>) (limits: Map<string, int64> option) : Result<ThrottleSettings, QapiError> =
        let withLegacy =
            legacy
            |> Map.fold (fun state name value -> Result.bind (putLegacy name value) state) (Ok defaults)

        match limits with
        | None -> withLegacy
        | Some limits -> withLegacy |> Result.bind (merge limits)

    /// The limits as the engine has them.
    let limits (settings: ThrottleSettings) : ThrottleLimits =
        let bucket name : ThrottleBucket = {
            Average = float settings[name]
            Max = float settings[name + "-max"]
            BurstSeconds = float settings[name + lengthSuffix]
        }

        {
            BytesTotal = bucket "bps-total"
            BytesRead = bucket "bps-read"
            BytesWrite = bucket "bps-write"
            RequestsTotal = bucket "iops-total"
            RequestsRead = bucket "iops-read"
            RequestsWrite = bucket "iops-write"
            RequestBytes = uint64 (max 0L settings[RequestBytes])
        }

    let private limitsProperty: Property<ThrottleSettings> =
        let all (settings: ThrottleSettings) =
            names |> List.map (fun name -> name, settings[name]) |> Map.ofList

        Property.make "limits" "ThrottleLimits" (StructCodec.codec ObjectCodecs.throttleLimits) all merge

    let private legacyProperty name : Property<ThrottleSettings> = {
        Name = "x-" + name
        Type = "int"
        Get = Some(fun settings -> Int settings[name])
        Set = Some(fun _ _ -> QapiError.fail "Property cannot be set after initialization")
    }

    let class': ObjectClass<ThrottleSettings> = {
        Name = "throttle-group"
        Parent = "object"
        Interfaces = [ "user-creatable" ]
        Inherited = []
        Own = limitsProperty :: List.map legacyProperty names
    }
