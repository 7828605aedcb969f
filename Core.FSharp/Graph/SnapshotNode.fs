namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Qcow2

/// Which node's image has the internal snapshots of a node that a command names.
module SnapshotNode =
    /// Nodes without snapshots of their own show those of the child that has all their data.
    let rec image (graph: Graph) (node: Node) : Node option =
        let others (primary: Child) =
            node.Children
            |> List.exists (fun child -> child.Edge <> primary.Edge && not (child.Role.HasFlag ChildRole.Cow))

        if Driver.isImage node.Driver then
            Some node
        else
            match Node.primary node with
            | Some primary when not (others primary) -> image graph (Graph.node primary.Node graph)
            | _ -> None

    let private hasSnapshots (image: Node) =
        match image.Header with
        | Some header -> header.Incompatible &&& Feature.dataFile = 0UL
        | None -> true

    /// The snapshots that listings show.
    let listed (graph: Graph) (node: Node) : Snapshot list =
        match image graph node with
        | Some image when hasSnapshots image -> image.Snapshots
        | _ -> []

    /// Whether everything from the node down to its image may be written to.
    let rec private isWritable (graph: Graph) (node: Node) =
        not node.Options.ReadOnly
        && node.Options.Active
        && (Driver.isImage node.Driver
            || Node.primary node
               |> Option.forall (fun child -> isWritable graph (Graph.node child.Node graph)))

    let private isRoot (node: Node) =
        node.Parents |> Map.forall (fun _ edge -> edge.User.IsBackendUser)

    /// The node that a command names; nothing may stand on it.
    let findRoot (device: string) (graph: Graph) : Result<Node, QapiError> =
        result {
            let! node = Graph.findReference device graph

            if isRoot node then
                return node
            else
                return! QapiError.fail "Need a root block node"
        }

    let private noList () =
        QapiError.fail "Failed to get a snapshot list: Operation not supported"

    /// The image of a node that is to get a snapshot.
    let findForTaking (device: string) (name: string) (graph: Graph) : Result<Node, QapiError> =
        result {
            let! node = findRoot device graph

            match image graph node with
            | _ when node.Options.ReadOnly -> return! QapiError.fail ("Device '" + device + "' is read only")
            | Some image when isWritable graph node ->
                let bytes = ImageChange.nameBytes name

                if name = "" then
                    return! QapiError.fail "Name is empty"
                elif not (hasSnapshots image) then
                    return! noList ()
                elif image.Snapshots |> List.exists (fun snapshot -> snapshot.Name = bytes) then
                    return!
                        "Snapshot with name '" + name + "' already exists on device '" + device + "'"
                        |> QapiError.fail
                else
                    return image
            | _ ->
                return!
                    "Block format '"
                    + Driver.name node.Driver
                    + "' used by device '"
                    + device
                    + "' does not support internal snapshots"
                    |> QapiError.fail
        }

    let private orNull (text: string option) = defaultArg text "null"

    /// The snapshot of an id, of a name, or of both, and the image that has it.
    let findForDeleting
        (device: string)
        (id: string option)
        (name: string option)
        (graph: Graph)
        : Result<struct (Node * Snapshot), QapiError> =
        let bytes (text: string option) =
            match text with
            | Some text -> ValueSome(ImageChange.nameBytes text)
            | None -> ValueNone

        result {
            let! node = findRoot device graph

            match image graph node with
            | _ when id.IsNone && name.IsNone -> return! QapiError.fail "Name or id must be provided"
            | Some image when hasSnapshots image ->
                match InternalSnapshots.find (bytes id) (bytes name) image.Snapshots with
                | ValueNone ->
                    return!
                        "Snapshot with id '"
                        + orNull id
                        + "' and name '"
                        + orNull name
                        + "' does not exist on device '"
                        + device
                        + "'"
                        |> QapiError.fail
                | ValueSome _ when not (isWritable graph image) ->
                    return! QapiError.fail "Failed to remove snapshot from snapshot list: Operation not permitted"
                | ValueSome snapshot -> return struct (image, snapshot)
            | _ -> return! noList ()
        }
