namespace StorageDaemon.Core.Qapi

/// `IothreadProperties` of qapi/qom.json with its base `EventLoopBaseProperties`.
type IothreadProperties = {
    /// Requests per submission; 0 leaves it to the engine.
    AioMaxBatch: int64 option
    ThreadPoolMin: int64 option
    ThreadPoolMax: int64 option
    /// Nanoseconds of busy polling; 0 turns it off.
    PollMaxNs: int64 option
    PollGrow: int64 option
    PollShrink: int64 option
}

/// `ThrottleGroupProperties` of qapi/qom.json.
type ThrottleGroupProperties = {
    /// By the names of `ThrottleLimits`.
    Limits: Map<string, int64> option
    /// The older properties, by the same names.
    Legacy: Map<string, int64>
}

/// The branches of `ObjectOptions`, by `qom-type`.
[<RequireQualifiedAccess>]
type ObjectBranch =
    | Iothread of IothreadProperties
    | ThrottleGroup of ThrottleGroupProperties
    | Unavailable of UnavailableBranch

/// `ObjectOptions` of qapi/qom.json: arguments of `object-add` and `--object`.
type ObjectOptions = { Id: string; QomType: ObjectBranch }

/// Arguments of `object-del`.
type ObjectDel = { Id: string }
