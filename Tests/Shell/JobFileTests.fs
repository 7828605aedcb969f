/// The files of jobs: opened, locked, worked on in another thread, closed.
module StorageDaemon.Tests.Shell.JobFileTests

open System
open System.IO
open System.Threading
open Expecto
open StorageDaemon.Core.Daemon
open StorageDaemon.Core.Job
open StorageDaemon.Core.Qapi
open StorageDaemon.Shell.Control
open StorageDaemon.Shell.Drivers
open StorageDaemon.Shell.Jobs
open StorageDaemon.Shell.Native
open StorageDaemon.Tests.Shell.ShellSupport

let private mib = 1048576L

let private creation (size: int64) (preallocation: PreallocMode) : FileCreation = {
    Filename = ""
    SizeBytes = size
    Preallocation = preallocation
    WriteInPlace = true
    ExtentSizeHint = None
}

/// Runs the task of a creation on a file to its end.
let private carryOut (path: string) (creation: FileCreation) (stop: StopSignal) : JobResult =
    let fd = FileOpener.OpenOrCreate path

    try
        let task = CreateFile.task creation
        let struct (_, result) = FileTask.outcome task (FileTaskRunner.Run(fd, task, stop))
        result
    finally
        Libc.Close fd |> ignore

let private allocated (path: string) =
    let fd = Libc.Open(path, 0, 0u)
    let bytes = FileOpener.AllocatedSize fd
    Libc.Close fd |> ignore
    bytes

let private inFolder (body: string -> unit) =
    withFolder (fun folder -> body (Path.Combine(folder, "new.raw")))

let private tasks =
    testList "tasks" [
        test "an empty file of some length" {
            inFolder (fun path ->
                File.WriteAllText(path, "what was there before")
                Expect.equal (carryOut path (creation mib PreallocMode.Off) (StopSignal())) Succeeded "result"
                Expect.equal (File.ReadAllBytes path) (Array.zeroCreate (int mib)) "zeroes"
                Expect.isLessThan (allocated path) mib "nothing is allocated")
        }

        for name, mode in [ "falloc", PreallocMode.Falloc; "full", PreallocMode.Full ] do
            test $"all room from the start: {name}" {
                inFolder (fun path ->
                    let size = 3L * mib + 5L
                    Expect.equal (carryOut path (creation size mode) (StopSignal())) Succeeded "result"
                    Expect.equal (FileInfo(path).Length) size "length"
                    Expect.isGreaterThanOrEqual (allocated path) size "allocated")
            }

        test "what fails leaves an empty file" {
            inFolder (fun path ->
                File.WriteAllText(path, "what was there before")

                Expect.equal
                    (carryOut path (creation Int64.MaxValue PreallocMode.Off) (StopSignal()))
                    (Failed "Could not resize file: File too large")
                    "too large"

                Expect.equal (FileInfo(path).Length) 0L "length"

                Expect.equal
                    (carryOut path (creation mib PreallocMode.Metadata) (StopSignal()))
                    (Failed "Unsupported preallocation mode: metadata")
                    "metadata")
        }

        test "what is stopped leaves an empty file" {
            inFolder (fun path ->
                let stop = StopSignal()
                stop.Set()
                Expect.equal (carryOut path (creation mib PreallocMode.Off) stop) Stopped "before the first step"

                // Large enough to be still at it.
                let stop = StopSignal()
                let timer = new Timer((fun _ -> stop.Set()), null, 20, Timeout.Infinite)
                Expect.equal (carryOut path (creation (8192L * mib) PreallocMode.Full) stop) Stopped "on the way"
                timer.Dispose()
                Expect.equal (FileInfo(path).Length) 0L "length")
        }
    ]

let private ended =
    testList "threads" [
        test "work ends by itself, and is told on the loop" {
            withReactor (fun reactor ->
                withFolder (fun folder ->
                    leavesNoDescriptors (fun () ->
                        let reports = ResizeArray<int * JobReport>()

                        let runner =
                            JobRunner(
                                (fun action -> reactor.Post action),
                                (fun job report -> reports.Add((job, report)))
                            )

                        use files = new JobFiles(runner)

                        let task = CreateFile.task (creation mib PreallocMode.Full)

                        let isWell (report: JobReport) =
                            match report with
                            | JobReport.File report ->
                                match FileTask.outcome task report with
                                | struct (_, Succeeded) -> true
                                | _ -> false
                            | JobReport.Nodes _ -> false

                        // More than there are threads.
                        for job in 1..100 do
                            let answer = files.Open(job, Path.Combine(folder, string job), CreateFile.locks)
                            Expect.isTrue answer.IsFinished "opened"
                            files.Run(job, task)

                        pumpUntil reactor "all have ended" (fun () -> reports.Count = 100)
                        Expect.all reports (fun (_, report) -> isWell report) "reports"
                        Expect.equal (reports |> Seq.map fst |> Seq.sort |> List.ofSeq) [ 1..100 ] "each once")))
        }

        test "a file in use is refused, and one that cannot be opened" {
            withReactor (fun reactor ->
                withFolder (fun folder ->
                    leavesNoDescriptors (fun () ->
                        let path = Path.Combine(folder, "new.raw")
                        use files = new JobFiles(JobRunner((fun action -> reactor.Post action), (fun _ _ -> ())))
                        Expect.isTrue (files.Open(1, path, CreateFile.locks).IsFinished) "the first"

                        match files.Open(2, path, CreateFile.locks) with
                        | Answer.Refused error -> Expect.equal error.Desc "Failed to get \"resize\" lock" "in use"
                        | _ -> failtest "refused"

                        match files.Open(3, Path.Combine(folder, "none/new.raw"), CreateFile.locks) with
                        | CouldNotOpen reason -> Expect.equal reason "No such file or directory" "no folder"
                        | _ -> failtest "not opened")))
        }

        test "who waits gets the report, and nobody is told again" {
            withReactor (fun reactor ->
                inFolder (fun path ->
                    let mutable told = 0
                    let runner = JobRunner((fun action -> reactor.Post action), (fun _ _ -> told <- told + 1))
                    use files = new JobFiles(runner)
                    files.Open(1, path, CreateFile.locks) |> ignore
                    files.Run(1, CreateFile.task (creation (8192L * mib) PreallocMode.Full))

                    match runner.Await 1 with
                    | JobWorked(Some(JobReport.File report)) -> Expect.isTrue report.Stopped "stopped"
                    | _ -> failtest "a report"

                    pumpFor reactor 30L
                    Expect.equal told 0 "not told"
                    Expect.equal (FileInfo(path).Length) 0L "length"

                    match runner.Await 1 with
                    | JobWorked None -> ()
                    | _ -> failtest "nothing to wait for"))
        }
    ]

[<Tests>]
let tests = testSequenced <| testList "Shell.JobFiles" [ tasks; ended ]
