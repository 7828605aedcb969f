namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi

/// `transaction`, and the commands that are transactions of one action. Every action is prepared on the graph that the
/// actions before it have planned; when all are, the whole takes effect at once, and else nothing does.
module Transactions =
    let private fail (state: State) (pending: PendingTransaction) (error: QapiError) : Transition =
        Transition.finished
            state
            [
                if not pending.Adopt.IsEmpty then
                    DiscardOpened
            ]
            (Error error)

    let private planOverlay (graph: Graph) (snapshot: BlockdevSnapshotSync) : Result<PendingOverlay, QapiError> =
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

                let spec = {
                    spec with
                        NodeName = name
                        ReadOnly = Some node.Options.ReadOnly
                        Direct = Some node.Options.Direct
                        NoFlush = Some node.Options.NoFlush
                }

                let! plan = Add.plan spec graph
                return { Plan = plan; Below = node.Id }
        }

    let rec private next (state: State) (pending: PendingTransaction) : Transition =
        match pending.Rest with
        | [] -> Changes.run state pending.Adopt pending.Change
        | action :: rest ->
            let pending = { pending with Rest = rest }

            match action with
            | TransactionAction.Abort -> fail state pending (QapiError.generic "Transaction aborted using Abort action")
            | TransactionAction.Snapshot snapshot ->
                match Snapshot.plan Driver.supportsBacking snapshot.Node snapshot.Overlay pending.Change.Graph with
                | Error error -> fail state pending error
                | Ok change ->
                    next state {
                        pending with
                            Change = GraphChange.append pending.Change change
                    }
            | TransactionAction.SnapshotSync snapshot ->
                match planOverlay pending.Change.Graph snapshot with
                | Error error -> fail state pending error
                | Ok overlay ->
                    Transition.wait state (OpenFiles overlay.Plan.Opens) (TransactionOpened(pending, overlay))

    /// The files of an overlay have been tried.
    let opened (state: State) (pending: PendingTransaction) (overlay: PendingOverlay) (answer: Answer) : Transition =
        let plan outcomes =
            result {
                let! added = Add.commit overlay.Plan outcomes pending.Change.Graph
                let! snapshot = Snapshot.append Driver.supportsBacking overlay.Below added.Root added.Change.Graph
                return struct (added, GraphChange.append added.Change snapshot)
            }

        Changes.opened state answer plan (fun struct (added, change) ->
            next state {
                pending with
                    Change = GraphChange.append pending.Change change
                    Adopt = pending.Adopt @ (added.Files |> List.map (Changes.adopted change.Graph))
            })

    let private begin' (state: State) (actions: TransactionAction list) : Transition =
        next state {
            Rest = actions
            Change = GraphChange.ofGraph state.Graph
            Adopt = []
        }

    let private actionName (action: TransactionAction) =
        match action with
        | TransactionAction.Abort -> "abort"
        | TransactionAction.Snapshot _ -> "blockdev-snapshot"
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
