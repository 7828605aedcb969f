/// Random lists of commands about jobs through the control plane: what people hear is what the naive jobs say, and
/// nothing is left when the daemon ends.
module StorageDaemon.Tests.Machines.JobsMachine

open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Daemon
open StorageDaemon.Core.Job
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.FakeShell

/// Ids are numbers modulo a few, so that they collide.
type JobCommand =
    | Create of id: byte
    | CreateLocked of id: byte
    | CreateTooLarge of id: byte
    | CreateNothing of id: byte
    | Verb of id: byte * verb: byte
    | WorkEnds of index: byte * fails: bool

[<NoComparison; NoEquality>]
type private Machine = {
    Shell: FakeShell
    State: State
    Naive: Map<string, NaiveJob.NaiveJob>
    /// The newest first.
    Order: string list
}

let private idOf (number: byte) = "j" + string (number % 4uy)

let private verbs = [| "cancel"; "pause"; "resume"; "complete"; "finalize"; "dismiss" |]

let private text value = String value

let private createArguments (id: string) (options: (string * Json) list) = [
    "job-id", text id
    "options", Object options
]

let private fileOptions (name: string) (more: (string * Json) list) =
    [ "driver", text "file"; "filename", text name; "size", Int 65536L ] @ more

/// The states that people have heard of since, as `id state`.
let private heardSince (count: int) (shell: FakeShell) =
    shell.Events
    |> List.skip count
    |> List.map (fun (name, data) ->
        Expect.equal name "JOB_STATUS_CHANGE" "event"

        match data with
        | [ "id", String id; "status", String status ] -> id + " " + status
        | _ -> failtest "data of the event")

let private execute (machine: Machine) (name: string) arguments =
    let before = machine.Shell.Events.Length
    let struct (state, result) = machine.Shell.Settle(Step.execute machine.State name arguments)
    state, Result.mapError _.Desc result, heardSince before machine.Shell

/// What changed in one job, as people hear it.
let private told (id: string) (before: NaiveJob.NaiveJob) (after: NaiveJob.NaiveJob) =
    after.Told
    |> List.truncate (after.Told.Length - before.Told.Length)
    |> List.rev
    |> List.map (fun status -> id + " " + status)

let private keep (id: string) (job: NaiveJob.NaiveJob) (machine: Machine) =
    if job.Status = "null" then
        {
            machine with
                Naive = machine.Naive.Remove id
                Order = machine.Order |> List.except [ id ]
        }
    else
        { machine with Naive = machine.Naive.Add(id, job) }

let private closed (job: NaiveJob.NaiveJob) = NaiveJob.close false None job

let private create (machine: Machine) (number: byte) options (failure: string option) =
    let id = idOf number
    let state, result, heard = execute machine "blockdev-create" (createArguments id options)

    if machine.Naive.ContainsKey id then
        Expect.equal result (Error("Job ID '" + id + "' already in use")) "id"
        Expect.isEmpty heard "nothing happens"
        { machine with State = state }
    else
        Expect.isOk result "a job begins"
        let running = NaiveJob.start NaiveJob.created

        let job =
            match failure with
            | None -> running
            | Some _ -> running |> NaiveJob.finish true failure |> closed

        Expect.equal heard (id + " created" :: told id NaiveJob.created job) "states"

        {
            machine with
                State = state
                Naive = machine.Naive.Add(id, job)
                Order = id :: machine.Order
        }

let private ask (machine: Machine) (number: byte) (verb: string) =
    let id = idOf number
    let state, result, heard = execute machine ("job-" + verb) [ "id", text id ]
    let machine = { machine with State = state }

    match machine.Naive.TryFind id with
    | None ->
        Expect.equal result (Error "Job not found") "unknown"
        machine
    | Some job ->
        match NaiveJob.ask id verb job, result with
        | Error expected, Error actual ->
            Expect.equal actual expected "error"
            machine
        | Ok next, Ok _ ->
            let next = closed next
            Expect.equal heard (told id job next) "states"
            keep id next machine
        | expected, actual -> failtest $"{expected}, but {actual}"

/// Jobs whose work is under way, the oldest first.
let private atWork (machine: Machine) =
    machine.Shell.Tasks.Keys |> Seq.sort |> List.ofSeq

