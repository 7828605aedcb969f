namespace StorageDaemon.Core.Daemon

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Json
open StorageDaemon.Core.Job

/// How a change of the graph takes effect on what is served: exports above it and the scripts of jobs come to rest, files and locks follow,
/// the exports take their new paths and go on. No other export notices.
module Changes =
    /// What the shell needs to serve an export.
    let served (graph: Graph) (export: Export) : ServedExport =
        let node = graph.Backends[export.Backend].Node

        {
            Key = export.Key
            Protocol = export.Protocol
            Files = Children.files graph node
            Path = Path.compile graph node
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
    let scriptChildren (graph: Graph) (job: Job) : ScriptChild list =
        match job.Work with
        | JobWork.Check check -> ImageCheck.file graph check |> Option.toList
        | JobWork.Create _ -> job.Nodes |> List.map (fun user -> graph.Backends[user].Node)
        |> List.map (NodeScript.child graph)

    let private updateScripts (state: State) (next: Graph) (keys: JobKey list) : Effect list =
        keys
        |> List.map (fun key -> UpdateNodeScript(key, scriptChildren next state.Jobs.Jobs[key]))

    let private resumeScripts (keys: JobKey list) : Effect list = [
        if not keys.IsEmpty then
            ResumeNodeScripts keys
    ]

    /// The new paths of exports and scripts that rest.
    let updateAll (state: State) (exports: ExportKey list) (jobs: JobKey list) : Effect list =
        update state state.Graph exports @ updateScripts state state.Graph jobs

    let resumeAll (exports: ExportKey list) (jobs: JobKey list) : Effect list = resume exports @ resumeScripts jobs

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

    let private withAlignment (graph: Graph) (node: NodeId, alignmentBytes: int) : Graph =
        Graph.setAlignment node alignmentBytes graph |> Children.refreshAbove node

    /// Whether a node writes metadata of its own.
    let private writesImage (node: Node) =
        Driver.isImage node.Driver && node.Options.Active && not node.Options.ReadOnly

    let private wasWriting (old: Graph) (id: NodeId) =
        Graph.tryNode id old |> Option.exists writesImage

    /// Whether an image is to be read anew with a change: others may have written to it, or its options are others.
    let private isReread (old: Graph) (next: Graph) (id: NodeId) =
        match Graph.tryNode id old, Graph.tryNode id next with
        | Some before, Some after when Driver.isImage after.Driver ->
            (wasWriting next id && not (wasWriting old id))
            || before.Driver <> after.Driver
            || before.Options.Discard <> after.Options.Discard
        | _ -> false

    /// The images among the nodes that are written to no longer, or not before they are read anew.
    let settle (old: Graph) (next: Graph) (nodes: NodeId list) : Effect list =
        match
            nodes
            |> List.distinct
            |> List.filter (fun id -> wasWriting old id && (not (wasWriting next id) || isReread old next id))
        with
        | [] -> []
        | images -> [ SettleImages(images |> List.map (Path.compile old)) ]

    /// At the process's end: all images.
    let settleAll (graph: Graph) : Effect list =
        graph.Nodes
        |> Map.toList
        |> List.map fst
        |> settle graph { graph with Nodes = Map.empty }

    /// Puts a change in place that only gives things up.
    let relax (state: State) (change: GraphChange) : struct (State * Effect list) =
        struct ({ state with Graph = change.Graph },
                [
                    yield! settle state.Graph change.Graph change.Close
                    if not change.Files.IsEmpty then
                        RelaxFiles change.Files
                    if not change.Close.IsEmpty then
                        CloseNodes change.Close
                ])

    /// Lets nodes go that were opened for nothing.
    let release (state: State) (nodes: NodeId list) : struct (State * Effect list) =
        nodes
        |> List.fold
            (fun struct (state, effects) node ->
                let struct (next, more) = relax state (Remove.release node state.Graph)
                struct (next, effects @ more))
            struct (state, [])

    /// An image was changed, or read anew: what its node is now.
    let withFacts (node: NodeId) (facts: NodeFacts) (graph: Graph) : Graph =
        let found = {
            Graph.node node graph with
                SizeBytes = facts.SizeBytes
                Header = facts.Header
                Snapshots = facts.Snapshots
        }

        Graph.putNode found graph |> Children.refreshAbove node

    /// What takes the steps on files back that a change has put in place.
    let filesBack (state: State) (roots: NodeId list) (next: Graph) : FileChange list =
        (GraphChange.between true roots next state.Graph).Files

    /// A change is given up. `files` takes back what of it was put in place.
    let private giveUp (state: State) (pending: PendingGraph) (files: FileChange list) (error: QapiError) : Transition =
        match pending.Taken with
        | snapshot :: _ ->
            let delete = DeleteSnapshot(ValueSome snapshot.Id, ValueNone)

            Transition.wait
                state
                (ChangeImage(Path.compile state.Graph snapshot.Image, delete))
                (SnapshotUndone(pending, files, error))
        | [] ->
            let struct (next, released) = release state pending.Opened

            Transition.finished
                next
                [
                    if not files.IsEmpty then
                        RelaxFiles files
                    yield! resumeAll pending.Exports pending.Jobs
                    yield! released
                ]
                (Error error)

    /// The last snapshot of a change that is given up has been deleted, or could not be: then it stays.
    let snapshotUndone (state: State) (pending: PendingGraph) (files: FileChange list) error (answer: Answer) =
        let left = { pending with Taken = List.tail pending.Taken }
        let snapshot = List.head pending.Taken

        match answer with
        | ImageChanged facts ->
            let next = {
                state with
                    Graph = withFacts snapshot.Image facts state.Graph
            }

            giveUp next left files error
        | ImageNotChanged(_, reason) ->
            let text =
                "Failed to delete snapshot '"
                + snapshot.Name
                + "' on device '"
                + snapshot.Device
                + "' in abort: "
                + reason

            giveUp state left files error |> Transition.after [ Complain text ]
        | _ -> giveUp state left files error

    /// What was put in place of a change is taken back.
    let private undo (state: State) (pending: PendingGraph) (error: QapiError) : Transition =
        giveUp state pending (filesBack state pending.Change.Touched pending.Change.Graph) error

    let private finish (state: State) (pending: PendingGraph) : Transition =
        let graph = pending.Change.Graph
        let next = { state with Graph = graph }

        let effects = [
            yield! updateAll next pending.Exports pending.Jobs
            if not pending.Change.Close.IsEmpty then
                CloseNodes pending.Change.Close
        ]

        match pending.Then with
        | None -> Transition.finished next (effects @ resumeAll pending.Exports pending.Jobs) pending.Result
        | Some image ->
            Transition.waitAfter
                effects
                next
                (ChangeImage(Path.compile graph image.Image, image.Change))
                (ImageWasChanged image)

    /// Images that are written to from now on are read anew: others may have changed them.
    let private rereadNext (state: State) (pending: PendingGraph) (images: NodeId list) : Transition =
        match images with
        | [] -> finish state pending
        | image :: rest ->
            let path = Path.compile pending.Change.Graph image
            Transition.wait state (OpenLayer path) (ImageReread(pending, image, rest))

    let reread (state: State) (pending: PendingGraph) (node: NodeId) (rest: NodeId list) (answer: Answer) : Transition =
        match answer with
        | LayerIsOpen facts ->
            let graph = withFacts node facts pending.Change.Graph
            rereadNext state { pending with Change.Graph = graph } rest
        | Answer.Refused error -> undo state pending error
        | _ -> undo state pending Transition.unexpected

    /// Files and locks are as the change wants them, or nothing has changed.
    let applied (state: State) (pending: PendingGraph) (answer: Answer) : Transition =
        match answer with
        | Answer.Refused error -> giveUp state pending [] error
        | _ ->
            let graph =
                match answer with
                | Applied alignments -> alignments |> List.fold withAlignment pending.Change.Graph
                | _ -> pending.Change.Graph

            pending.Change.Touched
            |> List.distinct
            |> List.filter (isReread state.Graph graph)
            |> rereadNext state { pending with Change.Graph = graph }

    /// Nobody uses the nodes now: the files of the change follow, if it has any.
    let quiesced (state: State) (pending: PendingGraph) : Transition =
        let change = pending.Change
        let settled = settle state.Graph change.Graph (change.Close @ change.Touched)

        if change.Files.IsEmpty then
            applied state pending Finished |> Transition.after settled
        else
            Transition.waitAfter settled state (ApplyFiles([], change.Files)) (GraphApplied pending)

    /// Lets users rest that do not yet; nothing is asked for where there are none.
    let rest
        (state: State)
        (exports: ExportKey list)
        (jobs: JobKey list)
        (continuation: Continuation)
        (next: unit -> Transition)
        =
        if exports.IsEmpty && jobs.IsEmpty then
            next ()
        else
            Transition.wait state (Quiesce(exports, jobs)) continuation

    let private begin' (state: State) (pending: PendingGraph) : Transition =
        rest state pending.Exports pending.Jobs (GraphQuiesced pending) (fun () -> quiesced state pending)

    let private pendingFor (state: State) (exports: ExportKey list) (change: GraphChange) : PendingGraph = {
        Change = change
        Exports = exports
        Jobs = scripts state
        Opened = []
        Taken = []
        Then = None
        Result = Ok(Object [])
    }

    /// Begins to put a change in place for which these exports rest. The command ends with it.
    let runOver (state: State) (exports: ExportKey list) (change: GraphChange) : Transition =
        begin' state (pendingFor state exports change)

    /// Begins to put a change in place. The command ends with it.
    let run (state: State) (change: GraphChange) : Transition =
        runOver state (exportsAbove state change.Touched) change

    /// What a transaction has done so far, with the change that it comes to.
    let private pendingOf (pending: PendingTransaction) exports jobs (change: GraphChange) : PendingGraph = {
        Change = change
        Exports = pending.Exports @ exports
        Jobs = pending.Jobs @ jobs
        Opened = pending.Opened
        Taken = pending.Taken
        Then = None
        Result = Ok(Object [])
    }

    let private without (present: 'T list) (keys: 'T list) =
        keys |> List.filter (fun key -> not (List.contains key present))

    /// The exports and scripts that use a node and do not rest in a transaction yet.
    let notResting (state: State) (pending: PendingTransaction) (nodes: NodeId list) =
        struct (exportsAbove state nodes |> without pending.Exports, scripts state |> without pending.Jobs)

    /// Begins to put the change of a transaction in place.
    let runTransaction (state: State) (pending: PendingTransaction) (change: GraphChange) : Transition =
        let struct (exports, jobs) = notResting state pending change.Touched
        let whole = pendingOf pending exports jobs change
        rest state exports jobs (GraphQuiesced whole) (fun () -> quiesced state whole)

    /// Nothing comes of a transaction.
    let abandon (state: State) (pending: PendingTransaction) (error: QapiError) : Transition =
        giveUp state (pendingOf pending [] [] (GraphChange.ofGraph state.Graph)) [] error

    /// Begins to put a change in place, and lets a change of an image follow.
    let runThen (state: State) (image: PendingImage) (change: GraphChange) : Transition =
        begin' state {
            pendingFor state image.Exports change with
                Then = Some image
        }

    /// Takes back what was changed for an image: all that rested for it does still. The command ends with the result.
    let runAfter (state: State) (image: PendingImage) result (change: GraphChange) : Transition =
        quiesced state {
            Change = change
            Exports = image.Exports
            Jobs = image.Jobs
            Opened = []
            Taken = []
            Then = None
            Result = result
        }
