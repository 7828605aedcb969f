/// Child processes: output captured, descriptors handed down, never left behind.
module StorageDaemon.Tests.Harness.ChildProcess

open System
open System.Diagnostics
open System.IO
open System.Text
open System.Threading

/// How to start a child. `Inherited` descriptors keep their numbers in the child.
type StartOptions = {
    File: string
    Arguments: string list
    Directory: string
    Environment: (string * string) list
    Inherited: int list
    /// Arguments of the shell's `ulimit`, each set before the program replaces the shell.
    Limits: string list
}

/// Options that start `file` with `arguments` in `directory`, and nothing else.
let options (file: string) (arguments: string list) (directory: string) : StartOptions = {
    File = file
    Arguments = arguments
    Directory = directory
    Environment = []
    Inherited = []
    Limits = []
}

/// Bytes read from a pipe so far; one task reads, anybody may look.
type private Capture(source: Stream) =
    let bytes = new MemoryStream()

    // A thread of its own: blocked readers would use up the thread pool.
    let reader =
        Thread(
            (fun () ->
                let buffer = Array.zeroCreate<byte> 65536
                let mutable count = source.Read(buffer, 0, buffer.Length)

                while count > 0 do
                    lock bytes (fun () -> bytes.Write(buffer, 0, count))
                    count <- source.Read(buffer, 0, buffer.Length)),
            256 * 1024,
            IsBackground = true
        )

    do reader.Start()

    member _.Text = lock bytes (fun () -> Encoding.Latin1.GetString(bytes.ToArray()))
    /// Waits for the end of the stream; a grandchild may hold it open, hence the limit.
    member _.Finish(limit: TimeSpan) : unit = reader.Join limit |> ignore

let private startInfo (start: StartOptions) : ProcessStartInfo =
    let info = ProcessStartInfo()

    if List.isEmpty start.Limits then
        info.FileName <- start.File
    else
        let limits =
            start.Limits
            |> List.map (fun limit -> $"ulimit {limit} && ")
            |> String.concat ""

        info.FileName <- "/bin/sh"
        info.ArgumentList.Add "-c"
        info.ArgumentList.Add(limits + "exec \"$0\" \"$@\"")
        info.ArgumentList.Add start.File

    start.Arguments |> List.iter info.ArgumentList.Add
    info.WorkingDirectory <- start.Directory
    info.Environment["LC_ALL"] <- "C"

    start.Environment
    |> List.iter (fun (name, value) -> info.Environment[name] <- value)

    info.RedirectStandardInput <- true
    info.RedirectStandardOutput <- true
    info.RedirectStandardError <- true
    info

/// A running child. Disposing it kills it.
type Child(start: StartOptions) =
    let proc =
        start.Inherited |> List.iter (fun fd -> Native.setInherited fd true)

        try
            Process.Start(startInfo start)
        finally
            start.Inherited |> List.iter (fun fd -> Native.setInherited fd false)

    let output = Capture proc.StandardOutput.BaseStream
    let error = Capture proc.StandardError.BaseStream

    member _.Pid = proc.Id
    member _.HasExited = proc.HasExited
    /// What it has written so far, as Latin-1 so that no byte is lost.
    member _.Output = output.Text
    member _.Error = error.Text
    member _.Input = proc.StandardInput.BaseStream
    member _.CloseInput() : unit = proc.StandardInput.Close()
    member _.Signal(signal: int) : unit = Native.kill proc.Id signal |> ignore

    /// The exit code (128 + signal when killed), or None when it still runs after `limit`.
    member _.WaitExit(limit: TimeSpan) : int option =
        if proc.WaitForExit limit then
            output.Finish(TimeSpan.FromSeconds 1.0)
            error.Finish(TimeSpan.FromSeconds 1.0)
            Some proc.ExitCode
        else
            None

    interface IDisposable with
        member this.Dispose() =
            if not proc.HasExited then
                proc.Kill()
                this.WaitExit Wait.defaultTimeout |> ignore

            proc.Dispose()

/// What a tool answered.
type ToolResult = { ExitCode: int; Output: string; Error: string }

/// Runs a tool to its end. A tool that overruns `limit` is killed and fails the test.
let runFor (limit: TimeSpan) (directory: string) (file: string) (arguments: string list) : ToolResult =
    use child = new Child(options file arguments directory)
    child.CloseInput()

    match child.WaitExit limit with
    | Some code -> {
        ExitCode = code
        Output = child.Output
        Error = child.Error
      }
    | None ->
        let commandLine = String.concat " " (file :: arguments)
        failwith $"no end within {limit.TotalSeconds:F0} s: {commandLine}\n{child.Output}{child.Error}"

/// `runFor` with one minute.
let run (directory: string) (file: string) (arguments: string list) : ToolResult =
    runFor (TimeSpan.FromMinutes 1.0) directory file arguments

/// Runs a tool that has to succeed and returns what it printed.
let runOk (directory: string) (file: string) (arguments: string list) : string =
    let result = run directory file arguments

    if result.ExitCode <> 0 then
        let commandLine = String.concat " " (file :: arguments)
        failwith $"exit code {result.ExitCode}: {commandLine}\n{result.Output}{result.Error}"

    result.Output

/// The file of a tool on PATH.
let find (tool: string) : string option =
    let isFile (path: string) = File.Exists path

    if tool.Contains '/' then
        Some tool |> Option.filter isFile
    else
        (Environment.GetEnvironmentVariable "PATH" + ":/usr/sbin:/sbin").Split ':'
        |> Seq.map (fun directory -> Path.Combine(directory, tool))
        |> Seq.tryFind isFile
