namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Job
open StorageDaemon.Core.Qcow2

/// What x-block-check asks of the graph: rest for a moment, so that a view of the image can begin; and, where there is
/// something to repair, rest for as long as that takes. The life of the job is in `Jobs`.
///
/// A repair is a call and not a script beside everything else: nothing may be attached to the image, moved or reopened
/// while its tables are written anew, and no request may begin. It is as long as the check before it, which has shown
/// that it is worth it.
module Checks =
    let private quiesce (state: State) (job: Job) (check: ImageCheck) next : Transition =
        let pending = {
            Job = job.Key
            Check = check
            Exports = Changes.exportsAbove state [ check.Image ]
            // Its own has not begun, or is over.
            Jobs = Changes.scripts state |> List.filter ((<>) job.Key)
        }

        Transition.wait state (Quiesce(pending.Exports, pending.Jobs)) (next pending)

    let private goOn (pending: PendingCheck) : Effect list =
        Changes.resumeAll pending.Exports pending.Jobs

    let private path (state: State) (pending: PendingCheck) =
        Path.compile state.Graph pending.Check.Image

    /// The image is the job's to read: everybody else rests for a moment.
    let begin' (state: State) (job: Job) (check: ImageCheck) : Transition = quiesce state job check CheckQuiesced

    /// Everybody rests.
    let quiesced (state: State) (pending: PendingCheck) : Transition =
        Transition.wait state (BeginView(path state pending)) (CheckViewed pending)

    /// The view has begun, or cannot: the job as it is now, and its script, or why it fails. The others go on.
    let viewed
        (state: State)
        (pending: PendingCheck)
        (job: Job)
        (answer: Answer)
        : Effect list * Result<struct (Job * NodeScript), QapiError> =
        goOn pending,
        match answer with
        | ViewHasBegun(view, checkBytes, isMarked) ->
            let check = { pending.Check with IsMarked = isMarked }
            let job = { job with Work = JobWork.Check check }

            Ok
                struct (job,
                        {
                            Children = Changes.scriptChildren state.Graph job
                            Script = JobWorks.checkScript view checkBytes
                        })
        | Answer.Refused error -> Error error
        | _ -> Error Transition.unexpected

    /// The check has found something to repair.
    let beginRepair (state: State) (job: Job) (check: ImageCheck) : Transition = quiesce state job check RepairQuiesced

    /// Whether the image can still be repaired: an overlay may have made it read-only.
    let isRepairable (state: State) (check: ImageCheck) : bool =
        match Graph.tryNode check.Image state.Graph with
        | Some node -> node.Options.Active && not node.Options.ReadOnly
        | None -> false

    /// Everybody rests: the repair begins.
    let repairQuiesced (state: State) (pending: PendingCheck) : Transition =
        Transition.wait state (RepairImage(path state pending, pending.Check.Fix)) (ImageRepaired pending)

    /// The image that was repaired is read anew.
    let repaired (state: State) (pending: PendingCheck) (result: Result<CheckReport, string>) : Transition =
        Transition.wait state (OpenLayer(path state pending)) (RepairReread(pending, result))

    /// A repair was not begun: nothing has changed.
    let givenUp (pending: PendingCheck) : Effect list = goOn pending

    /// The node has its image again, or cannot have it; the others go on.
    let reread
        (state: State)
        (pending: PendingCheck)
        (result: Result<CheckReport, string>)
        (answer: Answer)
        : struct (State * Effect list * Result<CheckReport, string>) =
        match answer with
        | LayerIsOpen facts ->
            let graph = Changes.withFacts pending.Check.Image facts state.Graph
            let next = { state with Graph = graph }

            struct (next, Changes.updateAll next pending.Exports pending.Jobs @ goOn pending, result)
        | Answer.Refused error -> struct (state, goOn pending, Error error.Desc)
        | _ -> struct (state, goOn pending, Error Transition.unexpected.Desc)
