namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Graph

/// How nodes come into the graph: files are opened, locked and read, step by step, for a command that goes on when all
/// is there.
module Additions =
    /// Where the image that another one names is looked for.
    let private pathOf (naming: ImageNaming) : string =
        let name = naming.Named.Filename
        let graph = Add.graph naming.Rest

        if naming.Named.Child = Driver.BackingName then
            ImageName.resolve graph (Graph.node naming.Parent graph) name
        else
            // The name of a data file is one of this host, whatever it looks like.
            name

    let private goOn (state: State) (purpose: AddPurpose) (progress: AddProgress) : Transition =
        let apply (files: NodeId list) (change: GraphChange) next =
            let adopt = files |> List.map (Changes.adopted change.Graph)
            Transition.wait state (ApplyFiles(adopt, change.Files)) next

        match progress with
        | Complete added -> apply added.Files added.Change (Adding(purpose, NodesLocked added))
        | Opening opening -> apply opening.Files opening.Change (Adding(purpose, LayerLocked opening))
        | Naming naming -> Transition.wait state (ProbeImage(pathOf naming)) (Adding(purpose, ImageProbed naming))
        | Files(opens, rest) -> Transition.wait state (OpenFiles opens) (Adding(purpose, ChildFilesTried rest))

    /// Begins with a planned addition.
    let start (state: State) (purpose: AddPurpose) (plan: AddPlan) : Transition =
        Transition.wait state (OpenFiles plan.Opens) (Adding(purpose, FilesTried plan))

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
    let private proceed (state: State) purpose (rest: AddCommit) (progress: Result<AddProgress, QapiError>) : Transition =
        match progress with
        | Ok progress -> goOn state purpose progress
        | Error error -> undo state rest error

    /// The files below a node that has to read them are open and locked, or not.
    let private layerReady (state: State) (purpose: AddPurpose) (opening: LayerOpening) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> undo state opening.Rest error
        | _ ->
            let path = Path.compile opening.Change.Graph opening.Node
            Transition.wait state (OpenLayer path) (Adding(purpose, LayerRead opening))

    /// The node has read them.
    let private layerOpened (state: State) (purpose: AddPurpose) (opening: LayerOpening) (answer: Answer) : Transition =
        match answer with
        | LayerIsOpen facts -> Add.resume opening facts |> proceed state purpose opening.Rest
        | LayerLacksDataFile named -> Add.provideDataFile opening named |> proceed state purpose opening.Rest
        | Answer.Refused error -> undo state opening.Rest error
        | _ -> undo state opening.Rest Transition.unexpected

    /// What the image is that another one names.
    let private imageProbed (state: State) (purpose: AddPurpose) (naming: ImageNaming) (answer: Answer) : Transition =
        let described =
            match answer with
            | Probed(isDevice, start) -> NamedImages.describe naming.Named (pathOf naming) isDevice start
            | Answer.Refused error -> Error error
            | _ -> Error Transition.unexpected

        match described with
        | Ok spec -> Add.describe naming spec |> proceed state purpose naming.Rest
        | Error error -> undo state naming.Rest (Add.explainChild naming error)

    /// The files of a node's child have been tried.
    let private filesOpened (state: State) (purpose: AddPurpose) (rest: AddCommit) (answer: Answer) : Transition =
        match answer with
        | OpenOutcomes outcomes -> Add.opened rest outcomes |> proceed state purpose rest
        | Answer.Refused error -> undo state rest error
        | _ -> undo state rest Transition.unexpected

    /// What the shell has answered. `finish` goes on once the nodes are in the graph; what was to be undone of a failed
    /// addition has been, and the transition ends with the error.
    let step
        (state: State)
        (purpose: AddPurpose)
        (step: AddStep)
        (answer: Answer)
        (finish: State -> Effect list -> NodeId -> Transition)
        : Transition =
        match step with
        | FilesTried plan ->
            Changes.opened state answer (fun outcomes -> Add.start plan outcomes state.Graph) (goOn state purpose)
        | LayerLocked opening -> layerReady state purpose opening answer
        | LayerRead opening -> layerOpened state purpose opening answer
        | ImageProbed naming -> imageProbed state purpose naming answer
        | ChildFilesTried rest -> filesOpened state purpose rest answer
        | NodesLocked added ->
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
                let effects = [
                    if not added.Change.Close.IsEmpty then
                        CloseNodes added.Change.Close
                ]

                finish { state with Graph = added.Change.Graph } effects added.Root
