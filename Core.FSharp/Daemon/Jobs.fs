namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
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

    /// Makes a job and lets its work begin. The command ends when the work has begun, or could not.
    let private start (state: State) (make: JobKey -> Job) : Transition =
        let struct (job, jobs) = JobTable.add make state.Jobs
        let created = changed job JobStatus.Created
        let struct (next, begun) = tell { state with Jobs = jobs } job.Key [ JobInput.Begin ]
        let effects = created :: begun

        match JobWorks.start job with
        | Ok call -> Transition.waitAfter effects next call (JobFileOpened job.Key)
        | Error reason ->
            let struct (ended, more) = tell next job.Key (JobWorks.failed job reason)
            Transition.ok ended (effects @ more)

    /// The file of a job's work is open, or not.
    let opened (state: State) (key: JobKey) (answer: Answer) : Transition =
        match JobTable.tryKey key state.Jobs with
        | None -> Transition.fail state Transition.unexpected
        | Some job ->
            match JobWorks.started job answer with
            | Ok effects -> Transition.ok state effects
            | Error reason ->
                let struct (next, effects) = tell state key (JobWorks.failed job reason)
                Transition.ok next effects

    let private end' (state: State) (key: JobKey) (report: FileTaskReport) : struct (State * Effect list) =
        match JobTable.tryKey key state.Jobs with
        | Some job when Job.isAtWork job ->
            let struct (notes, inputs) = JobWorks.worked job report
            let struct (next, effects) = tell state key inputs
            struct (next, notes @ effects)
        // The daemon has waited for it before this was told.
        | _ -> struct (state, [])

    /// The shell has come to the end of a job's work.
    let worked (state: State) (key: JobKey) (report: FileTaskReport) : Transition =
        let struct (next, effects) = end' state key report
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
            | _ -> { Failed = []; Stopped = true }

        let struct (next, effects) = end' state key report
        endAll isCommand next effects
