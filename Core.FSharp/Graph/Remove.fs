namespace StorageDaemon.Core.Graph

open System.Collections.Generic
open StorageDaemon.Core

/// How nodes go: by blockdev-del, or with their last user.
module Remove =
    let private isUnused (node: Node) =
        node.Parents.IsEmpty && not node.MonitorOwned

    /// Takes away `start` if nothing keeps it, and everything below that only it kept. Children with other users
    /// stay.
    let internal releaseFrom (start: NodeId) (old: Graph) (graph: Graph) : GraphChange =
        let waiting = Stack<NodeId>([ start ])
        let mutable next = graph
        // The users of these have changed, or of nodes below them.
        let mutable roots = []
        let mutable close = []

        while waiting.Count > 0 do
            let id = waiting.Pop()

            match Graph.tryNode id next with
            // A child that two names led to.
            | None -> ()
            | Some node when not (isUnused node) -> roots <- id :: roots
            | Some node ->
                next <- {
                    next with
                        Nodes = next.Nodes.Remove id
                        ByName = next.ByName.Remove node.Name
                        Preallocating = next.Preallocating.Remove id
                }

                close <- id :: close

                for child in node.Children do
                    let before = Node.perms (Graph.node child.Node next)

                    next <-
                        next
                        |> Graph.removeEdge child.Node child.Edge false
                        |> Permissions.relax before child.Node

                    waiting.Push child.Node

        let change = GraphChange.between true roots old next

        // A node that went after its permissions had shrunk has nothing left to unlock.
        {
            change with
                Files =
                    change.Files
                    |> List.filter (fun file -> file.Cut.IsSome || next.Nodes.ContainsKey file.Node)
                Close = close
        }

    /// A backing image stays as it is as long as others stand on it.
    let checkNoOverlay (node: Node) (graph: Graph) : Result<unit, QapiError> =
        let overlayOf (edge: ParentEdge) =
            match edge.User with
            | NodeUser parent when edge.ChildName = Driver.BackingName -> Some (Graph.node parent graph).Name
            | _ -> None

        match node.Parents |> Map.toList |> List.tryPick (snd >> overlayOf) with
        | Some overlay ->
            QapiError.fail (
                "Node '"
                + node.Name
                + "' is busy: node is used as backing hd of '"
                + overlay
                + "'"
            )
        | None -> Ok()

    /// blockdev-del: only for nodes that were added by themselves and that nobody uses.
    let node (nodeName: string) (graph: Graph) : Result<GraphChange, QapiError> =
        result {
            let! node = Graph.findNode nodeName graph

            if node.BackendCount > 0 then
                return! QapiError.fail ("Node " + nodeName + " is in use")

            do! checkNoOverlay node graph

            if not node.MonitorOwned then
                return! QapiError.fail ("Node " + nodeName + " is not owned by the monitor")
            elif not node.Parents.IsEmpty then
                return! QapiError.fail ("Block device " + nodeName + " is in use")
            else
                return
                    graph
                    |> Graph.putNode { node with MonitorOwned = false }
                    |> releaseFrom node.Id graph
        }

    /// Detaches an export or another user. Locks shrink, files may go back to read-only; errors of that are ignored.
    let backend (id: BackendId) (graph: Graph) : GraphChange =
        let struct (target, next) = Backends.remove id graph
        releaseFrom target graph next

    /// Takes away a node that has lost a user, if nothing keeps it.
    let release (id: NodeId) (graph: Graph) : GraphChange = releaseFrom id graph graph
