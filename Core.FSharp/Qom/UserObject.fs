namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

/// An object that users make (object-add), with its settings.
[<RequireQualifiedAccess; NoComparison>]
type UserObject =
    | Iothread of Iothread
    | ThrottleGroup of ThrottleSettings

/// What the object tree shows of an object, and what it lets users change.
module UserObject =
    /// The name of its type in the tree.
    let typeName (object: UserObject) =
        match object with
        | UserObject.Iothread _ -> "iothread"
        | UserObject.ThrottleGroup _ -> "throttle-group"

    let private legacyName (name: string) =
        if name.StartsWith("x-", System.StringComparison.Ordinal) then
            name.Substring 2
        else
            ""

    let private limitsJson (settings: ThrottleSettings) : Json =
        ThrottleGroup.names |> List.map (fun name -> name, Int settings[name]) |> Object

    /// A property's value; nothing if there is no such property.
    let tryGet (name: string) (object: UserObject) : Json option =
        match object with
        | UserObject.Iothread iothread -> Iothread.tryGet name iothread |> Option.map Int
        | UserObject.ThrottleGroup settings ->
            if name = "limits" then
                Some(limitsJson settings)
            else
                settings.TryFind(legacyName name) |> Option.map Int

    let private wrongType (name: string) (expected: string) =
        QapiError.fail ("Invalid parameter type for '" + name + "', expected: " + expected)

    let private decodeLimits (value: Json) : Result<Map<string, int64>, QapiError> =
        let place = Place.memberOf (Place.root Dialect.Json) "limits"
        (StructCodec.codec ObjectCodecs.throttleLimits).Decode place value

    /// Sets a property that exists.
    let set (name: string) (value: Json) (object: UserObject) : Result<UserObject, QapiError> =
        match object, value with
        | UserObject.Iothread iothread, Int number ->
            Iothread.set name number iothread |> Result.map UserObject.Iothread
        | UserObject.Iothread _, _ -> wrongType name "integer"
        | UserObject.ThrottleGroup settings, _ when name = "limits" ->
            decodeLimits value
            |> Result.bind (fun limits -> ThrottleGroup.merge limits settings)
            |> Result.map UserObject.ThrottleGroup
        | UserObject.ThrottleGroup _, _ -> QapiError.fail "Property cannot be set after initialization"
