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
            and! features = features _.Features
            return { Name = name; Features = features }
        }

    let private enum: StructCodec<SchemaInfoEnum> =
        // `values` is deprecated, but not optional: old clients know nothing else.
        let values: Fields<SchemaInfoEnum, string list> =
            requiredWith [ Feature.Deprecated ] "values" (Codec.list Codec.str) _.Values

        object "SchemaInfoEnum" {
            let! members = required "members" (Codec.list (StructCodec.codec enumMember)) _.Members
            and! values = values
            return { Members = members; Values = values }
        }

    let private array: StructCodec<string> =
        object "SchemaInfoArray" {
            let! elementType = required "element-type" Codec.str id
            return elementType
        }

    let private objectMember: StructCodec<SchemaInfoObjectMember> =
        object "SchemaInfoObjectMember" {
            let! name = required "name" Codec.str _.Name
            and! typeName = required "type" Codec.str _.Type
            and! defaultValue = optional "default" Codec.any (fun m -> if m.Optional then Some Null else None)
            and! features = features _.Features

            return {
                Name = name
                Type = typeName
                Optional = defaultValue.IsSome
                Features = features
            }
        }

    let private objectVariant: StructCodec<SchemaInfoObjectVariant> =
        object "SchemaInfoObjectVariant" {
            let! case = required "case" Codec.str _.Case
            and! typeName = required "type" Codec.str _.Type
            return { Case = case; Type = typeName }
        }

    let private objectInfo: StructCodec<SchemaInfoObject> =
        object "SchemaInfoObject" {
            let! members = required "members" (Codec.list (StructCodec.codec objectMember)) _.Members
            and! tag = optional "tag" Codec.str _.Tag
            and! variants = optional "variants" (Codec.list (StructCodec.codec objectVariant)) _.Variants

            return {
                Members = members
                Tag = tag
                Variants = variants
            }
        }

    let private alternateMember: StructCodec<SchemaInfoAlternateMember> =
        object "SchemaInfoAlternateMember" {
            let! typeName = required "type" Codec.str _.Type
            return { Type = typeName }
        }

    let private alternate: StructCodec<SchemaInfoAlternateMember list> =
        object "SchemaInfoAlternate" {
            let! members = required "members" (Codec.list (StructCodec.codec alternateMember)) id
            return members
        }

    let private command: StructCodec<SchemaInfoCommand> =
        object "SchemaInfoCommand" {
            let! argType = required "arg-type" Codec.str _.ArgType
            and! retType = required "ret-type" Codec.str _.RetType
            and! allowOob = optional "allow-oob" Codec.bool _.AllowOob

            return {
                ArgType = argType
                RetType = retType
                AllowOob = allowOob
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
            and! features = features _.Features

            return
                fun metaType -> {
                    Name = name
                    Features = features
                    MetaType = metaType
                }
        }

    let schemaInfo: StructCodec<SchemaInfo> =
        StructCodec.unionWith "SchemaInfo" "meta-type" "SchemaMetaType" branches common _.MetaType
