namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Json
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi

/// blockdev-add, blockdev-del, block_resize.
module Nodes =
    let private added (state: State) (effects: Effect list) (result: Result<NodeId, QapiError>) : Transition =
        result |> Result.map (fun _ -> Object []) |> Transition.finished state effects

    let add (state: State) (options: BlockdevOptions) : Transition =
        Transition.bind state (BlockdevMapping.spec options) (fun spec -> Additions.start state ByCommand spec added)

    /// The next step of blockdev-add.
    let addStep (state: State) (step: AddStep) (answer: Answer) : Transition =
        Additions.step state ByCommand step answer added

    let delete (state: State) (arguments: BlockdevDel) : Transition =
        Transition.bind state (Remove.node arguments.NodeName state.Graph) (fun change ->
            let struct (next, effects) = Changes.relax state change
            Transition.ok next effects)

    let private grantResize (state: State) (pending: PendingResize) : Transition =
        Transition.wait state (ApplyFiles([], pending.Plan.Grant.Files)) (ResizeGranted pending)

    /// Takes the command's own permission back and ends it with an error.
    let private giveUp (state: State) (pending: PendingResize) error =
        let struct (next, effects) = Changes.relax state (Remove.backend pending.Plan.User state.Graph)
        Transition.finished next (effects @ Changes.resumeAll pending.Exports pending.Jobs) (Error error)

    /// Gives a node another length. Whoever uses it or what it stands on rests meanwhile, and learns of it.
    let resizeNode (state: State) (node: Node) (bytes: int64) : Transition =
        Transition.bind state (Resize.plan node bytes state.Graph) (fun plan ->
            let pending = {
                Plan = plan
                Exports = Changes.exportsAbove state plan.Path
                Jobs = Changes.scripts state
            }

            Changes.rest state pending.Exports pending.Jobs (ResizeQuiesced pending) (fun () ->
                grantResize state pending))

    let resize (state: State) (arguments: BlockResize) : Transition =
        Transition.bind state (Graph.find arguments.Device arguments.NodeName state.Graph) (fun node ->
            resizeNode state node arguments.Size)

    let resizeQuiesced (state: State) (pending: PendingResize) : Transition = grantResize state pending

    let resizeGranted (state: State) (pending: PendingResize) (answer: Answer) : Transition =
        let plan = pending.Plan

        match answer, plan.Target with
        | Answer.Refused error, _ ->
            Transition.finished
                state
                (Changes.resumeAll pending.Exports pending.Jobs)
                (Error(QapiError.withErrno Errno.EBUSY error))
        | _, Error error -> giveUp { state with Graph = plan.Grant.Graph } pending error
        | _, Ok target ->
            let call =
                match target with
                | Truncate(node, bytes) -> TruncateFile(node, bytes)
                | ResizedImage(node, bytes) -> ResizeImage(Path.compile plan.Grant.Graph node, bytes)
                | Measure(node, _) -> MeasureFile node

            Transition.wait { state with Graph = plan.Grant.Graph } call (ResizeMeasured pending)

    let resizeMeasured (state: State) (pending: PendingResize) (answer: Answer) : Transition =
        match answer with
        | Measured bytes ->
            match Resize.commit pending.Plan bytes state.Graph with
            | Ok change ->
                let struct (next, effects) = Changes.relax state change

                Transition.ok next [
                    yield! effects
                    yield! Changes.updateAll next pending.Exports pending.Jobs
                    yield! Changes.resumeAll pending.Exports pending.Jobs
                ]
            | Error error -> giveUp state pending error
        | NotMeasured(errno, reason) -> giveUp state pending (Resize.truncateError errno reason)
        | Answer.Refused error -> giveUp state pending error
        | _ -> giveUp state pending Transition.unexpected
