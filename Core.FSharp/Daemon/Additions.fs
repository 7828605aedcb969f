namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Graph

/// How nodes come into the graph: files are read, opened, locked and read again, step by step, for a command that goes on
/// when all is there.
module Additions =
    /// Goes on with the node, or with the error after what there was of the addition has been undone.
    type Ending = State -> Effect list -> Result<NodeId, QapiError> -> Transition

    let private planFor (purpose: AddPurpose) : BlockdevSpec -> Graph -> Result<AddPlan, QapiError> =
        match purpose with
        | ByCommand -> AddPlan.ofCommand
        | AsOverlay _
        | ForJob _ -> AddPlan.ofUsers

    let private openFiles (state: State) (purpose: AddPurpose) (ending: Ending) (spec: BlockdevSpec) : Transition =
        match planFor purpose spec state.Graph with
        | Error error -> ending state [] (Error error)
        | Ok plan -> Transition.wait state (OpenFiles plan.Opens) (Adding(purpose, FilesTried plan))

    /// Begins with an addition.
    let start (state: State) (purpose: AddPurpose) (spec: BlockdevSpec) (ending: Ending) : Transition =
        match BlkDebugConfigs.paths spec with
        | [] -> openFiles state purpose ending spec
        | paths -> Transition.wait state (ReadFiles(paths, BlkDebugConfig.MaxBytes)) (Adding(purpose, ConfigsRead spec))

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
        let apply (files: NodeId list) (change: GraphChange) step =
            let adopt = files |> List.map (Changes.adopted change.Graph)
            Transition.wait state (ApplyFiles(adopt, change.Files)) (Adding(purpose, step))

        match progress with
        | Complete added -> apply added.Files added.Change (NodesLocked added)
        | Opening opening -> apply opening.Files opening.Change (LayerLocked opening)
        | Naming naming -> Transition.wait state (ProbeImage(pathOf naming)) (Adding(purpose, ImageProbed naming))
        | Files(opens, rest) -> Transition.wait state (OpenFiles opens) (Adding(purpose, ChildFilesTried rest))

    /// Gives up what has been opened of an addition; `files` are the nodes whose files were to be adopted last.
    let private undo (state: State) (ending: Ending) (files: NodeId list) (rest: AddCommit) (error: QapiError) =
        let change = Add.undo rest state.Graph

        ending
            state
            [
                if not change.Files.IsEmpty then
                    RelaxFiles change.Files
                CloseNodes(files @ change.Close)
                DiscardOpened
            ]
            (Error(Add.explain rest error))

    /// All is there.
    let private finish (state: State) (ending: Ending) (added: AddedNodes) : Transition =
        ending
            { state with Graph = added.Change.Graph }
            [
                if not added.Change.Close.IsEmpty then
                    CloseNodes added.Change.Close
            ]
            (Ok added.Root)

    /// What the shell has answered.
    let step (state: State) (purpose: AddPurpose) (step: AddStep) (answer: Answer) (ending: Ending) : Transition =
        let giveUp rest error = undo state ending [] rest error

        let proceed rest (progress: Result<AddProgress, QapiError>) =
            match progress with
            | Ok progress -> goOn state purpose progress
            | Error error -> giveUp rest error

        match step, answer with
        | ConfigsRead spec, Contents contents ->
            match BlkDebugConfigs.apply (Map.ofList contents) spec with
            | Ok spec -> openFiles state purpose ending spec
            | Error error -> ending state [] (Error error)
        | FilesTried plan, OpenOutcomes outcomes ->
            match Add.start plan outcomes state.Graph with
            | Ok progress -> goOn state purpose progress
            | Error error -> ending state [ DiscardOpened ] (Error error)
        | LayerLocked opening, (Applied _ | Finished) ->
            let path = Path.compile opening.Change.Graph opening.Node
            Transition.wait state (OpenLayer path) (Adding(purpose, LayerRead opening))
        | LayerRead opening, LayerIsOpen facts -> Add.resume opening facts |> proceed opening.Rest
        | LayerRead opening, LayerLacksDataFile named -> Add.provideDataFile opening named |> proceed opening.Rest
        | ImageProbed naming, Probed(isDevice, start) ->
            match NamedImages.describe naming.Named (pathOf naming) isDevice start with
            | Ok spec -> Add.describe naming spec |> proceed naming.Rest
            | Error error -> giveUp naming.Rest (Add.explainNamed naming error)
        | ChildFilesTried rest, OpenOutcomes outcomes -> Add.opened rest outcomes |> proceed rest
        | NodesLocked added, (Applied _ | Finished) -> finish state ending added
        | _ ->
            let error =
                match answer with
                | Answer.Refused error -> error
                | _ -> Transition.unexpected

            match step with
            | ConfigsRead _
            | FilesTried _ -> ending state [ DiscardOpened ] (Error error)
            | LayerLocked opening
            | LayerRead opening -> giveUp opening.Rest error
            | ImageProbed naming -> giveUp naming.Rest (Add.explainNamed naming error)
            | ChildFilesTried rest -> giveUp rest error
            | NodesLocked added -> undo state ending added.Files added.Rest error
