namespace StorageDaemon.Core.Graph

open System.Collections.Generic
open StorageDaemon.Core

/// Which I/O thread serves a node. Nodes that are connected always share one.
module Contexts =
    /// All nodes that are connected with `start` through children or parents.
    let private connected (start: NodeId) (graph: Graph) : Node list =
        let seen = HashSet<NodeId>()
        let stack = Stack<NodeId>([ start ])
        let mutable nodes = []

        while stack.Count > 0 do
            let id = stack.Pop()

            if seen.Add id then
                let node = Graph.node id graph
                nodes <- node :: nodes
                node.Children |> List.iter (fun child -> stack.Push child.Node)

                node.Parents
                |> Map.iter (fun _ edge ->
                    match edge.User with
                    | NodeUser parent -> stack.Push parent
                    | BackendUser _ -> ())

        nodes

    /// The nodes that share an I/O thread with this one, itself included.
    let sharing (id: NodeId) (graph: Graph) : NodeId list = connected id graph |> List.map _.Id

    /// Moves a node and everything connected with it into another I/O thread (nothing: the main loop). Users that are
    /// tied to their thread forbid it.
    let move (id: NodeId) (context: string option) (graph: Graph) : Result<Graph, QapiError> =
        if (Graph.node id graph).Context = context then
            Ok graph
        else
            let nodes = connected id graph

            if nodes |> List.exists (fun node -> node.FixedBackendCount > 0) then
                QapiError.fail "Cannot change iothread of active block backend"
            else
                nodes
                |> List.fold (fun g node -> Graph.putNode { node with Context = context } g) graph
                |> Ok

    /// Brings a new parent and its child into one I/O thread: the parent's where the child may move, else the
    /// child's.
    let internal join (parent: NodeId) (child: NodeId) (graph: Graph) : Result<Graph, QapiError> =
        match move child (Graph.node parent graph).Context graph with
        | Ok moved -> Ok moved
        | Error _ -> move parent (Graph.node child graph).Context graph

    /// Whether x-blockdev-set-iothread may move a node: not from under its users, unless forced.
    let checkMovable (node: Node) (force: bool) : Result<unit, QapiError> =
        if node.BackendCount > 0 && not force then
            "Node "
            + node.Name
            + " is associated with a BlockBackend and could be in use"
            + " (use force=true to override this check)"
            |> QapiError.fail
        else
            Ok()
