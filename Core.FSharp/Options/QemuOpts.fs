namespace StorageDaemon.Core.Options

open System
open StorageDaemon.Core

/// What an option of the older syntax takes.
[<RequireQualifiedAccess>]
type OptionType =
    | Text
    | Bool
    | Number
    | Size

/// A checked value.
[<RequireQualifiedAccess>]
type OptionValue =
    | Text of string
    | Bool of bool
    /// Modulo 2^64: "-1" is the greatest number.
    | Number of uint64
    /// In bytes.
    | Size of uint64

/// The options that one command-line option of the older syntax knows.
type OptionGroup = {
    Name: string
    /// What a first parameter without '=' is the value of.
    ImpliedKey: string
    Types: Map<string, OptionType>
}

/// The options that were given; of a repeated one the last value.
type ParsedOptions = {
    /// Of a repeated id the first.
    Id: string option
    Values: Map<string, OptionValue>
}

[<RequireQualifiedAccess>]
type OptionsOutcome =
    | Options of ParsedOptions
    /// "help" or "?" stood behind the first parameter: list the options and exit with status 1.
    | Help

/// The syntax of --chardev and --trace: flat keys, each of a known type, and the deprecated short form of booleans
/// ("server" for server=on, "nowait" for wait=off). See QEMU's qemu(1), -chardev.
module QemuOpts =
    /// The short form of a boolean: "nofoo" is foo=off, every other name is itself =on.
    let private shortForm (given: string) =
        if given.StartsWith("no", StringComparison.Ordinal) then
            struct (given.Substring 2, "off")
        else
            struct (given, "on")

    let private shortFormWarning given =
        let struct (name, value) = shortForm given

        // The opposite of "delay" has a name of its own, which is the one to be used.
        let advice =
            match name, value with
            | "delay", "on" -> "nodelay=off"
            | "delay", _ -> "nodelay=on"
            | _ -> name + "=" + value

        {
            Text = "short-form boolean option '" + given + "' deprecated"
            Hint = Some("Please use " + advice + " instead")
        }

    let private sizeError name =
        QapiError.generic ("Parameter '" + name + "' expects a non-negative number below 2^64")
        |> QapiError.withHint (
            "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
            + "and exabytes, respectively."
        )

    /// The value of an option of that type.
    let check (name: string) (text: string) (optionType: OptionType) : Result<OptionValue, QapiError> =
        match optionType with
        | OptionType.Text -> Ok(OptionValue.Text text)
        | OptionType.Bool ->
            match NumberText.parseBool text with
            | ValueSome value -> Ok(OptionValue.Bool value)
            | ValueNone -> QapiError.fail ("Parameter '" + name + "' expects 'on' or 'off'")
        | OptionType.Number ->
            match NumberText.parseUInt64 text with
            | Ok value -> Ok(OptionValue.Number value)
            | Error Malformed -> QapiError.fail ("Parameter '" + name + "' expects a number")
            | Error OutOfRange -> QapiError.fail ("Value '" + text + "' is too large for parameter '" + name + "'")
        | OptionType.Size ->
            match NumberText.parseSize text with
            | Ok value -> Ok(OptionValue.Size value)
            | Error Malformed -> Error(sizeError name)
            | Error OutOfRange -> QapiError.fail ("Value '" + text + "' is out of range for parameter '" + name + "'")

    /// Name and text of a parameter, the short form written out.
    let private expand (param: KeyValGrammar.Param) =
        match param.Value with
        | ValueSome text -> struct (param.Key, text)
        | ValueNone -> shortForm param.Key

    let private isHelp (param: KeyValGrammar.Param) =
        param.Value.IsNone && (param.Key = "help" || param.Key = "?")

    /// The first id in `text`. It is looked for, and checked, before anything else is, and without regard to the
    /// implied key: a lone first "id" counts as the short form, and "x,,id=a" has an id.
    let private findId text =
        let idOf param =
            let struct (name, text) = expand param
            if name = "id" then Some text else None

        match List.tryPick idOf (KeyValGrammar.parameters text) with
        | Some id when not (Identifier.isWellFormed id) -> Error(Identifier.error "id")
        | found -> Ok found

    let private add group name text (values: Map<string, OptionValue>) =
        match Map.tryFind name group.Types with
        | None when name = "id" -> Ok values
        | None -> QapiError.fail ("Invalid parameter '" + name + "'")
        | Some optionType ->
            check name text optionType
            |> Result.map (fun value -> Map.add name value values)

    /// Takes the parameters in order; stops at the first error or request for help. Warnings are collected in reverse.
    let rec private addAll group id values warnings (parameters: KeyValGrammar.Param list) =
        match parameters with
        | [] -> struct (warnings, Ok(OptionsOutcome.Options { Id = id; Values = values }))
        | param :: _ when isHelp param -> struct (warnings, Ok OptionsOutcome.Help)
        | param :: rest ->
            let struct (name, text) = expand param
            let warnings =
                if param.Value.IsNone then
                    shortFormWarning param.Key :: warnings
                else
                    warnings

            match add group name text values with
            | Ok values -> addAll group id values warnings rest
            | Error error -> struct (warnings, Error error)

    /// Reads `text`. The warnings come before the outcome, also before an error.
    let parse (group: OptionGroup) (text: string) : struct (Warning list * Result<OptionsOutcome, QapiError>) =
        let struct (implied, parameters) = KeyValGrammar.impliedThenParameters text

        let parameters: KeyValGrammar.Param list =
            match implied with
            | ValueSome value -> { Key = group.ImpliedKey; Value = ValueSome value } :: parameters
            | ValueNone -> parameters

        match findId text with
        | Error error -> struct ([], Error error)
        | Ok id ->
            let struct (warnings, outcome) = addAll group id Map.empty [] parameters
            struct (List.rev warnings, outcome)

    /// The text that was given for `name`.
    let text name (options: ParsedOptions) =
        match Map.tryFind name options.Values with
        | Some(OptionValue.Text value) -> Some value
        | _ -> None

    /// The boolean that was given for `name`.
    let flag name (options: ParsedOptions) =
        match Map.tryFind name options.Values with
        | Some(OptionValue.Bool value) -> Some value
        | _ -> None

    /// The number that was given for `name`.
    let number name (options: ParsedOptions) =
        match Map.tryFind name options.Values with
        | Some(OptionValue.Number value) -> Some value
        | _ -> None

    /// The size that was given for `name`, in bytes.
    let size name (options: ParsedOptions) =
        match Map.tryFind name options.Values with
        | Some(OptionValue.Size value) -> Some value
        | _ -> None

    /// What asking for help prints: a heading and one sorted line for each option.
    let helpText (group: OptionGroup) =
        let line (name, optionType) =
            let typeName =
                match optionType with
                | OptionType.Text -> "str"
                | OptionType.Bool -> "bool (on/off)"
                | OptionType.Number -> "num"
                | OptionType.Size -> "size"

            "  " + name + "=<" + typeName + ">\n"

        let lines =
            Map.toList group.Types
            |> List.map line
            |> List.sortWith (fun a b -> String.CompareOrdinal(a, b))

        group.Name + " options:\n" + String.Concat lines
