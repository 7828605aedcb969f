namespace StorageDaemon.Core.Graph

open System.Collections.Generic
open StorageDaemon.Core

/// Nodes become active: from then on their users have the permissions that they want. Or inactive: their users keep
/// them, but have no permissions, so that another process may take the image over.
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
            // Some nodes want more of their children than their users want of them.
            |> Result.bind (Permissions.recheck (fun _ -> false) (nodes |> List.map _.Id))
            |> Result.map (fun next -> {
                GraphChange.between false [ id ] graph next with
                    Touched = nodes |> List.map _.Id
            })

    /// Activates all nodes.
    let all (graph: Graph) : Result<GraphChange, QapiError> =
        graph.Nodes
        |> Map.fold
            (fun change id _ ->
                change
                |> Result.bind (fun (change: GraphChange) ->
                    node id change.Graph |> Result.map (GraphChange.append change)))
            (Ok(GraphChange.ofGraph graph))

    let private hasActiveParent (graph: Graph) (node: Node) =
        node.Parents
        |> Map.exists (fun _ edge ->
            match edge.User with
            | NodeUser parent -> (Graph.node parent graph).Options.Active
            | BackendUser _ -> false)

    /// A user that writes, or may write what changes nothing, must have said that it can do without.
    let private mayRest (graph: Graph) (edge: ParentEdge) =
        match edge.User with
        | NodeUser _ -> true
        | BackendUser id ->
            let backend = graph.Backends[id]

            backend.AllowInactive
            || not (Perm.intersects (Perm.Write ||| Perm.WriteUnchanged) backend.Perms.Used)

    let private restBackend (graph: Graph) (edge: ParentEdge) : Graph =
        match edge.User with
        | NodeUser _ -> graph
        | BackendUser id ->
            let backend = graph.Backends[id]
            let before = Node.perms (Graph.node backend.Node graph)

            {
                graph with
                    Backends =
                        graph.Backends.Add(
                            id,
                            {
                                backend with
                                    Perms = Perm.unused
                                    Wanted = backend.Wanted
                            }
                        )
            }
            |> Graph.setEdgePerms backend.Node backend.Edge Perm.unused
            |> Permissions.relax before backend.Node

    let private notPermitted what =
        QapiError.fail ("Failed to inactivate " + what + ": Operation not permitted")

    /// Makes nodes inactive, and those below that no active node uses any more.
    let private rest
        (what: string)
        (start: NodeId list)
        (graph: Graph)
        : Result<struct (Graph * NodeId list), QapiError> =
        let waiting = Stack<NodeId>(List.rev start)
        let mutable next = graph
        let mutable rested = []
        let mutable failed = false

        while not failed && waiting.Count > 0 do
            let node = Graph.node (waiting.Pop()) next

            if node.Options.Active && not (hasActiveParent next node) then
                if node.Parents |> Map.forall (fun _ edge -> mayRest next edge) then
                    next <- node.Parents |> Map.fold (fun graph _ edge -> restBackend graph edge) next

                    let node = Graph.node node.Id next

                    if Perm.intersects (Perm.Write ||| Perm.WriteUnchanged) (Node.perms node).Used then
                        // A parent that writes even while it is inactive, such as a quorum that rewrites.
                        failed <- true
                    else
                        next <-
                            Graph.putNode { node with Options.Active = false } next
                            |> Permissions.relaxChildren node.Id

                        rested <- node.Id :: rested
                        node.Children |> List.iter (fun child -> waiting.Push child.Node)
                else
                    failed <- true

        if failed then
            notPermitted what
        else
            Ok(struct (next, rested))

    let private restChange what start (graph: Graph) =
        rest what start graph
        |> Result.map (fun struct (next, rested) -> {
            GraphChange.between true start graph next with
                Touched = rested
        })

    /// Makes a node inactive.
    let deactivate (id: NodeId) (graph: Graph) : Result<GraphChange, QapiError> =
        if hasActiveParent graph (Graph.node id graph) then
            QapiError.fail "Node has active parent node"
        else
            restChange "node" [ id ] graph

    /// Makes all nodes inactive, or none.
    let deactivateAll (graph: Graph) : Result<GraphChange, QapiError> =
        let roots =
            graph.Nodes
            |> Map.toList
            |> List.map snd
            |> List.filter (fun node -> not (hasActiveParent graph node))
            |> List.map _.Id

        restChange "all nodes" roots graph