let private endWork (machine: Machine) (index: byte) (fails: bool) =
    match atWork machine with
    | [] -> machine
    | keys ->
        let key = keys[int index % keys.Length]
        let id = machine.State.Jobs.Jobs[key].Id
        let before = machine.Shell.Events.Length

        let failed: FailedStep list =
            if fails then
                [ { Step = 2; Reason = "File too large" } ]
            else
                []

        machine.Shell.EndWork key

        let struct (state, _) =
            machine.Shell.Settle(Step.jobWorked machine.State key (JobReport.File { Failed = failed; Stopped = false }))

        let error =
            if fails then
                Some "Could not resize file: File too large"
            else
                None
        let job = machine.Naive[id]
        let next = job |> NaiveJob.finish true error |> closed
        Expect.equal (heardSince before machine.Shell) (told id job next) "states"
        keep id next { machine with State = state }

let private jobTexts (machine: Machine) =
    let struct (_, result) = machine.Shell.Settle(Step.execute machine.State "query-jobs" [])

    match result with
    | Ok(List jobs) ->
        jobs
        |> List.map (fun job ->
            match job with
            | Object members ->
                let members = Map.ofList members

                match members["id"], members["status"], members.TryFind "error" with
                | String id, String status, Some(String error) -> id, status, Some error
                | String id, String status, None -> id, status, None
                | _ -> failtest "a job"
            | _ -> failtest "a job is an object")
    | _ -> failtest "query-jobs succeeds"

let private check (machine: Machine) =
    let expected =
        machine.Order
        |> List.map (fun id -> id, machine.Naive[id].Status, machine.Naive[id].Error)

    Expect.equal (jobTexts machine) expected "query-jobs"

    let isAtWork (job: NaiveJob.NaiveJob) = job.Status = "running"
    let working = machine.Naive |> Map.filter (fun _ job -> isAtWork job)
    Expect.equal machine.Shell.Tasks.Count working.Count "work under way"
    Expect.equal machine.Shell.JobFiles working.Count "files of jobs"
    machine

let private run (machine: Machine) (command: JobCommand) =
    match command with
    | Create id -> create machine id (fileOptions "a.raw" []) None
    | CreateLocked id -> create machine id (fileOptions "locked.raw" []) (Some "Failed to get \"resize\" lock")
    | CreateTooLarge id ->
        create
            machine
            id
            (fileOptions "a.raw" [ "extent-size-hint", Int 4294967296L ])
            (Some "Extent size hint is too large")
    | CreateNothing id ->
        let _, result, heard =
            execute machine "blockdev-create" (createArguments (idOf id) [ "driver", text "raw" ])

        Expect.equal result (Error "Driver does not support blockdev-create") "driver"
        Expect.isEmpty heard "nothing happens"
        machine
    | Verb(id, verb) -> ask machine id verbs[int verb % verbs.Length]
    | WorkEnds(index, fails) -> endWork machine index fails
    |> check

/// The daemon ends: each job is cancelled, over and gone, the newest first.
let private finish (isCommand: bool) (machine: Machine) =
    let before = machine.Shell.Events.Length

    let struct (state, _) =
        machine.Shell.Settle(
            if isCommand then
                Step.execute machine.State "quit" []
            else
                Step.finish machine.State
        )

    let expected =
        machine.Order
        |> List.collect (fun id ->
            let job = machine.Naive[id]

            let over =
                match NaiveJob.ask id "cancel" job with
                | Ok cancelled -> cancelled |> NaiveJob.finish true None |> closed
                | Error _ -> job

            match NaiveJob.ask id "dismiss" over with
            | Ok gone -> told id job gone
            | Error text -> failtest text)

    Expect.equal (heardSince before machine.Shell) expected "states"
    Expect.isTrue state.Jobs.Jobs.IsEmpty "no job is left"
    Expect.isTrue state.Jobs.Keys.IsEmpty "no id is taken"
    Expect.equal machine.Shell.JobFiles 0 "no file is left"
    Expect.equal machine.Shell.Shutdowns (if isCommand then 1 else 0) "shutdowns"

