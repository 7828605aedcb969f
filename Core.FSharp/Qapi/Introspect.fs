namespace StorageDaemon.Core.Qapi

open System.Collections.Generic

/// The answer of `query-qmp-schema` (qapi/introspect.json), from the descriptions of commands and events.
module Introspect =
    /// A type that has an entry, and the name by which the others refer to it. The names of objects, enumerations and
    /// alternates are numbers, for they are no part of the interface.
    [<Struct; NoEquality; NoComparison>]
    type private Named = { Masked: string; Type: SchemaType }

    let private builtinName builtin =
        match builtin with
        | Builtin.Str -> "str"
        | Builtin.Int -> "int"
        | Builtin.Number -> "number"
        | Builtin.Bool -> "bool"
        | Builtin.Null -> "null"
        | Builtin.Any -> "any"

    let private jsonTypeOf builtin =
        match builtin with
        | Builtin.Str -> JsonType.String
        | Builtin.Int -> JsonType.Int
        | Builtin.Number -> JsonType.Number
        | Builtin.Bool -> JsonType.Boolean
        | Builtin.Null -> JsonType.Null
        | Builtin.Any -> JsonType.Value

    let private optionalFeatures features =
        if List.isEmpty features then None else Some features

    /// Types in the order in which something first refers to them. Lives for one call of `schemaOf`.
    [<Sealed>]
    type private Names() =
        let known = Dictionary<string, string>()
        let pending = Queue<Named>()
        let mutable numbers = 0

        let add key masked schema =
            known[key] <- masked
            pending.Enqueue { Masked = masked; Type = schema }
            masked

        let numbered name schema =
            match known.TryGetValue name with
            | true, masked -> masked
            | _ ->
                let masked = string numbers
                numbers <- numbers + 1
                add name masked schema

        /// The name to refer to a type by. Keys of builtins and arrays cannot be names of other types.
        member this.Of(schema: SchemaType) : string =
            match schema with
            | SchemaType.Enum enum -> numbered enum.Name schema
            | SchemaType.Object object -> numbered object.Name schema
            | SchemaType.Alternate alternate -> numbered alternate.Name schema
            | SchemaType.Builtin builtin ->
                let name = builtinName builtin
                if known.ContainsKey name then
                    name
                else
                    add name name schema
            | SchemaType.Array element ->
                let name = "[" + this.Of element + "]"
                if known.ContainsKey name then
                    name
                else
                    add name name schema

        /// The next type that has been referred to and not been taken.
        member _.Next() : Named voption =
            match pending.TryDequeue() with
            | true, named -> ValueSome named
            | _ -> ValueNone

    let private objectInfo (names: Names) (shape: ObjectShape) : SchemaInfoObject =
        let memberInfo (m: Member) : SchemaInfoObjectMember = {
            Name = m.Name
            Type = names.Of m.Type
            Optional = m.Optional
            Features = optionalFeatures m.Features
        }

        let variantInfo (variant: Variant) : SchemaInfoObjectVariant = {
            Case = variant.Case
            Type = names.Of(SchemaType.Object variant.Type)
        }

        {
            Members = shape.Members |> List.map memberInfo
            Tag = shape.Variants |> Option.map _.Tag
            Variants =
                shape.Variants
                |> Option.map (fun variants -> variants.Cases |> List.map variantInfo)
        }

    let private enumInfo (enum: EnumType) : SchemaInfoEnum =
        let memberInfo (m: EnumMember) : SchemaInfoEnumMember = {
            Name = m.Name
            Features = optionalFeatures m.Features
        }

        {
            Members = enum.Members |> List.map memberInfo
            Values = enum.Members |> List.map _.Name
        }

    let private typeInfo (names: Names) (named: Named) : SchemaInfo =
        let info features metaType : SchemaInfo = {
            Name = named.Masked
            Features = optionalFeatures features
            MetaType = metaType
        }

        match named.Type with
        | SchemaType.Builtin builtin -> info [] (SchemaMetaType.Builtin(jsonTypeOf builtin))
        | SchemaType.Enum enum -> info [] (SchemaMetaType.Enum(enumInfo enum))
        | SchemaType.Array element -> info [] (SchemaMetaType.Array(names.Of element))
        | SchemaType.Object object ->
            let shape = object.Shape.Value
            info shape.Features (SchemaMetaType.Object(objectInfo names shape))
        | SchemaType.Alternate alternate ->
            let memberInfo schema : SchemaInfoAlternateMember = { Type = names.Of schema }
            info [] (SchemaMetaType.Alternate(alternate.Members.Value |> List.map memberInfo))

    let private commandInfo (names: Names) (command: CommandSchema) : SchemaInfo =
        let info: SchemaInfoCommand = {
            ArgType = names.Of(SchemaType.Object command.Arguments)
            RetType = names.Of command.Returns
            AllowOob = if command.AllowOob then Some true else None
        }

        {
            Name = command.Name
            Features = optionalFeatures command.Features
            MetaType = SchemaMetaType.Command info
        }

    let private eventInfo (names: Names) (event: EventSchema) : SchemaInfo = {
        Name = event.Name
        Features = optionalFeatures event.Features
        MetaType = SchemaMetaType.Event(names.Of(SchemaType.Object event.Data))
    }

    /// All commands, all events, and each type that they reach, once.
    let schemaOf (commands: CommandSchema list) (events: EventSchema list) : SchemaInfo list =
        let names = Names()
        let commandInfos = commands |> List.map (commandInfo names)
        let eventInfos = events |> List.map (eventInfo names)

        let rec typeInfos infos =
            match names.Next() with
            | ValueSome named -> typeInfos (typeInfo names named :: infos)
            | ValueNone -> List.rev infos

        commandInfos @ eventInfos @ typeInfos []

    /// What `query-qmp-schema` returns.
    let schema: SchemaInfo list = schemaOf Commands.schemas Events.schemas
