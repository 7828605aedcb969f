namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/introspect.json.
module SchemaInfoCodecs =
    let private features get =
        doc "What programs may want to know of it." (optional "features" (Codec.list Codec.str) get)

    let private jsonType: Codec<JsonType> =
        Codec.enum "JSONType" [
            JsonType.String, "string"
            JsonType.Number, "number"
            JsonType.Int, "int"
            JsonType.Boolean, "boolean"
            JsonType.Null, "null"
            JsonType.Object, "object"
            JsonType.Array, "array"
            JsonType.Value, "value"
        ]
        |> Codec.documented "Types of JSON values." [
            "string", "A string."
            "number", "A number with or without a fraction."
            "int", "An integer."
            "boolean", "True or false."
            "null", "Null."
            "object", "An object."
            "array", "A list."
            "value", "Any value."
        ]

    let private builtin: StructCodec<JsonType> =
        record "SchemaInfoBuiltin" "A scalar." {
            let! jsonType = doc "Its type in JSON." (required "json-type" jsonType id)
            return jsonType
        }

    let private enumMember: StructCodec<SchemaInfoEnumMember> =
        record "SchemaInfoEnumMember" "A value of an enumeration." {
            let! name = doc "Its name." (required "name" Codec.str _.Name)
            let! features = features _.Features
            return fun m -> { Name = name m; Features = features m }
        }

    let private enum: StructCodec<SchemaInfoEnum> =
        record "SchemaInfoEnum" "An enumeration." {
            let! members =
                doc "Its values." (required "members" (Codec.list (StructCodec.codec enumMember)) _.Members)
            // Deprecated, but not optional: old clients know nothing else.
            let! values =
                doc
                    "The names of its values."
                    (requiredWith [ Feature.Deprecated ] "values" (Codec.list Codec.str) _.Values)
            return fun m -> { Members = members m; Values = values m }
        }

    let private array: StructCodec<string> =
        record "SchemaInfoArray" "A list." {
            let! elementType = doc "The type of its elements." (required "element-type" Codec.str id)
            return elementType
        }

    let private objectMember: StructCodec<SchemaInfoObjectMember> =
        record "SchemaInfoObjectMember" "A member of an object." {
            let! name = doc "Its name." (required "name" Codec.str _.Name)
            let! typeName = doc "Its type." (required "type" Codec.str _.Type)
            let! defaultValue =
                doc
                    "There if the member is optional."
                    (optional "default" Codec.any (fun m -> if m.Optional then Some Null else None))
            let! features = features _.Features

            return
                fun m -> {
                    Name = name m
                    Type = typeName m
                    Optional = (defaultValue m).IsSome
                    Features = features m
                }
        }

    let private objectVariant: StructCodec<SchemaInfoObjectVariant> =
        record "SchemaInfoObjectVariant" "Members of one value of the tag." {
            let! case = doc "The value." (required "case" Codec.str _.Case)
            let! typeName = doc "The type with the members." (required "type" Codec.str _.Type)
            return fun m -> { Case = case m; Type = typeName m }
        }

    let private objectInfo: StructCodec<SchemaInfoObject> =
        record "SchemaInfoObject" "An object." {
            let! members =
                doc "Its members." (required "members" (Codec.list (StructCodec.codec objectMember)) _.Members)
            let! tag = doc "The member that decides about further members." (optional "tag" Codec.str _.Tag)
            let! variants =
                doc
                    "The further members of each value of the tag."
                    (optional "variants" (Codec.list (StructCodec.codec objectVariant)) _.Variants)

            return fun m -> { Members = members m; Tag = tag m; Variants = variants m }
        }

    let private alternateMember: StructCodec<SchemaInfoAlternateMember> =
        record "SchemaInfoAlternateMember" "One of the types." {
            let! typeName = doc "The type." (required "type" Codec.str _.Type)
            return fun m -> { Type = typeName m }
        }

    let private alternate: StructCodec<SchemaInfoAlternateMember list> =
        record "SchemaInfoAlternate" "A value of one of several types." {
            let! members = doc "The types." (required "members" (Codec.list (StructCodec.codec alternateMember)) id)
            return members
        }

    let private command: StructCodec<SchemaInfoCommand> =
        record "SchemaInfoCommand" "A command." {
            let! argType = doc "The type of its arguments." (required "arg-type" Codec.str _.ArgType)
            let! retType = doc "The type of what it returns." (required "ret-type" Codec.str _.RetType)
            let! allowOob = doc "Whether it may run out of band." (optional "allow-oob" Codec.bool _.AllowOob)

            return
                fun m -> {
                    ArgType = argType m
                    RetType = retType m
                    AllowOob = allowOob m
                }
        }

    let private event: StructCodec<string> =
        record "SchemaInfoEvent" "An event." {
            let! argType = doc "The type of its data." (required "arg-type" Codec.str id)
            return argType
        }

    let private branches: Branch<SchemaMetaType> list = [
        branch "builtin" builtin SchemaMetaType.Builtin (function
            | SchemaMetaType.Builtin jsonType -> ValueSome jsonType
            | _ -> ValueNone)
        branch "enum" enum SchemaMetaType.Enum (function
            | SchemaMetaType.Enum enum -> ValueSome enum
            | _ -> ValueNone)
        branch "array" array SchemaMetaType.Array (function
            | SchemaMetaType.Array elementType -> ValueSome elementType
            | _ -> ValueNone)
        branch "object" objectInfo SchemaMetaType.Object (function
            | SchemaMetaType.Object info -> ValueSome info
            | _ -> ValueNone)
        branch "alternate" alternate SchemaMetaType.Alternate (function
            | SchemaMetaType.Alternate members -> ValueSome members
            | _ -> ValueNone)
        branch "command" command SchemaMetaType.Command (function
            | SchemaMetaType.Command command -> ValueSome command
            | _ -> ValueNone)
        branch "event" event SchemaMetaType.Event (function
            | SchemaMetaType.Event argType -> ValueSome argType
            | _ -> ValueNone)
    ]

    let private common: Fields<SchemaInfo, SchemaMetaType -> SchemaInfo> =
        fields {
            let! name = doc "Its name; those of types are numbers." (required "name" Codec.str _.Name)
            let! features = features _.Features

            return
                fun m metaType -> {
                    Name = name m
                    Features = features m
                    MetaType = metaType
                }
        }

    let schemaInfo: StructCodec<SchemaInfo> =
        StructCodec.unionWith "SchemaInfo" "meta-type" "SchemaMetaType" branches common _.MetaType
        |> about "An entity of the schema."
