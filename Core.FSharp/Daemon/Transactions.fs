namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Job
open StorageDaemon.Core.Qapi

/// `transaction`, and the commands that are transactions of one action. Every action is prepared on the graph that the
/// actions before it have planned; when all are, the whole takes effect at once, and else nothing does.
module Transactions =
    let private fail (state: State) (pending: PendingTransaction) (error: QapiError) : Transition =
        Changes.abandon state pending error

    /// All users of the image rest: its snapshot is taken.
    let rested (state: State) (pending: PendingTransaction) (snapshot: TakenSnapshot) : Transition =
        let change = TakeSnapshot(ImageChange.nameBytes snapshot.Name)

        Transition.wait
            state
            (ChangeImage(Path.compile state.Graph snapshot.Image, change))
            (SnapshotTaken(pending, snapshot))

    let private takeSnapshot (state: State) (pending: PendingTransaction) (snapshot: TakenSnapshot) : Transition =
        let struct (exports, jobs) = Changes.notResting state pending [ snapshot.Image ]

        let pending = {
            pending with
                Exports = pending.Exports @ exports
                Jobs = pending.Jobs @ jobs
        }

        Changes.rest state exports jobs (TransactionRests(pending, snapshot)) (fun () -> rested state pending snapshot)

    /// What the actions so far come to.
    let private planned (graph: Graph) (pending: PendingTransaction) : Result<GraphChange, QapiError> =
        List.foldBack
            (fun struct (node, overlay) (change: Result<GraphChange, QapiError>) ->
                result {
                    let! change = change
                    let! next = Snapshot.append Driver.supportsBacking node overlay change.Graph
                    return GraphChange.append change next
                })
            pending.Overlaid
            (Ok(GraphChange.ofGraph graph))

    /// Nobody writes any more to a node that has an overlay. Where that cannot be, it stays as it is.
    let private withReadOnlyBases (pending: PendingTransaction) (change: GraphChange) : GraphChange =
        List.foldBack
            (fun struct (node, _) (change: GraphChange) ->
                if (Graph.node node change.Graph).Options.ReadOnly then
                    change
                else
                    match Reopen.makeReadOnly node change.Graph with
                    | Ok next -> GraphChange.append change next
                    | Error _ -> change)
            pending.Overlaid
            change

    let private describeOverlay (graph: Graph) (snapshot: BlockdevSnapshotSync) =
        result {
            let! node = Graph.find snapshot.Device snapshot.NodeName graph
            do! Snapshot.checkNode node graph
            let format = defaultArg snapshot.Format "qcow2"

            match snapshot.SnapshotNodeName with
            | None when snapshot.NodeName.IsSome -> return! QapiError.fail "New overlay node-name missing"
            | Some name when graph.ByName.ContainsKey name ->
                return! QapiError.fail "New overlay node-name already in use"
            | name ->
                if snapshot.Mode <> Some NewImageMode.Existing then
                    do! ImageFormat.checkOverlay format

                let! spec = ImageFormat.describe format snapshot.SnapshotFile

                return
                    struct (node,
                            {
                                spec with
                                    NodeName = name
                                    ReadOnly = Some node.Options.ReadOnly
                                    Discard = Some node.Options.Discard
                                    Direct = Some node.Options.Direct
                                    NoFlush = Some node.Options.NoFlush
                                    Children =
                                        if Driver.supportsBacking spec.Driver then
                                            spec.Children @ [ Driver.BackingName, Nothing ]
                                        else
                                            spec.Children
                            })
        }

    let rec private next (state: State) (pending: PendingTransaction) : Transition =
        match pending.Rest, planned state.Graph pending with
        | _, Error error -> fail state pending error
        | [], Ok change -> Changes.runTransaction state pending (withReadOnlyBases pending change)
        | action :: rest, Ok change ->
            let pending = { pending with Rest = rest }

            match action with
            | TransactionAction.Abort -> fail state pending (QapiError.generic "Transaction aborted using Abort action")
            | TransactionAction.Snapshot snapshot ->
                match Snapshot.find snapshot.Node snapshot.Overlay change.Graph with
                | Error error -> fail state pending error
                | Ok struct (node, overlay) ->
                    next state {
                        pending with
                            Overlaid = struct (node, overlay) :: pending.Overlaid
                    }
            | TransactionAction.SnapshotInternal snapshot ->
                match SnapshotNode.findForTaking snapshot.Device snapshot.Name change.Graph with
                | Error error -> fail state pending error
                | Ok image ->
                    takeSnapshot state pending {
                        Image = image.Id
                        Device = snapshot.Device
                        Name = snapshot.Name
                        Id = [||]
                    }
            | TransactionAction.SnapshotSync snapshot ->
                match describeOverlay change.Graph snapshot with
                | Error error -> fail state pending error
                | Ok struct (node, spec) when snapshot.Mode = Some NewImageMode.Existing ->
                    openOverlay state pending node.Id spec
                | Ok struct (node, spec) ->
                    match CreateOverlay.plan change.Graph node snapshot.SnapshotFile with
                    | Error error -> fail state pending error
                    | Ok creation ->
                        Transition.waitAfter
                            [ Announce creation.Announcement ]
                            state
                            (MakeOverlay creation)
                            (OverlayMade(pending, node.Id, spec))

    and private openOverlay (state: State) (pending: PendingTransaction) (below: NodeId) (spec: BlockdevSpec) =
        Additions.start state (AsOverlay(pending, below)) spec (opened pending below)

    /// An overlay is open, or cannot be.
    and private opened (pending: PendingTransaction) (below: NodeId) (state: State) effects result : Transition =
        match result with
        | Error error -> fail state pending error
        | Ok overlay ->
            next state {
                pending with
                    Overlaid = struct (below, overlay) :: pending.Overlaid
                    Opened = overlay :: pending.Opened
            }
        |> Transition.after effects

    /// The next step of opening an overlay.
    let openStep (state: State) (pending: PendingTransaction) (below: NodeId) (step: AddStep) (answer: Answer) =
        Additions.step state (AsOverlay(pending, below)) step answer (opened pending below)

    /// The image of an overlay is there, or not.
    let made (state: State) (pending: PendingTransaction) (below: NodeId) (spec: BlockdevSpec) (answer: Answer) =
        match answer with
        | Answer.Refused error -> fail state pending error
        | _ -> openOverlay state pending below spec

    /// A snapshot was taken, or could not be.
    let taken (state: State) (pending: PendingTransaction) (snapshot: TakenSnapshot) (answer: Answer) =
        match answer with
        | ImageChanged facts ->
            // New ones come last.
            let id = List.tryLast facts.Snapshots |> Option.map _.Id |> Option.defaultValue [||]

            let graph = Changes.withFacts snapshot.Image facts state.Graph

            next { state with Graph = graph } {
                pending with
                    Taken = { snapshot with Id = id } :: pending.Taken
            }
        | ImageNotChanged(_, reason) ->
            "Failed to create snapshot '"
            + snapshot.Name
            + "' on device '"
            + snapshot.Device
            + "': "
            + reason
            |> QapiError.generic
            |> fail state pending
        | Answer.Refused error -> fail state pending error
        | _ -> fail state pending Transition.unexpected

    let private begin' (state: State) (actions: TransactionAction list) : Transition =
        next state {
            Rest = actions
            Overlaid = []
            Opened = []
            Taken = []
            Exports = []
            Jobs = []
        }

    let private actionName (action: TransactionAction) =
        match action with
        | TransactionAction.Abort -> "abort"
        | TransactionAction.Snapshot _ -> "blockdev-snapshot"
        | TransactionAction.SnapshotInternal _ -> "blockdev-snapshot-internal-sync"
        | TransactionAction.SnapshotSync _ -> "blockdev-snapshot-sync"

    /// Only jobs can be completed as a group.
    let private checkMode (arguments: TransactionArguments) : Result<unit, QapiError> =
        match arguments.Properties, arguments.Actions with
        | Some { CompletionMode = Some ActionCompletionMode.Grouped }, action :: _ ->
            QapiError.fail (
                "Action '"
                + actionName action
                + "' does not support transaction property completion-mode = grouped"
            )
        | _ -> Ok()

    let run (state: State) (arguments: TransactionArguments) : Transition =
        Transition.bind state (checkMode arguments) (fun () -> begin' state arguments.Actions)

    let snapshot (state: State) (arguments: BlockdevSnapshot) : Transition =
        begin' state [ TransactionAction.Snapshot arguments ]

    let snapshotSync (state: State) (arguments: BlockdevSnapshotSync) : Transition =
        begin' state [ TransactionAction.SnapshotSync arguments ]

    let snapshotInternal (state: State) (arguments: BlockdevSnapshotInternal) : Transition =
        begin' state [ TransactionAction.SnapshotInternal arguments ]
