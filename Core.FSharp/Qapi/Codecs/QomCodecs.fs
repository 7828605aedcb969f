namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/qom.json: the commands about the object tree.
module QomCodecs =
    let objectPropertyInfo: StructCodec<ObjectPropertyInfo> =
        object "ObjectPropertyInfo" {
            let! name = required "name" Codec.str _.Name
            and! typeName = required "type" Codec.str _.Type
            and! description = optional "description" Codec.str _.Description
            and! defaultValue = optional "default-value" Codec.any _.DefaultValue

            return {
                Name = name
                Type = typeName
                Description = description
                DefaultValue = defaultValue
            }
        }

    let objectTypeInfo: StructCodec<ObjectTypeInfo> =
        object "ObjectTypeInfo" {
            let! name = required "name" Codec.str _.Name
            and! isAbstract = optional "abstract" Codec.bool _.Abstract
            and! parent = optional "parent" Codec.str _.Parent

            return {
                Name = name
                Abstract = isAbstract
                Parent = parent
            }
        }

    let qomList: StructCodec<QomList> =
        object "QomListArgs" {
            let! path = required "path" Codec.str _.Path
            return { Path = path }
        }

    let qomGet: StructCodec<QomGet> =
        object "QomGetArgs" {
            let! path = required "path" Codec.str _.Path
            and! property = required "property" Codec.str _.Property
            return { Path = path; Property = property }
        }

    let qomSet: StructCodec<QomSet> =
        object "QomSetArgs" {
            let! path = required "path" Codec.str _.Path
            and! property = required "property" Codec.str _.Property
            and! value = required "value" Codec.any _.Value

            return {
                Path = path
                Property = property
                Value = value
            }
        }

    let qomListTypes: StructCodec<QomListTypes> =
        object "QomListTypesArgs" {
            let! implements = optional "implements" Codec.str _.Implements
            and! isAbstract = optional "abstract" Codec.bool _.Abstract
            return { Implements = implements; Abstract = isAbstract }
        }

    let qomListProperties: StructCodec<QomListProperties> =
        object "QomListPropertiesArgs" {
            let! typename = required "typename" Codec.str _.Typename
            return { Typename = typename }
        }
