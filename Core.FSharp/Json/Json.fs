namespace StorageDaemon.Core.Json

/// A JSON value of QMP's dialect (QEMU docs/interop/qmp-spec, "JSON syntax"). Integers are exact: a number without
/// fraction or exponent that fits is `Int` (or `UInt` above the signed range), every other number is a `Double`.
type Json =
    | Null
    | Bool of bool
    | Int of int64
    /// Only for values above Int64.MaxValue.
    | UInt of uint64
    | Double of float
    | String of string
    | List of Json list
    /// Members in the order in which they were written; keys are distinct.
    | Object of (string * Json) list
