namespace StorageDaemon.Core.Graph

open System.Collections.Generic
open StorageDaemon.Core

/// blockdev-snapshot: an overlay takes a node's place, and the node becomes its backing child. All users of the node,
/// exports among them, follow.
module Snapshot =
    /// The nodes of `start` and below.
    let private below (start: NodeId) (graph: Graph) : HashSet<NodeId> =
        let seen = HashSet<NodeId>()
        let waiting = Stack<NodeId>([ start ])

        while waiting.Count > 0 do
            let id = waiting.Pop()

            if seen.Add id then
                (Graph.node id graph).Children
                |> List.iter (fun child -> waiting.Push child.Node)

        seen

    /// Lets a user of one node use another in its place, with the permissions that it has.
    let private move (from: Node) (target: NodeId) (graph: Graph) (edge: ParentEdge) : Graph =
        let fixedContext =
            match edge.User with
            | BackendUser id -> graph.Backends[id].FixedContext
            | NodeUser _ -> false

        let moved =
            graph
            |> Graph.removeEdge from.Id edge.Id fixedContext
            |> Graph.addEdge target edge fixedContext

        match edge.User with
        | BackendUser id -> {
            moved with
                Backends = moved.Backends.Add(id, { moved.Backends[id] with Node = target })
          }
        | NodeUser id ->
            let parent = Graph.node id moved

            Graph.putNode
                {
                    parent with
                        Children =
                            parent.Children
                            |> List.map (fun child ->
                                if child.Edge = edge.Id then
                                    { child with Node = target }
                                else
                                    child)
                }
                moved

    /// Lets all users of a node use another one, but for those that the other one itself stands on.
    let replaceNode (from: NodeId) (target: NodeId) (graph: Graph) : Result<Graph, QapiError> =
        let node = Graph.node from graph
        let standing = below target graph

        let movable (edge: ParentEdge) =
            match edge.User with
            | NodeUser parent -> not (standing.Contains parent)
            | BackendUser _ -> true

        let users = node.Parents |> Map.toList |> List.map snd |> List.filter movable
        let moved = users |> List.fold (move node target) graph

        let checkUser (sofar: Result<unit, QapiError>) (edge: ParentEdge) =
            match sofar, edge.User with
            | Ok(), NodeUser parent ->
                Children.checkActive (Graph.node parent graph) edge.ChildName (Graph.node target graph)
            | _ -> sofar

        result {
            do! List.fold checkUser (Ok()) users
            let! joined = Contexts.join target from moved
            // What the node's users no longer want of it, first; then what they want of the other one.
            let relaxed = Permissions.relax (Node.perms node) from joined
            return! Permissions.recheck (fun _ -> false) [ target ] relaxed
        }

    let private checkOverlay (supportsBacking: Driver -> bool) (overlay: Node) =
        if
            overlay.BackendCount > 0
            || Perm.has Perm.ConsistentRead (Node.perms overlay).Used
        then
            QapiError.fail "The overlay is already in use"
        elif Driver.isFilter overlay.Driver then
            QapiError.fail "Filters cannot be used as overlays"
        elif (Children.tryFind Driver.BackingName overlay).IsSome then
            QapiError.fail "The overlay already has a backing image"
        elif not (supportsBacking overlay.Driver) then
            QapiError.fail "The overlay does not support backing images"
        else
            Ok()

    /// A node that is another one's backing child already cannot have an overlay of its own.
    let checkNode (node: Node) (graph: Graph) : Result<unit, QapiError> = Remove.checkNoOverlay node graph

    /// Puts the overlay on top of the node.
    let append
        (supportsBacking: Driver -> bool)
        (nodeId: NodeId)
        (overlayId: NodeId)
        (graph: Graph)
        : Result<GraphChange, QapiError> =
        result {
            let node, overlay = Graph.node nodeId graph, Graph.node overlayId graph
            do! checkOverlay supportsBacking overlay
            do! Children.checkCycle overlay Driver.BackingName node graph
            let! attached = Children.attach overlayId Driver.BackingName nodeId graph
            let! next = replaceNode nodeId overlayId (Children.refreshAbove overlayId attached)

            return {
                GraphChange.between true [ overlayId; nodeId ] graph next with
                    Touched = [ overlayId; nodeId ]
            }
        }

    /// The nodes of the command: the one that gets an overlay, and the overlay.
    let find (node: string) (overlay: string) (graph: Graph) : Result<struct (NodeId * NodeId), QapiError> =
        result {
            let! target = Graph.findReference node graph
            do! checkNode target graph
            let! top = Graph.findReference overlay graph
            return struct (target.Id, top.Id)
        }
