namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Io
open StorageDaemon.Core.Job
open StorageDaemon.Core.Qapi

/// The control plane's transitions: a command or an answer comes in, the next state and what to do go out.
module Step =
    /// The version of QEMU whose interface this is.
    let version: VersionTriple = { Major = 10L; Minor = 0L; Micro = 2L }

    let private queryVersion (state: State) =
        { Qemu = version; Package = state.Package }
        |> Command.encodeReturn Commands.queryVersion
        |> Transition.value state

    /// The exports go first, and then the jobs, so that their events come before the reply.
    let private endAll (isCommand: bool) (state: State) =
        let keys = State.exports state |> List.map _.Key
        Transition.wait { state with Quitting = true } (StopExports keys) (QuitExportsStopped(keys, isCommand))

    let private quit (state: State) = endAll true state

    /// All exports are gone: their events, and what their nodes leave behind.
    let private allExportsStopped (state: State) (keys: ExportKey list) : struct (State * Effect list) =
        let struct (next, effects) = Exports.allStopped state keys

        struct (next,
                [
                    yield! effects
                    yield! Changes.settleAll next.Graph
                    match GraphChange.cuts next.Graph with
                    | [] -> ()
                    | cuts -> RelaxFiles cuts
                ])

    let private quitExportsStopped (state: State) (keys: ExportKey list) (isCommand: bool) =
        let struct (next, effects) = allExportsStopped state keys
        Jobs.endAll isCommand next effects

    type private Handler = State -> Transition

    let private bindings: Map<string, CommandBinding<Handler>> =
        let on (command: Command<'A, 'R>) (handle: State -> 'A -> Transition) =
            Command.bind command (fun arguments state -> handle state arguments)

        let query (command: Command<unit, 'R>) (handle: State -> Transition) = Command.bind command (fun () -> handle)

        [
            query Commands.queryVersion queryVersion
            query Commands.queryCommands (fun state ->
                Command.encodeReturn Commands.queryCommands Commands.infos
                |> Transition.value state)
            query Commands.queryQmpSchema (fun state ->
                Command.encodeReturn Commands.queryQmpSchema Introspect.schema
                |> Transition.value state)
            query Commands.quit quit
            on Commands.blockdevAdd Nodes.add
            on Commands.blockdevDel Nodes.delete
            on Commands.blockResize Nodes.resize
            on Commands.blockdevReopen GraphCommands.reopen
            on Commands.blockdevSetActive GraphCommands.setActive
            on Commands.blockdevSnapshot Transactions.snapshot
            on Commands.blockdevSnapshotSync Transactions.snapshotSync
            on Commands.blockdevSnapshotInternalSync Transactions.snapshotInternal
            on Commands.blockdevSnapshotDeleteInternalSync ImageCommands.deleteSnapshot
            on Commands.transaction Transactions.run
            on Commands.xBlockdevChange GraphCommands.changeChildren
            on Commands.xBlockdevSetIothread GraphCommands.setIothread
            on Commands.blockSetWriteThreshold GraphCommands.setWriteThreshold
            on Commands.changeBackingFile ImageCommands.changeBackingFile
            query Commands.xDebugQueryBlockGraph GraphCommands.debugGraph
            on Commands.queryNamedBlockNodes Listings.namedBlockNodes
            query Commands.queryBlock Listings.block
            on Commands.queryBlockstats Listings.stats
            on Commands.blockdevCreate Jobs.create
            on Commands.xBlockCheck Jobs.check
            query Commands.queryJobs Jobs.query
            on Commands.jobPause (Jobs.ask JobVerb.Pause)
            on Commands.jobResume (Jobs.ask JobVerb.Resume)
            on Commands.jobCancel (Jobs.ask JobVerb.Cancel)
            on Commands.jobComplete (Jobs.ask JobVerb.Complete)
            on Commands.jobFinalize (Jobs.ask JobVerb.Finalize)
            on Commands.jobDismiss (Jobs.ask JobVerb.Dismiss)
            on Commands.blockExportAdd Exports.add
            on Commands.blockExportDel Exports.delete
            query Commands.queryBlockExports Exports.list
            on Commands.nbdServerStart NbdServer.start
            query Commands.nbdServerStop NbdServer.stop
            on Commands.nbdServerAdd NbdServer.add
            on Commands.nbdServerRemove NbdServer.remove
            on Commands.objectAdd Objects.add
            on Commands.objectDel Objects.delete
            on Commands.qomList Objects.list
            on Commands.qomGet Objects.get
            on Commands.qomSet Objects.set
            on Commands.qomListTypes Objects.listTypes
            on Commands.qomListProperties Objects.listProperties
            on Commands.chardevAdd Chardevs.add
            on Commands.chardevRemove Chardevs.remove
            on Commands.chardevChange Chardevs.change
            on Commands.chardevSendBreak Chardevs.sendBreak
            on Commands.ringbufRead Chardevs.readRing
            on Commands.ringbufWrite Chardevs.writeRing
            query Commands.queryChardev Chardevs.query
            query Commands.queryChardevBackends Chardevs.backends
        ]
        |> List.map (fun binding -> binding.Schema.Name, binding)
        |> Map.ofList

    /// Whether a monitor may execute a command of that name; `qmp_capabilities` is the session's own.
    let isCommand (name: string) =
        bindings.ContainsKey name || name = Commands.qmpCapabilities.Name

    /// Begins a command of a monitor.
    let execute (state: State) (name: string) (arguments: (string * Json) list) : Transition =
        let handler =
            Command.find bindings name
            |> Result.bind (fun binding -> binding.Decode arguments)

        Transition.bind state handler (fun handle -> handle state)

    /// Goes on with a command after the shell has answered. `state` is that of the waiting transition: between the two
    /// nothing else may happen to it, for the plans of changes are made for the state that they were made from.
    let resume (state: State) (continuation: Continuation) (answer: Answer) : Transition =
        match continuation, answer with
        | Adding(ByCommand, step), _ -> Nodes.addStep state step answer
        | Adding(AsOverlay(pending, below), step), _ -> Transactions.openStep state pending below step answer
        | Adding(ForJob pending, step), _ -> Jobs.makeStep state pending step answer
        | OverlayMade(pending, below, spec), _ -> Transactions.made state pending below spec answer
        | TransactionRests(pending, snapshot), _ -> Transactions.rested state pending snapshot
        | SnapshotTaken(pending, snapshot), _ -> Transactions.taken state pending snapshot answer
        | SnapshotUndone(pending, files, error), _ -> Changes.snapshotUndone state pending files error answer
        | ImageRests pending, _ -> ImageCommands.rested state pending
        | ImageWasChanged pending, _ -> ImageCommands.changed state pending answer
        | ResizeQuiesced pending, _ -> Nodes.resizeQuiesced state pending
        | ResizeGranted pending, _ -> Nodes.resizeGranted state pending answer
        | ResizeMeasured pending, _ -> Nodes.resizeMeasured state pending answer
        | SizesKnown flat, Sizes sizes -> Listings.namedBlockNodesKnown state flat sizes
        | CountersKnown, Counted counts -> Listings.statsKnown state counts
        | NbdServerOpened options, _ -> NbdServer.opened state options answer
        | GraphQuiesced pending, _ -> Changes.quiesced state pending
        | GraphApplied pending, _ -> Changes.applied state pending answer
        | ImageReread(pending, node, rest), _ -> Changes.reread state pending node rest answer
        | ExportQuiesced pending, _ -> Exports.quiesced state pending
        | ExportApplied pending, _ -> Exports.applied state pending answer
        | ExportStarted(pending, export), _ -> Exports.started state pending export answer
        | ExportEnded key, _ -> Exports.ended state key
        | ExportCounted(id, hard), Count clients -> Exports.counted state id hard clients
        | NbdExportsStopped keys, _ -> NbdServer.exportsStopped state keys
        | QuitExportsStopped(keys, isCommand), _ -> quitExportsStopped state keys isCommand
        | NbdServerClosed, _ -> NbdServer.closed state
        | NbdServerGivenUp error, _ -> Transition.fail state error
        | ObjectStarted(id, object), _ -> Objects.started state id object answer
        | ObjectMoved(id, object), _ -> Objects.moved state id object answer
        | ChardevIsOpen opening, _ -> Chardevs.opened state opening answer
        | RingWasRead format, Bytes bytes -> Chardevs.ringWasRead state format bytes
        | ChardevsDescribed, Chardevs infos -> Chardevs.described state infos
        | QomChardevsDescribed question, Chardevs infos -> Objects.described state question infos
        | MonitorStarted options, _ -> Chardevs.monitorStarted state options answer
        | JobFileOpened key, _ -> Jobs.opened state key answer
        | JobNodesTaken(pending, taken), _ -> Jobs.nodesTaken state pending taken answer
        | CheckQuiesced pending, _ -> Checks.quiesced state pending
        | CheckViewed pending, _ -> Jobs.checkViewed state pending answer
        | RepairQuiesced pending, _ -> Checks.repairQuiesced state pending
        | ImageRepaired pending, _ -> Jobs.imageRepaired state pending answer
        | RepairReread(pending, result), _ -> Jobs.repairReread state pending result answer
        | QuitJobWorked(key, isCommand), _ -> Jobs.quitWorked state key isCommand answer
        | _ -> Transition.fail state Transition.unexpected

    /// The last client of an export on its way out has gone.
    let exportStopped (state: State) (key: ExportKey) : Transition =
        match state.Exports.TryFind key with
        | Some { ShuttingDown = true } ->
            let struct (next, effects) = Exports.stopped state key
            Transition.ok next effects
        | _ -> Transition.ok state []

    /// A client of an export wants its node to have another length, or at least that one. An error has its number.
    let resizeExport (state: State) (key: ExportKey) (bytes: int64) (growOnly: bool) : Transition =
        match state.Exports.TryFind key with
        | Some export when
            growOnly
            && (Graph.node state.Graph.Backends[export.Backend].Node state.Graph).SizeBytes
               >= bytes
            ->
            Transition.ok state []
        | Some export -> Nodes.resizeNode state (Graph.node state.Graph.Backends[export.Backend].Node state.Graph) bytes
        | None -> Transition.fail state (QapiError.generic "The export is gone")

    /// Writes have ended beyond an export's limit: for each node on the way, where.
    let wrote (state: State) (ends: (NodeId * int64) seq) : Transition =
        GraphCommands.wrote state (List.ofSeq ends)

    /// The machine of a node has something to say. `errorText` is the C library's for an errno.
    let noticed (errorText: System.Func<int, string>) (state: State) (id: NodeId) (notices: LayerNotice seq) =
        Notices.told errorText.Invoke state id (List.ofSeq notices)

    /// The file of an `authz-list-file` object was read again: its bytes, or why it could not be read.
    let authzFileRead (state: State) (id: string) (content: Result<byte array, string>) : Transition =
        Objects.authzFileRead state id content

    /// The shell has come to the end of a job's work.
    let jobWorked (state: State) (key: JobKey) (report: JobReport) : Transition = Jobs.worked state key report

    /// A job's script has said how far it has come.
    let jobProgressed (state: State) (key: JobKey) (progress: JobProgress) : Transition =
        Jobs.progressed state key progress

    /// The process ends without a command: what `quit` does first.
    let finish (state: State) : Transition = endAll false state
