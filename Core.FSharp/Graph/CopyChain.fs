namespace StorageDaemon.Core.Graph

/// Where copy-on-read copies from: the images below the one that it copies to.
module CopyChain =
    let private child (role: ChildRole) (graph: Graph) (node: Node) : Node option =
        node.Children
        |> List.tryFind (fun child -> child.Role.HasFlag role)
        |> Option.map (fun child -> Graph.node child.Node graph)

    /// The nodes from one on down to the first that has a backing image, or that has no main child. Chains are as long as
    /// nodes are stacked, which `AddPlan.MaxDepth` bounds.
    let rec private toImage (graph: Graph) (node: Node) : Node list =
        match child ChildRole.Cow graph node, child ChildRole.Primary graph node with
        | None, Some next -> node :: toImage graph next
        | _ -> [ node ]

    let private backing (graph: Graph) (node: Node) : Node option =
        toImage graph node |> List.last |> child ChildRole.Cow graph

    /// Whether reads through a copy-on-read node can find anything missing.
    let canCopy (graph: Graph) (node: Node) : bool = (backing graph node).IsSome

    /// The images below the first one down to `bottom`, that one included: only what one of them has is copied. Empty
    /// where everything is, as it is without `bottom`; the real daemon takes the first image itself for that, too.
    let below (graph: Graph) (node: Node) : Node list =
        match node.Driver with
        | CopyOnRead(Some bottom) when canCopy graph node ->
            let isReached (from: Node) =
                toImage graph from |> List.exists (fun node -> node.Name = bottom)

            let rec down (from: Node) =
                match backing graph from with
                | Some next when isReached next -> [ next ]
                | Some next -> next :: down next
                | None -> []

            if isReached node then [] else down node
        | _ -> []
