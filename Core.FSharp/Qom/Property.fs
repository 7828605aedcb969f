namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

/// A property of objects whose settings are an `'S`.
[<NoComparison; NoEquality>]
type Property<'S> = {
    Name: string
    /// The type as `qom-list` names it.
    Type: string
    /// None if it cannot be read.
    Get: ('S -> Json) option
    /// None if it cannot be set.
    Set: (Json -> 'S -> Result<'S, QapiError>) option
}

/// One type of objects that users can make: all that the object tree knows of it.
[<NoComparison; NoEquality>]
type ObjectClass<'S> = {
    Name: string
    Parent: string
    /// Interfaces of its own, beyond what it inherits.
    Interfaces: string list
    /// The parent's properties, in the order in which `qom-list` shows them.
    Inherited: Property<'S> list
    /// Its own properties, which follow.
    Own: Property<'S> list
}

module Property =
    /// A property that is read and set as a value of a QAPI type.
    let make name typeName (codec: Codec<'V>) (get: 'S -> 'V) (set: 'V -> 'S -> Result<'S, QapiError>) : Property<'S> = {
        Name = name
        Type = typeName
        Get = Some(get >> codec.Encode)
        Set =
            Some(fun json settings ->
                codec.Decode (Place.memberOf (Place.root Dialect.Json) name) json
                |> Result.bind (fun value -> set value settings))
    }

    let readOnly name typeName (get: 'S -> Json) : Property<'S> = {
        Name = name
        Type = typeName
        Get = Some get
        Set = None
    }

    let writeOnly (property: Property<'S>) : Property<'S> = { property with Get = None }

    /// A text, of which an absent one reads as empty.
    let text name (get: 'S -> string option) (set: string -> 'S -> 'S) : Property<'S> =
        make name "string" Codec.str (get >> Option.defaultValue "") (fun value settings -> Ok(set value settings))

    /// The property of a part of the settings.
    let within
        (get: 'Outer -> 'Inner)
        (put: 'Inner -> 'Outer -> 'Outer)
        (property: Property<'Inner>)
        : Property<'Outer> = {
        Name = property.Name
        Type = property.Type
        Get = property.Get |> Option.map (fun read -> get >> read)
        Set =
            property.Set
            |> Option.map (fun write json outer -> write json (get outer) |> Result.map (fun inner -> put inner outer))
    }
