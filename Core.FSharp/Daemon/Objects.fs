namespace StorageDaemon.Core.Daemon

open System
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qom

/// object-add, object-del and the qom-* commands.
module Objects =
    let private given (o: IothreadProperties) =
        [
            "aio-max-batch", o.AioMaxBatch
            "thread-pool-min", o.ThreadPoolMin
            "thread-pool-max", o.ThreadPoolMax
            "poll-max-ns", o.PollMaxNs
            "poll-grow", o.PollGrow
            "poll-shrink", o.PollShrink
        ]
        |> List.choose (fun (name, value) -> value |> Option.map (fun v -> name, v))

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

    /// The object with its properties set, before it has a place in the tree.
    let private build (branch: ObjectBranch) : Result<UserObject, QapiError> =
        match branch with
        | ObjectBranch.Unavailable branch -> QapiError.fail ("invalid object type: " + branch.Tag)
        | ObjectBranch.Iothread properties -> Iothread.create (given properties) |> Result.map UserObject.Iothread
        | ObjectBranch.ThrottleGroup properties ->
            ThrottleGroup.create properties.Legacy properties.Limits
            |> Result.map UserObject.ThrottleGroup

    /// What is checked once the object has its place.
    let private complete (object: UserObject) : Result<UserObject, QapiError> =
        match object with
        | UserObject.Iothread iothread -> Iothread.checkPool iothread |> Result.map UserObject.Iothread
        | UserObject.ThrottleGroup settings -> ThrottleGroup.check settings |> Result.map UserObject.ThrottleGroup

    let add (state: State) (options: ObjectOptions) : Transition =
        let created =
            result {
                match options.QomType with
                | ObjectBranch.Unavailable _ -> return! build options.QomType
                | branch ->
                    do! checkId options.Id
                    let! object = build branch
                    do! checkFree state options.Id
                    return! complete object
            }

        Transition.bind state created (fun object ->
            Transition.wait state (StartObject(options.Id, object)) (ObjectStarted(options.Id, object)))

    /// The names that nodes may refer to stand in the graph.
    let private announce (id: string) (object: UserObject) (isThere: bool) (graph: Graph) : Graph =
        match object with
        | UserObject.ThrottleGroup _ when isThere -> { graph with ThrottleGroups = graph.ThrottleGroups.Add id }
        | UserObject.ThrottleGroup _ -> {
            graph with
                ThrottleGroups = graph.ThrottleGroups.Remove id
          }
        | UserObject.Iothread _ -> graph

    let started (state: State) id (object: UserObject) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> Transition.fail state error
        | _ ->
            Transition.ok
                {
                    state with
                        Objects = state.Objects.Add(id, object)
                        Graph = announce id object true state.Graph
                }
                []

    /// An object in use stays; the real daemon lets some go and may then abort.
    let private isUsed (state: State) id (object: UserObject) =
        match object with
        | UserObject.Iothread _ -> state.Exports |> Map.exists (fun _ export -> List.contains id export.Iothreads)
        | UserObject.ThrottleGroup _ ->
            state.Graph.Nodes
            |> Map.exists (fun _ node -> Driver.throttleGroup node.Driver = Some id)

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
                        Graph = announce id object false state.Graph
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

    let set (state: State) (arguments: QomSet) : Transition =
        Transition.bind
            state
            (QomTree.set (tree state []) arguments.Path arguments.Property arguments.Value)
            (fun (id, object) ->
                Transition.ok { state with Objects = state.Objects.Add(id, object) } [ TuneObject(id, object) ])

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
