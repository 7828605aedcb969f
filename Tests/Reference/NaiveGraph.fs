/// The graph told in the plainest way: lists, and permissions computed anew from the top for every question.
[<RequireQualifiedAccess>]
module StorageDaemon.Tests.Reference.NaiveGraph

open StorageDaemon.Core.Graph

type NaiveNode = {
    Name: string
    ReadOnly: bool
    /// The child's name; nothing for a host file.
    Child: string option
    /// Offset of a raw node in its child.
    Offset: int64
    Bytes: int64
    MonitorOwned: bool
    /// The parent that it was described in, as long as that has it.
    DescribedBy: string option
}

[<NoComparison>]
type NaiveUser = { Key: int; Node: string; Perms: PermPair }

/// Nodes and users, the newest first.
[<NoComparison>]
type NaiveGraph = { Nodes: NaiveNode list; Users: NaiveUser list }

let empty = { Nodes = []; Users = [] }

let tryNode name graph =
    graph.Nodes |> List.tryFind (fun node -> node.Name = name)

let private parents name graph =
    graph.Nodes |> List.filter (fun node -> node.Child = Some name)

/// The permissions of every user of a node.
let rec private perms (graph: NaiveGraph) (name: string) : PermPair list =
    let direct = graph.Users |> List.filter (fun user -> user.Node = name) |> List.map _.Perms

    let viaParents =
        parents name graph
        |> List.map (fun parent ->
            let all = perms graph parent.Name

            {
                Used = all |> List.fold (fun set p -> set ||| p.Used) Perm.None
                Shared =
                    all
                    |> List.fold
                        (fun set p -> set &&& p.Shared)
                        (if parent.Offset > 0L then
                             Perm.without Perm.Resize Perm.All
                         else
                             Perm.All)
            })

    direct @ viaParents

let private isValid (graph: NaiveGraph) =
    graph.Nodes
    |> List.forall (fun node ->
        let all = perms graph node.Name |> List.indexed

        let inPeace =
            List.allPairs all all
            |> List.forall (fun ((i, a), (j, b)) -> i = j || Perm.without a.Shared b.Used = Perm.None)

        let writers = all |> List.exists (fun (_, p) -> Perm.has Perm.Write p.Used)

        inPeace && not (writers && node.ReadOnly))

let private ifValid graph =
    if isValid graph then Some graph else None

/// Adds nodes, the child first; nothing when a name is taken or the users do not agree.
let add (nodes: NaiveNode list) (graph: NaiveGraph) : NaiveGraph option =
    let addOne graph node =
        graph
        |> Option.bind (fun graph ->
            let known child = (tryNode child graph).IsSome

            if (tryNode node.Name graph).IsSome || not (Option.forall known node.Child) then
                None
            else
                let bytes =
                    match node.Child |> Option.bind (fun child -> tryNode child graph) with
                    | Some child -> child.Bytes - node.Offset
                    | None -> node.Bytes

                if bytes < 0L then
                    None
                else
                    Some {
                        graph with
                            Nodes = { node with Bytes = bytes } :: graph.Nodes
                    })

    List.fold addOne (Some graph) nodes |> Option.bind ifValid

let attach (user: NaiveUser) (graph: NaiveGraph) : NaiveGraph option =
    if (tryNode user.Node graph).IsNone then
        None
    else
        ifValid { graph with Users = user :: graph.Users }

/// A parent has a child no longer.
let private forgets (parent: string) (child: string option) (graph: NaiveGraph) : NaiveGraph = {
    graph with
        Nodes =
            graph.Nodes
            |> List.map (fun node ->
                if Some node.Name = child && node.DescribedBy = Some parent then
                    { node with DescribedBy = None }
                else
                    node)
}

