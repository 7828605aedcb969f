namespace StorageDaemon.Core.Qom

open System
open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

/// The `authz-simple` object: lets one identity in.
type AuthzSimple = { Identity: string }

/// The `authz-list` object: the first rule that fits decides, else the policy.
type AuthzList = { Policy: AuthzPolicy; Rules: AuthzRule list }

/// The `authz-list-file` object.
type AuthzListFile = {
    Filename: string
    /// Read again when it changes.
    Refresh: bool
    /// What the file says; none when it could not be understood: then nobody is let in.
    List: AuthzList option
}

module AuthzSimple =
    let class': ObjectClass<AuthzSimple> = {
        Name = "authz-simple"
        Parent = "authz"
        Interfaces = []
        Inherited = []
        Own = [
            Property.make "identity" "string" Codec.str _.Identity (fun value _ -> Ok { Identity = value })
        ]
    }

    let isAllowed (simple: AuthzSimple) (identity: string) =
        String.Equals(simple.Identity, identity, StringComparison.Ordinal)

module AuthzList =
    let class': ObjectClass<AuthzList> = {
        Name = "authz-list"
        Parent = "authz"
        Interfaces = []
        Inherited = []
        Own = [
            Property.make "policy" "QAuthZListPolicy" AuthzCodecs.policy _.Policy (fun value list ->
                Ok { list with Policy = value })
            Property.make "rules" "QAuthZListRule" AuthzCodecs.rules _.Rules (fun value list ->
                Ok { list with Rules = value })
        ]
    }

    let create (given: AuthzListProperties) : AuthzList = {
        Policy = defaultArg given.Policy AuthzPolicy.Deny
        Rules = defaultArg given.Rules []
    }

    let private fits (identity: string) (rule: AuthzRule) =
        match defaultArg rule.Format AuthzFormat.Exact with
        | AuthzFormat.Exact -> String.Equals(rule.Match, identity, StringComparison.Ordinal)
        | AuthzFormat.Glob -> Glob.isMatch rule.Match identity

    let isAllowed (list: AuthzList) (identity: string) =
        let policy =
            match list.Rules |> List.tryFind (fits identity) with
            | Some rule -> rule.Policy
            | None -> list.Policy

        policy = AuthzPolicy.Allow

module AuthzListFile =
    /// The longest file in bytes.
    [<Literal>]
    let MaxBytes = 0x1000000

    let private settled (name: string) _ _ =
        QapiError.fail ("Property 'authz-list-file." + name + "' is not writable")

    /// Which file is read, and whether it is watched, is settled when the object is made.
    let class': ObjectClass<AuthzListFile> = {
        Name = "authz-list-file"
        Parent = "authz"
        Interfaces = []
        Inherited = []
        Own = [
            Property.make "filename" "string" Codec.str _.Filename (settled "filename")
            Property.make "refresh" "bool" Codec.bool _.Refresh (settled "refresh")
        ]
    }

    let create (given: AuthzListFileProperties) : AuthzListFile = {
        Filename = given.Filename
        Refresh = defaultArg given.Refresh true
        List = None
    }

    /// Understands the content of a file: one JSON object with the members of `AuthZListProperties`.
    let parse (filename: string) (content: byte array) : Result<AuthzList, QapiError> =
        let described: Result<AuthzList, QapiError> =
            if content.Length > MaxBytes then
                QapiError.fail "the file is too long"
            else
                match JsonDocument.parse content with
                | Error(_, error) -> Error error
                | Ok(Object members) ->
                    StructCodec.decode Dialect.Json AuthzCodecs.listProperties members
                    |> Result.map AuthzList.create
                | Ok _ -> QapiError.fail "a JSON object is expected"

        described
        |> Result.mapError (QapiError.prepend ("Unable to parse '" + filename + "': "))
