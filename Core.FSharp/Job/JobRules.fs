namespace StorageDaemon.Core.Job

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

/// What a user may ask of a job.
[<RequireQualifiedAccess>]
type JobVerb =
    | Cancel
    | Pause
    | Resume
    | SetSpeed
    | Complete
    | Finalize
    | Dismiss
    | Change

/// The life of jobs of every kind, as tables: which state may follow which, and what may be asked in which.
module JobRules =
    let private beforeTheEnd = [
        JobStatus.Created
        JobStatus.Running
        JobStatus.Paused
        JobStatus.Ready
        JobStatus.Standby
    ]

    /// The states that may follow each.
    let transitions: Map<JobStatus, Set<JobStatus>> =
        [
            JobStatus.Undefined, [ JobStatus.Created ]
            JobStatus.Created, [ JobStatus.Running; JobStatus.Aborting; JobStatus.Null ]
            JobStatus.Running, [ JobStatus.Paused; JobStatus.Ready; JobStatus.Waiting; JobStatus.Aborting ]
            JobStatus.Paused, [ JobStatus.Running ]
            JobStatus.Ready, [ JobStatus.Standby; JobStatus.Waiting; JobStatus.Aborting ]
            JobStatus.Standby, [ JobStatus.Ready ]
            JobStatus.Waiting, [ JobStatus.Pending; JobStatus.Aborting ]
            JobStatus.Pending, [ JobStatus.Aborting; JobStatus.Concluded ]
            JobStatus.Aborting, [ JobStatus.Concluded ]
            JobStatus.Concluded, [ JobStatus.Null ]
            JobStatus.Null, []
        ]
        |> List.map (fun (status, next) -> status, Set.ofList next)
        |> Map.ofList

    /// The states in which each may be asked.
    let verbs: Map<JobVerb, Set<JobStatus>> =
        [
            JobVerb.Cancel, JobStatus.Waiting :: JobStatus.Pending :: beforeTheEnd
            JobVerb.Pause, beforeTheEnd
            JobVerb.Resume, beforeTheEnd
            JobVerb.SetSpeed, beforeTheEnd
            JobVerb.Complete, [ JobStatus.Ready; JobStatus.Standby ]
            JobVerb.Finalize, [ JobStatus.Pending ]
            JobVerb.Dismiss, [ JobStatus.Concluded ]
            JobVerb.Change, beforeTheEnd
        ]
        |> List.map (fun (verb, states) -> verb, Set.ofList states)
        |> Map.ofList

    let mayFollow (status: JobStatus) (next: JobStatus) = transitions[status].Contains next

    let private statusName (status: JobStatus) =
        match JobCodecs.jobStatus.Encode status with
        | String name -> name
        | _ -> ""

    let verbName (verb: JobVerb) =
        match verb with
        | JobVerb.Cancel -> "cancel"
        | JobVerb.Pause -> "pause"
        | JobVerb.Resume -> "resume"
        | JobVerb.SetSpeed -> "set-speed"
        | JobVerb.Complete -> "complete"
        | JobVerb.Finalize -> "finalize"
        | JobVerb.Dismiss -> "dismiss"
        | JobVerb.Change -> "change"

    /// Whether a job of this id may be asked that in this state.
    let check (id: string) (status: JobStatus) (verb: JobVerb) : Result<unit, QapiError> =
        if verbs[verb].Contains status then
            Ok()
        else
            QapiError.fail (
                "Job '"
                + id
                + "' in state '"
                + statusName status
                + "' cannot accept command verb '"
                + verbName verb
                + "'"
            )
