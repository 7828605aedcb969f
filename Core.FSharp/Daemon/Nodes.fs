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

    /// Where the image that another one names is looked for.
    let private pathOf (naming: ImageNaming) : string =
        let name = naming.Named.Filename
        let graph = Add.graph naming.Rest

        if naming.Named.Child = Driver.BackingName then
            ImageName.resolve graph (Graph.node naming.Parent graph) name
        else
            // The name of a data file is one of this host, whatever it looks like.
            name

    let private goOn (state: State) (progress: AddProgress) : Transition =
        let apply (files: NodeId list) (change: GraphChange) next =
            let adopt = files |> List.map (Changes.adopted change.Graph)
            Transition.wait state (ApplyFiles(adopt, change.Files)) next

        match progress with
        | Complete added -> apply added.Files added.Change (AddApplied added)
        | Opening opening -> apply opening.Files opening.Change (AddLayerReady opening)
        | Naming naming -> Transition.wait state (ProbeImage(pathOf naming)) (AddImageProbed naming)
        | Files(opens, rest) -> Transition.wait state (OpenFiles opens) (AddFilesOpened rest)

    /// All files of a planned addition have been tried.
    let opened (state: State) (plan: AddPlan) (answer: Answer) : Transition =
        Changes.opened state answer (fun outcomes -> Add.start plan outcomes state.Graph) (goOn state)

    /// Gives up what has been opened of an addition.
    let private undo (state: State) (rest: AddCommit) (error: QapiError) : Transition =
        let change = Add.undo rest state.Graph

        Transition.finished
            state
            [
                if not change.Files.IsEmpty then
                    RelaxFiles change.Files
                CloseNodes change.Close
                DiscardOpened
            ]
            (Error(Add.explain rest error))

    /// Goes on with an addition, or gives it up.
    let private proceed (state: State) (rest: AddCommit) (progress: Result<AddProgress, QapiError>) : Transition =
        match progress with
        | Ok progress -> goOn state progress
        | Error error -> undo state rest error

    /// The files below a node that has to read them are open and locked, or not.
    let layerReady (state: State) (opening: LayerOpening) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> undo state opening.Rest error
        | _ ->
            let path = Path.compile opening.Change.Graph opening.Node
            Transition.wait state (OpenLayer path) (AddLayerOpened opening)

    /// The node has read them.
    let layerOpened (state: State) (opening: LayerOpening) (answer: Answer) : Transition =
        match answer with
        | LayerIsOpen facts -> Add.resume opening facts |> proceed state opening.Rest
        | LayerLacksDataFile named -> Add.provideDataFile opening named |> proceed state opening.Rest
        | Answer.Refused error -> undo state opening.Rest error
        | _ -> undo state opening.Rest Transition.unexpected

    /// What the image is that another one names.
    let imageProbed (state: State) (naming: ImageNaming) (answer: Answer) : Transition =
        let described =
            match answer with
            | Probed(isDevice, start) -> NamedImages.describe naming.Named (pathOf naming) isDevice start
            | Answer.Refused error -> Error error
            | _ -> Error Transition.unexpected

        match described with
        | Ok spec -> Add.describe naming spec |> proceed state naming.Rest
        | Error error -> undo state naming.Rest (Add.explainChild naming error)

    /// The files of a node's child have been tried.
    let filesOpened (state: State) (rest: AddCommit) (answer: Answer) : Transition =
        match answer with
        | OpenOutcomes outcomes -> Add.opened rest outcomes |> proceed state rest
        | Answer.Refused error -> undo state rest error
        | _ -> undo state rest Transition.unexpected

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
                (Error(Add.explain added.Rest error))
        | _ ->
            Transition.ok { state with Graph = added.Change.Graph } [
                if not added.Change.Close.IsEmpty then
                    CloseNodes added.Change.Close
            ]

    /// Puts a change in place that only gives things up.
    let relax (state: State) (change: GraphChange) : struct (State * Effect list) =
        struct ({ state with Graph = change.Graph },
                [
                    yield! Changes.settle state.Graph change.Graph change.Close
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
                | ResizedImage(node, bytes) -> ResizeImage(Path.compile plan.Grant.Graph node, bytes)
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
