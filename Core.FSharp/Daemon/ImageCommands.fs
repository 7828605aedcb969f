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
    let private begin' (state: State) image change returned failure : Transition =
        let pending = {
            Image = image
            Change = change
            Exports = Changes.exportsAbove state [ image ]
            Jobs = Changes.scripts state
            Return = returned
            Failure = failure
        }

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

            {
                state with
                    Graph =
                        Graph.putNode
                            {
                                node with
                                    AutoBackingFile =
                                        if name.Length = 0 then
                                            None
                                        else
                                            Some(Header.nameText name)
                            }
                            state.Graph
            }
        | _ -> state

    let changed (state: State) (pending: PendingImage) (answer: Answer) : Transition =
        let resumed = Changes.resume pending.Exports @ Changes.resumeScripts pending.Jobs

        match answer with
        | ImageChanged facts ->
            let next = Changes.withFacts state pending.Image facts |> renamed pending
            Transition.finished next resumed (Ok pending.Return)
        | ImageNotChanged(_, reason) ->
            Transition.finished state resumed (QapiError.fail (pending.Failure + ": " + reason))
        | Answer.Refused error -> Transition.finished state resumed (Error error)
        | _ -> Transition.finished state resumed (Error Transition.unexpected)

    let deleteSnapshot (state: State) (arguments: BlockdevSnapshotDeleteInternal) : Transition =
        let found =
            SnapshotNode.findForDeleting arguments.Device arguments.Id arguments.Name state.Graph

        Transition.bind state found (fun struct (image, snapshot) ->
            begin'
                state
                image.Id
                (DeleteSnapshot(ValueSome snapshot.Id, ValueSome snapshot.Name))
                (Qcow2Mapping.snapshot snapshot
                 |> Command.encodeReturn Commands.blockdevSnapshotDeleteInternalSync)
                "Failed to remove snapshot from snapshot list")

    let private isBelow (node: Node) (child: Child) =
        child.Role.HasFlag ChildRole.Cow
        || child.Role.HasFlag ChildRole.Filtered && Driver.isFilter node.Driver

    /// Whether a node is another one or below it, along filters and backing images.
    let rec private isInChain (graph: Graph) (image: NodeId) (node: Node) : bool =
        node.Id = image
        || node.Children
           |> List.exists (fun child ->
               isBelow node child
               && isInChain graph image (Graph.node child.Node graph))

    let private hasBacking (node: Node) = List.exists (isBelow node) node.Children

    let changeBackingFile (state: State) (arguments: ChangeBackingFile) : Transition =
        let failure = "Could not change backing file to '" + arguments.BackingFile + "'"

        let found: Result<Node, QapiError> =
            result {
                let! device = SnapshotNode.findRoot arguments.Device state.Graph
                let! image = Graph.find None (Some arguments.ImageNodeName) state.Graph

                if not (hasBacking image) then
                    return! QapiError.fail "not allowing backing file change on an image without a backing file"
                elif not (isInChain state.Graph image.Id device) then
                    return!
                        QapiError.fail ("'" + arguments.Device + "' and image file are not in the same chain")
                elif not (Driver.isImage image.Driver) then
                    return! QapiError.fail (failure + ": Operation not supported")
                elif image.Options.ReadOnly || not image.Options.Active then
                    return! QapiError.fail "Block node is read-only"
                else
                    return image
            }

        Transition.bind state found (fun image ->
            // As the real daemon does: the format of the image itself, whatever the backing image's is.
            let format = ImageChange.nameBytes (Driver.name image.Driver)

            begin'
                state
                image.Id
                (NameBacking(ImageChange.nameBytes arguments.BackingFile, format))
                (Object [])
                failure)
