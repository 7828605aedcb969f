namespace StorageDaemon.Core.Job

open StorageDaemon.Core
open StorageDaemon.Core.Qapi

/// What the machine tells a job's own part.
[<RequireQualifiedAccess>]
type JobOrder =
    /// Rest as soon as possible, and say `Rested`.
    | Pause
    /// Go on, and say `WentOn` if there was a rest.
    | Resume
    /// Come to an end.
    | Cancel
    /// Being ready, come to an end.
    | Complete
    /// The last word: what was done takes effect, or is taken back. To be answered by `Closed`.
    | Close of takesEffect: bool

/// What a job's own part tells the machine.
[<RequireQualifiedAccess>]
type JobInput =
    | Begin
    | Progressed of JobProgress
    | BecameReady
    | Rested
    | WentOn
    | Ended of JobResult
    /// None: what was done has taken effect, or is taken back.
    | Closed of error: string option

/// What comes out of a step, in order.
type JobOutput =
    /// The job is in another state, and people are told.
    | Entered of JobStatus
    | Order of JobOrder

/// The life of a job, whatever it does. The state is the job itself.
module JobMachine =
    /// The C library's text for ECANCELED.
    [<Literal>]
    let Cancelled = "Operation canceled"

    type private Step = (struct (Job * JobOutput list))

    /// Enters a state. One that must not follow is not entered: an input that comes too late changes nothing.
    let private enter (status: JobStatus) (struct (job, outputs): Step) : Step =
        if JobRules.mayFollow job.Status status then
            struct ({ job with Status = status }, outputs @ [ Entered status ])
        else
            struct (job, outputs)

    let private order (order: JobOrder) (struct (job, outputs): Step) : Step = struct (job, outputs @ [ Order order ])

    let private nothing (job: Job) : Step = struct (job, [])

    /// Work that ends while it rests has been woken for it.
    let private wake (step: Step) : Step =
        let struct (job, _) = step

        match job.Status with
        | JobStatus.Paused -> enter JobStatus.Running step
        | JobStatus.Standby -> enter JobStatus.Ready step
        | _ -> step

    let private abort (reason: string) (struct (job, outputs): Step) : Step =
        struct ({
                    job with
                        Error = Some(defaultArg job.Error reason)
                        Closing = true
                },
                outputs)
        |> enter JobStatus.Aborting
        |> order (JobOrder.Close false)

    let private takeEffect (struct (job, outputs): Step) : Step =
        struct ({ job with Closing = true }, outputs) |> order (JobOrder.Close true)

    /// The work is done. There is nobody yet to wait for in the state `waiting`.
    let private succeed (step: Step) : Step =
        let struct (job, _) as pending = step |> enter JobStatus.Waiting |> enter JobStatus.Pending
        if job.AutoFinalize then takeEffect pending else pending

    let private ended (result: JobResult) (job: Job) : Step =
        let step = wake (nothing job)

        match result with
        | Failed reason -> abort reason step
        | Stopped -> abort Cancelled step
        | Succeeded when job.CancelAsked -> abort Cancelled step
        | Succeeded -> succeed step

    let private conclude (job: Job) : Step =
        let concluded = enter JobStatus.Concluded (nothing { job with Closing = false })
        if job.AutoDismiss then
            enter JobStatus.Null concluded
        else
            concluded

    /// A step of a job's own part.
    let step (input: JobInput) (job: Job) : struct (Job * JobOutput list) =
        match input with
        | JobInput.Begin when job.Status = JobStatus.Created -> enter JobStatus.Running (nothing job)
        | JobInput.Progressed progress -> nothing { job with Progress = progress }
        | JobInput.BecameReady when job.Status = JobStatus.Running -> enter JobStatus.Ready (nothing job)
        | JobInput.Rested ->
            match job.Status with
            | JobStatus.Running -> enter JobStatus.Paused (nothing job)
            | _ -> enter JobStatus.Standby (nothing job)
        | JobInput.WentOn -> wake (nothing job)
        | JobInput.Ended result when Job.isAtWork job -> ended result job
        | JobInput.Closed error when job.Closing ->
            match error, job.Status with
            | Some reason, JobStatus.Pending -> abort reason (nothing job)
            | _ -> conclude job
        // It comes too late or too early.
        | JobInput.Begin
        | JobInput.BecameReady
        | JobInput.Ended _
        | JobInput.Closed _ -> nothing job

    let private cancel (job: Job) : Step =
        // Who cancels does not want the job to rest any more.
        let job = { job with CancelAsked = true; PauseAsked = false }

        match job.Status with
        | JobStatus.Created
        | JobStatus.Waiting
        | JobStatus.Pending ->
            if job.Closing then
                nothing job
            else
                abort Cancelled (nothing job)
        | _ -> order JobOrder.Cancel (nothing job)

    /// A step of the user.
    let ask (verb: JobVerb) (job: Job) : Result<struct (Job * JobOutput list), QapiError> =
        let allowed = JobRules.check job.Id job.Status verb

        match verb with
        | JobVerb.Resume when not job.PauseAsked -> QapiError.fail "Can't resume a job that was not paused"
        | JobVerb.Pause when allowed.IsOk && job.PauseAsked -> QapiError.fail "Job is already paused"
        | _ ->
            allowed
            |> Result.map (fun () ->
                match verb with
                | JobVerb.Cancel -> cancel job
                | JobVerb.Pause -> order JobOrder.Pause (nothing { job with PauseAsked = true })
                | JobVerb.Resume -> order JobOrder.Resume (nothing { job with PauseAsked = false })
                | JobVerb.Complete -> order JobOrder.Complete (nothing job)
                | JobVerb.Finalize when job.Closing -> nothing job
                | JobVerb.Finalize -> takeEffect (nothing job)
                | JobVerb.Dismiss -> enter JobStatus.Null (nothing job)
                // What these change is the job's own.
                | JobVerb.SetSpeed
                | JobVerb.Change -> nothing job)
