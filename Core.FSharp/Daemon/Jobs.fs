namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Job
open StorageDaemon.Core.Qapi

/// blockdev-create, and the commands about jobs of every kind.
module Jobs =
    let private changed (job: Job) (status: JobStatus) : Effect =
        let data: JobStatusChange = { Id = job.Id; Status = status }
        Emit(Events.jobStatusChange.Name, StructCodec.encode Events.jobStatusChange.Data data)

    /// Carries out what the machine has put out, and what the job's own part says to it at once.
    let rec private carry (state: State) (struct (job, outputs): struct (Job * JobOutput list)) =
        let state = { state with Jobs = JobTable.set job state.Jobs }

        let follow (struct (state: State, effects: Effect list)) output : struct (State * Effect list) =
            match output with
            | Entered status -> struct (state, effects @ [ changed job status ])
            | Order order ->
                let struct (orders, inputs) = JobWorks.obey job order
                let struct (next, more) = tell state job.Key inputs
                struct (next, effects @ orders @ more)

        List.fold follow (struct (state, [])) outputs

    /// What a job's own part tells the machine. A job that is gone does not listen.
    and private tell (state: State) (key: JobKey) (inputs: JobInput list) : struct (State * Effect list) =
        let one (struct (state: State, effects: Effect list)) input : struct (State * Effect list) =
            match JobTable.tryKey key state.Jobs with
            | None -> struct (state, effects)
            | Some job ->
                let struct (next, more) = carry state (JobMachine.step input job)
                struct (next, effects @ more)

        List.fold one (struct (state, [])) inputs

    /// Ends a job whose work could not begin.
    let private fail (state: State) (job: Job) (reason: string) : Transition =
        let struct (next, effects) = tell state job.Key (JobWorks.failed job reason)
        Transition.ok next effects

    let private giveUp (state: State) (job: Job) (pending: PendingJobNodes) (error: QapiError) : Transition =
        let struct (next, effects) = JobNodes.release state pending
        fail next job error.Desc |> Transition.after effects

    let private ofKey (state: State) (key: JobKey) (next: Job -> Transition) : Transition =
        match JobTable.tryKey key state.Jobs with
        | None -> Transition.fail state Transition.unexpected
        | Some job -> next job

    /// Goes on with finding a job's nodes.
    let rec private findNodes (state: State) (job: Job) (pending: PendingJobNodes) : Transition =
        match JobNodes.next state (JobWorks.accept job) pending with
        | ToMake(pending, spec) -> Additions.start state (ForJob pending) spec (nodeMade pending)
        | NotFound(pending, error) -> giveUp state job pending error
        | AllFound pending ->
            let struct (label, state) = JobNodes.label state job

            match JobNodes.attach label (JobWorks.uses job) pending.Found state.Graph with
            | Error error -> giveUp state job pending error
            | Ok taken -> Transition.wait state (ApplyFiles([], taken.Change.Files)) (JobNodesTaken(pending, taken))

    /// A node that is made for a job is there, or cannot be.
    and private nodeMade (pending: PendingJobNodes) (state: State) effects result : Transition =
        ofKey state pending.Key (fun job ->
            match result with
            | Ok node -> findNodes state job (JobNodes.made pending node)
            | Error error -> giveUp state job pending error)
        |> Transition.after effects

    /// The next step of making a node for a job.
    let makeStep (state: State) (pending: PendingJobNodes) (step: AddStep) (answer: Answer) : Transition =
        Additions.step state (ForJob pending) step answer (nodeMade pending)

    /// The image locks of a job's nodes are taken, or not.
    let nodesTaken (state: State) (pending: PendingJobNodes) (taken: JobNodesTaken) (answer: Answer) : Transition =
        ofKey state pending.Key (fun job ->
            match answer with
            | Answer.Refused error -> giveUp state job pending error
            | _ ->
                let graph = taken.Change.Graph
                let job = { job with Nodes = taken.Users }

                let next = {
                    state with
                        Graph = graph
                        Jobs = JobTable.set job state.Jobs
                }

                match job.Work with
                | JobWork.Check check -> Checks.begin' next job check
                | JobWork.Create _ ->
                    Transition.ok next [
                        RunNodeScript(
                            job.Key,
                            {
                                Children = Changes.scriptChildren graph job
                                Script = JobWorks.script job graph pending.Found
                            }
                        )
                    ])

    /// Makes a job and lets its work begin. The command ends when the work has begun, or could not.
    let private start (state: State) (make: JobKey -> Job) : Transition =
        let struct (job, jobs) = JobTable.add make state.Jobs
        let created = changed job JobStatus.Created
        let struct (next, begun) = tell { state with Jobs = jobs } job.Key [ JobInput.Begin ]
        let effects = created :: begun

        match JobWorks.start job with
        | Error reason -> fail next job reason |> Transition.after effects
        | Ok(Asking call) -> Transition.waitAfter effects next call (JobFileOpened job.Key)
        | Ok(OnNodes wanted) ->
            ofKey next job.Key (fun job ->
                findNodes next job {
                    JobNodes.pending job.Key wanted with
                        Found = JobWorks.known job
                })
            |> Transition.after effects

    /// The file of a job's work is open, or not.
    let opened (state: State) (key: JobKey) (answer: Answer) : Transition =
        ofKey state key (fun job ->
            match JobWorks.started job answer with
            | Ok effects -> Transition.ok state effects
            | Error reason -> fail state job reason)

    let private end' (state: State) (key: JobKey) (report: JobReport) : struct (State * Effect list) =
        match JobTable.tryKey key state.Jobs with
        | Some job when Job.isAtWork job ->
            let job = JobWorks.noted job report
            let state = { state with Jobs = JobTable.set job state.Jobs }
            let struct (notes, inputs) = JobWorks.worked job report

            let struct (state, given) =
                match report with
                | JobReport.Nodes report -> JobNodes.giveBack state job report
                | JobReport.File _ -> struct (state, [])

            let struct (next, effects) = tell state key inputs
            struct (next, JobWorks.ending job @ notes @ given @ effects)
        // The daemon has waited for it before this was told.
        | _ -> struct (state, [])

    let private endWith (state: State) (key: JobKey) (report: JobReport) : Transition =
        let struct (next, effects) = end' state key report
        Transition.ok next effects

    let private checkEnded (result: Result<Qcow2.CheckReport, string>) : JobReport =
        JobReport.Nodes {
            Result = Some(Result.map ScriptValue.Checked result)
            FileBytes = []
        }

    /// The shell has come to the end of a job's work.
    let worked (state: State) (key: JobKey) (report: JobReport) : Transition =
        match JobTable.tryKey key state.Jobs with
        | Some job when Job.isAtWork job ->
            let job = JobWorks.noted job report

            match JobWorks.repair job with
            | Some check when Checks.isRepairable state check ->
                Checks.beginRepair { state with Jobs = JobTable.set job state.Jobs } job check
            | Some _ ->
                let next = { state with Jobs = JobTable.set job state.Jobs }
                endWith next key (checkEnded (Error "Block node is read-only"))
            | None -> endWith state key report
        | _ -> endWith state key report

    /// The view of a check has begun, or cannot.
    let checkViewed (state: State) (pending: PendingCheck) (answer: Answer) : Transition =
        ofKey state pending.Job (fun job ->
            let effects, viewed = Checks.viewed state pending job answer

            match viewed with
            | Ok(struct (job, script)) ->
                Transition.ok { state with Jobs = JobTable.set job state.Jobs } [
                    yield! effects
                    RunNodeScript(job.Key, script)
                ]
            | Error error ->
                endWith state job.Key (checkEnded (Error error.Desc))
                |> Transition.after effects)

    /// An image was repaired, one way or another.
    let imageRepaired (state: State) (pending: PendingCheck) (answer: Answer) : Transition =
        let failed (error: QapiError) =
            endWith state pending.Job (checkEnded (Error error.Desc))
            |> Transition.after (Checks.givenUp pending)

        match answer with
        | Repaired result -> Checks.repaired state pending result
        | Answer.Refused error -> failed error
        | _ -> failed Transition.unexpected

    let repairReread
        (state: State)
        (pending: PendingCheck)
        (result: Result<Qcow2.CheckReport, string>)
        (answer: Answer)
        =
        let struct (next, effects, result) = Checks.reread state pending result answer
        endWith next pending.Job (checkEnded result) |> Transition.after effects

    /// A job's script has said how far it has come.
    let progressed (state: State) (key: JobKey) (progress: JobProgress) : Transition =
        let struct (next, effects) = tell state key [ JobInput.Progressed progress ]
        Transition.ok next effects

    let create (state: State) (arguments: BlockdevCreate) : Transition =
        let planned: Result<Creation, QapiError> =
            result {
                let! creation = Creation.ofOptions arguments.Options
                do! JobTable.checkId arguments.JobId state.Jobs
                return creation
            }

        Transition.bind state planned (fun creation ->
            start state (fun key -> {
                Job.create key arguments.JobId JobType.Create (JobWork.Create creation) 1L with
                    // Its error could be read nowhere else.
                    AutoDismiss = false
            }))

    let check (state: State) (arguments: BlockCheck) : Transition =
        let planned: Result<ImageCheck, QapiError> =
            result {
                let! check = ImageCheck.plan state.Graph arguments
                do! JobTable.checkId arguments.JobId state.Jobs

                match
                    state.Jobs.Jobs
                    |> Map.toSeq
                    |> Seq.tryFind (fun (_, job) -> Job.isAtWork job && JobWorks.known job = [ check.Image ])
                with
                | Some(_, job) ->
                    return!
                        QapiError.fail ("Node '" + arguments.NodeName + "' is being checked by job '" + job.Id + "'")
                | None -> return check
            }

        Transition.bind state planned (fun check ->
            start state (fun key -> {
                Job.create key arguments.JobId JobType.BlockCheck (JobWork.Check check) 1L with
                    AutoFinalize = defaultArg arguments.AutoFinalize true
                    // The verdict would go with it.
                    AutoDismiss = defaultArg arguments.AutoDismiss false
            }))

    let query (state: State) : Transition =
        JobTable.newestFirst state.Jobs
        |> List.map Job.info
        |> Command.encodeReturn Commands.queryJobs
        |> Transition.value state

    /// A command about one job.
    let ask (verb: JobVerb) (state: State) (arguments: JobReference) : Transition =
        let asked = JobTable.find arguments.Id state.Jobs |> Result.bind (JobMachine.ask verb)

        Transition.bind state asked (fun step ->
            let struct (next, effects) = carry state step
            Transition.ok next effects)

    /// Does what a user would if it is allowed, and nothing if not.
    let private tryAsk (verb: JobVerb) (state: State) (job: Job) : struct (State * Effect list) =
        match JobMachine.ask verb job with
        | Ok step -> carry state step
        | Error _ -> struct (state, [])

    /// Ends jobs, the newest first, until there is none or one is at work; the effects so far, the last one first.
    let rec private endNewest (state: State) (done': Effect list) : struct (State * Effect list * Job option) =
        match JobTable.tryNewest state.Jobs with
        | None -> struct (state, done', None)
        | Some job ->
            let struct (cancelled, effects) = tryAsk JobVerb.Cancel state job
            let done' = List.rev effects @ done'

            match JobTable.tryKey job.Key cancelled.Jobs with
            | Some job when Job.isAtWork job -> struct (cancelled, done', Some job)
            | Some job ->
                let struct (next, effects) = tryAsk JobVerb.Dismiss cancelled job
                endNewest next (List.rev effects @ done')
            | None -> endNewest cancelled done'

    /// Ends all jobs after these effects, and then the daemon itself if that is what a command wants.
    let endAll (isCommand: bool) (state: State) (effects: Effect list) : Transition =
        match endNewest state (List.rev effects) with
        | struct (next, done', Some job) ->
            Transition.waitAfter (List.rev done') next (AwaitJob job.Key) (QuitJobWorked(job.Key, isCommand))
        | struct (next, done', None) ->
            let last = if isCommand then [ Shutdown ] else []
            Transition.ok next (List.rev done' @ last)

    /// The work of a job that was cancelled is over, and with it the job.
    let quitWorked (state: State) (key: JobKey) (isCommand: bool) (answer: Answer) : Transition =
        let report =
            match answer with
            | JobWorked(Some report) -> report
            | _ -> JobReport.File { Failed = []; Stopped = true }

        let struct (next, effects) = end' state key report
        endAll isCommand next effects
