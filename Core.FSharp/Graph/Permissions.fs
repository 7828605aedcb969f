namespace StorageDaemon.Core.Graph

open System.Collections.Generic
open StorageDaemon.Core

/// Carries a change of what a node's users want down to the image files.
module Permissions =
    let private describeUser (graph: Graph) (user: EdgeUser) =
        match user with
        | NodeUser id -> "node '" + (Graph.node id graph).Name + "'"
        | BackendUser id ->
            match Graph.tryBackend id graph with
            | Some backend -> backend.Label
            | None -> Backend.UnnamedLabel

    /// The parents, the newest first.
    let private parentsNewestFirst (node: Node) =
        Map.fold (fun newest _ edge -> edge :: newest) [] node.Parents

    /// The text of the first conflict: the newest user that does not share what another one needs, and the newest
    /// such other one.
    let private conflictError (graph: Graph) (node: Node) : QapiError =
        let edges = parentsNewestFirst node

        let stands (edge: ParentEdge) =
            Perm.intersects (Perm.complement edge.Perms.Shared) (Users.usedByOthers edge.Perms node.Users)

        let unsharing = edges |> List.find stands
        let unshared = Perm.complement unsharing.Perms.Shared

        let requiring =
            edges
            |> List.find (fun edge -> edge.Id <> unsharing.Id && Perm.intersects unshared edge.Perms.Used)

        let uses (edge: ParentEdge) =
            describeUser graph edge.User
            + " (uses node '"
            + node.Name
            + "' as '"
            + edge.ChildName
            + "' child)"

        "Permission conflict on node '"
        + node.Name
        + "': permissions '"
        + Perm.names (requiring.Perms.Used &&& unshared)
        + "' are both required by "
        + uses requiring
        + " and unshared by "
        + uses unsharing
        + "."
        |> QapiError.generic

    /// `turned` are nodes that become read-only with this change; the text tells them from those that are.
    let private check (turned: NodeId -> bool) (graph: Graph) (node: Node) : Result<unit, QapiError> =
        let total = Node.perms node

        let writes = Perm.intersects (Perm.Write ||| Perm.WriteUnchanged) total.Used

        if not node.Options.Active && Perm.intersects Perm.writing total.Used then
            QapiError.fail (
                "Permission '"
                + Perm.names (total.Used &&& Perm.writing)
                + "' unavailable on inactive node"
            )
        elif Users.conflicts node.Users <> Perm.None then
            Error(conflictError graph node)
        elif writes && node.Options.ReadOnly then
            if turned node.Id then
                QapiError.fail ("Read-only block node '" + node.Name + "' cannot support read-write users")
            else
                QapiError.fail "Block node is read-only"
        elif
            writes
            && not (Perm.has Perm.Resize total.Used)
            && node.SizeBytes % int64 node.AlignmentBytes <> 0L
        then
            // The last, partial unit could be written only by writing past the end.
            QapiError.fail
                "Cannot get 'write' permission without 'resize': Image size is not a multiple of request alignment"
        else
            Ok()

    /// The nodes and everything below them, parents before children, and otherwise in the order given (reverse
    /// postorder; an own stack, for chains may be long).
    let private topologicalOver (roots: NodeId list) (graph: Graph) : NodeId list =
        let seen = HashSet<NodeId>()
        let stack = Stack<struct (NodeId * Child list)>()
        let mutable order = []

        let enter id =
            if seen.Add id then
                stack.Push(struct (id, (Graph.node id graph).Children))

        for root in List.rev roots do
            enter root

            while stack.Count > 0 do
                match stack.Pop() with
                | struct (id, []) -> order <- id :: order
                | struct (id, child :: rest) ->
                    stack.Push(struct (id, rest))
                    enter child.Node

        order

    let private topological (root: NodeId) (graph: Graph) : NodeId list = topologicalOver [ root ] graph

    /// The permissions that `parent` wants of one of its children.
    let wanted (parent: Node) (child: Child) (childNode: Node) : PermPair =
        let options = parent.Options
        let perms =
            Driver.childPerms parent.Driver options.Active options.ReadOnly child.Role (Node.perms parent)

        if childNode.Options.ForceShare then
            { perms with Shared = Perm.All }
        else
            perms

    let private updateChildren (parent: Node) (changed: HashSet<NodeId>) (graph: Graph) : Graph =
        parent.Children
        |> List.fold
            (fun graph child ->
                let childNode = Graph.node child.Node graph
                let perms = wanted parent child childNode

                if Perm.same perms childNode.Parents[child.Edge].Perms then
                    graph
                else
                    changed.Add child.Node |> ignore
                    Graph.setEdgePerms child.Node child.Edge perms graph)
            graph

    let private nobody (_: NodeId) = false

    /// Checks the roots, and what this changes further down.
    let private checkBelow turned (roots: NodeId list) (graph: Graph) : Result<Graph, QapiError> =
        let changed = HashSet<NodeId>(roots)

        let step (graph: Result<Graph, QapiError>) id =
            match graph with
            | Ok g when changed.Contains id ->
                let node = Graph.node id g
                check turned g node |> Result.map (fun () -> updateChildren node changed g)
            | unchanged -> unchanged

        topologicalOver roots graph |> List.fold step (Ok graph)

    /// Checks `root`, whose users have changed, and everything below that this reaches. `before` is what the users
    /// wanted until now: when their sum is the same, nothing below can change, and only the conflict is left to
    /// check.
    let refresh (before: PermPair) (root: NodeId) (graph: Graph) : Result<Graph, QapiError> =
        let rootNode = Graph.node root graph

        if Perm.same before (Node.perms rootNode) then
            check nobody graph rootNode |> Result.map (fun () -> graph)
        else
            checkBelow nobody [ root ] graph

    /// Checks nodes whose options have changed, and everything below that this reaches.
    let recheck (turned: NodeId -> bool) (nodes: NodeId list) (graph: Graph) : Result<Graph, QapiError> =
        checkBelow turned nodes graph

    /// The same for a node that itself wants less of its children now. That cannot fail, so nothing is checked.
    let relaxChildren (root: NodeId) (graph: Graph) : Graph =
        let changed = HashSet<NodeId>([ root ])

        topological root graph
        |> List.fold
            (fun g id ->
                if changed.Contains id then
                    updateChildren (Graph.node id g) changed g
                else
                    g)
            graph

    /// The same when users have gone or want less.
    let relax (before: PermPair) (root: NodeId) (graph: Graph) : Graph =
        if Perm.same before (Node.perms (Graph.node root graph)) then
            graph
        else
            relaxChildren root graph
