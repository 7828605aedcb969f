namespace StorageDaemon.Core.Daemon

open System.Collections.Generic
open StorageDaemon.Core.Graph

/// How a change of the graph takes effect on what is served: exports above it come to rest, files and locks follow,
/// the exports take their new paths and go on. No other export notices.
module Changes =
    /// What the shell needs to serve an export.
    let served (graph: Graph) (export: Export) : ServedExport = {
        Key = export.Key
        Path = Path.compile graph graph.Backends[export.Backend].Node
        Writethrough = export.Writethrough
        Iothreads = export.Iothreads
    }

    /// The exports that reach any of the nodes, the oldest first.
    let exportsAbove (state: State) (nodes: NodeId list) : ExportKey list =
        let seen = HashSet<NodeId>()
        let waiting = Stack<NodeId>(nodes)
        let backends = HashSet<BackendId>()

        while waiting.Count > 0 do
            let id = waiting.Pop()

            match Graph.tryNode id state.Graph with
            | Some node when seen.Add id ->
                node.Parents
                |> Map.iter (fun _ edge ->
                    match edge.User with
                    | NodeUser parent -> waiting.Push parent
                    | BackendUser backend -> backends.Add backend |> ignore)
            | _ -> ()

        if backends.Count = 0 then
            []
        else
            State.exports state
            |> List.filter (fun export -> backends.Contains export.Backend)
            |> List.rev
            |> List.map _.Key

    /// The new paths of exports that rest.
    let update (state: State) (next: Graph) (keys: ExportKey list) : Effect list =
        keys |> List.map (fun key -> UpdateExport(served next state.Exports[key]))

    let resume (keys: ExportKey list) : Effect list = [
        if not keys.IsEmpty then
            ResumeExports keys
    ]
