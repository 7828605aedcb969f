namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/job.json.
module JobCodecs =
    let jobType: Codec<JobType> =
        Codec.enum "JobType" [ JobType.Create, "create" ]
        |> Codec.documented "What a job does." [ "create", "Makes an image; see blockdev-create." ]

    let jobStatus: Codec<JobStatus> =
        Codec.enum "JobStatus" [
            JobStatus.Undefined, "undefined"
            JobStatus.Created, "created"
            JobStatus.Running, "running"
            JobStatus.Paused, "paused"
            JobStatus.Ready, "ready"
            JobStatus.Standby, "standby"
            JobStatus.Waiting, "waiting"
            JobStatus.Pending, "pending"
            JobStatus.Aborting, "aborting"
            JobStatus.Concluded, "concluded"
            JobStatus.Null, "null"
        ]
        |> Codec.documented "How far a job has come." [
            "undefined", "It is being made. Nobody sees this."
            "created", "It exists and has not begun."
            "running", "It works."
            "paused", "It rests, and goes on with job-resume."
            "ready", "It keeps up with what happens, and ends with job-complete."
            "standby", "It rests after it was ready."
            "waiting", "Its work is done; others that end together with it are not there yet."
            "pending",
            "Its work is done and takes effect with job-finalize, by itself unless the user wants to say when."
            "aborting", "It has failed or was cancelled, and what it has done is taken back."
            "concluded", "It is over, and its result can be read until job-dismiss."
            "null", "It is gone. Only events tell this."
        ]

    let jobInfo: StructCodec<JobInfo> =
        record "JobInfo" "A job." {
            let! id = doc "Its id." (required "id" Codec.str _.Id)
            let! jobType = doc "What it does." (required "type" jobType _.Type)
            let! status = doc "How far it has come." (required "status" jobStatus _.Status)
            let! current =
                doc
                    "What is done, in a unit of the job's own."
                    (required "current-progress" Codec.int64 _.CurrentProgress)
            let! total =
                doc
                    "What there is to do, as far as is known; it may change."
                    (required "total-progress" Codec.int64 _.TotalProgress)
            let! error = doc "Why it has failed." (optional "error" Codec.str _.Error)

            return
                fun m -> {
                    Id = id m
                    Type = jobType m
                    Status = status m
                    CurrentProgress = current m
                    TotalProgress = total m
                    Error = error m
                }
        }

    let jobReference: StructCodec<JobReference> =
        record "JobReferenceArgs" "Arguments of commands about one job." {
            let! id = doc "The job." (required "id" Codec.str _.Id)
            return fun m -> { Id = id m }
        }

    let jobStatusChange: StructCodec<JobStatusChange> =
        record "JobStatusChangeData" "Data of JOB_STATUS_CHANGE." {
            let! id = doc "The job." (required "id" Codec.str _.Id)
            let! status = doc "How far it has come now." (required "status" jobStatus _.Status)
            return fun m -> { Id = id m; Status = status m }
        }
