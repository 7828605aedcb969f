namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/qom.json: the commands about the object tree.
module QomCodecs =
    let objectPropertyInfo: StructCodec<ObjectPropertyInfo> =
        record "ObjectPropertyInfo" "A property of an object." {
            let! name = doc "Its name." (required "name" Codec.str _.Name)
            let! typeName =
                doc "Its type; child<T> is an object below, link<T> one elsewhere." (required "type" Codec.str _.Type)
            let! description = doc "A text for people." (optional "description" Codec.str _.Description)
            let! defaultValue =
                doc "Its value without one given." (optional "default-value" Codec.any _.DefaultValue)

            return
                fun m -> {
                    Name = name m
                    Type = typeName m
                    Description = description m
                    DefaultValue = defaultValue m
                }
        }

    let objectTypeInfo: StructCodec<ObjectTypeInfo> =
        record "ObjectTypeInfo" "A type of objects." {
            let! name = doc "Its name." (required "name" Codec.str _.Name)
            let! isAbstract =
                doc
                    "Whether there are only objects of types derived from it."
                    (optional "abstract" Codec.bool _.Abstract)
            let! parent = doc "The type that it is derived from." (optional "parent" Codec.str _.Parent)

            return
                fun m -> {
                    Name = name m
                    Abstract = isAbstract m
                    Parent = parent m
                }
        }

    let qomList: StructCodec<QomList> =
        record "QomListArgs" "Arguments of qom-list." {
            let! path = doc "The object, such as /objects." (required "path" Codec.str _.Path)
            return fun m -> { Path = path m }
        }

    let qomGet: StructCodec<QomGet> =
        record "QomGetArgs" "Arguments of qom-get." {
            let! path = doc "The object, such as /objects/t0." (required "path" Codec.str _.Path)
            let! property = doc "The property." (required "property" Codec.str _.Property)
            return fun m -> { Path = path m; Property = property m }
        }

    let qomSet: StructCodec<QomSet> =
        record "QomSetArgs" "Arguments of qom-set." {
            let! path = doc "The object." (required "path" Codec.str _.Path)
            let! property = doc "The property." (required "property" Codec.str _.Property)
            let! value = doc "The new value." (required "value" Codec.any _.Value)

            return fun m -> { Path = path m; Property = property m; Value = value m }
        }

    let qomListTypes: StructCodec<QomListTypes> =
        record "QomListTypesArgs" "Arguments of qom-list-types." {
            let! implements = doc "Only types derived from this one." (optional "implements" Codec.str _.Implements)
            let! isAbstract =
                doc "Whether abstract types are listed too." (optional "abstract" Codec.bool _.Abstract)
            return fun m -> { Implements = implements m; Abstract = isAbstract m }
        }

    let qomListProperties: StructCodec<QomListProperties> =
        record "QomListPropertiesArgs" "Arguments of qom-list-properties." {
            let! typename = doc "The type." (required "typename" Codec.str _.Typename)
            return fun m -> { Typename = typename m }
        }
