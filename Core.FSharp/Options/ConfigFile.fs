namespace StorageDaemon.Core.Options

open System
open StorageDaemon.Core
open StorageDaemon.Core.Json

/// The file of --config: one JSON object with a section for each option, which holds one object or a list of them,
/// with the members that the option takes. It becomes the steps that the options would be.
module ConfigFile =
    /// The longest file in bytes.
    [<Literal>]
    let MaxBytes = 0x1000000

    /// An option that takes JSON by itself.
    let private jsonStep (make: string -> StartupStep) (entry: Json) : Result<StartupStep, QapiError> =
        Ok(make (JsonPrinter.toString entry))

    let private isKey (key: string) =
        key.Length > 0
        && key
           |> String.forall (fun c -> Char.IsAsciiLetterOrDigit c || c = '-' || c = '_' || c = '.')

    let private optionText key (value: Json) : Result<string, QapiError> =
        match value with
        | _ when not (isKey key) -> QapiError.fail ("Invalid parameter '" + key + "'")
        | String text -> Ok(key + "=" + text.Replace(",", ",,"))
        | Bool true -> Ok(key + "=on")
        | Bool false -> Ok(key + "=off")
        | Int number -> Ok(key + "=" + string number)
        | UInt number -> Ok(key + "=" + string number)
        | _ -> QapiError.fail ("Parameter '" + key + "' expects a string, a boolean or an integer")

    /// An option of the older syntax, which has no JSON: its keys are members, the first one is `implied`.
    let private flatStep implied (make: string -> StartupStep) (entry: Json) : Result<StartupStep, QapiError> =
        let rec all texts members =
            match members with
            | [] -> Ok(List.rev texts)
            | (key, value) :: rest ->
                match optionText key value with
                | Ok text -> all (text :: texts) rest
                | Error error -> Error error

        match entry with
        | Object members ->
            // The implied key is looked for where the older syntax has it: in front.
            let first, others = members |> List.partition (fun (key, _) -> key = implied)
            all [] (first @ others)
            |> Result.map (fun texts -> make (String.Join(',', texts)))
        | _ -> QapiError.fail "Expecting a JSON object"

    /// The sections in the order in which they take effect, wherever they stand in the file: what others refer to comes
    /// first, and QMP clients are let in last.
    let private sections: (string * (Json -> Result<StartupStep, QapiError>)) list = [
        "trace", flatStep "enable" StartupStep.Trace
        "object", jsonStep StartupStep.Object
        "chardev", flatStep "backend" StartupStep.Chardev
        "blockdev", jsonStep StartupStep.Blockdev
        "nbd-server", jsonStep StartupStep.NbdServer
        "export", jsonStep StartupStep.Export
        "metrics", jsonStep StartupStep.Metrics
        "monitor", jsonStep StartupStep.Monitor
    ]

    /// Names of the sections, in that order.
    let sectionNames = sections |> List.map fst

    /// Steps with the places of what they came from, such as "blockdev[2]".
    let private ofSection name toStep (value: Json) : Result<(string * StartupStep) list, string * QapiError> =
        let one place entry =
            match entry with
            | Object _ ->
                toStep entry
                |> Result.map (fun step -> place, step)
                |> Result.mapError (fun error -> place, error)
            | _ -> Error(place, QapiError.generic "Expecting a JSON object")

        let rec each index steps entries =
            match entries with
            | [] -> Ok(List.rev steps)
            | entry :: rest ->
                match one (name + "[" + string<int> index + "]") entry with
                | Ok step -> each (index + 1) (step :: steps) rest
                | Error error -> Error error

        match value with
        | List entries -> each 0 [] entries
        | _ -> one name value |> Result.map List.singleton

    let private ofMembers (members: (string * Json) list) : Result<(string * StartupStep) list, string * QapiError> =
        let rec next steps sections =
            match sections with
            | [] -> Ok(steps |> List.rev |> List.concat)
            | (name, toStep) :: rest ->
                match members |> List.tryFind (fun (key, _) -> key = name) with
                | None -> next steps rest
                | Some(_, value) ->
                    match ofSection name toStep value with
                    | Ok more -> next (more :: steps) rest
                    | Error error -> Error error

        match members |> List.tryFind (fun (key, _) -> not (List.contains key sectionNames)) with
        | Some(key, _) -> Error("", QapiError.generic ("Parameter '" + key + "' is unexpected"))
        | None -> next [] sections

    /// The steps that a file stands for. `option` is the option as it was typed; places within the file come behind it
    /// in locations: "--config FILE: blockdev[2]".
    let steps (option: string) (bytes: byte array) : Result<StartupItem list, Location * QapiError> =
        let locate place =
            if place = "" then
                Arguments option
            else
                Arguments(option + ": " + place)

        let found =
            if bytes.Length > MaxBytes then
                Error("", QapiError.generic ("The file is longer than " + string MaxBytes + " bytes"))
            else
                match JsonDocument.parse bytes with
                | Error error -> Error error
                | Ok(Object members) -> ofMembers members
                | Ok _ -> Error("", QapiError.generic "Expecting a JSON object")

        found
        |> Result.map (List.map (fun (place, step) -> { Location = locate place; Step = step }))
        |> Result.mapError (fun (place, error) -> locate place, error)
