namespace StorageDaemon.Core.Daemon

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Job

/// How a change of the graph takes effect on what is served: exports above it and the scripts of jobs come to rest, files and locks follow,
/// the exports take their new paths and go on. No other export notices.
module Changes =
    /// What the shell needs to serve an export.
    let served (graph: Graph) (export: Export) : ServedExport = {
        Key = export.Key
        Path = Path.compile graph graph.Backends[export.Backend].Node
        Writethrough = export.Writethrough
        Iothreads = export.Iothreads
    }

    /// The exports that reach any of the nodes, the oldest first.
    let exportsAbove (state: State) (nodes: NodeId list) : ExportKey list =
        let seen = HashSet<NodeId>()
        let waiting = Stack<NodeId>(nodes)
        let backends = HashSet<BackendId>()

        while waiting.Count > 0 do
            let id = waiting.Pop()

            match Graph.tryNode id state.Graph with
            | Some node when seen.Add id ->
                node.Parents
                |> Map.iter (fun _ edge ->
                    match edge.User with
                    | NodeUser parent -> waiting.Push parent
                    | BackendUser backend -> backends.Add backend |> ignore)
            | _ -> ()

        backends
        |> Seq.choose (fun backend -> state.ExportBackends.TryFind backend)
        |> Seq.sort
        |> List.ofSeq

    /// The new paths of exports that rest.
    let update (state: State) (next: Graph) (keys: ExportKey list) : Effect list =
        keys |> List.map (fun key -> UpdateExport(served next state.Exports[key]))

    let resume (keys: ExportKey list) : Effect list = [
        if not keys.IsEmpty then
            ResumeExports keys
    ]

    /// Jobs with scripts under way; there are never so many that it would matter which of them a change concerns.
    let scripts (state: State) : JobKey list =
        state.Jobs.Jobs
        |> Map.toList
        |> List.choose (fun (key, job) ->
            if Job.isAtWork job && not job.Nodes.IsEmpty then
                Some key
            else
                None)

    /// The nodes of a job's script.
    let scriptChildren (graph: Graph) (users: BackendId list) : ScriptChild list =
        users |> List.map (fun user -> NodeScript.child graph graph.Backends[user].Node)

    let private updateScripts (state: State) (next: Graph) (keys: JobKey list) : Effect list =
        keys
        |> List.map (fun key -> UpdateNodeScript(key, scriptChildren next state.Jobs.Jobs[key].Nodes))

    let private resumeScripts (keys: JobKey list) : Effect list = [
        if not keys.IsEmpty then
            ResumeNodeScripts keys
    ]

    /// The file that a new node owns, for the shell.
    let adopted (graph: Graph) (id: NodeId) : AdoptedFile =
        let node = Graph.node id graph

        match node.Driver with
        | File(kind, file) -> {
            Node = id
            Aio = file.Aio
            AioMaxBatch = file.AioMaxBatch
            Direct = node.Options.Direct
            IsDevice = kind <> RegularFile
          }
        | _ -> {
            Node = id
            Aio = AioThreads
            AioMaxBatch = 0L
            Direct = false
            IsDevice = false
          }

    /// Files have been tried: their outcomes make of a plan what the command goes on with, or they are closed again and
    /// the command ends with the error.
    let opened
        (state: State)
        (answer: Answer)
        (plan: OpenOutcome list -> Result<'T, QapiError>)
        (next: 'T -> Transition)
        : Transition =
        let planned =
            match answer with
            | OpenOutcomes outcomes -> plan outcomes
            | Answer.Refused error -> Error error
            | _ -> Error Transition.unexpected

        match planned with
        | Ok value -> next value
        | Error error -> Transition.finished state [ DiscardOpened ] (Error error)

    let private withAlignment (graph: Graph) (node: NodeId, alignmentBytes: int) : Graph =
        Graph.setAlignment node alignmentBytes graph |> Children.refreshAbove node

    /// Files and locks are as the change wants them, or nothing has changed.
    let applied (state: State) (pending: PendingGraph) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error ->
            Transition.finished
                state
                [
                    if not pending.Adopt.IsEmpty then
                        CloseNodes(pending.Adopt |> List.map _.Node)
                    yield! resume pending.Exports
                    yield! resumeScripts pending.Jobs
                ]
                (Error error)
        | _ ->
            let graph =
                match answer with
                | Applied alignments -> alignments |> List.fold withAlignment pending.Change.Graph
                | _ -> pending.Change.Graph

            Transition.ok { state with Graph = graph } [
                yield! update state graph pending.Exports
                yield! updateScripts state graph pending.Jobs
                if not pending.Change.Close.IsEmpty then
                    CloseNodes pending.Change.Close
                yield! resume pending.Exports
                yield! resumeScripts pending.Jobs
            ]

    /// Nobody uses the nodes now: the files of the change follow, if it has any.
    let quiesced (state: State) (pending: PendingGraph) : Transition =
        if pending.Adopt.IsEmpty && pending.Change.Files.IsEmpty then
            applied state pending Finished
        else
            Transition.wait state (ApplyFiles(pending.Adopt, pending.Change.Files)) (GraphApplied pending)

    /// Begins to put a change in place for which these exports rest. The command ends with it.
    let runOver (state: State) (exports: ExportKey list) (adopt: AdoptedFile list) (change: GraphChange) : Transition =
        let jobs = scripts state

        let pending = {
            Change = change
            Adopt = adopt
            Exports = exports
            Jobs = jobs
        }

        if exports.IsEmpty && jobs.IsEmpty then
            quiesced state pending
        else
            Transition.wait state (Quiesce(exports, jobs)) (GraphQuiesced pending)

    /// Begins to put a change in place. The command ends with it.
    let run (state: State) (adopt: AdoptedFile list) (change: GraphChange) : Transition =
        runOver state (exportsAbove state change.Touched) adopt change
