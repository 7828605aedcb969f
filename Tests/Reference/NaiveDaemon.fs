/// The control plane told in the plainest way: lists, and everything computed anew.
[<RequireQualifiedAccess>]
module StorageDaemon.Tests.Reference.NaiveDaemon

open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference.GraphChecks
open StorageDaemon.Tests.Reference.DaemonCommand

type Export = {
    Key: int
    Id: string
    Name: string
    Node: string
    Iothreads: string list
    Clients: int
    ShuttingDown: bool
}

/// The naive daemon; lists are newest first.
[<NoComparison>]
type Daemon = {
    Graph: NaiveGraph.NaiveGraph
    Nulls: Set<string>
    Exports: Export list
    NextKey: int
    Server: bool
    Iothreads: Set<string>
    /// And whether a monitor has it.
    Chardevs: Map<string, bool>
}

let nodeName (number: byte) = "n" + string (number % 6uy)
let exportId (number: byte) = "e" + string (number % 5uy)
/// Fewer than ids, and among them: nbd-server-add has the same for both.
let exportName (number: byte) = "e" + string (number % 2uy)
let threadId (number: byte) = "t" + string (number % 3uy)
let chardevId (number: byte) = "c" + string (number % 3uy)
let offsetOf (sectors: byte) =
    if sectors < 160uy then 0L else int64 (sectors % 3uy) * 512L

let private naiveFile name readOnly : NaiveGraph.NaiveNode = {
    Name = name
    ReadOnly = readOnly
    Child = None
    Offset = 0L
    Bytes = mib
    MonitorOwned = true
    DescribedBy = None
}

let private withGraph (naive: Daemon) graph = { naive with Graph = graph }

/// The end of exports that nobody uses any more.
let gone (keys: int list) (naive: Daemon) : Daemon =
    let node = List.fold (fun graph key -> NaiveGraph.detach key graph) naive.Graph keys

    {
        naive with
            Graph = node
            Exports = naive.Exports |> List.filter (fun export -> not (List.contains export.Key keys))
    }

let private leafIsNull (naive: Daemon) name =
    let rec walk name =
        match NaiveGraph.tryNode name naive.Graph with
        | Some { Child = Some child } -> walk child
        | Some node -> naive.Nulls.Contains node.Name
        | None -> false

    walk name

let private exportAdd (naive: Daemon) id node name writable iothreads : Daemon option =
    let perms = Perm.forNbdExport writable

    let isFree =
        naive.Server
        && naive.Exports
           |> List.forall (fun export -> export.Id <> id && (export.Name <> name || export.ShuttingDown))
        && iothreads |> List.forall naive.Iothreads.Contains

    if not isFree then
        None
    else
        let user: NaiveGraph.NaiveUser = { Key = naive.NextKey; Node = node; Perms = perms }

        let export = {
            Key = naive.NextKey
            Id = id
            Name = name
            Node = node
            Iothreads = iothreads
            Clients = 0
            ShuttingDown = false
        }

        NaiveGraph.attach user naive.Graph
        |> Option.map (fun graph -> {
            naive with
                Graph = graph
                Exports = export :: naive.Exports
                NextKey = naive.NextKey + 1
        })

let private exportDel (naive: Daemon) id hard : Daemon option =
    match naive.Exports |> List.tryFind (fun export -> export.Id = id) with
    | None
    | Some { ShuttingDown = true } -> None
    | Some export when export.Clients = 0 -> Some(gone [ export.Key ] naive)
    | Some _ when not hard -> None
    | Some export ->
        Some {
            naive with
                Exports =
                    naive.Exports
                    |> List.map (fun other ->
                        if other.Key = export.Key then
                            { other with ShuttingDown = true }
                        else
                            other)
        }

/// A poolMax of zero is no pool.
let poolMax (number: byte) = number % 4uy

/// The threads that an export asks for.
let threads (iothread: byte) =
    match iothread % 8uy with
    | 0uy -> [ threadId 0uy ]
    | 1uy -> [ threadId 1uy; threadId 2uy ]
    | _ -> []

/// The thread that a node is to be moved into; none for every fourth number.
let threadOrNone (number: byte) : string option =
    if number % 4uy = 3uy then
        None
    else
        Some(threadId (number % 4uy))

/// All nodes that a chain of children and parents leads to.
let rec private connected (graph: NaiveGraph.NaiveGraph) (sofar: Set<string>) : Set<string> =
    let more =
        graph.Nodes
        |> List.collect (fun node ->
            match node.Child with
            | Some child when sofar.Contains child || sofar.Contains node.Name -> [ node.Name; child ]
            | _ -> [])
        |> Set.ofList
        |> Set.union sofar

    if more = sofar then sofar else connected graph more

