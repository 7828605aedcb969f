namespace StorageDaemon.Core.Job

open StorageDaemon.Core
open StorageDaemon.Core.Qapi

/// All jobs.
type JobTable = {
    /// In the order in which they were made.
    Jobs: Map<JobKey, Job>
    Keys: Map<string, JobKey>
    Next: JobKey
}

module JobTable =
    let empty: JobTable = { Jobs = Map.empty; Keys = Map.empty; Next = 1<jobKey> }

    /// Whether a new job may have this id.
    let checkId (id: string) (table: JobTable) : Result<unit, QapiError> =
        if not (Identifier.isWellFormed id) then
            QapiError.fail ("Invalid job ID '" + id + "'")
        elif table.Keys.ContainsKey id then
            QapiError.fail ("Job ID '" + id + "' already in use")
        else
            Ok()

    /// Makes a job under the next key; `checkId` has passed.
    let add (make: JobKey -> Job) (table: JobTable) : struct (Job * JobTable) =
        let job = make table.Next

        struct (job,
                {
                    Jobs = table.Jobs.Add(job.Key, job)
                    Keys = table.Keys.Add(job.Id, job.Key)
                    Next = table.Next + 1<jobKey>
                })

    /// The job is as this now; one that is over for good is not kept.
    let set (job: Job) (table: JobTable) : JobTable =
        if job.Status = JobStatus.Null then
            {
                table with
                    Jobs = table.Jobs.Remove job.Key
                    Keys = table.Keys.Remove job.Id
            }
        else
            { table with Jobs = table.Jobs.Add(job.Key, job) }

    let tryKey (key: JobKey) (table: JobTable) : Job option = table.Jobs.TryFind key

    let find (id: string) (table: JobTable) : Result<Job, QapiError> =
        match table.Keys.TryFind id with
        | Some key -> Ok table.Jobs[key]
        | None -> QapiError.fail "Job not found"

    let tryNewest (table: JobTable) : Job option =
        if table.Jobs.IsEmpty then
            None
        else
            Some(snd (Map.maxKeyValue table.Jobs))

    let newestFirst (table: JobTable) : Job list =
        Map.fold (fun newest _ job -> job :: newest) [] table.Jobs
