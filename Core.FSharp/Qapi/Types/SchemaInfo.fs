namespace StorageDaemon.Core.Qapi

/// `JSONType` of qapi/introspect.json.
[<RequireQualifiedAccess>]
type JsonType =
    | String
    | Number
    | Int
    | Boolean
    | Null
    | Object
    | Array
    | Value

/// `SchemaInfoEnumMember` of qapi/introspect.json.
type SchemaInfoEnumMember = { Name: string; Features: string list option }

/// `SchemaInfoEnum` of qapi/introspect.json.
type SchemaInfoEnum = {
    Members: SchemaInfoEnumMember list
    /// The names of the members alone; deprecated.
    Values: string list
}

/// `SchemaInfoObjectMember` of qapi/introspect.json.
type SchemaInfoObjectMember = {
    Name: string
    Type: string
    /// The member may be absent. There are no default values yet, so a `null` stands for one.
    Optional: bool
    Features: string list option
}

/// `SchemaInfoObjectVariant` of qapi/introspect.json.
type SchemaInfoObjectVariant = { Case: string; Type: string }

/// `SchemaInfoObject` of qapi/introspect.json.
type SchemaInfoObject = {
    Members: SchemaInfoObjectMember list
    Tag: string option
    Variants: SchemaInfoObjectVariant list option
}

/// `SchemaInfoAlternateMember` of qapi/introspect.json.
type SchemaInfoAlternateMember = { Type: string }

/// `SchemaInfoCommand` of qapi/introspect.json.
type SchemaInfoCommand = { ArgType: string; RetType: string; AllowOob: bool option }

/// The branches of `SchemaInfo`, by `meta-type`.
[<RequireQualifiedAccess>]
type SchemaMetaType =
    | Builtin of JsonType
    | Enum of SchemaInfoEnum
    | Array of elementType: string
    | Object of SchemaInfoObject
    | Alternate of SchemaInfoAlternateMember list
    | Command of SchemaInfoCommand
    | Event of argType: string

/// `SchemaInfo` of qapi/introspect.json: an entity of the interface. The names of types are arbitrary.
type SchemaInfo = {
    Name: string
    Features: string list option
    MetaType: SchemaMetaType
}
