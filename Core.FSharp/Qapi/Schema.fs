namespace StorageDaemon.Core.Qapi

open System

/// The types of the interface, as `query-qmp-schema` can describe them (QEMU docs/devel/qapi-code-gen, "Client JSON
/// Protocol introspection"). Integers of all sizes are one type there, so they are one here.
[<RequireQualifiedAccess>]
type Builtin =
    | Str
    | Int
    | Number
    | Bool
    | Null
    | Any

/// A value of an enumeration.
type EnumMember = {
    Name: string
    Features: string list
    /// What the reference says of it, like every `Doc` here: a sentence or two of plain text.
    Doc: string
}

/// An enumeration. The name is its identity: two types of one name must be the same type.
type EnumType = { Name: string; Members: EnumMember list; Doc: string }

[<RequireQualifiedAccess; NoEquality; NoComparison>]
type SchemaType =
    | Builtin of Builtin
    | Enum of EnumType
    | Array of SchemaType
    | Object of ObjectType
    | Alternate of AlternateType

/// A struct or a flat union. The shape is lazy because types may contain themselves.
and [<NoEquality; NoComparison>] ObjectType = { Name: string; Shape: Lazy<ObjectShape>; Doc: string }

and [<NoEquality; NoComparison>] ObjectShape = {
    /// Members in the order in which they are decoded; of a union, the tag and the common ones.
    Members: Member list
    Features: string list
    Variants: Variants option
}

and [<NoEquality; NoComparison>] Member = {
    Name: string
    Type: SchemaType
    Optional: bool
    Features: string list
    Doc: string
}

/// The branches of a flat union: the members that each value of the tag adds.
and [<NoEquality; NoComparison>] Variants = { Tag: string; Cases: Variant list }

and [<NoEquality; NoComparison>] Variant = { Case: string; Type: ObjectType }

/// A value of one of several types, told apart by their JSON types.
and [<NoEquality; NoComparison>] AlternateType = {
    Name: string
    Members: Lazy<SchemaType list>
    Doc: string
}

module Feature =
    [<Literal>]
    let Deprecated = "deprecated"

    [<Literal>]
    let Unstable = "unstable"

module ObjectType =
    /// The struct without members: what a command has that takes or returns nothing, and a union's empty branch.
    let empty: ObjectType = {
        Name = "q_empty"
        Shape = lazy { Members = []; Features = []; Variants = None }
        Doc = "Nothing."
    }
