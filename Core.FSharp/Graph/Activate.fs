namespace StorageDaemon.Core.Graph

open System.Collections.Generic
open StorageDaemon.Core

/// Nodes that were added inactive (`active=false`) become active: from then on their users have the permissions that
/// they want.
module Activate =
    /// The inactive nodes below, the children first. What is below an active node is active.
    let private inactiveBelow (root: NodeId) (graph: Graph) : Node list =
        let seen = HashSet<NodeId>()
        let waiting = Stack<NodeId>([ root ])
        let mutable found = []

        while waiting.Count > 0 do
            let node = Graph.node (waiting.Pop()) graph

            if not node.Options.Active && seen.Add node.Id then
                found <- node :: found
                node.Children |> List.iter (fun child -> waiting.Push child.Node)

        found

    let private setActive (graph: Graph) (node: Node) =
        Graph.putNode { node with Options.Active = true } graph

    /// Gives the backends of a node what they want.
    let private wakeBackends (graph: Result<Graph, QapiError>) (node: Node) : Result<Graph, QapiError> =
        let wake (graph: Result<Graph, QapiError>) (edge: ParentEdge) =
            match graph, edge.User with
            | Ok graph, BackendUser id -> Backends.grant id graph.Backends[id].Wanted graph
            | _ -> graph

        node.Parents |> Map.fold (fun graph _ edge -> wake graph edge) graph

    /// Activates a node and all that is below it.
    let node (id: NodeId) (graph: Graph) : Result<GraphChange, QapiError> =
        match inactiveBelow id graph with
        | [] -> Ok(GraphChange.ofGraph graph)
        | nodes ->
            nodes
            |> List.fold wakeBackends (Ok(List.fold setActive graph nodes))
            |> Result.map (fun next -> {
                GraphChange.between false [ id ] graph next with
                    Touched = nodes |> List.map _.Id
            })