let private moveNode (naive: Daemon) node (thread: string option) force : Daemon option =
    let isThere = (NaiveGraph.tryNode node naive.Graph).IsSome
    let isUsed = naive.Exports |> List.exists (fun export -> export.Node = node)

    if
        not isThere
        || isUsed && not force
        || not (Option.forall naive.Iothreads.Contains thread)
    then
        None
    else
        let nodes = connected naive.Graph (Set.singleton node)

        Some {
            naive with
                Exports =
                    naive.Exports
                    |> List.map (fun export ->
                        if nodes.Contains export.Node && export.Iothreads.Length <= 1 then
                            { export with Iothreads = Option.toList thread }
                        else
                            export)
        }

let private graphCommand (naive: Daemon) (command: Command) : Daemon option =
    match command with
    | AddFile(_, _, _, true) -> None
    | AddFile(name, readOnly, _, false) ->
        NaiveGraph.add [ naiveFile (nodeName name) readOnly ] naive.Graph
        |> Option.map (fun graph -> {
            withGraph naive graph with
                Nulls = naive.Nulls.Remove(nodeName name)
        })
    | AddNull(name, sectors) ->
        let node = {
            naiveFile (nodeName name) false with
                Bytes = int64 sectors * 512L
        }

        NaiveGraph.add [ node ] naive.Graph
        |> Option.map (fun graph -> {
            withGraph naive graph with
                Nulls = naive.Nulls.Add node.Name
        })
    | AddRaw(name, child, sectors, readOnly) ->
        let node = {
            naiveFile (nodeName name) readOnly with
                Child = Some(nodeName child)
                Offset = offsetOf sectors
        }

        NaiveGraph.add [ node ] naive.Graph |> Option.map (withGraph naive)
    | AddRawInline(name, child, sectors) ->
        let file = {
            naiveFile (nodeName child) false with
                MonitorOwned = false
        }

        let node = {
            naiveFile (nodeName name) false with
                Child = Some file.Name
                Offset = offsetOf sectors
        }

        NaiveGraph.add [ file; node ] naive.Graph
        |> Option.map (fun graph -> {
            withGraph naive graph with
                Nulls = naive.Nulls.Remove file.Name
        })
    | Del name -> NaiveGraph.del (nodeName name) naive.Graph |> Option.map (withGraph naive)
    | Resize(name, _) when leafIsNull naive (nodeName name) -> None
    | Resize(name, sectors) ->
        NaiveGraph.resize (nodeName name) (int64 sectors * 512L) naive.Graph
        |> Option.map (withGraph naive)
    | _ -> None

let private objectCommand (naive: Daemon) (command: Command) : Daemon option =
    match command with
    | ObjectAdd(id, max) when naive.Iothreads.Contains(threadId id) || poolMax max = 0uy -> None
    | ObjectAdd(id, _) -> Some { naive with Iothreads = naive.Iothreads.Add(threadId id) }
    | ObjectDel id ->
        let isUsed =
            naive.Exports
            |> List.exists (fun export -> List.contains (threadId id) export.Iothreads)

        if naive.Iothreads.Contains(threadId id) && not isUsed then
            Some {
                naive with
                    Iothreads = naive.Iothreads.Remove(threadId id)
            }
        else
            None
    | ObjectSet(id, value) when naive.Iothreads.Contains(threadId id) && value >= 0y -> Some naive
    | ChardevAdd id when not (naive.Chardevs.ContainsKey(chardevId id)) ->
        Some {
            naive with
                Chardevs = naive.Chardevs.Add(chardevId id, false)
        }
    | ChardevRemove id when naive.Chardevs.TryFind(chardevId id) = Some false ->
        Some {
            naive with
                Chardevs = naive.Chardevs.Remove(chardevId id)
        }
    | ChardevChange id when naive.Chardevs.TryFind(chardevId id) = Some false -> Some naive
    | StartMonitor id when naive.Chardevs.TryFind(chardevId id) = Some false ->
        Some {
            naive with
                Chardevs = naive.Chardevs.Add(chardevId id, true)
        }
    | _ -> None

/// What becomes of a command; nothing when it is refused.
let run (naive: Daemon) (command: Command) : Daemon option =
    match command with
    | ServerStart ->
        if naive.Server then
            None
        else
            Some { naive with Server = true }
    | ServerStop when naive.Server ->
        Some {
            gone (naive.Exports |> List.map _.Key) naive with
                Server = false
        }
    | ServerStop -> None
    | ExportAdd(id, node, name, writable, iothread) ->
        exportAdd naive (exportId id) (nodeName node) (exportName name) writable (threads iothread)
    | ServerAdd(device, name, writable) ->
        let readOnly =
            match NaiveGraph.tryNode (nodeName device) naive.Graph with
            | Some node -> node.ReadOnly
            | None -> false

        exportAdd naive (exportName name) (nodeName device) (exportName name) (writable && not readOnly) []
    | MoveNode(node, thread, force) -> moveNode naive (nodeName node) (threadOrNone thread) force
    | ExportDel(id, hard, _) -> exportDel naive (exportId id) hard
    | _ -> graphCommand naive command |> Option.orElse (objectCommand naive command)

let empty: Daemon = {
    Graph = NaiveGraph.empty
    Nulls = Set.empty
    Exports = []
    NextKey = 0
    Server = false
    Iothreads = Set.empty
    Chardevs = Map.empty
}
