namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

/// An object that users make (object-add), with its settings.
[<RequireQualifiedAccess; NoComparison>]
type UserObject =
    | AuthzList of AuthzList
    | AuthzListFile of AuthzListFile
    | AuthzSimple of AuthzSimple
    | Iothread of Iothread
    | MainLoop of EventLoop
    | PrManagerHelper of PrManagerHelper
    | Secret of Secret
    | SecretKeyring of SecretKeyring
    | ThreadContext of ThreadContext
    | ThrottleGroup of ThrottleSettings

/// What may be done with one property of an object.
[<NoComparison; NoEquality>]
type PropertyAccess = {
    /// Its value; none if it cannot be read.
    Value: Json option
    /// Gives the object with another value; none if it cannot be set.
    Set: (Json -> Result<UserObject, QapiError>) option
}

/// An object as its class sees it.
[<NoComparison; NoEquality>]
type private ObjectView = {
    TypeName: string
    TryFind: string -> PropertyAccess option
}

/// What the object tree shows of an object, and what it lets users change.
module UserObject =
    let private view (class': ObjectClass<'S>) (settings: 'S) (wrap: 'S -> UserObject) : ObjectView =
        let access (property: Property<'S>) = {
            Value = property.Get |> Option.map (fun get -> get settings)
            Set =
                property.Set
                |> Option.map (fun set json -> set json settings |> Result.map wrap)
        }

        {
            TypeName = class'.Name
            TryFind =
                fun name ->
                    class'.Inherited @ class'.Own
                    |> List.tryFind (fun property -> property.Name = name)
                    |> Option.map access
        }

    let private viewOf (object: UserObject) : ObjectView =
        match object with
        | UserObject.AuthzList list -> view AuthzList.class' list UserObject.AuthzList
        | UserObject.AuthzListFile file -> view AuthzListFile.class' file UserObject.AuthzListFile
        | UserObject.AuthzSimple simple -> view AuthzSimple.class' simple UserObject.AuthzSimple
        | UserObject.Iothread iothread -> view Iothread.class' iothread UserObject.Iothread
        | UserObject.MainLoop loop -> view MainLoop.class' loop UserObject.MainLoop
        | UserObject.PrManagerHelper helper -> view PrManagerHelper.class' helper UserObject.PrManagerHelper
        | UserObject.Secret secret -> view Secret.class' secret UserObject.Secret
        | UserObject.SecretKeyring secret -> view SecretKeyring.class' secret UserObject.SecretKeyring
        | UserObject.ThreadContext thread -> view ThreadContext.class' thread UserObject.ThreadContext
        | UserObject.ThrottleGroup settings -> view ThrottleGroup.class' settings UserObject.ThrottleGroup

    /// The name of its type in the tree.
    let typeName (object: UserObject) = (viewOf object).TypeName

    /// A property; nothing if there is none of that name.
    let property (name: string) (object: UserObject) : PropertyAccess option = (viewOf object).TryFind name

    /// A property's value; nothing if there is no such property, or it cannot be read.
    let tryGet (name: string) (object: UserObject) : Json option =
        property name object |> Option.bind _.Value

    /// A new object with its properties set, before it has a place in the tree.
    let create (branch: ObjectBranch) : Result<UserObject, QapiError> =
        match branch with
        | ObjectBranch.AuthzList given -> Ok(UserObject.AuthzList(AuthzList.create given))
        | ObjectBranch.AuthzListFile(_, given) -> Ok(UserObject.AuthzListFile(AuthzListFile.create given))
        | ObjectBranch.AuthzSimple given -> Ok(UserObject.AuthzSimple { Identity = given.Identity })
        | ObjectBranch.Iothread given -> Iothread.create given |> Result.map UserObject.Iothread
        | ObjectBranch.MainLoop given -> MainLoop.create given |> Result.map UserObject.MainLoop
        | ObjectBranch.PrManagerHelper given -> Ok(UserObject.PrManagerHelper { Path = given.Path })
        | ObjectBranch.Secret given -> Ok(UserObject.Secret(Secret.create given))
        | ObjectBranch.SecretKeyring given -> SecretKeyring.create given |> Result.map UserObject.SecretKeyring
        | ObjectBranch.ThreadContext given -> ThreadContext.create given |> Result.map UserObject.ThreadContext
        | ObjectBranch.ThrottleGroup given ->
            ThrottleGroup.create given.Legacy given.Limits
            |> Result.map UserObject.ThrottleGroup
        | ObjectBranch.Unavailable branch -> QapiError.fail ("invalid object type: " + branch.Tag)

    /// What is checked of the settings once the object has its place.
    let check (object: UserObject) : Result<UserObject, QapiError> =
        match object with
        | UserObject.Iothread iothread -> Iothread.check iothread |> Result.map UserObject.Iothread
        | UserObject.MainLoop loop -> EventLoop.checkPool loop |> Result.map UserObject.MainLoop
        | UserObject.ThrottleGroup settings -> ThrottleGroup.check settings |> Result.map UserObject.ThrottleGroup
        | other -> Ok other

/// Whom objects let in.
module Authz =
    /// Whether an object lets a client of this identity in. One that is not made for that lets nobody in.
    let isAllowed (object: UserObject) (identity: string) : bool =
        match object with
        | UserObject.AuthzSimple simple -> AuthzSimple.isAllowed simple identity
        | UserObject.AuthzList list
        | UserObject.AuthzListFile { List = Some list } -> AuthzList.isAllowed list identity
        | _ -> false
