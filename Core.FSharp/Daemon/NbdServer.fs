namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi

/// nbd-server-start, -stop, and the older nbd-server-add and -remove.
module NbdServer =
    /// Connections that may be open at once, if the user does not say.
    [<Literal>]
    let DefaultMaxConnections = 100u

    /// Seconds that a client has for the handshake, if the user does not say.
    [<Literal>]
    let DefaultHandshakeSeconds = 10u

    let start (state: State) (options: NbdServerOptions) : Transition =
        if state.NbdServer.IsSome then
            Transition.fail state (QapiError.generic "NBD server already running")
        else
            Transition.wait state (OpenNbdServer options) (NbdServerOpened options)

    let opened (state: State) (options: NbdServerOptions) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> Transition.fail state error
        | _ ->
            match options.TlsCreds with
            // No object of that type can exist yet. The real daemon looks for it after it has bound its address.
            | Some creds ->
                Transition.wait
                    state
                    CloseNbdServer
                    (NbdServerGivenUp(QapiError.generic ("No TLS credentials with id '" + creds + "'")))
            | None -> Transition.ok { state with NbdServer = Some options } []

    let stop (state: State) : Transition =
        if state.NbdServer.IsNone then
            Transition.fail state (QapiError.generic "NBD server not running")
        else
            let keys =
                State.exports state
                |> List.filter (fun export -> (Export.nbdInfo export).IsSome)
                |> List.map _.Key

            Transition.wait state (StopExports keys) (NbdExportsStopped keys)

    let exportsStopped (state: State) (keys: ExportKey list) : Transition =
        let struct (next, effects) = Exports.allStopped state keys

        {
            State = next
            Effects = effects
            Outcome = Waiting(CloseNbdServer, NbdServerClosed)
        }

    let closed (state: State) : Transition =
        Transition.ok { state with NbdServer = None } []

    /// `nbd-server-add`: as block-export-add, but a node that is read-only is exported so without an error.
    let add (state: State) (arguments: NbdServerAddOptions) : Transition =
        Transition.bind state (Graph.findReference arguments.Device state.Graph) (fun node ->
            Exports.add state {
                Id = defaultArg arguments.Name arguments.Device
                FixedIothread = None
                Iothread = None
                NodeName = node.Name
                Writable = Some(arguments.Writable = Some true && not node.Options.ReadOnly)
                Writethrough = None
                AllowInactive = None
                Type =
                    BlockExportBranch.Nbd {
                        Name = Some(defaultArg arguments.Name arguments.Device)
                        Description = arguments.Description
                    }
            })

    let remove (state: State) (arguments: NbdServerRemove) : Transition =
        Exports.delete state { Id = arguments.Name; Mode = arguments.Mode }
