namespace StorageDaemon.Core.Qapi

/// `JobType` of qapi/job.json, as far as jobs are built.
[<RequireQualifiedAccess>]
type JobType =
    | Create
    /// An addition of this daemon.
    | BlockCheck

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

/// What a check may repair.
[<RequireQualifiedAccess>]
type BlockCheckFix =
    | None
    | Leaks
    | All

/// Arguments of x-block-check.
type BlockCheck = {
    JobId: string
    NodeName: string
    Fix: BlockCheckFix option
    AutoFinalize: bool option
    AutoDismiss: bool option
}

/// The verdict on an image: what `ImageCheck` of qapi/block-core.json has, without file and format but with texts.
type BlockCheckResult = {
    CheckErrors: int64
    Corruptions: int64
    CorruptionsFixed: int64
    Leaks: int64
    LeaksFixed: int64
    ImageEndOffset: int64
    TotalClusters: int64
    AllocatedClusters: int64
    FragmentedClusters: int64
    CompressedClusters: int64
    Findings: string list
}

/// `JobInfo` of qapi/job.json.
type JobInfo = {
    Id: string
    Type: JobType
    Status: JobStatus
    CurrentProgress: int64
    TotalProgress: int64
    /// Why the job has failed.
    Error: string option
    /// `x-block-check`, an addition of this daemon: what a check has found, once it has.
    BlockCheck: BlockCheckResult option
}

/// Arguments of the commands about one job.
type JobReference = { Id: string }

/// Data of the event JOB_STATUS_CHANGE.
type JobStatusChange = { Id: string; Status: JobStatus }
