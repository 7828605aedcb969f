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

    let resize (state: State) (arguments: BlockResize) : Transition =
        let planned =
            Graph.find arguments.Device arguments.NodeName state.Graph
            |> Result.bind (fun node -> Resize.plan node arguments.Size state.Graph)

        Transition.bind state planned (fun plan ->
            Transition.wait state (ApplyFiles([], plan.Grant.Files)) (ResizeGranted plan))

    /// Takes the command's own permission back and ends it with an error.
    let private giveUp (state: State) (plan: ResizePlan) error =
        let struct (next, effects) = Changes.relax state (Remove.backend plan.User state.Graph)
        Transition.finished next effects (Error error)

    let resizeGranted (state: State) (plan: ResizePlan) (answer: Answer) : Transition =
        match answer, plan.Target with
        | Answer.Refused error, _ -> Transition.fail state error
        | _, Error error -> giveUp { state with Graph = plan.Grant.Graph } plan error
        | _, Ok target ->
            let call =
                match target with
                | Truncate(node, bytes) -> TruncateFile(node, bytes)
                | ResizedImage(node, bytes) -> ResizeImage(Path.compile plan.Grant.Graph node, bytes)
                | Measure(node, _) -> MeasureFile node

            Transition.wait { state with Graph = plan.Grant.Graph } call (ResizeMeasured plan)

    let resizeMeasured (state: State) (plan: ResizePlan) (answer: Answer) : Transition =
        match answer with
        | Measured bytes ->
            match Resize.commit plan bytes state.Graph with
            | Ok change ->
                let struct (next, effects) = Changes.relax state change
                Transition.ok next effects
            | Error error -> giveUp state plan error
        | NotMeasured reason -> giveUp state plan (Resize.truncateError reason)
        | Answer.Refused error -> giveUp state plan error
        | _ -> giveUp state plan Transition.unexpected
