namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi

/// Commands that change nodes which exist, or show how they hang together.
module GraphCommands =
    let private sequence (results: Result<'T, QapiError> list) : Result<'T list, QapiError> =
        List.foldBack (fun item rest -> Result.bind (fun x -> Result.map (fun xs -> x :: xs) rest) item) results (Ok [])

    let reopen (state: State) (arguments: BlockdevReopen) : Transition =
        let planned =
            arguments.Options
            |> List.map BlockdevMapping.spec
            |> sequence
            |> Result.bind (fun specs -> Reopen.plan specs state.Graph)

        Transition.bind state planned (Changes.run state)

    let setActive (state: State) (arguments: BlockdevSetActive) : Transition =
        let planned =
            match arguments.NodeName, arguments.Active with
            | None, true -> Activate.all state.Graph
            | None, false -> Activate.deactivateAll state.Graph
            | Some name, active ->
                Graph.findNode name state.Graph
                |> Result.bind (fun node ->
                    if active then
                        Activate.node node.Id state.Graph
                    else
                        Activate.deactivate node.Id state.Graph)

        Transition.bind state planned (Changes.run state)

    /// Exports follow the nodes into their thread. One that was given several keeps them: there is no single thread
    /// that it could follow into without losing the others.
    let private follow (state: State) (nodes: NodeId list) (threads: string list) : struct (State * ExportKey list) =
        let moved =
            Changes.exportsAbove state nodes
            |> List.filter (fun key ->
                match state.Exports[key].Iothreads with
                | _ :: _ :: _ -> false
                | current -> current <> threads)

        let move (exports: Map<ExportKey, Export>) key =
            exports.Add(key, { exports[key] with Iothreads = threads })

        struct (State.withExports (List.fold move state.Exports moved) state, moved)

    let setIothread (state: State) (arguments: BlockdevSetIothread) : Transition =
        let force = arguments.Force = Some true

        let planned =
            result {
                let! node = Graph.findNode arguments.NodeName state.Graph
                do! Contexts.checkMovable node force

                match arguments.Iothread with
                | Some id when not (State.hasIothread id state) -> return! QapiError.fail ("Cannot find iothread " + id)
                | context ->
                    let! graph = Contexts.move node.Id context state.Graph
                    return struct (node.Id, graph)
            }

        Transition.bind state planned (fun struct (node, graph) ->
            let threads = Option.toList arguments.Iothread
            let struct (next, moved) = follow state (Contexts.sharing node graph) threads
            Changes.runOver next moved (GraphChange.ofGraph graph))

    /// x-blockdev-change: children that come and go while their parent stays.
    let changeChildren (state: State) (arguments: BlockdevChange) : Transition =
        let planned: Result<GraphChange, QapiError> =
            result {
                let! parent = Graph.findReference arguments.Parent state.Graph

                match arguments.Child, arguments.Node with
                | None, None -> return! QapiError.fail "Either child or node must be specified"
                | Some _, Some _ -> return! QapiError.fail "The parameters child and node are in conflict"
                | Some child, None ->
                    match Children.tryFind child parent with
                    | None -> return! QapiError.fail ("Node '" + parent.Name + "' does not have child '" + child + "'")
                    | Some present -> return! QuorumChildren.remove parent present state.Graph
                | None, Some name ->
                    match Graph.tryByName name state.Graph with
                    | None -> return! QapiError.fail ("Node '" + name + "' not found")
                    | Some child -> return! QuorumChildren.add parent child state.Graph
            }

        Transition.bind state planned (Changes.run state)

    let private limitWrites (state: State) (nodes: NodeId list) : Effect list =
        Changes.exportsAbove state nodes
        |> List.map (fun key -> LimitWrites(Changes.served state.Graph state.Exports[key]))

    let setWriteThreshold (state: State) (arguments: BlockSetWriteThreshold) : Transition =
        match Graph.tryByName arguments.NodeName state.Graph with
        | None -> Transition.fail state (QapiError.generic ("Device '" + arguments.NodeName + "' not found"))
        | Some node ->
            let next = {
                state with
                    Graph = Graph.setWriteThreshold node.Id arguments.WriteThreshold state.Graph
            }

            Transition.ok next (limitWrites next [ node.Id ])

    /// Writes have ended at these offsets of nodes: each threshold that is passed is told once, and off.
    let wrote (state: State) (ends: (NodeId * int64) list) : Transition =
        let passed =
            ends
            |> List.choose (fun (id, writeEnd) ->
                match Graph.tryNode id state.Graph with
                | Some node when node.WriteThreshold > 0UL && uint64 (max 0L writeEnd) > node.WriteThreshold ->
                    Some(node, uint64 writeEnd - node.WriteThreshold)
                | _ -> None)

        let next = {
            state with
                Graph =
                    passed
                    |> List.fold (fun graph (node, _) -> Graph.setWriteThreshold node.Id 0UL graph) state.Graph
        }

        let event (node: Node, exceeded) =
            let data: BlockWriteThreshold = {
                NodeName = node.Name
                AmountExceeded = exceeded
                WriteThreshold = node.WriteThreshold
            }

            Emit(Events.blockWriteThreshold.Name, StructCodec.encode Events.blockWriteThreshold.Data data)

        // Also where nothing was passed: whoever told is waiting for limits.
        Transition.ok next (List.map event passed @ limitWrites next (List.map fst ends))

    let private permissions (set: Perm) : BlockPermission list =
        [
            Perm.Resize, BlockPermission.Resize
            Perm.WriteUnchanged, BlockPermission.WriteUnchanged
            Perm.Write, BlockPermission.Write
            Perm.ConsistentRead, BlockPermission.ConsistentRead
        ]
        |> List.choose (fun (perm, name) -> if Perm.has perm set then Some name else None)

    let debugGraph (state: State) : Transition =
        let shown = DebugGraph.ofGraph state.Graph

        let node (number: int64, vertex: DebugVertex) : DebugBlockGraphNode =
            match vertex with
            | BackendVertex _ -> {
                Id = uint64 number
                Type = DebugBlockGraphNodeType.BlockBackend
                Name = ""
              }
            | NodeVertex id -> {
                Id = uint64 number
                Type = DebugBlockGraphNodeType.BlockDriver
                Name = (Graph.node id state.Graph).Name
              }

        let edge (edge: DebugEdge) : DebugBlockGraphEdge = {
            Parent = uint64 edge.Parent
            Child = uint64 edge.Child
            Name = edge.Name
            Perm = permissions edge.Perms.Used
            SharedPerm = permissions edge.Perms.Shared
        }

        {
            Nodes = List.map node shown.Vertices
            Edges = List.map edge shown.Edges
        }
        |> Command.encodeReturn Commands.xDebugQueryBlockGraph
        |> Transition.value state
