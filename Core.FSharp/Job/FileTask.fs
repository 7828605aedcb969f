namespace StorageDaemon.Core.Job

/// One step on an open host file.
type FileStep =
    | SetLength of bytes: int64
    /// Room for a part of the file, which then reaches to its end at least.
    | Allocate of from: int64 * bytes: int64
    /// Zeroes are written over a part of the file. May take minutes; it ends early when the task is to stop.
    | FillWithZeroes of from: int64 * bytes: int64
    | FlushToDisk
    /// The file system is asked to write in place.
    | WriteInPlace
    /// The file system is asked to extend the file by so many bytes at a time.
    | ExtendBy of bytes: uint32

/// What comes of a step that fails. The C library's reason follows the texts.
type StepFailure =
    | Ignored
    | Warned of text: string
    /// The task ends here.
    | Fatal of text: string

/// Steps on one host file, which the shell takes in order on a thread of its own, and then closes the file.
type FileTask = {
    Steps: (FileStep * StepFailure) list
    /// Why the task fails when all steps are taken, if it does.
    Verdict: Result<unit, string>
    /// The file's length after a failure, or after the task was stopped.
    LengthOnFailureBytes: int64
}

/// A step that failed: its number from 0, and the C library's reason.
type FailedStep = { Step: int; Reason: string }

/// How a task went.
type FileTaskReport = {
    Failed: FailedStep list
    /// It was told to stop, and did before its end.
    Stopped: bool
}

/// How the work of a job has ended.
type JobResult =
    | Succeeded
    | Failed of reason: string
    /// Before its end, because it was told to.
    | Stopped

module FileTask =
    /// Whether the task ends when the step fails.
    let isFatal (task: FileTask) (step: int) : bool = (snd task.Steps[step]).IsFatal

    /// What the report of the shell comes to: warnings for people, and the result.
    let outcome (task: FileTask) (report: FileTaskReport) : struct (string list * JobResult) =
        let texts choose =
            report.Failed
            |> List.choose (fun failed ->
                choose (snd task.Steps[failed.Step])
                |> Option.map (fun text -> text + ": " + failed.Reason))

        let warnings =
            texts (function
                | Warned text -> Some text
                | _ -> None)

        let errors =
            texts (function
                | Fatal text -> Some text
                | _ -> None)

        match errors, task.Verdict with
        | error :: _, _ -> struct (warnings, Failed error)
        | [], _ when report.Stopped -> struct (warnings, Stopped)
        | [], Error reason -> struct (warnings, Failed reason)
        | [], Ok() -> struct (warnings, Succeeded)
