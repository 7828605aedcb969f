namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/introspect.json.
module SchemaInfoCodecs =
    let private features get =
        optional "features" (Codec.list Codec.str) get

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

    let private builtin: StructCodec<JsonType> =
        object "SchemaInfoBuiltin" {
            let! jsonType = required "json-type" jsonType id
            return jsonType
        }

    let private enumMember: StructCodec<SchemaInfoEnumMember> =
        object "SchemaInfoEnumMember" {
            let! name = required "name" Codec.str _.Name
            let! features = features _.Features
            return fun m -> { Name = name m; Features = features m }
        }

    let private enum: StructCodec<SchemaInfoEnum> =
        object "SchemaInfoEnum" {
            let! members = required "members" (Codec.list (StructCodec.codec enumMember)) _.Members
            // Deprecated, but not optional: old clients know nothing else.
            let! values = requiredWith [ Feature.Deprecated ] "values" (Codec.list Codec.str) _.Values
            return fun m -> { Members = members m; Values = values m }
        }

    let private array: StructCodec<string> =
        object "SchemaInfoArray" {
            let! elementType = required "element-type" Codec.str id
            return elementType
        }

    let private objectMember: StructCodec<SchemaInfoObjectMember> =
        object "SchemaInfoObjectMember" {
            let! name = required "name" Codec.str _.Name
            let! typeName = required "type" Codec.str _.Type
            let! defaultValue = optional "default" Codec.any (fun m -> if m.Optional then Some Null else None)
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
        object "SchemaInfoObjectVariant" {
            let! case = required "case" Codec.str _.Case
            let! typeName = required "type" Codec.str _.Type
            return fun m -> { Case = case m; Type = typeName m }
        }

    let private objectInfo: StructCodec<SchemaInfoObject> =
        object "SchemaInfoObject" {
            let! members = required "members" (Codec.list (StructCodec.codec objectMember)) _.Members
            let! tag = optional "tag" Codec.str _.Tag
            let! variants = optional "variants" (Codec.list (StructCodec.codec objectVariant)) _.Variants

            return fun m -> { Members = members m; Tag = tag m; Variants = variants m }
        }

    let private alternateMember: StructCodec<SchemaInfoAlternateMember> =
        object "SchemaInfoAlternateMember" {
            let! typeName = required "type" Codec.str _.Type
            return fun m -> { Type = typeName m }
        }

    let private alternate: StructCodec<SchemaInfoAlternateMember list> =
        object "SchemaInfoAlternate" {
            let! members = required "members" (Codec.list (StructCodec.codec alternateMember)) id
            return members
        }

    let private command: StructCodec<SchemaInfoCommand> =
        object "SchemaInfoCommand" {
            let! argType = required "arg-type" Codec.str _.ArgType
            let! retType = required "ret-type" Codec.str _.RetType
            let! allowOob = optional "allow-oob" Codec.bool _.AllowOob

            return
                fun m -> {
                    ArgType = argType m
                    RetType = retType m
                    AllowOob = allowOob m
                }
        }

    let private event: StructCodec<string> =
        object "SchemaInfoEvent" {
            let! argType = required "arg-type" Codec.str id
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
            let! name = required "name" Codec.str _.Name
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
