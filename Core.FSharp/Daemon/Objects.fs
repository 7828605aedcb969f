namespace StorageDaemon.Core.Daemon

open System
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qom

/// object-add, object-del and the qom-* commands.
module Objects =
    let private checkId id =
        if Identifier.isWellFormed id then
            Ok()
        else
            Error(Identifier.error "id")

    /// An object stands in its container as a property of its id, beside the property "type".
    let private checkFree (state: State) id =
        if id = "type" || state.Objects.ContainsKey id then
            QapiError.fail ("attempt to add duplicate property '" + id + "' to object (type 'container')")
        else
            Ok()

    /// There is one main loop.
    let private checkAlone (state: State) (object: UserObject) =
        let isMainLoop _ (other: UserObject) = other.IsMainLoop

        if object.IsMainLoop && Map.exists isMainLoop state.Objects then
            QapiError.fail "only one main-loop instance allowed"
        else
            Ok()

    /// The secret that is the key of a new one.
    let private masterOf (state: State) (id: string) (keyId: string) : Result<string, QapiError> =
        match state.Objects.TryFind keyId with
        | Some(UserObject.Secret _)
        | Some(UserObject.SecretKeyring _) -> Ok keyId
        | Some _ -> QapiError.fail ("Object with id '" + keyId + "' is not a secret")
        | None when keyId = id -> QapiError.fail ("Secret with id '" + id + "' has no data")
        | None -> QapiError.fail ("No secret with id '" + keyId + "'")

    let private loadSecret (state: State) id (secret: Secret) (source: SecretSource) : Call =
        LoadSecret(
            id,
            {
                Source = source
                Format = secret.Format
                Master = secret.KeyId |> Option.map (masterOf state id)
                Iv = secret.Iv
            }
        )

    /// What brings a new object to life.
    let private callFor (state: State) id (branch: ObjectBranch) (object: UserObject) : Result<Call, QapiError> =
        match branch, object with
        | ObjectBranch.Secret given, UserObject.Secret secret ->
            Secret.source given |> Result.map (loadSecret state id secret)
        | _, UserObject.SecretKeyring secret ->
            Ok(loadSecret state id secret.Common (SecretSource.Keyring secret.Serial))
        | _ -> Ok(StartObject(id, object))

    let add (state: State) (options: ObjectOptions) : Transition =
        let created =
            result {
                match options.QomType with
                | ObjectBranch.Unavailable _ ->
                    let! object = UserObject.create options.QomType
                    return object, StartObject(options.Id, object)
                | branch ->
                    do! checkId options.Id
                    let! object = UserObject.create branch
                    do! checkFree state options.Id
                    let! object = UserObject.check object
                    do! checkAlone state object
                    let! call = callFor state options.Id branch object
                    return object, call
            }

        Transition.bind state created (fun (object, call) ->
            Transition.wait state call (ObjectStarted(options.Id, object)))

    let private withGroup (id: string) (settings: ThrottleSettings) (graph: Graph) : Graph =
        let limiting = Throttle.isLimiting (ThrottleGroup.limits settings)

        {
            graph with
                ThrottleGroups = graph.ThrottleGroups.Add(id, limiting)
        }

    /// The names that nodes may refer to stand in the graph.
    let private announce (id: string) (object: UserObject) (graph: Graph) : Graph =
        let known = {
            graph with
                PrManagers = graph.PrManagers.Add(id, object.IsPrManagerHelper)
        }

        match object with
        | UserObject.ThrottleGroup settings -> withGroup id settings known
        | _ -> known

    let private withdraw (id: string) (graph: Graph) : Graph = {
        graph with
            PrManagers = graph.PrManagers.Remove id
            ThrottleGroups = graph.ThrottleGroups.Remove id
    }

    /// The object as it lives.
    let private settled (object: UserObject) (answer: Answer) : Result<UserObject, QapiError> =
        match object, answer with
        | _, Answer.Refused error -> Error error
        | UserObject.ThreadContext thread, ThreadPlaced(threadId, cpus) ->
            Ok(UserObject.ThreadContext { thread with ThreadId = threadId; Cpus = cpus })
        | UserObject.AuthzListFile file, Bytes content ->
            AuthzListFile.parse file.Filename content
            |> Result.map (fun list -> UserObject.AuthzListFile { file with List = Some list })
        | _ -> Ok object

    let private statusChanged id connected =
        let data = StructCodec.encode Events.prManagerStatusChanged.Data { Id = id; Connected = connected }

        Emit(Events.prManagerStatusChanged.Name, data)

    let started (state: State) id (object: UserObject) (answer: Answer) : Transition =
        match settled object answer, answer with
        | Error error, Answer.Refused _ -> Transition.fail state error
        // It lives, but cannot be used.
        | Error error, _ -> Transition.finished state [ StopObject(id, object) ] (Error error)
        | Ok object, _ ->
            Transition.ok
                {
                    state with
                        Objects = state.Objects.Add(id, object)
                        Graph = announce id object state.Graph
                }
                [
                    if object.IsPrManagerHelper then
                        statusChanged id true
                ]

    /// An object in use stays; the real daemon lets some go and may then abort.
    let private isUsed (state: State) id (object: UserObject) =
        let isNamed (nameOf: Driver -> string option) =
            state.Graph.Nodes |> Map.exists (fun _ node -> nameOf node.Driver = Some id)

        match object with
        | UserObject.Iothread _ -> state.Exports |> Map.exists (fun _ export -> List.contains id export.Iothreads)
        | UserObject.MainLoop _ -> true
        | UserObject.PrManagerHelper _ -> isNamed Driver.prManager
        | UserObject.ThrottleGroup _ -> isNamed Driver.throttleGroup
        | _ -> false

    let delete (state: State) (arguments: ObjectDel) : Transition =
        let id = arguments.Id

        match state.Objects.TryFind id with
        | None -> Transition.fail state (QapiError.generic ("object '" + id + "' not found"))
        | Some object when isUsed state id object ->
            Transition.fail state (QapiError.generic ("object '" + id + "' is in use, can not be deleted"))
        | Some object ->
            Transition.ok
                {
                    state with
                        Objects = state.Objects.Remove id
                        Graph = withdraw id state.Graph
                }
                [ StopObject(id, object) ]

    let private tree (state: State) (chardevs: ChardevStatus list) : QomTree =
        let connected = chardevs |> List.filter _.Connected |> List.map _.Info.Label |> Set.ofList

        {
            Objects = state.Objects
            Chardevs =
                state.Chardevs
                |> Map.map (fun id chardev -> ChardevObject(id, chardev.TypeName, connected.Contains id))
        }

    let private propertyInfo (name, typeName) : ObjectPropertyInfo = {
        Name = name
        Type = typeName
        Description = None
        DefaultValue = None
    }

    let list (state: State) (arguments: QomList) : Transition =
        Transition.bind state (QomTree.list (tree state []) arguments.Path) (fun properties ->
            properties
            |> List.map propertyInfo
            |> Command.encodeReturn Commands.qomList
            |> Transition.value state)

    let get (state: State) (arguments: QomGet) : Transition =
        Transition.wait state DescribeChardevs (QomChardevsDescribed arguments)

    /// `QAPI SocketAddress` of a socket chardev: where it listens, or what it connects to.
    let private chardevAddress (state: State) (chardevs: ChardevStatus list) id : Json =
        let bound =
            chardevs
            |> List.tryFind (fun status -> status.Info.Label = id)
            |> Option.bind _.Bound

        match state.Chardevs.TryFind id with
        | Some { Backend = ChardevBackend.Socket socket } ->
            Object(StructCodec.encode SocketCodecs.socketAddress (Option.defaultValue socket.Addr bound))
        | _ -> Json.Null

    let described (state: State) (arguments: QomGet) (chardevs: ChardevStatus list) : Transition =
        QomTree.get (tree state chardevs) (chardevAddress state chardevs) arguments.Path arguments.Property
        |> Transition.finished state []

    /// New limits of a throttle group. A group that begins or ends to limit anything changes the paths of its nodes.
    let private tuneGroup (state: State) (id: string) (settings: ThrottleSettings) : Transition =
        let object = UserObject.ThrottleGroup settings
        let next = { state with Objects = state.Objects.Add(id, object) }
        let graph = withGroup id settings state.Graph

        if graph.ThrottleGroups[id] = state.Graph.ThrottleGroups[id] then
            Transition.ok next [ TuneObject(id, object) ]
        else
            let members =
                graph.Nodes
                |> Map.toList
                |> List.filter (fun (_, node) -> Driver.throttleGroup node.Driver = Some id)
                |> List.map fst

            Changes.run next { GraphChange.ofGraph graph with Touched = members }
            |> Transition.after [ TuneObject(id, object) ]

    let set (state: State) (arguments: QomSet) : Transition =
        Transition.bind
            state
            (QomTree.set (tree state []) arguments.Path arguments.Property arguments.Value)
            (fun (id, object) ->
                match object with
                | UserObject.ThreadContext { Wanted = Some wanted } ->
                    Transition.wait state (PlaceThread(id, wanted)) (ObjectMoved(id, object))
                | UserObject.ThrottleGroup settings -> tuneGroup state id settings
                | _ -> Transition.ok { state with Objects = state.Objects.Add(id, object) } [ TuneObject(id, object) ])

    /// The thread of an object runs elsewhere, or could not be moved.
    let moved (state: State) id (object: UserObject) (answer: Answer) : Transition =
        Transition.bind state (settled object answer) (fun object ->
            Transition.ok { state with Objects = state.Objects.Add(id, object) } [])

    /// The file of an `authz-list-file` object was read again. One that cannot be understood lets nobody in until it
    /// is read with success, as QEMU documents.
    let authzFileRead (state: State) (id: string) (content: Result<byte array, string>) : Transition =
        match state.Objects.TryFind id with
        | Some(UserObject.AuthzListFile file) ->
            let list =
                content
                |> Result.mapError QapiError.generic
                |> Result.bind (AuthzListFile.parse file.Filename)

            let next = UserObject.AuthzListFile { file with List = Result.toOption list }

            let warnings =
                match list with
                | Ok _ -> []
                | Error error -> [ Warn("object '" + id + "' lets nobody in: " + error.Desc) ]

            Transition.ok { state with Objects = state.Objects.Add(id, next) } warnings
        | _ -> Transition.ok state []

    let listTypes (state: State) (arguments: QomListTypes) : Transition =
        TypeTable.list arguments.Implements (arguments.Abstract = Some true)
        |> List.map (fun t ->
            {
                Name = t.Name
                Abstract = if t.Abstract then Some true else None
                Parent = t.Parent
            }
            : ObjectTypeInfo)
        |> Command.encodeReturn Commands.qomListTypes
        |> Transition.value state

    let listProperties (state: State) (arguments: QomListProperties) : Transition =
        Transition.bind state (TypeTable.describe arguments.Typename) (fun properties ->
            properties
            |> List.map propertyInfo
            |> Command.encodeReturn Commands.qomListProperties
            |> Transition.value state)
