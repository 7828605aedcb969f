namespace StorageDaemon.Core.Qom

open System
open StorageDaemon.Core
open StorageDaemon.Core.Json

/// What stands at a path of the object tree.
[<NoComparison>]
type QomObject =
    | Root
    /// "/objects", "/chardevs" and "/backend".
    | Container of name: string
    | UserObject of id: string * UserObject
    /// A character device: its id, its type, and for a socket whether somebody is connected.
    | ChardevObject of id: string * typename: string * connected: bool

/// The object tree as `qom-list`, `qom-get` and `qom-set` see it. It is not stored: it is a view of the daemon's state.
[<NoComparison>]
type QomTree = {
    Objects: Map<string, UserObject>
    Chardevs: Map<string, QomObject>
}

module QomTree =
    let private containers = [ "backend"; "objects"; "chardevs" ]

    let private typeName target =
        match target with
        | Root
        | Container _ -> "container"
        | UserObject(_, object) -> UserObject.typeName object
        | ChardevObject(_, typename, _) -> typename

    let private children (tree: QomTree) target =
        match target with
        | Root -> containers |> List.map (fun name -> name, Container name)
        | Container "objects" ->
            tree.Objects
            |> Map.toList
            |> List.map (fun (id, object) -> id, UserObject(id, object))
        | Container "chardevs" -> Map.toList tree.Chardevs
        | _ -> []

    let private child (tree: QomTree) name target =
        match target with
        | Root when List.contains name containers -> Some(Container name)
        | Container "objects" -> tree.Objects.TryFind name |> Option.map (fun object -> UserObject(name, object))
        | Container "chardevs" -> tree.Chardevs.TryFind name
        | _ -> None

    let rec private descend tree (parts: string list) target =
        match parts with
        | [] -> Some target
        | name :: rest -> child tree name target |> Option.bind (descend tree rest)

    /// The places where a partial path may begin: all that have children.
    let private starts = Root :: List.map Container containers

    /// All objects at a path, absolute or partial. No part at all, without a slash, fits everywhere.
    let private candidates tree (path: string) =
        let parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

        if path.StartsWith '/' then
            descend tree parts Root |> Option.toList
        else
            starts |> List.choose (descend tree parts)

    let private notFound path =
        Error(QapiError.ofClass DeviceNotFound ("Device '" + path + "' not found"))

    /// Resolves an absolute path, or a partial one that fits exactly one place.
    let resolve (tree: QomTree) (path: string) : Result<QomObject, QapiError> =
        match candidates tree path with
        | [ target ] -> Ok target
        | _ -> notFound path

    /// `qom-list`: the properties and children of an object, name and type.
    let list tree path : Result<(string * string) list, QapiError> =
        let target =
            match candidates tree path with
            | _ :: _ :: _ -> QapiError.fail ("Path '" + path + "' is ambiguous")
            | _ -> resolve tree path

        target
        |> Result.map (fun target ->
            let own = TypeTable.properties (typeName target)

            let nested =
                children tree target
                |> List.map (fun (name, c) -> name, "child<" + typeName c + ">")

            own @ nested)

    let private noProperty target name =
        QapiError.fail ("Property '" + typeName target + "." + name + "' not found")

    let private notReadable target name =
        QapiError.fail ("Property '" + typeName target + "." + name + "' is not readable")

    /// `qom-get`. `chardevAddress` is asked for the address of a socket.
    let get (tree: QomTree) (chardevAddress: string -> Json) (path: string) (name: string) : Result<Json, QapiError> =
        resolve tree path
        |> Result.bind (fun target ->
            match target, name with
            | _, "type" -> Ok(String(typeName target))
            | UserObject(_, object), _ ->
                match UserObject.property name object with
                | Some { Value = Some value } -> Ok value
                | Some _ -> notReadable target name
                | None -> noProperty target name
            | ChardevObject(_, "chardev-socket", connected), "connected" -> Ok(Bool connected)
            | ChardevObject(id, "chardev-socket", _), "addr" -> Ok(chardevAddress id)
            | Root, _ when List.contains name containers -> Ok(String("/" + name))
            | Container container, _ when (child tree name target).IsSome -> Ok(String("/" + container + "/" + name))
            | _ -> noProperty target name)

    let private notWritable target name =
        QapiError.fail ("Property '" + typeName target + "." + name + "' is not writable")

    let private exists tree target name =
        TypeTable.properties (typeName target) |> List.exists (fun (n, _) -> n = name)
        || (child tree name target).IsSome

    /// `qom-set`: the object's id and its new state.
    let set (tree: QomTree) path name (value: Json) : Result<string * UserObject, QapiError> =
        resolve tree path
        |> Result.bind (fun target ->
            let access =
                match target with
                | UserObject(id, object) ->
                    UserObject.property name object
                    |> Option.bind _.Set
                    |> Option.map (fun set -> id, set)
                | _ -> None

            match access with
            | Some(id, set) -> set value |> Result.map (fun next -> id, next)
            | None when exists tree target name -> notWritable target name
            | _ -> noProperty target name)
