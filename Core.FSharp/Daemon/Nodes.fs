namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Json
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi

/// blockdev-add, blockdev-del, block_resize.
module Nodes =
    let private addSpec (state: State) (spec: BlockdevSpec) : Transition =
        Transition.bind state (Add.plan spec state.Graph) (fun plan ->
            Transition.wait state (OpenFiles plan.Opens) (AddOpened plan))

    let add (state: State) (options: BlockdevOptions) : Transition =
        Transition.bind state (BlockdevMapping.spec options) (fun spec ->
            match BlkDebugConfigs.paths spec with
            | [] -> addSpec state spec
            | paths -> Transition.wait state (ReadFiles(paths, BlkDebugConfig.MaxBytes)) (AddConfigsRead spec))

    /// The files with rules that a description names have been read.
    let configsRead (state: State) (spec: BlockdevSpec) (contents: (string * Result<byte[], ReadFault>) list) =
        Transition.bind state (BlkDebugConfigs.apply (Map.ofList contents) spec) (addSpec state)

    let private goOn (state: State) (progress: AddProgress) : Transition =
        let apply (files: NodeId list) (change: GraphChange) next =
            let adopt = files |> List.map (Changes.adopted change.Graph)
            Transition.wait state (ApplyFiles(adopt, change.Files)) next

        match progress with
        | Complete added -> apply added.Files added.Change (AddApplied added)
        | Opening opening -> apply opening.Files opening.Change (AddLayerReady opening)

    /// All files of a planned addition have been tried.
    let opened (state: State) (plan: AddPlan) (answer: Answer) : Transition =
        Changes.opened state answer (fun outcomes -> Add.start plan outcomes state.Graph) (goOn state)

    /// Gives up what has been opened of an addition.
    let private undo (state: State) (opening: LayerOpening) (error: QapiError) : Transition =
        let change = Add.undo opening.Rest state.Graph

        Transition.finished
            state
            [
                if not change.Files.IsEmpty then
                    RelaxFiles change.Files
                CloseNodes change.Close
                DiscardOpened
            ]
            (Error error)

    /// The files below a node that has to read them are open and locked, or not.
    let layerReady (state: State) (opening: LayerOpening) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> undo state opening error
        | _ ->
            let path = Path.compile opening.Change.Graph opening.Node
            Transition.wait state (OpenLayer path) (AddLayerOpened opening)

    /// The node has read them.
    let layerOpened (state: State) (opening: LayerOpening) (answer: Answer) : Transition =
        match answer with
        | LayerIsOpen(size, alignment) ->
            match Add.resume opening size alignment with
            | Ok progress -> goOn state progress
            | Error error -> undo state opening error
        | Answer.Refused error -> undo state opening error
        | _ -> undo state opening Transition.unexpected

    /// The image locks of the new nodes are taken, or not.
    let applied (state: State) (added: AddedNodes) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error ->
            let change = Add.undo added.Rest state.Graph

            Transition.finished
                state
                [
                    if not change.Files.IsEmpty then
                        RelaxFiles change.Files
                    CloseNodes(added.Files @ change.Close)
                    DiscardOpened
                ]
                (Error error)
        | _ ->
            Transition.ok { state with Graph = added.Change.Graph } [
                if not added.Change.Close.IsEmpty then
                    CloseNodes added.Change.Close
            ]

    /// Puts a change in place that only gives things up.
    let relax (state: State) (change: GraphChange) : struct (State * Effect list) =
        struct ({ state with Graph = change.Graph },
                [
                    if not change.Files.IsEmpty then
                        RelaxFiles change.Files
                    if not change.Close.IsEmpty then
                        CloseNodes change.Close
                ])

    let delete (state: State) (arguments: BlockdevDel) : Transition =
        Transition.bind state (Remove.node arguments.NodeName state.Graph) (fun change ->
            let struct (next, effects) = relax state change
            Transition.ok next effects)

    let resize (state: State) (arguments: BlockResize) : Transition =
        let planned =
            Graph.find arguments.Device arguments.NodeName state.Graph
            |> Result.bind (fun node -> Resize.plan node arguments.Size state.Graph)

        Transition.bind state planned (fun plan ->
            Transition.wait state (ApplyFiles([], plan.Grant.Files)) (ResizeGranted plan))

    /// Takes the command's own permission back and ends it with an error.
    let private giveUp (state: State) (plan: ResizePlan) error =
        let struct (next, effects) = relax state (Remove.backend plan.User state.Graph)
        Transition.finished next effects (Error error)

    let resizeGranted (state: State) (plan: ResizePlan) (answer: Answer) : Transition =
        match answer, plan.Target with
        | Answer.Refused error, _ -> Transition.fail state error
        | _, Error error -> giveUp { state with Graph = plan.Grant.Graph } plan error
        | _, Ok target ->
            let call =
                match target with
                | Truncate(node, bytes) -> TruncateFile(node, bytes)
                | Measure(node, _) -> MeasureFile node

            Transition.wait { state with Graph = plan.Grant.Graph } call (ResizeMeasured plan)

    let resizeMeasured (state: State) (plan: ResizePlan) (answer: Answer) : Transition =
        match answer with
        | Measured bytes ->
            match Resize.commit plan bytes state.Graph with
            | Ok change ->
                let struct (next, effects) = relax state change
                Transition.ok next effects
            | Error error -> giveUp state plan error
        | NotMeasured reason -> giveUp state plan (Resize.truncateError reason)
        | Answer.Refused error -> giveUp state plan error
        | _ -> giveUp state plan Transition.unexpected
