namespace StorageDaemon.Core.Observe

open StorageDaemon.Core.Json

/// Commands as they may be logged: without what is secret in them.
module Redaction =
    let private hidden = String "***"

    let rec private hide (isSecret: string -> bool) depth (json: Json) : Json =
        match json with
        | Object members when depth > 0 ->
            members
            |> List.map (fun (name, value) ->
                name,
                if isSecret name then
                    hidden
                else
                    hide isSecret (depth - 1) value)
            |> Object
        | List items when depth > 0 -> items |> List.map (hide isSecret (depth - 1)) |> List
        // Nothing that a command understands is nested so deeply.
        | Object _
        | List _ -> hidden
        | scalar -> scalar

    /// The arguments of a command. The `data` of new objects is hidden, for it is the text of secrets; so is what is
    /// written into such a property.
    let arguments (command: string) (arguments: (string * Json) list) : Json =
        let isSecret name =
            match command with
            | "object-add" -> name = "data"
            | "qom-set" ->
                name = "value"
                && arguments
                   |> List.exists (fun argument -> argument = ("property", String "data"))
            | _ -> false

        hide isSecret 64 (Object arguments)

    /// A command in a line of the log.
    let commandText (command: string) (members: (string * Json) list) : string =
        command + " " + JsonPrinter.toString (arguments command members)
