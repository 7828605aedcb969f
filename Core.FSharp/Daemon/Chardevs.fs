namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Chardev
open StorageDaemon.Core.Qapi

/// chardev-add, -remove, -change, the queries, and monitors (`--monitor`).
module Chardevs =
    let private typeName (backend: ChardevBackend) =
        match backend with
        | ChardevBackend.File _ -> "chardev-file"
        | ChardevBackend.Socket _ -> "chardev-socket"
        | ChardevBackend.Pty _ -> "chardev-pty"
        | ChardevBackend.Null _ -> "chardev-null"
        | ChardevBackend.Stdio _ -> "chardev-stdio"
        | ChardevBackend.Unavailable branch -> "chardev-" + branch.Tag

    let private checkBackend (backend: ChardevBackend) =
        match backend with
        | ChardevBackend.Unavailable branch -> Error(ChardevOptions.unknownType branch.Tag)
        | ChardevBackend.Socket { TlsCreds = Some creds } ->
            QapiError.fail ("No TLS credentials with id '" + creds + "'")
        | ChardevBackend.Socket socket -> ChardevOptions.validateSocket socket
        | _ -> Ok()

    let private inContext id (error: QapiError) =
        QapiError.prepend ("Failed to add chardev '" + id + "': ") error

    /// A character device stands in its container as a property of its id, beside the property "type".
    let private checkFree (state: State) id =
        if id = "type" || state.Chardevs.ContainsKey id then
            QapiError.fail ("attempt to add duplicate property '" + id + "' to object (type 'container')")
        else
            Ok()

    let private check (state: State) (arguments: ChardevAdd) =
        checkBackend arguments.Backend
        |> Result.bind (fun () -> checkFree state arguments.Id)

    let private open' (state: State) (arguments: ChardevAdd) named : Transition =
        Transition.wait
            state
            (OpenChardev(arguments.Id, arguments.Backend))
            (ChardevIsOpen(arguments.Id, arguments.Backend, named))

    /// `chardev-add`: errors name the device.
    let add (state: State) (arguments: ChardevAdd) : Transition =
        let checkedArguments =
            if state.Chardevs.ContainsKey arguments.Id then
                QapiError.fail ("Chardev with id '" + arguments.Id + "' already exists")
            else
                check state arguments |> Result.mapError (inContext arguments.Id)

        Transition.bind state checkedArguments (fun () -> open' state arguments true)

    /// `--chardev`: bare errors.
    let addFromOption (state: State) (arguments: ChardevAdd) : Transition =
        Transition.bind state (check state arguments) (fun () -> open' state arguments false)

    /// A device that was opened, or took another one's place.
    let opened (state: State) id backend named (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> Transition.fail state (if named then inContext id error else error)
        | ChardevOpened returned ->
            Transition.value
                {
                    state with
                        Chardevs =
                            state.Chardevs.Add(
                                id,
                                {
                                    TypeName = typeName backend
                                    Backend = backend
                                    Busy = false
                                }
                            )
                }
                (Command.encodeReturn Commands.chardevAdd returned)
        | _ -> Transition.fail state (QapiError.generic "Internal error: unexpected answer")

    let remove (state: State) (arguments: ChardevRemove) : Transition =
        match state.Chardevs.TryFind arguments.Id with
        | None -> Transition.fail state (QapiError.generic ("Chardev '" + arguments.Id + "' not found"))
        | Some { Busy = true } -> Transition.fail state (QapiError.generic ("Chardev '" + arguments.Id + "' is busy"))
        | Some _ ->
            Transition.ok { state with Chardevs = state.Chardevs.Remove arguments.Id } [ CloseChardev arguments.Id ]

    let change (state: State) (arguments: ChardevAdd) : Transition =
        match state.Chardevs.TryFind arguments.Id with
        | None -> Transition.fail state (QapiError.generic ("Chardev '" + arguments.Id + "' does not exist"))
        | Some { Busy = true } ->
            Transition.fail state (QapiError.generic "Chardev user does not support chardev hotswap")
        | Some _ ->
            let checkedBackend = checkBackend arguments.Backend |> Result.mapError (inContext arguments.Id)

            Transition.bind state checkedBackend (fun () ->
                Transition.wait
                    state
                    (ReplaceChardev(arguments.Id, arguments.Backend))
                    (ChardevIsOpen(arguments.Id, arguments.Backend, true)))

    let query (state: State) : Transition =
        Transition.wait state DescribeChardevs ChardevsDescribed

    let described (state: State) (infos: ChardevInfo list) : Transition =
        Command.encodeReturn Commands.queryChardev infos |> Transition.value state

    let backends (state: State) : Transition =
        CharCodecs.builtTypes
        |> List.map (fun name -> { Name = name }: ChardevBackendInfo)
        |> Command.encodeReturn Commands.queryChardevBackends
        |> Transition.value state

    /// `--monitor`.
    let startMonitor (state: State) (options: MonitorOptions) : Transition =
        let checkedOptions =
            match options.Mode, state.Chardevs.TryFind options.Chardev with
            | _, None -> QapiError.fail ("chardev \"" + options.Chardev + "\" not found")
            | Some MonitorMode.Readline, _ -> QapiError.fail "Only QMP is supported"
            | _, Some { Busy = true } -> QapiError.fail ("chardev '" + options.Chardev + "' is already in use")
            // The monitor's own id may be anything, even another one's.
            | _ -> Ok()

        Transition.bind state checkedOptions (fun () ->
            Transition.wait state (StartMonitor options) (MonitorStarted options))

    let monitorStarted (state: State) (options: MonitorOptions) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> Transition.fail state error
        | _ ->
            let busy = { state.Chardevs[options.Chardev] with Busy = true }

            Transition.ok
                {
                    state with
                        Chardevs = state.Chardevs.Add(options.Chardev, busy)
                }
                []
