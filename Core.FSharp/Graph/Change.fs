namespace StorageDaemon.Core.Graph

open System.Collections.Generic

/// A host file to open, with everything that the flags of open(2) depend on.
[<NoComparison>]
type OpenRequest = {
    Kind: FileKind
    Path: string
    Writable: bool
    /// O_DIRECT.
    Direct: bool
}

/// What a graph change asks of one host file that is open already. First the file is opened anew where that is
/// asked (an error gives up the change: `OpenFailure.error`); then the lock steps run on the old descriptor; when
/// all files of the change have come so far, the old descriptor cuts the file where that is asked, a new descriptor
/// takes `Locks.Held` and replaces the old one, and where there is none, `Locks.Release` is released.
[<NoComparison; NoEquality>]
type FileChange = {
    Node: NodeId
    /// The file's name for error texts.
    Filename: string
    /// Open for writing from now on, or no longer (auto-read-only).
    Reopen: OpenRequest option
    Locks: LockChange
    /// The node that let the file grow ahead of its data and no longer does: the file is to end with its data again.
    Cut: NodeId option
}

/// The next graph, and what must succeed before it may take the old one's place.
[<NoComparison; NoEquality>]
type GraphChange = {
    Graph: Graph
    Files: FileChange list
    /// Nodes that are gone: what belongs to them is closed once the graph is in place.
    Close: NodeId list
    /// Nodes whose part in a request has changed: paths through them are to be compiled anew.
    Touched: NodeId list
}

module GraphChange =
    let ofGraph (graph: Graph) : GraphChange = { Graph = graph; Files = []; Close = []; Touched = [] }

    let private openRequest (kind: FileKind) (options: FileOptions) (node: NodeOptions) (writable: bool) : OpenRequest = {
        Kind = kind
        Path = options.Filename
        Writable = writable
        Direct = node.Direct
    }

    /// The first opening of a file, when nobody uses the node yet.
    let firstOpen (kind: FileKind) (options: FileOptions) (node: NodeOptions) : OpenRequest =
        openRequest kind options node (Node.opensWritable node Perm.unused)

    /// What the change of a node from `old` asks of its file. A new node has just been opened.
    let private fileChange (hinted: bool) (old: Node option) (node: Node) : FileChange option =
        match node.Driver with
        | File(kind, options) ->
            let before = old |> Option.map Node.perms |> Option.defaultValue Perm.unused
            let oldOptions = old |> Option.map _.Options |> Option.defaultValue node.Options
            let after = Node.perms node

            let locks =
                if Node.takesLocks node then
                    Locks.change hinted before after
                else
                    Locks.none

            let writable = Node.opensWritable node.Options after

            let reopen =
                if
                    writable = Node.opensWritable oldOptions before
                    && node.Options.Direct = oldOptions.Direct
                then
                    None
                else
                    Some(openRequest kind options node.Options writable)

            if reopen.IsNone && Locks.isEmpty locks then
                None
            else
                Some {
                    Node = node.Id
                    Filename = options.Filename
                    Reopen = reopen
                    Locks = locks
                    Cut = None
                }
        | _ -> None

    /// The leaves below `roots`: as far as a change of permissions can reach.
    let private leavesBelow (roots: NodeId list) (old: Graph) (next: Graph) : Node list =
        let seen = HashSet<NodeId>()
        let stack = Stack<NodeId>(roots)
        let mutable leaves = []

        let unchanged (node: Node) =
            match Graph.tryNode node.Id old with
            | Some before -> obj.ReferenceEquals(before, node)
            | None -> false

        while stack.Count > 0 do
            let id = stack.Pop()

            match Graph.tryNode id next with
            // A node that is the same value wants the same of its children.
            | Some node when seen.Add id && not (unchanged node) ->
                if node.Children.IsEmpty then
                    leaves <- node :: leaves

                node.Children |> List.iter (fun child -> stack.Push child.Node)
            | _ -> ()

        leaves

    /// No change of a file but its length; the node may be gone from `next`.
    let private onlyCut (old: Graph) (next: Graph) (preallocating: NodeId) (file: NodeId) : FileChange = {
        Node = file
        Filename =
            match (Graph.node file old).Driver with
            | File(_, options) -> options.Filename
            | driver -> Driver.name driver
        Reopen = None
        Locks =
            match Graph.tryNode file next with
            | Some node when Node.takesLocks node -> Locks.change true (Node.perms node) (Node.perms node)
            | _ -> Locks.none
        Cut = Some preallocating
    }

    /// Files that no longer grow ahead end with their data again.
    let private withCuts (old: Graph) (next: Graph) (files: FileChange list) : FileChange list =
        Preallocation.ended old next
        |> List.fold
            (fun files struct (preallocating, file) ->
                match files |> List.partition (fun change -> change.Node = file) with
                | [ change ], others -> { change with Cut = Some preallocating } :: others
                | _ -> onlyCut old next preallocating file :: files)
            files

    /// At the process's end: all files end with their data.
    let cuts (graph: Graph) : FileChange list =
        Preallocation.all graph
        |> List.map (fun struct (preallocating, file) -> onlyCut graph graph preallocating file)

    /// The change from `old` to `next`, in which users of `roots` or of nodes below have changed.
    let between (hinted: bool) (roots: NodeId list) (old: Graph) (next: Graph) : GraphChange =
        let change (node: Node) =
            fileChange hinted (Graph.tryNode node.Id old) node

        {
            Graph = next
            Files = leavesBelow roots old next |> List.choose change |> withCuts old next
            Close = []
            Touched = []
        }

    /// One change after another, as one.
    let append (first: GraphChange) (second: GraphChange) : GraphChange =
        let merge (later: FileChange) =
            match first.Files |> List.tryFind (fun earlier -> earlier.Node = later.Node) with
            | Some earlier -> {
                later with
                    Reopen = Option.orElse earlier.Reopen later.Reopen
                    Locks = Locks.append earlier.Locks later.Locks
                    Cut = Option.orElse earlier.Cut later.Cut
              }
            | None -> later

        let onlyFirst (earlier: FileChange) =
            second.Files |> List.forall (fun later -> later.Node <> earlier.Node)

        {
            Graph = second.Graph
            Files = List.filter onlyFirst first.Files @ List.map merge second.Files
            Close = first.Close @ second.Close
            Touched = first.Touched @ second.Touched
        }

module OpenFailure =
    /// The error of open(2): `reason` is the C library's text.
    let error (path: string) (reason: string) =
        StorageDaemon.Core.QapiError.generic ("Could not open '" + path + "': " + reason)
