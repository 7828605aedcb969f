namespace StorageDaemon.Core.Qom

open System

/// Help texts about objects, as the real daemon prints them: lines that each end with a line feed.
module ObjectHelp =
    let private lines (texts: string list) =
        String.concat "" (texts |> List.map (fun text -> text + "\n"))

    let private ordinal (texts: string list) =
        texts |> List.sortWith (fun a b -> String.CompareOrdinal(a, b))

    /// `--object help`: the object types that can be created.
    let types =
        let names =
            TypeTable.list (Some "user-creatable") false
            |> List.map (fun t -> "  " + t.Name)
        lines ("List of user creatable objects:" :: ordinal names)

    /// `--object TYPE,help`: the properties of a type. None if there is no such type: then those that can be created
    /// are listed.
    let properties (qomType: string) : string option =
        match TypeTable.tryFind qomType with
        | Some _ ->
            let property (name: string, typeName: string) = "  " + name + "=<" + typeName + ">"

            match TypeTable.settable qomType |> List.map property |> ordinal with
            | [] -> Some(lines [ "There are no options for " + qomType + "." ])
            | properties -> Some(lines ((qomType + " options:") :: properties))
        | None -> None
