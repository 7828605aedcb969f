namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Io
open StorageDaemon.Core.Job
open StorageDaemon.Core.Qapi

/// What a job wants of a node that it works on.
[<NoComparison; NoEquality>]
type NodeUse = {
    /// As error texts call its use of the node: "file", "data-file", ...
    ChildName: string
    /// What it needs before it is anything that could have children; none to leave that out.
    First: PermPair option
    Perms: PermPair
}

/// How the work of a job begins.
[<NoComparison; NoEquality>]
type WorkStart =
    /// The shell is asked something first.
    | Asking of Call
    /// Nodes are found or made first.
    | OnNodes of ChildSpec list

/// The own parts of jobs: how each kind of work begins, obeys and ends. A new kind adds its case here, and needs to know
/// nothing of the life of jobs.
module JobWorks =
    /// How the work begins, or why it cannot.
    let start (job: Job) : Result<WorkStart, string> =
        match job.Work with
        | JobWork.Create(Creation.File file) ->
            CreateFile.check file
            |> Result.map (fun () -> Asking(OpenJobFile(job.Key, file.Filename, CreateFile.locks)))
        | JobWork.Create(Creation.Qcow2 options) ->
            result {
                let! file = BlockdevMapping.reference options.File

                let! dataFile =
                    match options.DataFile with
                    | Some reference -> BlockdevMapping.reference reference |> Result.map List.singleton
                    | None -> Ok []

                return OnNodes(file :: dataFile)
            }
            |> Result.mapError _.Desc
        // The node was found when the job was made.
        | JobWork.Check _ -> Ok(OnNodes [])

    /// The shell has answered that; the work goes on by itself.
    let started (job: Job) (answer: Answer) : Result<Effect list, string> =
        match job.Work, answer with
        | JobWork.Create(Creation.File file), Answer.Finished -> Ok [ RunFileTask(job.Key, CreateFile.task file) ]
        | JobWork.Create(Creation.File file), CouldNotOpen reason -> Error(CreateFile.openFailure file.Filename reason)
        | _, Answer.Refused error -> Error error.Desc
        | _ -> Error Transition.unexpected.Desc

    /// Nodes that were found when the job was made.
    let known (job: Job) : NodeId list =
        match job.Work with
        | JobWork.Check check -> [ check.Image ]
        | JobWork.Create _ -> []

    /// So many of the nodes are there; whether the others are wanted.
    let accept (job: Job) (found: int) : Result<unit, string> =
        match job.Work with
        | JobWork.Create(Creation.Qcow2 options) when found = 1 -> CreateQcow2.check options
        | JobWork.Create _
        | JobWork.Check _ -> Ok()

    /// What the job wants of its nodes, in their order.
    let uses (job: Job) : NodeUse list =
        match job.Work with
        | JobWork.Create(Creation.File _) -> []
        | JobWork.Create(Creation.Qcow2 options) -> [
            {
                ChildName = "file"
                First = Some { Used = Perm.Write ||| Perm.Resize; Shared = Perm.All }
                Perms = Perm.forFormat true Perm.unused
            }
            if options.DataFile.IsSome then
                {
                    ChildName = "data-file"
                    First = None
                    Perms =
                        Perm.forStorage {
                            Used = Perm.ConsistentRead ||| Perm.Write
                            Shared = Perm.All
                        }
                }
          ]
        | JobWork.Check check -> [
            {
                ChildName = "main node"
                First = None
                Perms = ImageCheck.perms check
            }
          ]

    /// The work on the nodes, which are the job's now.
    let script
        (job: Job)
        (graph: Graph)
        (nodes: NodeId list)
        : (int -> string) -> IoScript<Result<ScriptValue, string>> =
        match job.Work, nodes with
        | JobWork.Create(Creation.Qcow2 options), _ :: others ->
            let dataFileName =
                List.tryHead others
                |> Option.map (fun node -> Filename.ofNode graph (Graph.node node graph))

            CreateQcow2.script options dataFileName
            >> IoScript.bind (Result.map (fun () -> ScriptValue.Nothing) >> Finished)
        | JobWork.Create _, _
        | JobWork.Check _, _ -> fun _ -> Finished(Error Transition.unexpected.Desc)

    /// The check of an image through a view.
    let checkScript
        (view: Qcow2.MetadataView)
        (totalBytes: int64)
        : (int -> string) -> IoScript<Result<ScriptValue, string>> =
        fun errorText ->
            Qcow2.OnlineCheck.run view totalBytes
            |> IoScript.bind (function
                | Ok report -> Finished(Ok(ScriptValue.Checked report))
                | Error error -> Finished(Error(Qcow2.FindingText.ofError errorText error)))

    /// The job as what its script has found makes it.
    let noted (job: Job) (report: JobReport) : Job =
        match job.Work, report with
        | JobWork.Check check, JobReport.Nodes { Result = Some(Ok(ScriptValue.Checked found)) } -> {
            job with
                Work = JobWork.Check { check with Report = Some found }
          }
        | _ -> job

    /// The repair that is to follow a check, if any.
    let repair (job: Job) : ImageCheck option =
        match job.Work with
        | JobWork.Check({ Report = Some found } as check) when
            check.Fix <> Qcow2.CheckFix.Nothing
            && not job.CancelAsked
            && Qcow2.OnlineCheck.needsRepair check.IsMarked found
            ->
            Some check
        | _ -> None

    /// What the machine orders: what to do, and what the work has to say to it at once.
    let obey (job: Job) (order: JobOrder) : struct (Effect list * JobInput list) =
        match job.Work, order with
        | JobWork.Create _, JobOrder.Cancel
        | JobWork.Check _, JobOrder.Cancel -> struct ([ StopJobWork job.Key ], [])
        // Nothing in the graph comes of it.
        | JobWork.Create _, JobOrder.Close _
        | JobWork.Check _, JobOrder.Close _ -> struct ([], [ JobInput.Closed None ])
        // Images are made in one go.
        | JobWork.Create _, (JobOrder.Pause | JobOrder.Resume | JobOrder.Complete)
        // A view is not to be kept longer than it must be.
        | JobWork.Check _, (JobOrder.Pause | JobOrder.Resume | JobOrder.Complete) -> struct ([], [])

    /// The work is over, one way or another. An image is all there or not at all.
    let private over (job: Job) (result: JobResult) : JobInput list =
        match job.Work with
        | JobWork.Create _ -> [
            JobInput.Progressed { job.Progress with Current = job.Progress.Total }
            JobInput.Ended result
          ]
        | JobWork.Check _ -> [
            if result = Succeeded then
                JobInput.Progressed { job.Progress with Current = job.Progress.Total }
            JobInput.Ended result
          ]

    /// The work could not begin.
    let failed (job: Job) (reason: string) : JobInput list = over job (Failed reason)

    /// What is to be done besides when the work is over.
    let ending (job: Job) : Effect list =
        match job.Work with
        | JobWork.Check check -> [ EndView check.Image ]
        | JobWork.Create _ -> []

    /// The shell has come to the end of the work.
    let worked (job: Job) (report: JobReport) : struct (Effect list * JobInput list) =
        match job.Work, report with
        | JobWork.Create(Creation.File file), JobReport.File report ->
            let struct (warnings, result) = FileTask.outcome (CreateFile.task file) report
            struct (List.map Warn warnings, over job result)
        | _, JobReport.Nodes report -> struct ([], over job (NodeScript.outcome report))
        // It has not begun to be, as the daemon ends.
        | JobWork.Create(Creation.Qcow2 _), JobReport.File _
        | JobWork.Check _, JobReport.File _ -> struct ([], over job Stopped)
