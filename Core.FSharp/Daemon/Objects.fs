namespace StorageDaemon.Core.Daemon

open System
open StorageDaemon.Core
open StorageDaemon.Core.Json
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
        if id = "type" || state.Iothreads.ContainsKey id then
            QapiError.fail ("attempt to add duplicate property '" + id + "' to object (type 'container')")
        else
            Ok()

    let add (state: State) (options: ObjectOptions) : Transition =
        let created =
            result {
                match options.QomType with
                | ObjectBranch.Unavailable branch -> return! QapiError.fail ("invalid object type: " + branch.Tag)
                | ObjectBranch.Iothread properties ->
                    do! checkId options.Id
                    let! iothread = Iothread.create (given properties)
                    do! checkFree state options.Id
                    return! Iothread.checkPool iothread
            }

        Transition.bind state created (fun iothread ->
            Transition.wait state (StartIothread(options.Id, iothread)) (IothreadStarted(options.Id, iothread)))

    let started (state: State) id iothread (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> Transition.fail state error
        | _ -> Transition.ok { state with Iothreads = state.Iothreads.Add(id, iothread) } []

    /// An object in use stays; the real daemon lets it go and may then abort.
    let private isUsed (state: State) id =
        state.Exports |> Map.exists (fun _ export -> List.contains id export.Iothreads)

    let delete (state: State) (arguments: ObjectDel) : Transition =
        let id = arguments.Id

        if not (state.Iothreads.ContainsKey id) then
            Transition.fail state (QapiError.generic ("object '" + id + "' not found"))
        elif isUsed state id then
            Transition.fail state (QapiError.generic ("object '" + id + "' is in use, can not be deleted"))
        else
            Transition.ok { state with Iothreads = state.Iothreads.Remove id } [ StopIothread id ]

    let private tree (state: State) (chardevs: ChardevInfo list) : QomTree =
        let connected =
            chardevs
            |> List.filter (fun info -> not (info.Filename.StartsWith("disconnected:", StringComparison.Ordinal)))
            |> List.map _.Label
            |> Set.ofList

        {
            Objects = state.Iothreads
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

    /// `QAPI SocketAddress` of a socket chardev.
    let private chardevAddress (state: State) id : Json =
        match state.Chardevs.TryFind id with
        | Some { Backend = ChardevBackend.Socket socket } ->
            Object(StructCodec.encode SocketCodecs.socketAddress socket.Addr)
        | _ -> Null

    let described (state: State) (arguments: QomGet) (chardevs: ChardevInfo list) : Transition =
        QomTree.get (tree state chardevs) (chardevAddress state) arguments.Path arguments.Property
        |> Transition.finished state []

    let set (state: State) (arguments: QomSet) : Transition =
        Transition.bind
            state
            (QomTree.set (tree state []) arguments.Path arguments.Property arguments.Value)
            (fun (id, iothread) ->
                Transition.ok { state with Iothreads = state.Iothreads.Add(id, iothread) } [
                    TuneIothread(id, iothread)
                ])

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
