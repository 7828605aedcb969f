namespace StorageDaemon.Core.Graph

/// A vertex of the graph as x-debug-query-block-graph shows it.
[<NoComparison>]
type DebugVertex =
    | BackendVertex of BackendId
    | NodeVertex of NodeId

[<NoComparison; NoEquality>]
type DebugEdge = {
    Parent: int64
    Child: int64
    Name: string
    Perms: PermPair
}

/// Vertices with their numbers, and edges, both in the order of the listing.
[<NoComparison; NoEquality>]
type DebugGraph = {
    Vertices: (int64 * DebugVertex) list
    Edges: DebugEdge list
}

/// x-debug-query-block-graph: numbers are given as vertices are first met, backends before nodes, and the listing
/// begins with the last one.
module DebugGraph =
    [<NoComparison; NoEquality>]
    type private Walk = {
        Nodes: Map<NodeId, int64>
        Next: int64
        Listing: DebugGraph
    }

    let private numberNode (id: NodeId) (walk: Walk) : struct (int64 * Walk) =
        match walk.Nodes.TryFind id with
        | Some number -> struct (number, walk)
        | None ->
            struct (walk.Next,
                    {
                        walk with
                            Nodes = walk.Nodes.Add(id, walk.Next)
                            Next = walk.Next + 1L
                    })

    let private addVertex (number: int64) (vertex: DebugVertex) (walk: Walk) = {
        walk with
            Listing.Vertices = (number, vertex) :: walk.Listing.Vertices
    }

    let private addEdge (parent: int64) (name: string) (perms: PermPair) (target: NodeId) (walk: Walk) =
        let struct (child, walk) = numberNode target walk

        {
            walk with
                Listing.Edges =
                    {
                        Parent = parent
                        Child = child
                        Name = name
                        Perms = perms
                    }
                    :: walk.Listing.Edges
        }

    let private addBackend (walk: Walk) (backend: Backend) =
        let number = walk.Next

        { walk with Next = number + 1L }
        |> addVertex number (BackendVertex backend.Id)
        |> addEdge number "root" backend.Perms backend.Node

    let private addNode (graph: Graph) (walk: Walk) (node: Node) =
        let struct (number, walk) = numberNode node.Id walk
        let walk = addVertex number (NodeVertex node.Id) walk

        // The child that was attached last comes first.
        List.foldBack
            (fun (child: Child) walk ->
                let perms = (Graph.node child.Node graph).Parents[child.Edge].Perms
                addEdge number child.Name perms child.Node walk)
            node.Children
            walk

    let ofGraph (graph: Graph) : DebugGraph =
        let start = {
            Nodes = Map.empty
            Next = 1L
            Listing = { Vertices = []; Edges = [] }
        }

        let withBackends = graph.Backends |> Map.fold (fun walk _ backend -> addBackend walk backend) start
        (graph.Nodes
         |> Map.fold (fun walk _ node -> addNode graph walk node) withBackends)
            .Listing
