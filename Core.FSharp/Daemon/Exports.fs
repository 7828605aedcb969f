namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Qapi

/// block-export-add, -del, query-block-exports, and the NBD server's own older commands.
module Exports =
    /// Names and descriptions of NBD exports (proto.md, "Strings").
    [<Literal>]
    let MaxStringBytes = 4096

    /// The metadata context that every export has (proto.md, "The base: metadata context namespace").
    [<Literal>]
    let BaseAllocation = "base:allocation"

    let private noSuchExport id =
        QapiError.generic ("Export '" + id + "' is not found")

    let private utf8Length (text: string) =
        System.Text.Encoding.UTF8.GetByteCount text

    let private checkId (state: State) (id: string) =
        if not (Identifier.isWellFormed id) then
            QapiError.fail "Invalid block export id"
        elif state.ExportKeys.ContainsKey id then
            QapiError.fail ("Block export id '" + id + "' is already in use")
        else
            Ok()

    let private iothreadIds (options: BlockExportOptions) =
        match options.Iothread with
        | None -> []
        | Some(ExportIothread.One id) -> [ id ]
        | Some(ExportIothread.Many ids) -> ids

    let private checkIothreads (state: State) (options: BlockExportOptions) =
        match options.Iothread with
        | Some(ExportIothread.Many []) -> QapiError.fail "The list of iothreads is empty"
        | _ ->
            match iothreadIds options |> List.tryFind (fun id -> not (State.hasIothread id state)) with
            | Some id -> QapiError.fail ("iothread \"" + id + "\" not found")
            | None -> Ok()

    let private nbdName (options: BlockExportOptions) (nbd: BlockExportOptionsNbd) =
        defaultArg nbd.Name options.NodeName

    let private checkNbd (state: State) (name: string) (description: string option) =
        if state.NbdServer.IsNone then
            QapiError.fail "NBD server not running"
        elif utf8Length name > MaxStringBytes then
            QapiError.fail ("export name '" + name + "' too long")
        elif description |> Option.exists (fun text -> utf8Length text > MaxStringBytes) then
            QapiError.fail ("description '" + defaultArg description "" + "' too long")
        elif state.ExportNames.ContainsKey name then
            QapiError.fail ("NBD server already has export named '" + name + "'")
        else
            Ok()

    let private minBlockSize = 512UL
    let private maxBlockSize = 2097152UL

    /// The order is the real daemon's.
    let private checkVhostUser (options: BlockExportOptionsVhostUserBlk) =
        let blockSize = defaultArg options.LogicalBlockSize minBlockSize

        if
            blockSize < minBlockSize
            || blockSize > maxBlockSize
            || blockSize &&& (blockSize - 1UL) <> 0UL
        then
            QapiError.fail (
                "parameter logical-block-size must be a power of 2 between "
                + string minBlockSize
                + " and "
                + string maxBlockSize
            )
        elif options.NumQueues = Some 0us then
            QapiError.fail "num-queues must be greater than 0"
        else
            match options.Addr with
            | SocketAddress.Unix _
            | SocketAddress.Fd _ -> Ok()
            | _ -> QapiError.fail "Only socket address types 'unix' and 'fd' are supported"

    /// What is asked of the protocol itself, after the node has been found fit.
    let private checkProtocol (state: State) (options: BlockExportOptions) =
        match options.Type with
        | BlockExportBranch.Nbd nbd -> checkNbd state (nbdName options nbd) nbd.Description
        | BlockExportBranch.Fuse _ -> Ok()
        | BlockExportBranch.VhostUserBlk options -> checkVhostUser options

    let private checkInactive (options: BlockExportOptions) =
        match options.Type with
        | BlockExportBranch.Nbd _ -> Ok()
        | _ when options.AllowInactive = Some true -> QapiError.fail "Export type does not support inactive exports"
        | _ -> Ok()

    let private permissions (writable: bool) (options: BlockExportOptions) =
        match options.Type with
        | BlockExportBranch.Nbd _ -> Perm.forNbdExport writable
        | BlockExportBranch.Fuse _
        | BlockExportBranch.VhostUserBlk _ -> Perm.forDeviceExport writable

    let private attach (graph: Graph) (node: Node) writable (options: BlockExportOptions) =
        let spec = {
            Perms = permissions writable options
            Label = Backend.UnnamedLabel
            FixedContext = options.FixedIothread = Some true
            AllowInactive = options.AllowInactive = Some true
        }

        Backends.attachExport node.Id spec graph

    /// A single thread also becomes the node's; where the node cannot move, that matters only if it is asked for.
    let private place (state: State) (node: Node) (options: BlockExportOptions) =
        match iothreadIds options with
        | [ id ] ->
            match Contexts.move node.Id (Some id) state.Graph with
            | Error error when options.FixedIothread = Some true -> Error error
            | Error _ -> Ok state.Graph
            | Ok graph -> Ok graph
        | _ -> Ok state.Graph

    /// An export makes its node active, unless the user does without.
    let private activate (graph: Graph) (node: Node) (options: BlockExportOptions) =
        if options.AllowInactive = Some true then
            Ok(GraphChange.ofGraph graph)
        else
            Activate.node node.Id graph

    let quiesced (state: State) (pending: PendingExport) : Transition =
        Transition.wait state (ApplyFiles([], pending.Change.Files)) (ExportApplied pending)

    let add (state: State) (options: BlockExportOptions) : Transition =
        let writable = defaultArg options.Writable false

        let planned =
            result {
                do! checkId state options.Id
                let! node = Graph.find None (Some options.NodeName) state.Graph

                if node.Options.ReadOnly && writable then
                    return! QapiError.fail "Cannot export read-only node as writable"
                else
                    do! checkIothreads state options
                    let! graph = place state node options
                    do! checkInactive options
                    let! activated = activate graph node options
                    let! attached = attach activated.Graph node writable options
                    do! checkProtocol state options

                    return {
                        Options = options
                        Writable = writable
                        Iothreads = iothreadIds options
                        Change = GraphChange.append activated attached.Change
                        Backend = attached.Id
                        Node = node.Id
                        Others = Changes.exportsAbove state activated.Touched
                    }
            }

        Transition.bind state planned (fun pending ->
            Changes.rest state pending.Others [] (ExportQuiesced pending) (fun () -> quiesced state pending))

    /// Every client may use several connections, unless the server admits only one.
    let private multiConn (state: State) =
        match state.NbdServer with
        | Some { MaxConnections = Some 1u } -> false
        | _ -> true

    /// NBD_FLAG_* of an export, but for those that depend on the connection.
    let private transmissionFlags writable multiConn =
        let reading =
            Wire.NBD_FLAG_HAS_FLAGS
            ||| Wire.NBD_FLAG_SEND_FLUSH
            ||| Wire.NBD_FLAG_SEND_FUA
            ||| Wire.NBD_FLAG_SEND_CACHE

        let writing =
            if writable then
                Wire.NBD_FLAG_SEND_TRIM
                ||| Wire.NBD_FLAG_SEND_WRITE_ZEROES
                ||| Wire.NBD_FLAG_SEND_FAST_ZERO
            else
                Wire.NBD_FLAG_READ_ONLY

        reading
        ||| writing
        ||| (if multiConn then Wire.NBD_FLAG_CAN_MULTI_CONN else 0us)

    /// Bytes; the most that one request of a client may carry.
    let private maximumBlock (graph: Graph) (node: NodeId) : uint32 =
        match TransferLimit.ofNode graph node with
        | ValueSome limit -> uint32 (min limit (uint64 Wire.NBD_MAX_BUFFER_SIZE))
        | ValueNone -> uint32 Wire.NBD_MAX_BUFFER_SIZE

    let private exportInfo
        (state: State)
        (key: ExportKey)
        (pending: PendingExport)
        (nbd: BlockExportOptionsNbd)
        (path: DataPath)
        : ExportInfo = {
        Name = nbdName pending.Options nbd
        Description = nbd.Description
        SizeBytes = uint64 (path.SizeBytes / 512L * 512L)
        TransmissionFlags = transmissionFlags pending.Writable (multiConn state)
        MinimumBlock = uint32 (max 1 path.AlignmentBytes)
        PreferredBlock = uint32 (max 4096 path.AlignmentBytes)
        MaximumBlock = maximumBlock pending.Change.Graph pending.Node
        Contexts = [ { Id = 0u; Name = BaseAllocation } ]
        Key = int key
    }

    let private protocol (state: State) (key: ExportKey) (pending: PendingExport) (path: DataPath) : ExportProtocol =
        match pending.Options.Type with
        | BlockExportBranch.Nbd nbd -> ExportProtocol.Nbd(exportInfo state key pending nbd path)
        | BlockExportBranch.Fuse fuse ->
            ExportProtocol.Fuse {
                Mountpoint = fuse.Mountpoint
                Writable = pending.Writable
                Growable = fuse.Growable = Some true
                AllowOther = defaultArg fuse.AllowOther FuseExportAllowOther.Auto
            }
        | BlockExportBranch.VhostUserBlk options ->
            ExportProtocol.VhostUser {
                Addr = options.Addr
                Writable = pending.Writable
                LogicalBlockSize = uint32 (defaultArg options.LogicalBlockSize minBlockSize)
                NumQueues = defaultArg options.NumQueues 1us
            }

    /// The image locks are taken, or not: clients may come.
    let applied (state: State) (pending: PendingExport) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> Transition.finished state (Changes.resume pending.Others) (Error error)
        | _ ->
            let graph = pending.Change.Graph
            let key = state.NextExport

            let export = {
                Key = key
                Id = pending.Options.Id
                Protocol = protocol state key pending (Path.compile graph pending.Node)
                Backend = pending.Backend
                Iothreads = pending.Iothreads
                Writethrough = defaultArg pending.Options.Writethrough false
                ShuttingDown = false
            }

            Transition.wait state (StartExport(Changes.served graph export)) (ExportStarted(pending, export))

    /// Clients can come, or the shell cannot serve the export.
    let started (state: State) (pending: PendingExport) (export: Export) (answer: Answer) : Transition =
        let graph = pending.Change.Graph

        match answer with
        | Answer.Refused error ->
            let back = Changes.filesBack state (pending.Node :: pending.Change.Touched) graph

            Transition.finished
                state
                [
                    if not back.IsEmpty then
                        RelaxFiles back
                    yield! Changes.resume pending.Others
                ]
                (Error error)
        | _ ->
            Transition.ok
                {
                    State.withExports (state.Exports.Add(export.Key, export)) state with
                        Graph = graph
                        ExportKeys = state.ExportKeys.Add(export.Id, export.Key)
                        ExportBackends = state.ExportBackends.Add(export.Backend, export.Key)
                        ExportNames =
                            match Export.nbdInfo export with
                            | Some info -> state.ExportNames.Add(info.Name, export.Key)
                            | None -> state.ExportNames
                        NextExport = export.Key + 1<exportKey>
                }
                [
                    yield! Changes.update state graph pending.Others
                    yield! Changes.resume pending.Others
                ]

    /// NBD clients do not find the export any more.
    let private withoutName (export: Export) (names: Map<string, ExportKey>) =
        match Export.nbdInfo export with
        | Some info when names.TryFind info.Name = Some export.Key -> names.Remove info.Name
        | _ -> names

    /// The last client of an export has gone: its node is free, its id may be used again.
    let stopped (state: State) (key: ExportKey) : struct (State * Effect list) =
        match state.Exports.TryFind key with
        | None -> struct (state, [])
        | Some export ->
            let struct (state, effects) = Changes.relax state (Remove.backend export.Backend state.Graph)
            let deleted: BlockExportDeleted = { Id = export.Id }

            struct ({
                        State.withExports (state.Exports.Remove key) state with
                            ExportKeys = state.ExportKeys.Remove export.Id
                            ExportBackends = state.ExportBackends.Remove export.Backend
                            ExportNames = withoutName export state.ExportNames
                    },
                    effects
                    @ [
                        Emit(Events.blockExportDeleted.Name, StructCodec.encode Events.blockExportDeleted.Data deleted)
                    ])

    /// All connections of these exports are gone: their events in this order, and what their nodes leave behind.
    let allStopped (state: State) (keys: ExportKey list) : struct (State * Effect list) =
        let step struct (state, effects) key =
            let struct (next, more) = stopped state key
            struct (next, List.fold (fun reversed effect -> effect :: reversed) effects more)

        let struct (next, reversed) = List.fold step struct (state, []) keys
        struct (next, List.rev reversed)

    let private beginStop (state: State) (export: Export) : State = {
        State.withExports (state.Exports.Add(export.Key, { export with ShuttingDown = true })) state with
            ExportNames = withoutName export state.ExportNames
    }

    /// Ends an export that has no clients at once, so that its event comes before the reply; else begins to.
    let private stop (state: State) (export: Export) (clients: int) : Transition =
        let next = beginStop state export

        if clients = 0 then
            Transition.wait next (StopExports [ export.Key ]) (ExportEnded export.Key)
        else
            Transition.ok next [ StopExport export.Key ]

    /// Nothing is left of an export in the shell.
    let ended (state: State) (key: ExportKey) : Transition =
        let struct (next, effects) = stopped state key
        Transition.ok next effects

    let private hinted error =
        error |> QapiError.withHint "Use mode='hard' to force client disconnect"

    let delete (state: State) (arguments: BlockExportDel) : Transition =
        match State.tryExport arguments.Id state with
        | None -> Transition.fail state (noSuchExport arguments.Id)
        | Some { ShuttingDown = true } ->
            Transition.fail state (QapiError.generic ("Export '" + arguments.Id + "' is already shutting down"))
        | Some export ->
            let hard = arguments.Mode = Some BlockExportRemoveMode.Hard
            Transition.wait state (CountClients export.Key) (ExportCounted(export.Id, hard))

    /// Without `hard`, clients forbid an export's end.
    let counted (state: State) (id: string) (hard: bool) (clients: int) : Transition =
        match State.tryExport id state with
        | None -> Transition.fail state (noSuchExport id)
        | Some _ when clients > 0 && not hard ->
            Transition.fail state (QapiError.generic ("export '" + id + "' still in use") |> hinted)
        | Some export -> stop state export clients

    let list (state: State) : Transition =
        State.exports state
        |> List.map (fun export ->
            let node = Graph.node state.Graph.Backends[export.Backend].Node state.Graph

            {
                Id = export.Id
                Type = ExportProtocol.exportType export.Protocol
                NodeName = node.Name
                ShuttingDown = export.ShuttingDown
            }
            : BlockExportInfo)
        |> Command.encodeReturn Commands.queryBlockExports
        |> Transition.value state
