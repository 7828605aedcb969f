namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Json

/// `OnOffAuto` of qapi/common.json.
[<RequireQualifiedAccess>]
type OnOffAuto =
    | Auto
    | On
    | Off

/// A branch of a union that the schema lists although the daemon was built without it. Its members are checked like
/// those of any other branch, and only then does the handler refuse it by its name.
type UnavailableBranch = {
    /// The value of the union's tag, as it is spelled on the wire.
    Tag: string
    /// The members that were given, decoded and encoded again.
    Members: (string * Json) list
}
