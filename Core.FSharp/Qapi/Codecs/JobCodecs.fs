namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/job.json.
module JobCodecs =
    let jobType: Codec<JobType> =
        Codec.enum "JobType" [ JobType.Create, "create"; JobType.BlockCheck, "x-block-check" ]
        |> Codec.documented "What a job does." [
            "create", "Makes an image; see blockdev-create."
            "x-block-check", "Checks an image; see x-block-check."
        ]

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

    let private blockCheckFix: Codec<BlockCheckFix> =
        Codec.enum "BlockCheckFix" [
            BlockCheckFix.None, "none"
            BlockCheckFix.Leaks, "leaks"
            BlockCheckFix.All, "all"
        ]
        |> Codec.documented "What a check repairs." [
            "none", "Nothing."
            "leaks", "Clusters that are counted as used and are not."
            "all", "Everything that it can."
        ]

    let blockCheck: StructCodec<BlockCheck> =
        record "BlockCheckArgs" "Arguments of x-block-check." {
            let! jobId = doc "A new id for the job." (required "job-id" Codec.str _.JobId)
            let! nodeName = doc "The node of the image." (required "node-name" Codec.str _.NodeName)
            let! fix = doc "What to repair; nothing by default." (optional "fix" blockCheckFix _.Fix)
            let! autoFinalize =
                doc
                    "Whether the job ends without job-finalize; it does by default."
                    (optional "auto-finalize" Codec.bool _.AutoFinalize)
            let! autoDismiss =
                doc
                    "Whether the job, and with it the verdict, goes by itself when it is over; it does not by default."
                    (optional "auto-dismiss" Codec.bool _.AutoDismiss)

            return
                fun m -> {
                    JobId = jobId m
                    NodeName = nodeName m
                    Fix = fix m
                    AutoFinalize = autoFinalize m
                    AutoDismiss = autoDismiss m
                }
        }

    let blockCheckResult: StructCodec<BlockCheckResult> =
        record "BlockCheckResult" "What a check has found; numbers as qemu-img check tells them." {
            let! checkErrors =
                doc "Refcounts that could not be read." (required "check-errors" Codec.int64 _.CheckErrors)
            let! corruptions =
                doc "Damages, without those repaired." (required "corruptions" Codec.int64 _.Corruptions)
            let! corruptionsFixed =
                doc "Damages repaired." (required "corruptions-fixed" Codec.int64 _.CorruptionsFixed)
            let! leaks =
                doc
                    "Clusters counted as used that are not, without those repaired."
                    (required "leaks" Codec.int64 _.Leaks)
            let! leaksFixed = doc "Of those, how many were freed." (required "leaks-fixed" Codec.int64 _.LeaksFixed)
            let! imageEndOffset =
                doc
                    "Bytes of the file up to the end of what is used."
                    (required "image-end-offset" Codec.int64 _.ImageEndOffset)
            let! totalClusters = doc "Clusters of the disk." (required "total-clusters" Codec.int64 _.TotalClusters)
            let! allocatedClusters =
                doc
                    "Of those, how many have a place in the file."
                    (required "allocated-clusters" Codec.int64 _.AllocatedClusters)
            let! fragmentedClusters =
                doc
                    "Of those, how many do not follow the one before."
                    (required "fragmented-clusters" Codec.int64 _.FragmentedClusters)
            let! compressedClusters =
                doc
                    "Of those, how many are compressed."
                    (required "compressed-clusters" Codec.int64 _.CompressedClusters)
            let! findings =
                doc "The first 100 findings, for people." (required "findings" (Codec.list Codec.str) _.Findings)

            return
                fun m -> {
                    CheckErrors = checkErrors m
                    Corruptions = corruptions m
                    CorruptionsFixed = corruptionsFixed m
                    Leaks = leaks m
                    LeaksFixed = leaksFixed m
                    ImageEndOffset = imageEndOffset m
                    TotalClusters = totalClusters m
                    AllocatedClusters = allocatedClusters m
                    FragmentedClusters = fragmentedClusters m
                    CompressedClusters = compressedClusters m
                    Findings = findings m
                }
        }

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
            // Here and not in an event: whoever asks late, or lost the connection, finds it until job-dismiss.
            let! blockCheck =
                doc
                    "What x-block-check has found, once it has."
                    (optional "x-block-check" (StructCodec.codec blockCheckResult) _.BlockCheck)

            return
                fun m -> {
                    BlockCheck = blockCheck m
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
