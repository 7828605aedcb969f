namespace StorageDaemon.Core.Qapi

open System
open StorageDaemon.Core

/// Help texts about options, as the real daemon prints them: lines that each end with a line feed.
module Help =
    let private lines (texts: string list) =
        String.concat "" (texts |> List.map (fun text -> text + "\n"))

    let private ordinal (texts: string list) =
        texts |> List.sortWith (fun a b -> String.CompareOrdinal(a, b))

    let private typeName schema =
        match schema with
        | SchemaType.Builtin Builtin.Str -> "string"
        | SchemaType.Builtin Builtin.Int -> "int"
        | SchemaType.Builtin Builtin.Number -> "number"
        | SchemaType.Builtin Builtin.Bool -> "bool"
        | SchemaType.Builtin Builtin.Null -> "null"
        | SchemaType.Builtin Builtin.Any -> "any"
        | SchemaType.Array _ -> "list"
        | SchemaType.Enum enum -> enum.Name
        | SchemaType.Object object -> object.Name
        | SchemaType.Alternate alternate -> alternate.Name

    /// `--object help`: the object types that can be created.
    let objectTypes =
        let names = ObjectCodecs.builtTypes |> List.map fst |> ordinal
        lines (
            "List of user creatable objects:"
            :: (names |> List.map (fun name -> "  " + name))
        )

    /// `--object TYPE,help`: the properties of an object type. None if there is no such type, or it has none: then the
    /// types are listed.
    let objectProperties qomType : string option =
        match ObjectCodecs.builtTypes |> List.tryFind (fun (name, _) -> name = qomType) with
        | None -> None
        | Some(name, object) ->
            let property (m: Member) =
                "  " + m.Name + "=<" + typeName m.Type + ">"
            let properties = object.Shape.Value.Members |> List.map property |> ordinal
            Some(lines ((name + " options:") :: properties))

    /// `--chardev help`: the types of character devices. The space at the end of the first line is the real daemon's.
    let chardevTypes =
        let names = CharCodecs.builtTypes |> List.map (fun name -> "  " + name)
        lines ("Available chardev backend types: " :: names)
