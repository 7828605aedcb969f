namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core.Job

/// The own parts of jobs: how each kind of work begins, obeys and ends. A new kind adds its case here, and needs to know
/// nothing of the life of jobs.
module JobWorks =
    /// What a job asks the shell for before its work can go on, or why it cannot begin.
    let start (job: Job) : Result<Call, string> =
        match job.Work with
        | JobWork.Create(Creation.File file) ->
            CreateFile.check file
            |> Result.map (fun () -> OpenJobFile(job.Key, file.Filename, CreateFile.locks))

    /// The shell has answered that; the work goes on by itself.
    let started (job: Job) (answer: Answer) : Result<Effect list, string> =
        match job.Work, answer with
        | JobWork.Create(Creation.File file), Answer.Finished -> Ok [ RunFileTask(job.Key, CreateFile.task file) ]
        | JobWork.Create(Creation.File file), CouldNotOpen reason -> Error(CreateFile.openFailure file.Filename reason)
        | _, Answer.Refused error -> Error error.Desc
        | _ -> Error Transition.unexpected.Desc

    /// What the machine orders: what to do, and what the work has to say to it at once.
    let obey (job: Job) (order: JobOrder) : struct (Effect list * JobInput list) =
        match job.Work, order with
        | JobWork.Create _, JobOrder.Cancel -> struct ([ StopJobWork job.Key ], [])
        // Nothing in the graph comes of it.
        | JobWork.Create _, JobOrder.Close _ -> struct ([], [ JobInput.Closed None ])
        // Images are made in one go.
        | JobWork.Create _, (JobOrder.Pause | JobOrder.Resume | JobOrder.Complete) -> struct ([], [])

    /// The work is over, one way or another. An image is all there or not at all.
    let private over (job: Job) (result: JobResult) : JobInput list =
        match job.Work with
        | JobWork.Create _ -> [
            JobInput.Progressed { job.Progress with Current = job.Progress.Total }
            JobInput.Ended result
          ]

    /// The work could not begin.
    let failed (job: Job) (reason: string) : JobInput list = over job (Failed reason)

    /// The shell has come to the end of the work.
    let worked (job: Job) (report: FileTaskReport) : struct (Effect list * JobInput list) =
        match job.Work with
        | JobWork.Create(Creation.File file) ->
            let struct (warnings, result) = FileTask.outcome (CreateFile.task file) report
            struct (List.map Warn warnings, over job result)
