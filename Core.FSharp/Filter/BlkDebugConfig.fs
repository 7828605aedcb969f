namespace StorageDaemon.Core.Filter

open System
open StorageDaemon.Core
open StorageDaemon.Core.Options

/// A file with rules of blkdebug: sections [inject-error] and [set-state], and lines KEY = "VALUE" (QEMU docs, "Block
/// I/O error injection using blkdebug").
module BlkDebugConfig =
    /// Bytes; the longest file that is read.
    [<Literal>]
    let MaxBytes = 1048576

    /// Characters of a key and of a value that count.
    [<Literal>]
    let private MaxKey = 63

    [<Literal>]
    let private MaxValue = 1023

    let private common = [ "event", OptionType.Text; "state", OptionType.Number ]

    let private sections: Map<string, Map<string, OptionType>> =
        Map.ofList [
            "inject-error",
            Map.ofList (
                common
                @ [
                    "iotype", OptionType.Text
                    "errno", OptionType.Number
                    "sector", OptionType.Number
                    "once", OptionType.Bool
                    "immediately", OptionType.Bool
                ]
            )
            "set-state", Map.ofList (common @ [ "new_state", OptionType.Number ])
        ]

    [<NoComparison>]
    type private Section = {
        Name: string
        Id: string option
        Values: Map<string, OptionValue>
    }

    /// The text between brackets: a name, and an id in quotes.
    let private header (line: string) : struct (string * string option) =
        let inner = line.Substring(1, max 0 (line.IndexOf ']' - 1))
        let quote = inner.IndexOf " \""

        if quote > 0 && inner.EndsWith '"' && inner.Length > quote + 2 then
            struct (inner.Substring(0, quote), Some(inner.Substring(quote + 2, inner.Length - quote - 3)))
        else
            struct (inner, None)

    let private openSection (sofar: Section list) (line: string) : Result<Section list, QapiError> =
        let struct (name, id) = header line

        match id with
        | _ when not (sections.ContainsKey name) -> QapiError.fail ("There is no option group '" + name + "'")
        | Some id when not (Identifier.isWellFormed id) -> Error(Identifier.error "id")
        | Some id when
            sofar
            |> List.exists (fun section -> section.Name = name && section.Id = Some id)
            ->
            QapiError.fail ("Duplicate ID '" + id + "' for " + name)
        | _ -> Ok({ Name = name; Id = id; Values = Map.empty } :: sofar)

    /// The key, and the value if it stands in quotes behind " = ".
    let private keyAndValue (line: string) : struct (string * string) =
        let stop = line.IndexOfAny [| ' '; '\t' |]
        let key = if stop < 0 then line else line.Substring(0, stop)
        let rest = line.Substring(key.Length).TrimStart(' ', '\t')

        let value =
            if not (rest.StartsWith '=') then
                ""
            else
                let quoted = rest.Substring(1).TrimStart(' ', '\t')
                let close = if quoted.StartsWith '"' then quoted.IndexOf('"', 1) else -1
                if close < 0 then "" else quoted.Substring(1, close - 1)

        struct (key.Substring(0, min MaxKey key.Length), value.Substring(0, min MaxValue value.Length))

    let private setValue (sofar: Section list) (line: string) : Result<Section list, QapiError> =
        let struct (key, value) = keyAndValue line

        match sofar with
        | [] -> QapiError.fail "no group defined"
        | section :: before ->
            match sections[section.Name].TryFind key with
            | None -> QapiError.fail ("Invalid parameter '" + key + "'")
            | Some optionType ->
                QemuOpts.check key value optionType
                |> Result.map (fun value -> { section with Values = section.Values.Add(key, value) } :: before)

    let private readLine (sofar: Section list) (line: string) : Result<Section list, QapiError> =
        if line = "" || line.StartsWith '#' then
            Ok sofar
        elif line.StartsWith '[' && line.Contains ']' then
            openSection sofar line
        else
            setValue sofar line

    let private text (name: string) (section: Section) =
        match section.Values.TryFind name with
        | Some(OptionValue.Text text) -> Some text
        | _ -> None

    let private number (name: string) (other: int64) (section: Section) =
        match section.Values.TryFind name with
        | Some(OptionValue.Number number) -> int64 number
        | _ -> other

    let private flag (name: string) (section: Section) =
        section.Values.TryFind name = Some(OptionValue.Bool true)

    let private ioTypes (section: Section) : Result<BlkDebugIoType, QapiError> =
        match text "iotype" section with
        | None -> Ok BlkDebugRules.allData
        | Some name ->
            match BlkDebugRules.ioTypes |> List.tryFind (fun (known, _) -> known = name) with
            | Some(_, types) -> Ok types
            | None -> QapiError.fail ("invalid parameter value: " + name)

    let private ruleOf (section: Section) : Result<BlkDebugRule, QapiError> =
        match text "event" section with
        | None -> QapiError.fail "Missing event name for rule"
        | Some name when BlkDebugRules.eventOf name < 0 -> QapiError.fail ("invalid parameter value: " + name)
        | Some name ->
            ioTypes section
            |> Result.map (fun types -> {
                Event = BlkDebugRules.eventOf name
                State = int (number "state" 0L section)
                Action =
                    if section.Name = "set-state" then
                        SetState(int (number "new_state" 0L section))
                    else
                        InjectError(
                            int (number "errno" (int64 Errno.EIO) section),
                            number "sector" -1L section,
                            flag "once" section,
                            types
                        )
            })

    /// The rules of a file: those that inject errors first, each kind in order.
    let parse (content: string) : Result<BlkDebugRule list, QapiError> =
        let collect step items =
            items
            |> Seq.fold (fun state item -> Result.bind (fun sofar -> step sofar item) state) (Ok [])

        result {
            let! newestFirst = content.Split '\n' |> Seq.map (fun line -> line.Trim()) |> collect readLine
            let injects, states =
                List.rev newestFirst
                |> List.partition (fun section -> section.Name = "inject-error")
            let! rules =
                injects @ states
                |> collect (fun rules section -> ruleOf section |> Result.map (fun r -> r :: rules))
            return List.rev rules
        }
