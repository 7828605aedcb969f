namespace StorageDaemon.Core.Qapi

/// `JobType` of qapi/job.json, as far as jobs are built.
[<RequireQualifiedAccess>]
type JobType = | Create

/// `JobStatus` of qapi/job.json.
[<RequireQualifiedAccess>]
type JobStatus =
    | Undefined
    | Created
    | Running
    | Paused
    | Ready
    | Standby
    | Waiting
    | Pending
    | Aborting
    | Concluded
    | Null

/// `JobInfo` of qapi/job.json.
type JobInfo = {
    Id: string
    Type: JobType
    Status: JobStatus
    CurrentProgress: int64
    TotalProgress: int64
    /// Why the job has failed.
    Error: string option
}

/// Arguments of the commands about one job.
type JobReference = { Id: string }

/// Data of the event JOB_STATUS_CHANGE.
type JobStatusChange = { Id: string; Status: JobStatus }
