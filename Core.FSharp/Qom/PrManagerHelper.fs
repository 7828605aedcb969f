namespace StorageDaemon.Core.Qom

open StorageDaemon.Core.Qapi

/// The `pr-manager-helper` object: a helper process that carries persistent reservations out. A path that is set later
/// counts when the connection is made anew.
type PrManagerHelper = { Path: string }

module PrManagerHelper =
    let class': ObjectClass<PrManagerHelper> = {
        Name = "pr-manager-helper"
        Parent = "pr-manager"
        Interfaces = []
        Inherited = []
        Own = [
            Property.make "path" "string" Codec.str _.Path (fun value _ -> Ok { Path = value })
        ]
    }
