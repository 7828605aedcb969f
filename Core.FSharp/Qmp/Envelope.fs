namespace StorageDaemon.Core.Qmp

open StorageDaemon.Core
open StorageDaemon.Core.Json

/// A command that a client asked for.
type Request = {
    Command: string
    /// As written; their keys are distinct. Empty if the client sent none.
    Arguments: (string * Json) list
    /// Returned with the reply, whatever it is.
    Id: Json option
}

/// The shape of QMP messages (QEMU docs/interop/qmp-spec, "Protocol Specification").
[<RequireQualifiedAccess>]
module Envelope =
    /// What a message of the client's is.
    type internal Message =
        | InBand of Request
        /// `exec-oob` in a session that enabled it: answered at once, before what came earlier.
        | OutOfBand of Request
        /// Not a command: the id, if one can be told, and what is wrong.
        | Malformed of id: Json option * error: QapiError

    let private find key (members: (string * Json) list) =
        members |> List.tryFind (fun (name, _) -> name = key) |> Option.map snd

    let private unexpected name =
        QapiError.fail ("QMP input member '" + name + "' is unexpected")

    let private asString name value =
        match value with
        | Json.String text -> Ok text
        | _ -> QapiError.fail ("QMP input member '" + name + "' must be a string")

    /// The command, and whether it is to be executed out of band.
    let private decodeCommand allowsOob members : Result<struct (string * bool) option, QapiError> =
        match find "execute" members, find "exec-oob" members with
        | None, None -> Ok None
        | _, Some _ when not allowsOob -> unexpected "exec-oob"
        | Some execute, None ->
            asString "execute" execute
            |> Result.map (fun command -> Some(struct (command, false)))
        | None, Some execOob ->
            asString "exec-oob" execOob
            |> Result.map (fun command -> Some(struct (command, true)))
        | Some execute, Some execOob ->
            result {
                let! _ = asString "exec-oob" execOob
                let! _ = asString "execute" execute
                return! QapiError.fail "QMP input member 'execute' clashes with 'exec-oob'"
            }

    let private decodeArguments members =
        match find "arguments" members with
        | None -> Ok []
        | Some(Json.Object arguments) -> Ok arguments
        | Some _ -> QapiError.fail "QMP input member 'arguments' must be an object"

    let private checkMembers members =
        let isKnown (name, _) =
            match name with
            | "execute"
            | "exec-oob"
            | "arguments"
            | "id" -> true
            | _ -> false

        match List.tryFind (isKnown >> not) members with
        | Some(name, _) -> unexpected name
        | None -> Ok()

    let private decodeObject allowsOob members id =
        result {
            let! command = decodeCommand allowsOob members
            let! arguments = decodeArguments members
            do! checkMembers members

            match command with
            | None -> return! QapiError.fail "QMP input lacks member 'execute'"
            | Some(struct (command, isOutOfBand)) ->
                let request = { Command = command; Arguments = arguments; Id = id }

                return if isOutOfBand then OutOfBand request else InBand request
        }

    /// Decodes a message. `allowsOob` says whether the client enabled the capability `oob`.
    let internal decode allowsOob (input: Json) : Message =
        match input with
        | Json.Object members ->
            let id = find "id" members

            match decodeObject allowsOob members id with
            | Ok message -> message
            | Error error -> Malformed(id, error)
        | _ -> Malformed(None, QapiError.generic "QMP input must be a JSON object")

    /// The reply to a command that succeeded.
    let success (id: Json option) (value: Json) : Json =
        match id with
        | None -> Json.Object [ "return", value ]
        | Some id -> Json.Object [ "return", value; "id", id ]

    /// The reply to a command that failed, with the real daemon's order of members.
    let failure (id: Json option) (error: QapiError) : Json =
        let body =
            Json.Object [
                "class", Json.String(QapiError.className error)
                "desc", Json.String error.Desc
            ]

        match id with
        | None -> Json.Object [ "error", body ]
        | Some id -> Json.Object [ "id", id; "error", body ]

    /// An event. The time is the host's, since the epoch.
    let event (name: string) (data: Json option) (seconds: int64) (microseconds: int64) : Json =
        let timestamp =
            "timestamp", Json.Object [ "seconds", Json.Int seconds; "microseconds", Json.Int microseconds ]

        match data with
        | None -> Json.Object [ timestamp; "event", Json.String name ]
        | Some data -> Json.Object [ timestamp; "event", Json.String name; "data", data ]

    /// What `query-version` answers and the greeting holds: the version of QEMU whose behaviour this is.
    let version (package: string) : Json =
        let qemu = Json.Object [ "major", Json.Int 10L; "minor", Json.Int 0L; "micro", Json.Int 2L ]
        Json.Object [ "qemu", qemu; "package", Json.String package ]

    /// The first message of a session.
    let greeting (package: string) (offersOob: bool) : Json =
        let capabilities = if offersOob then [ Json.String "oob" ] else []

        Json.Object [
            "QMP", Json.Object [ "version", version package; "capabilities", Json.List capabilities ]
        ]