let private leaking: Qcow2.CheckReport = {
    CheckErrors = 0L
    Corruptions = 0L
    CorruptionsFixed = 0L
    Leaks = 1L
    LeaksFixed = 0L
    ImageEndOffset = 65536L
    TotalClusters = 1L
    AllocatedClusters = 0L
    CompressedClusters = 0L
    FragmentedClusters = 0L
    Findings = [ Qcow2.Leak(1L, 1UL, 0UL) ]
}

/// A check, of which the nth call that may fail does, at its beginning or for its repair; nobody is left resting.
let private checkFailing (atBeginning: int) (atRepair: int) (expected: string option) =
    let shell = FakeShell [ "i.qcow2", 65536L ]

    let settle (transition: Transition) =
        let struct (state, result) = shell.Settle transition
        Expect.isOk result "the command"
        state

    let execute (state: State) (name: string) arguments =
        settle (Step.execute state name arguments)

    let file = Object [ "driver", text "file"; "filename", text "i.qcow2" ]
    let address = Object [ "type", text "unix"; "data", Object [ "path", text "s" ] ]

    let served =
        [
            "blockdev-add", [ "driver", text "qcow2"; "node-name", text "q"; "file", file ]
            "nbd-server-start", [ "addr", address ]
            "block-export-add",
            [
                "type", text "nbd"
                "id", text "e"
                "node-name", text "q"
                "writable", Bool true
            ]
        ]
        |> List.fold (fun state (name, arguments) -> execute state name arguments) (State.create 1UL "test")

    shell.Script atBeginning
    let begun =
        execute served "x-block-check" [ "job-id", text "j"; "node-name", text "q"; "fix", text "all" ]
    Expect.isEmpty shell.Resting "everybody goes on beside the check"

    let ended =
        if atBeginning > 0 then
            begun
        else
            shell.Script atRepair

            JobReport.Nodes {
                Result = Some(Ok(ScriptValue.Checked leaking))
                FileBytes = []
            }
            |> Step.jobWorked begun 1<jobKey>
            |> settle

    Expect.isEmpty shell.Resting "everybody goes on"
    let info = ended.Jobs.Jobs[1<jobKey>] |> Job.info
    Expect.equal (info.Status, info.Error) (JobStatus.Concluded, expected) "the job"
    Expect.equal info.BlockCheck.IsSome (atBeginning = 0) "what the check has found stays"
    Expect.equal ended.Graph.Backends.Count served.Graph.Backends.Count "the job has left the node"

[<Tests>]
let tests =
    testList "JobsMachine" [
        testCase "a check, and what may fail of it"
        <| fun () ->
            let refused = Some "The fake shell refuses"
            checkFailing 0 0 None
            // Locks, and the view.
            checkFailing 1 0 refused
            checkFailing 2 0 refused
            // The repair, and the new opening.
            checkFailing 0 1 refused
            checkFailing 0 2 refused

        testProperty "what people hear of jobs is what the naive jobs say"
        <| fun (commands: JobCommand list) (isCommand: bool) ->
            let start = {
                Shell = FakeShell []
                State = State.create 1UL "test"
                Naive = Map.empty
                Order = []
            }

            List.fold run start commands |> finish isCommand

        test "a job id that is none" {
            let shell = FakeShell []

            for id in [ ""; "1j"; "#j"; "j k"; "ä" ] do
                let arguments = createArguments id (fileOptions "a.raw" [])

                match shell.Settle(Step.execute (State.create 1UL "test") "blockdev-create" arguments) with
                | struct (_, Error error) -> Expect.equal error.Desc $"Invalid job ID '{id}'" "text"
                | _ -> failtest id
        }

        test "a file that cannot be made" {
            let shell = FakeShell []
            shell.Script 1
            let arguments = createArguments "j" (fileOptions "a.raw" [])
            let struct (state, result) =
                shell.Settle(Step.execute (State.create 1UL "test") "blockdev-create" arguments)
            Expect.isOk result "the command has begun a job"

            Expect.equal
                (state.Jobs.Jobs[1<jobKey>] |> Job.info)
                {
                    Id = "j"
                    Type = JobType.Create
                    Status = JobStatus.Concluded
                    CurrentProgress = 1L
                    TotalProgress = 1L
                    Error = Some "Could not create 'a.raw': Permission denied"
                    BlockCheck = None
                }
                "the job"
        }
    ]
