namespace StorageDaemon.Core.Qmp

open StorageDaemon.Core
open StorageDaemon.Core.Json

/// The arguments of `qmp_capabilities`, the one command that a session answers itself.
[<RequireQualifiedAccess>]
module internal Capabilities =
    let private decodeCapability index value =
        match value with
        | Json.String "oob" -> Ok()
        // The real daemon prints an element's name as 'null' in this text.
        | Json.String other -> QapiError.fail ("Parameter 'null' does not accept value '" + other + "'")
        | _ ->
            let name = "enable[" + string<int> index + "]"
            QapiError.fail ("Invalid parameter type for '" + name + "', expected: string")

    let rec private decodeList index (items: Json list) =
        match items with
        | [] -> Ok()
        | item :: rest ->
            match decodeCapability index item with
            | Ok() -> decodeList (index + 1) rest
            | Error error -> Error error

    /// Decodes the arguments: whether they enable `oob`.
    let decode (arguments: (string * Json) list) : Result<bool, QapiError> =
        result {
            let enable = List.tryFind (fun (name, _) -> name = "enable") arguments

            let! enablesOob =
                match enable with
                | None -> Ok false
                | Some(_, Json.List items) -> decodeList 0 items |> Result.map (fun () -> not items.IsEmpty)
                | Some _ -> QapiError.fail "Invalid parameter type for 'enable', expected: array"

            match List.tryFind (fun (name, _) -> name <> "enable") arguments with
            | Some(name, _) -> return! QapiError.fail ("Parameter '" + name + "' is unexpected")
            | None -> return enablesOob
        }
