namespace StorageDaemon.Core.Graph

open StorageDaemon.Core

/// A user to attach to a node.
[<NoComparison; NoEquality>]
type BackendSpec = {
    Perms: PermPair
    /// How error texts call it: `Backend.UnnamedLabel` for exports.
    Label: string
    FixedContext: bool
    AllowInactive: bool
}

[<NoComparison; NoEquality>]
type AttachedBackend = { Id: BackendId; Change: GraphChange }

/// Users of nodes that are not nodes.
module Backends =
    /// The change without the image files: what follows of it for them is `GraphChange.between`.
    let private insert
        (childName: string)
        (target: NodeId)
        (spec: BackendSpec)
        (wanted: PermPair)
        (graph: Graph)
        : Result<struct (BackendId * Graph), QapiError> =
        let before = Node.perms (Graph.node target graph)
        let id = graph.NextBackend

        let backend: Backend = {
            Id = id
            Node = target
            Edge = graph.NextEdge
            Perms = spec.Perms
            Wanted = wanted
            Label = spec.Label
            FixedContext = spec.FixedContext
            AllowInactive = spec.AllowInactive
        }

        let edge = {
            Id = backend.Edge
            User = BackendUser id
            ChildName = childName
            Perms = spec.Perms
        }

        {
            graph with
                Backends = graph.Backends.Add(id, backend)
                NextBackend = id + 1L<backendId>
                NextEdge = graph.NextEdge + 1L<edgeId>
        }
        |> Graph.addEdge target edge spec.FixedContext
        |> Permissions.refresh before target
        |> Result.map (fun graph -> struct (id, graph))

    /// Attaches a user with all its permissions at once, under a name that error texts use.
    let attachAs
        (childName: string)
        (target: NodeId)
        (spec: BackendSpec)
        (graph: Graph)
        : Result<AttachedBackend, QapiError> =
        insert childName target spec spec.Perms graph
        |> Result.map (fun struct (id, next) -> {
            Id = id
            Change = GraphChange.between false [ target ] graph next
        })

    /// The change of what a user has, without the image files.
    let internal grant (id: BackendId) (perms: PermPair) (graph: Graph) : Result<Graph, QapiError> =
        let backend = graph.Backends[id]
        let before = Node.perms (Graph.node backend.Node graph)

        {
            graph with
                Backends = graph.Backends.Add(id, { backend with Perms = perms; Wanted = perms })
        }
        |> Graph.setEdgePerms backend.Node backend.Edge perms
        |> Permissions.refresh before backend.Node

    /// Attaches a user with all its permissions at once.
    let attach (target: NodeId) (spec: BackendSpec) (graph: Graph) : Result<AttachedBackend, QapiError> =
        attachAs "root" target spec graph

    /// Changes what a user wants.
    let setPerms (id: BackendId) (perms: PermPair) (graph: Graph) : Result<GraphChange, QapiError> =
        grant id perms graph
        |> Result.map (fun next -> GraphChange.between true [ graph.Backends[id].Node ] graph next)

    /// Attaches a user that sleeps until its node is active.
    let private attachAsleep (target: NodeId) (spec: BackendSpec) (graph: Graph) : Result<AttachedBackend, QapiError> =
        insert "root" target { spec with Perms = Perm.unused } spec.Perms graph
        |> Result.map (fun struct (id, next) -> { Id = id; Change = GraphChange.ofGraph next })

    /// Attaches an export: first with what it uses, tolerating everybody, then with what it tolerates. The two steps
    /// decide which of several conflicts is reported. On an inactive node it has no permissions yet.
    let attachExport (target: NodeId) (spec: BackendSpec) (graph: Graph) : Result<AttachedBackend, QapiError> =
        if not (Graph.node target graph).Options.Active then
            attachAsleep target spec graph
        else
            result {
                let tolerant = { spec.Perms with Shared = Perm.All }
                let! first = attach target { spec with Perms = tolerant } graph
                let! second = setPerms first.Id spec.Perms first.Change.Graph

                return {
                    first with
                        Change = GraphChange.append first.Change second
                }
            }

    /// Takes a user away. The node stays: `Remove.releaseIfUnused` takes nodes that only their users kept.
    let internal remove (id: BackendId) (graph: Graph) : struct (NodeId * Graph) =
        let backend = graph.Backends[id]
        let before = Node.perms (Graph.node backend.Node graph)

        let next =
            { graph with Backends = graph.Backends.Remove id }
            |> Graph.removeEdge backend.Node backend.Edge backend.FixedContext
            |> Permissions.relax before backend.Node

        struct (backend.Node, next)
