/// The life of jobs: the tables, the machine against a naive telling, and how the steps of making a file come out.
module StorageDaemon.Tests.Properties.JobTests

open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Job
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi
open StorageDaemon.Tests.Reference

/// What can happen to a job.
type Happening =
    | Ask of JobVerb
    | Begin
    | Ready
    | Rested
    | WentOn
    | Progressed of sbyte
    | EndsWell
    | EndsBadly
    | EndsEarly
    | ClosesWell
    | ClosesBadly

let statusName (status: JobStatus) : string =
    match JobCodecs.jobStatus.Encode status with
    | String name -> name
    | _ -> failtest "a status is a string"

let private allStatuses = JobRules.transitions.Keys |> List.ofSeq
let private allVerbs = JobRules.verbs.Keys |> List.ofSeq

let private fileCreation: FileCreation = {
    Filename = "a.raw"
    SizeBytes = 65536L
    Preallocation = PreallocMode.Off
    WriteInPlace = false
    ExtentSizeHint = None
}

let private newJob (autoFinalize: bool) (autoDismiss: bool) : Job = {
    Job.create 1<jobKey> "j" JobType.Create (JobWork.Create(Creation.File fileCreation)) 1L with
        AutoFinalize = autoFinalize
        AutoDismiss = autoDismiss
}

let private inputOf (happening: Happening) : JobInput option =
    match happening with
    | Ask _ -> None
    | Begin -> Some JobInput.Begin
    | Ready -> Some JobInput.BecameReady
    | Rested -> Some JobInput.Rested
    | WentOn -> Some JobInput.WentOn
    | Progressed amount -> Some(JobInput.Progressed { Current = int64 amount; Total = 127L })
    | EndsWell -> Some(JobInput.Ended Succeeded)
    | EndsBadly -> Some(JobInput.Ended(Failed "it broke"))
    | EndsEarly -> Some(JobInput.Ended Stopped)
    | ClosesWell -> Some(JobInput.Closed None)
    | ClosesBadly -> Some(JobInput.Closed(Some "no room"))

let private naively autoFinalize autoDismiss (happening: Happening) (job: NaiveJob.NaiveJob) =
    match happening with
    | Ask verb -> NaiveJob.ask "j" (JobRules.verbName verb) job
    | Begin -> Ok(NaiveJob.start job)
    | Ready -> Ok(NaiveJob.becomeReady job)
    | Rested -> Ok(NaiveJob.rest job)
    | WentOn -> Ok(NaiveJob.goOn job)
    | Progressed _ -> Ok job
    | EndsWell -> Ok(NaiveJob.finish autoFinalize None job)
    | EndsBadly -> Ok(NaiveJob.finish autoFinalize (Some "it broke") job)
    | EndsEarly -> Ok(NaiveJob.finish autoFinalize (Some "Operation canceled") job)
    | ClosesWell -> Ok(NaiveJob.close autoDismiss None job)
    | ClosesBadly -> Ok(NaiveJob.close autoDismiss (Some "no room") job)

let private entered (outputs: JobOutput list) =
    outputs
    |> List.choose (function
        | Entered status -> Some status
        | Order _ -> None)

/// One happening to both; they have to agree on what people hear.
let private live autoFinalize autoDismiss (job: Job, naive: NaiveJob.NaiveJob) (happening: Happening) =
    let result =
        match happening, inputOf happening with
        | Ask verb, _ -> JobMachine.ask verb job |> Result.mapError _.Desc
        | _, Some input -> Ok(JobMachine.step input job)
        | _ -> failtest "an input"

    match result, naively autoFinalize autoDismiss happening naive with
    | Error text, Error expected ->
        Expect.equal text expected "error"
        job, naive
    | Ok(struct (next, outputs)), Ok nextNaive ->
        let states = entered outputs

        for before, after in List.pairwise (job.Status :: states) do
            Expect.isTrue (JobRules.mayFollow before after) $"{statusName before} before {statusName after}"

        let heard = nextNaive.Told.Length - naive.Told.Length
        Expect.equal (List.map statusName states) (nextNaive.Told |> List.truncate heard |> List.rev) "states"
        Expect.equal (statusName next.Status) nextNaive.Status "state"
        Expect.equal next.Error nextNaive.Error "error of the job"
        Expect.equal next.PauseAsked nextNaive.Paused "whether it is to rest"

        // The last word comes last, once.
        let closings = outputs |> List.filter _.IsOrder |> List.length
        Expect.isLessThanOrEqual closings 1 "one order"

        match outputs |> List.tryFindIndex _.IsOrder with
        | Some index -> Expect.equal index (outputs.Length - 1) "orders come last"
        | None -> ()

        next, nextNaive
    | Ok _, Error text -> failtest $"no error, but {text}"
    | Error text, Ok _ -> failtest $"an error: {text}"

let private tableTests =
    testList "tables" [
        test "which state may follow which" {
            let told = [
                for status in allStatuses ->
                    statusName status,
                    JobRules.transitions[status]
                    |> Seq.map statusName
                    |> Seq.sort
                    |> String.concat " "
            ]

            let expected =
                NaiveJob.successors
                |> List.map (fun (status, next) -> status, next.Split ' ' |> Array.sort |> String.concat " ")

            Expect.equal (List.sort told) (List.sort expected) "successors"
        }

        test "what may be asked when" {
            for verb in allVerbs do
                for status in allStatuses do
                    Expect.equal
                        (Result.isOk (JobRules.check "j" status verb))
                        (NaiveJob.isAllowed (JobRules.verbName verb) (statusName status))
                        (JobRules.verbName verb + " in " + statusName status)
        }

        test "every state leads to the end" {
            for status in allStatuses do
                if status <> JobStatus.Null then
                    Expect.isNonEmpty JobRules.transitions[status] (statusName status)
        }
    ]

