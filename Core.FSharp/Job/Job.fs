namespace StorageDaemon.Core.Job

open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi

[<Measure>]
type jobKey

/// The shell's handle of a job; never given twice.
type JobKey = int<jobKey>

/// The part of a job that is its own: data only, as all of a job, so that a job can be handed over.
[<RequireQualifiedAccess>]
type JobWork =
    | Create of Creation
    | Check of ImageCheck

/// What is done and what there is to do, in a unit of the job's own.
type JobProgress = { Current: int64; Total: int64 }

/// A job of any kind.
type Job = {
    Key: JobKey
    Id: string
    Type: JobType
    Work: JobWork
    /// The nodes that it works on, by their user in the graph; in the order of its script's children.
    Nodes: BackendId list
    Status: JobStatus
    Progress: JobProgress
    /// Whether finished work takes effect without job-finalize.
    AutoFinalize: bool
    /// Whether the job goes by itself when it is over.
    AutoDismiss: bool
    /// The user wants it to rest; whether it does is its state.
    PauseAsked: bool
    CancelAsked: bool
    /// Its work is taking effect.
    Closing: bool
    /// Why it has failed.
    Error: string option
}

module Job =
    /// A job that has not begun.
    let create (key: JobKey) (id: string) (jobType: JobType) (work: JobWork) (total: int64) : Job = {
        Key = key
        Id = id
        Type = jobType
        Work = work
        Nodes = []
        Status = JobStatus.Created
        Progress = { Current = 0L; Total = total }
        AutoFinalize = true
        AutoDismiss = true
        PauseAsked = false
        CancelAsked = false
        Closing = false
        Error = None
    }

    let info (job: Job) : JobInfo = {
        Id = job.Id
        Type = job.Type
        Status = job.Status
        CurrentProgress = job.Progress.Current
        TotalProgress = job.Progress.Total
        Error = job.Error
        BlockCheck =
            match job.Work with
            | JobWork.Check check -> check.Report |> Option.map ImageCheck.result
            | JobWork.Create _ -> None
    }

    /// Whether its own part has begun and not ended.
    let isAtWork (job: Job) =
        match job.Status with
        | JobStatus.Running
        | JobStatus.Paused
        | JobStatus.Ready
        | JobStatus.Standby -> true
        | _ -> false
