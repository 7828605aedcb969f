namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/qom.json: the commands about the object tree.
module QomCodecs =
    let objectPropertyInfo: StructCodec<ObjectPropertyInfo> =
        object "ObjectPropertyInfo" {
            let! name = required "name" Codec.str _.Name
            let! typeName = required "type" Codec.str _.Type
            let! description = optional "description" Codec.str _.Description
            let! defaultValue = optional "default-value" Codec.any _.DefaultValue

            return
                fun m -> {
                    Name = name m
                    Type = typeName m
                    Description = description m
                    DefaultValue = defaultValue m
                }
        }

    let objectTypeInfo: StructCodec<ObjectTypeInfo> =
        object "ObjectTypeInfo" {
            let! name = required "name" Codec.str _.Name
            let! isAbstract = optional "abstract" Codec.bool _.Abstract
            let! parent = optional "parent" Codec.str _.Parent

            return
                fun m -> {
                    Name = name m
                    Abstract = isAbstract m
                    Parent = parent m
                }
        }

    let qomList: StructCodec<QomList> =
        object "QomListArgs" {
            let! path = required "path" Codec.str _.Path
            return fun m -> { Path = path m }
        }

    let qomGet: StructCodec<QomGet> =
        object "QomGetArgs" {
            let! path = required "path" Codec.str _.Path
            let! property = required "property" Codec.str _.Property
            return fun m -> { Path = path m; Property = property m }
        }

    let qomSet: StructCodec<QomSet> =
        object "QomSetArgs" {
            let! path = required "path" Codec.str _.Path
            let! property = required "property" Codec.str _.Property
            let! value = required "value" Codec.any _.Value

            return fun m -> { Path = path m; Property = property m; Value = value m }
        }

    let qomListTypes: StructCodec<QomListTypes> =
        object "QomListTypesArgs" {
            let! implements = optional "implements" Codec.str _.Implements
            let! isAbstract = optional "abstract" Codec.bool _.Abstract
            return fun m -> { Implements = implements m; Abstract = isAbstract m }
        }

    let qomListProperties: StructCodec<QomListProperties> =
        object "QomListPropertiesArgs" {
            let! typename = required "typename" Codec.str _.Typename
            return fun m -> { Typename = typename m }
        }