let private machineTests =
    testList "machine" [
        testProperty "a job's life is the naive one"
        <| fun (autoFinalize: bool) (autoDismiss: bool) (happenings: Happening list) ->
            let start = newJob autoFinalize autoDismiss, NaiveJob.created
            List.fold (live autoFinalize autoDismiss) start happenings |> ignore

        testProperty "whatever has happened, it comes to its end"
        <| fun (autoFinalize: bool) (happenings: Happening list) ->
            let start = newJob autoFinalize true, NaiveJob.created
            let ends = [ Begin; EndsWell; Ask JobVerb.Cancel; ClosesWell ]
            let job, _ = List.fold (live autoFinalize true) start (happenings @ ends)
            Expect.equal job.Status JobStatus.Null "gone"

        test "the order of a life that goes well" {
            let struct (job, begun) = JobMachine.step JobInput.Begin (newJob true true)
            let struct (job, ended) = JobMachine.step (JobInput.Ended Succeeded) job
            let struct (_, closed) = JobMachine.step (JobInput.Closed None) job

            Expect.equal
                (begun @ ended @ closed)
                [
                    Entered JobStatus.Running
                    Entered JobStatus.Waiting
                    Entered JobStatus.Pending
                    Order(JobOrder.Close true)
                    Entered JobStatus.Concluded
                    Entered JobStatus.Null
                ]
                "outputs"
        }
    ]

let private fileTests =
    let stepsOf (creation: FileCreation) =
        (CreateFile.task creation).Steps |> List.map fst

    let outcome creation failed stopped =
        let task = CreateFile.task creation

        let failed: FailedStep list =
            failed
            |> List.map (fun step -> {
                Step = task.Steps |> List.findIndex (fun (taken, _) -> taken = step)
                Reason = "Input/output error"
            })

        let struct (warnings, result) = FileTask.outcome task { Failed = failed; Stopped = stopped }

        warnings, result

    let full = { fileCreation with Preallocation = PreallocMode.Full }

    testList "files" [
        test "locks are those of a writer that does not let others resize" {
            let steps =
                CreateFile.locks.Steps
                |> List.map (function
                    | Take byte -> byte
                    | Probe(byte, _) -> -byte)

            Expect.equal steps [ 101L; 103L; 203L; -201L; -203L; -103L ] "bytes"
        }

        test "steps" {
            let hint = ExtendBy 1048576u
            Expect.equal (stepsOf fileCreation) [ SetLength 0L; hint; SetLength 65536L ] "off"

            Expect.equal
                (stepsOf { full with WriteInPlace = true })
                [
                    SetLength 0L
                    WriteInPlace
                    hint
                    SetLength 65536L
                    FillWithZeroes(0L, 65536L)
                    FlushToDisk
                ]
                "full"

            let allocated = {
                fileCreation with
                    Preallocation = PreallocMode.Falloc
                    ExtentSizeHint = Some 4096UL
            }

            Expect.equal (stepsOf allocated) [ SetLength 0L; ExtendBy 4096u; Allocate(0L, 65536L) ] "falloc"
            Expect.equal (stepsOf { allocated with SizeBytes = 0L }) [ SetLength 0L; ExtendBy 4096u ] "nothing to do"
        }

        test "what fails for sure" {
            let fails creation text =
                Expect.equal (outcome creation [] false) ([], Failed text) text

            fails { fileCreation with Preallocation = PreallocMode.Metadata } "Unsupported preallocation mode: metadata"

            fails { full with SizeBytes = -1L } "Cannot use preallocation for shrinking files"

            let hinted hint = { fileCreation with ExtentSizeHint = Some hint }

            Expect.equal (CreateFile.check (hinted 4294967295UL)) (Ok()) "the largest hint"
            Expect.equal (CreateFile.check (hinted 4294967296UL)) (Error "Extent size hint is too large") "too large"
        }

        test "reports" {
            Expect.equal (outcome full [] false) ([], Succeeded) "well"
            Expect.equal (outcome full [] true) ([], Stopped) "stopped"
            Expect.equal (outcome full [ ExtendBy 1048576u ] false) ([], Succeeded) "a default is no wish"

            Expect.equal
                (outcome { full with ExtentSizeHint = Some 4096UL } [ ExtendBy 4096u ] false)
                ([ "Failed to set extent size hint: Input/output error" ], Succeeded)
                "a wish that cannot be granted"

            Expect.equal
                (outcome full [ FlushToDisk ] false)
                ([], Failed "Could not flush file to disk: Input/output error")
                "flush"

            Expect.equal
                (outcome full [ FillWithZeroes(0L, 65536L) ] true)
                ([], Failed "Could not write zeros for preallocation: Input/output error")
                "an error before the stop"
        }
    ]

[<Tests>]
let tests = testList "jobs" [ tableTests; machineTests; fileTests ]
