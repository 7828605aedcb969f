namespace StorageDaemon.Core.Daemon

open System
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Chardev
open StorageDaemon.Core.Qapi

/// chardev-add and the other commands of character devices, and monitors (`--monitor`).
module Chardevs =
    /// The most devices that a hub can have.
    [<Literal>]
    let private MaxHubDevices = 4

    let private typeName (backend: ChardevBackend) =
        match backend with
        | ChardevBackend.File _ -> "chardev-file"
        | ChardevBackend.Socket _ -> "chardev-socket"
        | ChardevBackend.Pty _ -> "chardev-pty"
        | ChardevBackend.Null _ -> "chardev-null"
        | ChardevBackend.Stdio _ -> "chardev-stdio"
        | ChardevBackend.Serial _ -> "chardev-serial"
        | ChardevBackend.Parallel _ -> "chardev-parallel"
        | ChardevBackend.Pipe _ -> "chardev-pipe"
        | ChardevBackend.Udp _ -> "chardev-udp"
        | ChardevBackend.Mux _ -> "chardev-mux"
        | ChardevBackend.Hub _ -> "chardev-hub"
        | ChardevBackend.Ringbuf _ -> "chardev-ringbuf"
        | ChardevBackend.Memory _ -> "chardev-memory"
        | ChardevBackend.Unavailable branch -> "chardev-" + branch.Tag

    /// The devices that a device uses, itself as their frontend.
    let private below (backend: ChardevBackend) : string list =
        match backend with
        | ChardevBackend.Mux mux -> [ mux.Chardev ]
        | ChardevBackend.Hub hub -> hub.Chardevs
        | _ -> []

    /// How many frontends a device can have.
    let private maxUsers (chardev: Chardev) =
        match chardev.Backend with
        | ChardevBackend.Mux _ -> Mux.MaxFrontends
        | _ -> 1

    /// Whether a device can take one more frontend, monitor or device.
    let private checkUse (state: State) id =
        let chardev = state.Chardevs[id]

        if chardev.Users < maxUsers chardev then
            Ok()
        elif maxUsers chardev > 1 then
            QapiError.fail (
                "too many uses of multiplexed chardev '"
                + id
                + "' (maximum is "
                + string<int> Mux.MaxFrontends
                + ")"
            )
        else
            QapiError.fail ("chardev '" + id + "' is already in use")

    let private addUsers count (state: State) (ids: string list) : State =
        let add (chardevs: Map<string, Chardev>) id =
            match chardevs.TryFind id with
            | Some chardev -> chardevs.Add(id, { chardev with Users = chardev.Users + count })
            | None -> chardevs

        { state with Chardevs = List.fold add state.Chardevs ids }

    let private checkMux (state: State) (mux: ChardevMux) =
        if state.Chardevs.ContainsKey mux.Chardev then
            checkUse state mux.Chardev
        else
            QapiError.fail ("mux: base chardev " + mux.Chardev + " not found")

    let private checkHubDevice (state: State) id =
        match state.Chardevs.TryFind id with
        | None -> QapiError.fail ("hub: chardev can't be found by id '" + id + "'")
        | Some { Backend = ChardevBackend.Mux _ | ChardevBackend.Hub _ } ->
            QapiError.fail (
                "hub: multiplexers and hub devices can't be stacked, check chardev '"
                + id
                + "', chardev should not be a hub device or have 'mux=on' enabled"
            )
        | Some _ -> checkUse state id

    let private checkHub (state: State) id (hub: ChardevHub) =
        let rec next (state: State) (devices: string list) =
            match devices with
            | [] -> Ok()
            | device :: rest ->
                checkHubDevice state device
                |> Result.bind (fun () -> next (addUsers 1 state [ device ]) rest)

        if hub.Chardevs.IsEmpty then
            QapiError.fail "hub: 'chardevs' list is not defined"
        elif hub.Chardevs.Length > MaxHubDevices then
            QapiError.fail (
                "hub: too many uses of chardevs '"
                + id
                + "' (maximum is "
                + string<int> MaxHubDevices
                + ")"
            )
        else
            next state hub.Chardevs

    let private checkUdp (udp: ChardevUdp) =
        match udp.Remote, udp.Local with
        | SocketAddress.Inet { Port = "" }, _ -> QapiError.fail "remote port not specified"
        | SocketAddress.Inet _, (None | Some(SocketAddress.Inet _)) -> Ok()
        | _ -> QapiError.fail "socket type unsupported for datagram"

    let private checkBackend (state: State) id (backend: ChardevBackend) =
        match backend with
        | ChardevBackend.Unavailable branch -> Error(ChardevOptions.unknownType branch.Tag)
        | ChardevBackend.Socket { TlsCreds = Some creds } ->
            QapiError.fail ("No TLS credentials with id '" + creds + "'")
        | ChardevBackend.Socket socket -> ChardevOptions.validateSocket socket
        | ChardevBackend.Udp udp -> checkUdp udp
        | ChardevBackend.Mux mux -> checkMux state mux
        | ChardevBackend.Hub hub -> checkHub state id hub
        | ChardevBackend.Ringbuf ring
        | ChardevBackend.Memory ring ->
            RingBufferRules.capacity ring.Size
            |> Result.map ignore
            |> Result.mapError QapiError.generic
        | _ -> Ok()

    let private inContext id (error: QapiError) =
        QapiError.prepend ("Failed to add chardev '" + id + "': ") error

    /// A character device stands in its container as a property of its id, beside the property "type".
    let private checkFree (state: State) id =
        if id = "type" || state.Chardevs.ContainsKey id then
            QapiError.fail ("attempt to add duplicate property '" + id + "' to object (type 'container')")
        else
            Ok()

    let private check (state: State) id backend =
        checkBackend state id backend |> Result.bind (fun () -> checkFree state id)

    let private open' (state: State) (opening: ChardevOpening) : Transition =
        Transition.wait state (OpenChardev(opening.Id, opening.Backend)) (ChardevIsOpen opening)

    let private opening (arguments: ChardevAdd) : ChardevOpening = {
        Id = arguments.Id
        Backend = arguments.Backend
        Named = true
        MuxId = None
        MadeFor = None
    }

    /// `chardev-add`: errors name the device.
    let add (state: State) (arguments: ChardevAdd) : Transition =
        let checkedArguments =
            if state.Chardevs.ContainsKey arguments.Id then
                QapiError.fail ("Chardev with id '" + arguments.Id + "' already exists")
            else
                check state arguments.Id arguments.Backend
                |> Result.mapError (inContext arguments.Id)

        Transition.bind state checkedArguments (fun () -> open' state (opening arguments))

    /// `--chardev`: bare errors. A shared device (`mux=on`) stands below a mux of its id.
    let addFromOption (state: State) (arguments: ChardevAdd) (shared: bool) : Transition =
        let id =
            if shared then
                ChardevOptions.baseId arguments.Id
            else
                arguments.Id

        Transition.bind state (check state id arguments.Backend) (fun () ->
            open' state {
                opening arguments with
                    Id = id
                    Named = false
                    MuxId = if shared then Some arguments.Id else None
            })

    let private failOpening (state: State) (opening: ChardevOpening) (error: QapiError) : Transition =
        let error = if opening.Named then inContext opening.Id error else error

        match opening.MadeFor with
        | None -> Transition.fail state error
        | Some made ->
            Transition.finished { state with Chardevs = state.Chardevs.Remove made } [ CloseChardev made ] (Error error)

    /// The mux of a device that was just opened for it.
    let private addMux (state: State) id baseId : Transition =
        let common: ChardevCommon = { Logfile = None; Logappend = None }
        let backend = ChardevBackend.Mux { Common = common; Chardev = baseId }

        let opening = {
            Id = id
            Backend = backend
            Named = false
            MuxId = None
            MadeFor = Some baseId
        }

        match check state id backend with
        | Error error -> failOpening state opening error
        | Ok() -> open' state opening

    let private added (state: State) (opening: ChardevOpening) : State =
        let replaced =
            state.Chardevs.TryFind opening.Id
            |> Option.map (fun old -> below old.Backend)
            |> Option.defaultValue []

        let device = {
            TypeName = typeName opening.Backend
            Backend = opening.Backend
            Users = 0
        }

        let state = addUsers -1 state replaced

        addUsers
            1
            {
                state with
                    Chardevs = state.Chardevs.Add(opening.Id, device)
            }
            (below opening.Backend)

    /// A device that was opened, or took another one's place.
    let opened (state: State) (opening: ChardevOpening) (answer: Answer) : Transition =
        match answer, opening.MuxId with
        | Answer.Refused error, _ -> failOpening state opening error
        | ChardevOpened _, Some muxId -> addMux (added state opening) muxId opening.Id
        | ChardevOpened returned, None ->
            Transition.value (added state opening) (Command.encodeReturn Commands.chardevAdd returned)
        | _ -> failOpening state opening Transition.unexpected

    let remove (state: State) (arguments: ChardevRemove) : Transition =
        match state.Chardevs.TryFind arguments.Id with
        | None -> Transition.fail state (QapiError.generic ("Chardev '" + arguments.Id + "' not found"))
        | Some { Users = users } when users > 0 ->
            Transition.fail state (QapiError.generic ("Chardev '" + arguments.Id + "' is busy"))
        | Some chardev ->
            let without = { state with Chardevs = state.Chardevs.Remove arguments.Id }

            Transition.ok (addUsers -1 without (below chardev.Backend)) [ CloseChardev arguments.Id ]

    let change (state: State) (arguments: ChardevAdd) : Transition =
        match state.Chardevs.TryFind arguments.Id with
        | None -> Transition.fail state (QapiError.generic ("Chardev '" + arguments.Id + "' does not exist"))
        | Some { Backend = ChardevBackend.Mux _ | ChardevBackend.Hub _ } ->
            Transition.fail state (QapiError.generic "For mux or hub device hotswap is not supported yet")
        | Some { Users = users } when users > 0 ->
            Transition.fail state (QapiError.generic "Chardev user does not support chardev hotswap")
        | Some _ ->
            let checkedBackend =
                // It goes before the new one could use it.
                if List.contains arguments.Id (below arguments.Backend) then
                    QapiError.fail ("chardev '" + arguments.Id + "' is already in use")
                else
                    checkBackend state arguments.Id arguments.Backend

            Transition.bind state (checkedBackend |> Result.mapError (inContext arguments.Id)) (fun () ->
                Transition.wait
                    state
                    (ReplaceChardev(arguments.Id, arguments.Backend))
                    (ChardevIsOpen(opening arguments)))

    /// `chardev-send-break`: a break of the line, which monitors, the only frontends there are, do not heed.
    let sendBreak (state: State) (arguments: ChardevSendBreak) : Transition =
        if state.Chardevs.ContainsKey arguments.Id then
            Transition.ok state []
        else
            Transition.fail state (QapiError.generic ("Chardev '" + arguments.Id + "' not found"))

    let private checkRing (state: State) id =
        match state.Chardevs.TryFind id with
        | None -> QapiError.fail ("Device '" + id + "' not found")
        | Some {
                   Backend = ChardevBackend.Ringbuf _ | ChardevBackend.Memory _
               } -> Ok()
        | Some _ -> QapiError.fail (id + " is not a ringbuf device")

    let readRing (state: State) (arguments: RingbufRead) : Transition =
        let checkedArguments =
            checkRing state arguments.Device
            |> Result.bind (fun () ->
                if arguments.Size <= 0L then
                    QapiError.fail "size must be greater than zero"
                else
                    Ok())

        Transition.bind state checkedArguments (fun () ->
            Transition.wait
                state
                (ReadRing(arguments.Device, arguments.Size))
                (RingWasRead(Option.defaultValue DataFormat.Utf8 arguments.Format)))

    /// As text, what was read ends before the first zero byte, and what is no UTF-8 is replaced.
    let ringWasRead (state: State) (format: DataFormat) (bytes: byte[]) : Transition =
        match format with
        | DataFormat.Base64 -> Convert.ToBase64String bytes
        | DataFormat.Utf8 -> Utf8.lenientText (ReadOnlySpan bytes)
        |> Command.encodeReturn Commands.ringbufRead
        |> Transition.value state

    /// Text as QMP's dialect of UTF-8 carries it: U+0000 in two bytes.
    let private ringText (text: string) : byte[] =
        text.Split '\000'
        |> Array.map Text.Encoding.UTF8.GetBytes
        |> Array.reduce (fun before after -> Array.concat [ before; [| 0xC0uy; 0x80uy |]; after ])

    let writeRing (state: State) (arguments: RingbufWrite) : Transition =
        let data =
            checkRing state arguments.Device
            |> Result.bind (fun () ->
                match arguments.Format with
                | Some DataFormat.Base64 ->
                    RingBufferRules.decodeBase64 arguments.Data |> Result.mapError QapiError.generic
                | _ -> Ok(ringText arguments.Data))

        Transition.bind state data (fun bytes -> Transition.ok state [ WriteChardev(arguments.Device, bytes) ])

    let query (state: State) : Transition =
        Transition.wait state DescribeChardevs ChardevsDescribed

    let described (state: State) (chardevs: ChardevStatus list) : Transition =
        chardevs
        |> List.map _.Info
        |> Command.encodeReturn Commands.queryChardev
        |> Transition.value state

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
            // The monitor's own id may be anything, even another one's.
            | _ -> checkUse state options.Chardev

        Transition.bind state checkedOptions (fun () ->
            Transition.wait state (StartMonitor options) (MonitorStarted options))

    let monitorStarted (state: State) (options: MonitorOptions) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> Transition.fail state error
        | _ -> Transition.ok (addUsers 1 state [ options.Chardev ]) []
