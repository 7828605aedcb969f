namespace StorageDaemon.Core.Docs

open System
open StorageDaemon.Core.Options
open StorageDaemon.Core.Qapi

/// Completions for shells: options, and the first word of their values where there is a list of it.
module Completions =
    let private tagNames (object: ObjectType) : string list =
        let shape = object.Shape.Value

        match shape.Variants with
        | None -> []
        | Some variants ->
            shape.Members
            |> List.collect (fun m ->
                match m.Type with
                | SchemaType.Enum enum when m.Name = variants.Tag -> enum.Members |> List.map _.Name
                | _ -> [])

    /// What may stand first in the value of an option.
    let private firstWords long : string list =
        let types names =
            names |> List.map (fun name -> name + ",")

        match long with
        | "blockdev" -> tagNames BlockCodecs.blockdevOptions.Type |> types
        | "export" -> tagNames ExportCodecs.blockExportOptions.Type |> types
        | "object" -> "help" :: (ObjectCodecs.builtTypes |> List.map fst |> types)
        | "chardev" -> "help" :: types CharCodecs.builtTypes
        | "nbd-server"
        | "metrics" ->
            tagNames SocketCodecs.socketAddress.Type
            |> List.map (fun name -> "addr.type=" + name + ",")
        | _ -> []

    let private takesFile long = long = "config" || long = "pidfile"

    let private words = OptionDescriptions.all |> List.map (fun option -> "--" + option.Long)

    let private summary (option: OptionDescription) =
        (List.head option.Forms).Help |> String.concat " "

    let bash () : string =
        let cases =
            OptionDescriptions.all
            |> List.filter _.TakesArgument
            |> List.map (fun option ->
                let reply =
                    if takesFile option.Long then
                        "COMPREPLY=($(compgen -f -- \"$cur\"))"
                    else
                        "COMPREPLY=($(compgen -W '"
                        + String.Join(' ', firstWords option.Long)
                        + "' -- \"$cur\")); compopt -o nospace"

                "        --" + option.Long + ") " + reply + "; return ;;")

        String.Join(
            '\n',
            [
                "_storage_daemon() {"
                "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}"
                "    case $prev in"
            ]
            @ cases
            @ [
                "        docs) COMPREPLY=($(compgen -W 'man qmp-ref completions' -- \"$cur\")); return ;;"
                "        completions) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")); return ;;"
                "    esac"
                "    local words='" + String.Join(' ', words) + "'"
                "    [ \"$COMP_CWORD\" -eq 1 ] && words=\"$words docs\""
                "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))"
                "}"
                "complete -F _storage_daemon storage-daemon"
                ""
            ]
        )

    let zsh () : string =
        let quote (text: string) =
            text.Replace("'", "'\\''").Replace("[", "\\[").Replace("]", "\\]").Replace(":", "\\:")

        let specs =
            OptionDescriptions.all
            |> List.map (fun option ->
                let value =
                    if not option.TakesArgument then
                        ""
                    elif takesFile option.Long then
                        ":file:_files"
                    else
                        match firstWords option.Long with
                        | [] -> ":value:"
                        | first -> ":value:(" + String.Join(' ', first) + ")"

                "    '*--" + option.Long + "[" + quote (summary option) + "]" + value + "' \\")

        String.Join(
            '\n',
            [
                "#compdef storage-daemon"
                "if (( CURRENT > 2 )) && [[ $words[2] == docs ]]; then"
                "    if [[ $words[CURRENT-1] == completions ]]; then compadd bash zsh fish"
                "    else compadd man qmp-ref completions; fi"
                "    return"
                "fi"
                "_arguments -s \\"
            ]
            @ specs
            @ [ "    '1::documentation:(docs)'"; "" ]
        )

    let fish () : string =
        let quote (text: string) =
            text.Replace("\\", "\\\\").Replace("'", "\\'")

        let lines =
            OptionDescriptions.all
            |> List.map (fun option ->
                let value =
                    if not option.TakesArgument then
                        ""
                    elif takesFile option.Long then
                        " -r -F"
                    else
                        " -x -a '" + String.Join(' ', firstWords option.Long) + "'"

                "complete -c storage-daemon -l "
                + option.Long
                + value
                + " -d '"
                + quote (summary option)
                + "'")

        String.Join(
            '\n',
            [ "complete -c storage-daemon -f" ]
            @ lines
            @ [
                "complete -c storage-daemon -n __fish_is_first_arg -a docs -d 'print documentation'"
                "complete -c storage-daemon -n '__fish_seen_subcommand_from docs' -a 'man qmp-ref completions'"
                "complete -c storage-daemon -n '__fish_seen_subcommand_from completions' -a 'bash zsh fish'"
                ""
            ]
        )
