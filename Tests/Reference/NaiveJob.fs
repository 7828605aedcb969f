/// The life of a job as one would tell it to a person: words for states, and a page of rules.
module StorageDaemon.Tests.Reference.NaiveJob

/// What may be asked when, one column for each state.
let private columns =
    "undefined created running paused ready standby waiting pending aborting concluded null".Split ' '

let private rows = [
    "cancel", "-+++++++---"
    "pause", "-+++++-----"
    "resume", "-+++++-----"
    "set-speed", "-+++++-----"
    "complete", "----++-----"
    "finalize", "-------+---"
    "dismiss", "---------+-"
    "change", "-+++++-----"
]

let isAllowed (verb: string) (status: string) : bool =
    let _, row = rows |> List.find (fun (name, _) -> name = verb)
    row[System.Array.IndexOf(columns, status)] = '+'

/// What may come after each state.
let successors = [
    "undefined", "created"
    "created", "running aborting null"
    "running", "paused ready waiting aborting"
    "paused", "running"
    "ready", "standby waiting aborting"
    "standby", "ready"
    "waiting", "pending aborting"
    "pending", "aborting concluded"
    "aborting", "concluded"
    "concluded", "null"
    "null", ""
]

/// `told`: the states that people heard of, the last one first; `takesEffect`: the last word that waits for an answer.
type NaiveJob = {
    Status: string
    Told: string list
    Error: string option
    Paused: bool
    Cancelled: bool
    Closing: bool option
}

let created = {
    Status = "created"
    Told = []
    Error = None
    Paused = false
    Cancelled = false
    Closing = None
}

let private go (status: string) (job: NaiveJob) = { job with Status = status; Told = status :: job.Told }

let private fail (reason: string) (job: NaiveJob) =
    {
        job with
            Error = Some(defaultArg job.Error reason)
            Closing = Some false
    }
    |> go "aborting"

let private wake (job: NaiveJob) =
    match job.Status with
    | "paused" -> go "running" job
    | "standby" -> go "ready" job
    | _ -> job

let private isAtWork (job: NaiveJob) =
    List.contains job.Status [ "running"; "paused"; "ready"; "standby" ]

/// The user's wish: what becomes of the job, or the error.
let ask (id: string) (verb: string) (job: NaiveJob) : Result<NaiveJob, string> =
    if verb = "resume" && not job.Paused then
        Error "Can't resume a job that was not paused"
    elif not (isAllowed verb job.Status) then
        Error $"Job '{id}' in state '{job.Status}' cannot accept command verb '{verb}'"
    elif verb = "pause" && job.Paused then
        Error "Job is already paused"
    else
        Ok(
            match verb with
            | "pause" -> { job with Paused = true }
            | "resume" -> { job with Paused = false }
            | "finalize" -> { job with Closing = Some true }
            | "dismiss" -> go "null" job
            | "cancel" ->
                let job = { job with Cancelled = true; Paused = false }

                if not (isAtWork job) && job.Closing.IsNone then
                    fail "Operation canceled" job
                else
                    job
            | _ -> job
        )

let start (job: NaiveJob) =
    if job.Status = "created" then go "running" job else job

let becomeReady (job: NaiveJob) =
    if job.Status = "running" then go "ready" job else job

let rest (job: NaiveJob) =
    match job.Status with
    | "running" -> go "paused" job
    | "ready" -> go "standby" job
    | _ -> job

let goOn (job: NaiveJob) = wake job

/// The work ends: with an error, or with none. `autoFinalize`: what was done takes effect without a word of the user.
let finish (autoFinalize: bool) (error: string option) (job: NaiveJob) =
    if not (isAtWork job) then
        job
    else
        match error with
        | Some reason -> job |> wake |> fail reason
        | None when job.Cancelled -> job |> wake |> fail "Operation canceled"
        | None ->
            let pending = job |> wake |> go "waiting" |> go "pending"

            if autoFinalize then
                { pending with Closing = Some true }
            else
                pending

/// The last word is said, or what was done could not take effect.
let close (autoDismiss: bool) (error: string option) (job: NaiveJob) =
    match job.Closing, error with
    | None, _ -> job
    | Some true, Some reason -> fail reason job
    | Some _, _ ->
        let concluded = go "concluded" { job with Closing = None }
        if autoDismiss then go "null" concluded else concluded