/// Takes away nodes that nobody keeps, again and again.
let rec private sweep (graph: NaiveGraph) : NaiveGraph =
    let kept node =
        node.MonitorOwned
        || not (parents node.Name graph).IsEmpty
        || graph.Users |> List.exists (fun user -> user.Node = node.Name)

    let nodes = graph.Nodes |> List.filter kept

    if nodes.Length = graph.Nodes.Length then
        graph
    else
        let gone = graph.Nodes |> List.filter (kept >> not)

        gone
        |> List.fold (fun graph node -> forgets node.Name node.Child graph) { graph with Nodes = nodes }
        |> sweep

let detach (key: int) (graph: NaiveGraph) : NaiveGraph =
    sweep {
        graph with
            Users = graph.Users |> List.filter (fun user -> user.Key <> key)
    }

let del (name: string) (graph: NaiveGraph) : NaiveGraph option =
    match tryNode name graph with
    | Some node when
        node.MonitorOwned
        && (parents name graph).IsEmpty
        && graph.Users |> List.forall (fun user -> user.Node <> name)
        ->
        Some(
            sweep {
                forgets name node.Child graph with
                    Nodes =
                        (forgets name node.Child graph).Nodes
                        |> List.filter (fun node -> node.Name <> name)
            }
        )
    | _ -> None

let resize (name: string) (bytes: int64) (graph: NaiveGraph) : NaiveGraph option =
    let user = {
        Key = -1
        Node = name
        Perms = { Used = Perm.Resize; Shared = Perm.All }
    }

    let rec setBytes name bytes graph =
        match tryNode name graph with
        | Some node when not node.ReadOnly ->
            let nodes =
                graph.Nodes
                |> List.map (fun other ->
                    if other.Name = name then
                        { other with Bytes = bytes }
                    else
                        other)

            let next = { graph with Nodes = nodes }

            match node.Child with
            | Some child -> setBytes child (bytes + node.Offset) next
            | None -> Some next
        | _ -> None

    attach user graph |> Option.bind (fun _ -> setBytes name bytes graph)

/// Whether `target` is `name` or below it.
let rec private reaches (name: string) (target: string) (graph: NaiveGraph) : bool =
    name = target
    || match tryNode name graph |> Option.bind _.Child with
       | Some child -> reaches child target graph
       | None -> false

/// The length of a raw node anew; then those of its parents, as far as something changes.
let rec private remeasure (isFirst: bool) (graph: NaiveGraph) (name: string) : NaiveGraph =
    match tryNode name graph with
    | Some({ Child = Some child } as node) ->
        let bytes = max 0L ((tryNode child graph).Value.Bytes - node.Offset)

        let next = {
            graph with
                Nodes =
                    graph.Nodes
                    |> List.map (fun other ->
                        if other.Name = name then
                            { other with Bytes = bytes }
                        else
                            other)
        }

        if isFirst || bytes <> node.Bytes then
            parents name next |> List.map _.Name |> List.fold (remeasure false) next
        else
            next
    | _ -> graph

/// Another child, offset and mode for a raw node. A child that was described in it follows its mode.
let reopen (name: string) (child: string) (offset: int64) (readOnly: bool) (graph: NaiveGraph) : NaiveGraph option =
    match tryNode name graph, tryNode child graph with
    | Some({ Child = Some old } as node), Some _ when
        not (reaches child name graph) && offset <= (tryNode old graph).Value.Bytes
        ->
        let changed = {
            node with
                Child = Some child
                Offset = offset
                ReadOnly = readOnly
        }

        let graph = if child = old then graph else forgets name (Some old) graph

        let follow (other: NaiveNode) =
            if other.Name = name then
                changed
            elif other.Name = child && other.DescribedBy = Some name then
                { other with ReadOnly = readOnly }
            else
                other

        let next = { graph with Nodes = List.map follow graph.Nodes }

        remeasure true next name |> ifValid |> Option.map sweep
    | _ -> None

let listing (graph: NaiveGraph) =
    graph.Nodes |> List.map (fun node -> node.Name, node.Bytes, node.ReadOnly)
