namespace StorageDaemon.Core.Qapi

/// `EventLoopBaseProperties` of qapi/qom.json: all that a main loop has.
type EventLoopProperties = {
    /// Requests per submission; 0 leaves it to the engine.
    AioMaxBatch: int64 option
    ThreadPoolMin: int64 option
    ThreadPoolMax: int64 option
}

/// `IothreadProperties` of qapi/qom.json.
type IothreadProperties = {
    Loop: EventLoopProperties
    /// Nanoseconds of busy polling; 0 turns it off.
    PollMaxNs: int64 option
    PollGrow: int64 option
    PollShrink: int64 option
}

/// `QCryptoSecretFormat` of qapi/crypto.json.
[<RequireQualifiedAccess>]
type SecretFormat =
    | Raw
    | Base64

/// `SecretCommonProperties` of qapi/crypto.json.
type SecretCommonProperties = {
    Format: SecretFormat option
    /// The id of the secret that is the key of this one.
    KeyId: string option
    /// The initialisation vector, in base64.
    Iv: string option
}

/// `SecretProperties` of qapi/crypto.json.
type SecretProperties = {
    Common: SecretCommonProperties
    Data: string option
    File: string option
}

/// `SecretKeyringProperties` of qapi/crypto.json.
type SecretKeyringProperties = { Common: SecretCommonProperties; Serial: int32 }

/// `ThreadContextProperties` of qapi/qom.json.
type ThreadContextProperties = {
    CpuAffinity: uint16 list option
    NodeAffinity: uint16 list option
}

/// `QAuthZListPolicy` of qapi/authz.json.
[<RequireQualifiedAccess>]
type AuthzPolicy =
    | Deny
    | Allow

/// `QAuthZListFormat` of qapi/authz.json.
[<RequireQualifiedAccess>]
type AuthzFormat =
    | Exact
    | Glob

/// `QAuthZListRule` of qapi/authz.json.
type AuthzRule = {
    Match: string
    Policy: AuthzPolicy
    Format: AuthzFormat option
}

/// `AuthZSimpleProperties` of qapi/authz.json.
type AuthzSimpleProperties = { Identity: string }

/// `AuthZListProperties` of qapi/authz.json.
type AuthzListProperties = { Policy: AuthzPolicy option; Rules: AuthzRule list option }

/// `AuthZListFileProperties` of qapi/authz.json.
type AuthzListFileProperties = { Filename: string; Refresh: bool option }

/// `PrManagerHelperProperties` of qapi/qom.json.
type PrManagerHelperProperties = { Path: string }

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
    | AuthzList of AuthzListProperties
    /// Under the name of the type, or that of the real daemon's schema.
    | AuthzListFile of isAlias: bool * AuthzListFileProperties
    | AuthzSimple of AuthzSimpleProperties
    | Iothread of IothreadProperties
    | MainLoop of EventLoopProperties
    | PrManagerHelper of PrManagerHelperProperties
    | Secret of SecretProperties
    | SecretKeyring of SecretKeyringProperties
    | ThreadContext of ThreadContextProperties
    | ThrottleGroup of ThrottleGroupProperties
    | Unavailable of UnavailableBranch

/// `ObjectOptions` of qapi/qom.json: arguments of `object-add` and `--object`.
type ObjectOptions = { Id: string; QomType: ObjectBranch }

/// Arguments of `object-del`.
type ObjectDel = { Id: string }

/// Data of the event PR_MANAGER_STATUS_CHANGED.
type PrManagerStatusChanged = { Id: string; Connected: bool }
