namespace StorageDaemon.Core.Graph

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Image

/// How a node gets, loses and changes its children.
module Children =
    /// An active node stands on active ones only.
    let internal checkActive (parent: Node) (name: string) (child: Node) : Result<unit, QapiError> =
        if parent.Options.Active && not child.Options.Active then
            "Inactive '"
            + child.Name
            + "' can't be a "
            + name
            + " child of active '"
            + parent.Name
            + "'"
            |> QapiError.fail
        else
            Ok()

    /// Puts the link at a place among the parent's children.
    let private link (place: int) (parent: NodeId) (name: string) (child: NodeId) (graph: Graph) =
        result {
            do! checkActive (Graph.node parent graph) name (Graph.node child graph)
            let! graph = Contexts.join parent child graph
            let parentNode = Graph.node parent graph
            let childNode = Graph.node child graph

            let link = {
                Name = name
                Role = Driver.childRole parentNode.Driver name
                Node = child
                Edge = graph.NextEdge
            }

            let edge = {
                Id = link.Edge
                User = NodeUser parent
                ChildName = name
                Perms = Permissions.wanted parentNode link childNode
            }

            return!
                { graph with NextEdge = graph.NextEdge + 1L<edgeId> }
                |> Graph.putNode {
                    parentNode with
                        Children = List.insertAt place link parentNode.Children
                }
                |> Graph.addEdge child edge false
                |> Permissions.refresh (Node.perms childNode) child
        }

    /// Lets `parent` use a child: one I/O thread for both, permissions over all that is below.
    let attach (parent: NodeId) (name: string) (child: NodeId) (graph: Graph) : Result<Graph, QapiError> =
        link (Graph.node parent graph).Children.Length parent name child graph

    /// The nodes of the host files that a node stands on, without those that only backing images stand on.
    let files (graph: Graph) (id: NodeId) : NodeId list =
        let seen = HashSet<NodeId>()
        let waiting = Stack<NodeId>([ id ])
        let mutable files = []

        while waiting.Count > 0 do
            let id = waiting.Pop()

            if seen.Add id then
                let node = Graph.node id graph

                if node.Driver.IsFile then
                    files <- id :: files

                for child in node.Children do
                    if not (child.Role.HasFlag ChildRole.Cow) then
                        waiting.Push child.Node

        files

    let tryFind (name: string) (parent: Node) : Child option =
        parent.Children |> List.tryFind (fun child -> child.Name = name)

    /// Ends the use of a child. The child stays, whether or not anybody uses it.
    let detach (parent: NodeId) (child: Child) (graph: Graph) : Graph =
        let childNode = Graph.node child.Node graph
        let before = Node.perms childNode
        let parentNode = Graph.node parent graph

        graph
        |> Graph.putNode (
            if childNode.InheritsFrom = Some parent then
                { childNode with InheritsFrom = None }
            else
                childNode
        )
        |> Graph.putNode {
            parentNode with
                Children = parentNode.Children |> List.filter (fun other -> other.Edge <> child.Edge)
        }
        |> Graph.removeEdge child.Node child.Edge false
        |> Permissions.relax before child.Node

    /// Whether `target` is `start` or below it.
    let reaches (start: NodeId) (target: NodeId) (graph: Graph) : bool =
        let seen = HashSet<NodeId>()
        let waiting = Stack<NodeId>([ start ])
        let mutable found = false

        while not found && waiting.Count > 0 do
            let id = waiting.Pop()

            if id = target then
                found <- true
            elif seen.Add id then
                (Graph.node id graph).Children
                |> List.iter (fun child -> waiting.Push child.Node)

        found

    /// Nothing can stand on itself.
    let checkCycle (parent: Node) (name: string) (child: Node) (graph: Graph) =
        if reaches child.Id parent.Id graph then
            "Making '"
            + child.Name
            + "' a "
            + name
            + " child of '"
            + parent.Name
            + "' would create a cycle"
            |> QapiError.fail
        else
            Ok()

    /// Puts another node in a child's place.
    let replace (parent: NodeId) (old: Child) (next: NodeId) (graph: Graph) : Result<Graph, QapiError> =
        let parentNode = Graph.node parent graph

        result {
            do! checkCycle parentNode old.Name (Graph.node next graph) graph
            let place = parentNode.Children |> List.findIndex (fun child -> child.Edge = old.Edge)
            return! graph |> detach parent old |> link place parent old.Name next
        }

    /// The length that a node takes from its children, if it does; `child` is the one that stands for its data.
    let private lengthOver (node: Node) (child: Node) (children: Node list) : int64 =
        match node.Driver with
        // The image under test says.
        | BlkVerify -> (List.last children).SizeBytes
        | Raw options ->
            match Raw.settle options child.SizeBytes with
            | Ok geometry -> geometry.LengthBytes
            // The child is shorter than the image's place in it.
            | Error _ -> 0L
        | driver when Driver.isFilter driver -> child.SizeBytes
        | _ -> node.SizeBytes

    /// Whether a node has the backing image that its own image names, or none where that names none.
    let private hasNamedBacking (node: Node) (children: Node list) : bool =
        let backing =
            List.zip node.Children children
            |> List.tryFind (fun (child, _) -> child.Name = Driver.BackingName)

        match backing, node.AutoBackingFile with
        | None, None -> true
        | Some(_, backing), Some name -> backing.ExactFilename = Some name
        | _ -> false

    let private filenameOver (node: Node) (children: Node list) : string option =
        match node.Driver, children with
        | Raw options, child :: _ -> Filename.ofRaw options child
        | BlkVerify, [ raw; test ] -> Filename.ofBlkVerify raw test
        | Qcow2 options, file :: _ when not options.GivesDataFile && hasNamedBacking node children ->
            Filename.ofImage file
        | Qcow2 _, _ -> None
        | BlkDebug options, image :: _ -> Filename.ofBlkDebug node.Given options image
        | _ -> node.ExactFilename

    /// Lengths, alignments and names of `start` and everything above it, after something below has changed them.
    let refreshAbove (start: NodeId) (graph: Graph) : Graph =
        let mutable next = graph
        let waiting = Queue<NodeId>([ start ])
        // Each visit changes a node for good; a node that many ways lead to is looked at once for each change below.
        let mutable visits = 0

        while waiting.Count > 0 && visits < 100_000 do
            visits <- visits + 1
            let node = Graph.node (waiting.Dequeue()) next

            let refreshed =
                match Node.primary node with
                | Some child ->
                    let child = Graph.node child.Node next
                    let children = node.Children |> List.map (fun child -> Graph.node child.Node next)

                    {
                        node with
                            SizeBytes = lengthOver node child children
                            AlignmentBytes =
                                if Driver.isImage node.Driver then
                                    node.AlignmentBytes
                                else
                                    max (Driver.alignment node.Driver) child.AlignmentBytes
                            ExactFilename = filenameOver node children
                    }
                | None -> node

            let changed =
                refreshed.SizeBytes <> node.SizeBytes
                || refreshed.AlignmentBytes <> node.AlignmentBytes
                || refreshed.ExactFilename <> node.ExactFilename

            if changed || node.Id = start then
                next <- Graph.putNode refreshed next

                node.Parents
                |> Map.iter (fun _ edge ->
                    match edge.User with
                    | NodeUser parent -> waiting.Enqueue parent
                    | BackendUser _ -> ())

        next
