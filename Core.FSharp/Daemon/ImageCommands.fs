namespace StorageDaemon.Core.Daemon

open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qcow2

/// Commands that change an image's metadata while its users rest: the deletion of internal snapshots, and
/// change-backing-file.
module ImageCommands =
    let private pendingFor (state: State) image change returned failure : PendingImage = {
        Image = image
        Change = change
        Exports = Changes.exportsAbove state [ image ]
        Jobs = Changes.scripts state
        IsReopened = false
        Return = returned
        Failure = failure
    }

    let private begin' (state: State) (pending: PendingImage) : Transition =
        // Asked even where nobody uses it: there is one way.
        Transition.wait state (Quiesce(pending.Exports, pending.Jobs)) (ImageRests pending)

    let rested (state: State) (pending: PendingImage) : Transition =
        Transition.wait
            state
            (ChangeImage(Path.compile state.Graph pending.Image, pending.Change))
            (ImageWasChanged pending)

    let private renamed (pending: PendingImage) (state: State) : State =
        match pending.Change with
        | NameBacking(name, _) ->
            let node = Graph.node pending.Image state.Graph

            let named = {
                node with
                    AutoBackingFile = if name.Length = 0 then None else Some(Header.nameText name)
            }

            {
                state with
                    Graph = Graph.putNode named state.Graph |> Children.refreshAbove pending.Image
            }
        | _ -> state

    /// The command ends, once the node is as it was before.
    let private finish (state: State) (pending: PendingImage) (result: Result<Json, QapiError>) : Transition =
        let stop result =
            Transition.finished state (Changes.resumeAll pending.Exports pending.Jobs) result

        if not pending.IsReopened then
            stop result
        else
            match Reopen.makeReadOnly pending.Image state.Graph with
            | Ok change -> Changes.runAfter state pending result change
            | Error error -> stop (Error error)

    let changed (state: State) (pending: PendingImage) (answer: Answer) : Transition =
        match answer with
        | ImageChanged facts ->
            let graph = Changes.withFacts pending.Image facts state.Graph
            finish (renamed pending { state with Graph = graph }) pending (Ok pending.Return)
        | ImageNotChanged(_, reason) -> finish state pending (QapiError.fail (pending.Failure + ": " + reason))
        | Answer.Refused error -> finish state pending (Error error)
        | _ -> finish state pending (Error Transition.unexpected)

    let deleteSnapshot (state: State) (arguments: BlockdevSnapshotDeleteInternal) : Transition =
        let found = SnapshotNode.findForDeleting arguments.Device arguments.Id arguments.Name state.Graph

        Transition.bind state found (fun struct (image, snapshot) ->
            pendingFor
                state
                image.Id
                (DeleteSnapshot(ValueSome snapshot.Id, ValueSome snapshot.Name))
                (Qcow2Mapping.snapshot snapshot
                 |> Command.encodeReturn Commands.blockdevSnapshotDeleteInternalSync)
                "Failed to remove snapshot from snapshot list"
            |> begin' state)

    let private isBelow (node: Node) (child: Child) =
        child.Role.HasFlag ChildRole.Cow
        || child.Role.HasFlag ChildRole.Filtered && Driver.isFilter node.Driver

    /// Whether a node is another one or below it, along filters and backing images.
    let rec private isInChain (graph: Graph) (image: NodeId) (node: Node) : bool =
        node.Id = image
        || node.Children
           |> List.exists (fun child -> isBelow node child && isInChain graph image (Graph.node child.Node graph))

    let private hasBacking (node: Node) =
        List.exists (isBelow node) node.Children

    let changeBackingFile (state: State) (arguments: ChangeBackingFile) : Transition =
        let failure = "Could not change backing file to '" + arguments.BackingFile + "'"

        let found: Result<Node, QapiError> =
            result {
                let! device = SnapshotNode.findRoot arguments.Device state.Graph
                let! image = Graph.find None (Some arguments.ImageNodeName) state.Graph

                if not (hasBacking image) then
                    return! QapiError.fail "not allowing backing file change on an image without a backing file"
                elif not (isInChain state.Graph image.Id device) then
                    return! QapiError.fail ("'" + arguments.Device + "' and image file are not in the same chain")
                elif not (Driver.isImage image.Driver) then
                    return! QapiError.fail (failure + ": Operation not supported")
                elif not image.Options.Active then
                    return! QapiError.fail "Block node is read-only"
                else
                    return image
            }

        Transition.bind state found (fun image ->
            // As the real daemon does: the format of the image itself, whatever the backing image's is.
            let format = ImageChange.nameBytes (Driver.name image.Driver)

            let pending =
                pendingFor
                    state
                    image.Id
                    (NameBacking(ImageChange.nameBytes arguments.BackingFile, format))
                    (Object [])
                    failure

            if not image.Options.ReadOnly then
                begin' state pending
            else
                // Writable for this change only.
                Transition.bind state (Reopen.makeWritable image.Id state.Graph) (fun change ->
                    Changes.runThen state { pending with IsReopened = true } change))
