namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Json

/// `ObjectPropertyInfo` of qapi/qom.json.
type ObjectPropertyInfo = {
    Name: string
    Type: string
    Description: string option
    DefaultValue: Json option
}

/// `ObjectTypeInfo` of qapi/qom.json.
type ObjectTypeInfo = {
    Name: string
    Abstract: bool option
    Parent: string option
}

/// Arguments of `qom-list`.
type QomList = { Path: string }

/// Arguments of `qom-get`.
type QomGet = { Path: string; Property: string }

/// Arguments of `qom-set`.
type QomSet = { Path: string; Property: string; Value: Json }

/// Arguments of `qom-list-types`.
type QomListTypes = {
    /// Only types that have this one among their ancestors or interfaces.
    Implements: string option
    /// Abstract types too.
    Abstract: bool option
}

/// Arguments of `qom-list-properties`.
type QomListProperties = { Typename: string }
