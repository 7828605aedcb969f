namespace StorageDaemon.Core.Graph

open StorageDaemon.Core.Image

/// Which files nodes of preallocate let grow ahead of their data: only while somebody above may write and resize.
module Preallocation =
    /// The host file that a node shows as a whole, which can grow with it. Of several preallocating nodes the lowest
    /// one lets it grow.
    let rec private wholeFile (graph: Graph) (node: Node) : NodeId option =
        match node.Driver, node.Children with
        | File(RegularFile, _), _ -> Some node.Id
        | Raw options, child :: _ when not (Raw.needsFixedChild options) ->
            wholeFile graph (Graph.node child.Node graph)
        | (CopyOnRead _ | Compress), child :: _ -> wholeFile graph (Graph.node child.Node graph)
        | _ -> None

    /// The host file that a node lets grow ahead; nothing where it only passes requests on.
    let grownFile (graph: Graph) (node: Node) : NodeId option =
        match node.Driver, node.Children with
        | Preallocate _, child :: _ when
            node.Options.Active
            && Perm.has (Perm.Write ||| Perm.Resize) (Node.perms node).Used
            ->
            wholeFile graph (Graph.node child.Node graph)
        | _ -> None

    /// What grows in a graph: the preallocating node and its file.
    let all (graph: Graph) : struct (NodeId * NodeId) list =
        graph.Preallocating
        |> Set.toList
        |> List.choose (fun id ->
            match grownFile graph graph.Nodes[id] with
            | Some file -> Some(struct (id, file))
            | None -> None)

    /// What grows in `old` and no longer does in `next`.
    let ended (old: Graph) (next: Graph) : struct (NodeId * NodeId) list =
        all old
        |> List.filter (fun struct (id, file) ->
            match next.Nodes.TryFind id with
            | Some node -> grownFile next node <> Some file
            | None -> true)
