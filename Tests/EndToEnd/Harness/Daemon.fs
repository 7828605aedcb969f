/// A daemon under test, from its start to its end.
module StorageDaemon.Tests.Harness.Daemon

open System
open System.IO
open StorageDaemon.Tests.Harness.ChildProcess

let private pidFileName = "daemon.pid"

/// The name with which the harness's own pid file is given; it tells when start-up is complete.
let pidFileArguments: string list = [ "--pidfile"; pidFileName ]

/// How a start went.
[<NoComparison; NoEquality>]
type Started =
    /// All options are processed, connections are accepted.
    | Running of Child
    | Exited of code: int * output: string * error: string

/// Starts a daemon and waits until it has processed its options or ended. `start.Arguments` must hold
/// `pidFileArguments`, or options that end the process.
let startWith (start: StartOptions) : Started =
    let pidFile = Path.Combine(start.Directory, pidFileName)
    File.Delete pidFile
    let child = new Child(start)

    Wait.orFail Wait.defaultTimeout "the daemon to start or to fail" (fun () ->
        child.HasExited || (File.Exists pidFile && FileInfo(pidFile).Length > 0L))

    if child.HasExited then
        let code = child.WaitExit Wait.defaultTimeout |> Option.get
        let result = Exited(code, child.Output, child.Error)
        (child :> IDisposable).Dispose()
        result
    else
        Running child

/// Starts a daemon that has to start.
let startOptions (start: StartOptions) : Child =
    match
        startWith {
            start with
                Arguments = start.Arguments @ pidFileArguments
        }
    with
    | Running child -> child
    | Exited(code, _, error) ->
        let arguments = String.concat " " start.Arguments
        failwith $"the daemon ended with {code}: {arguments}\n{error}"

/// Starts `binary` in `directory`; it has to start.
let start (binary: string) (directory: string) (arguments: string list) : Child =
    startOptions (options binary arguments directory)

/// Ends a daemon by SIGTERM; its exit code, or a failed test when it does not end.
let stop (child: Child) : int =
    child.Signal Native.SIGTERM

    match child.WaitExit Wait.defaultTimeout with
    | Some code -> code
    | None -> failwith "the daemon did not end on SIGTERM"

/// The arguments for a monitor at a socket path.
let monitor (path: string) : string list = [
    "--chardev"
    $"socket,id=qmp,path={path},server=on,wait=off"
    "--monitor"
    "chardev=qmp"
]

/// The arguments for an NBD server at a socket path.
let nbdServer (path: string) : string list = [ "--nbd-server"; $"addr.type=unix,addr.path={path}" ]

/// The arguments for a raw image over a file, nodes `NODE-file` and `NODE`.
let rawNode (node: string) (file: string) (more: string) : string list = [
    "--blockdev"
    $"driver=file,node-name={node}-file,filename={file}{more}"
    "--blockdev"
    $"driver=raw,node-name={node},file={node}-file{more}"
]

/// The arguments for a writable NBD export of a node, of the same name.
let writableExport (node: string) : string list = [
    "--export"
    $"type=nbd,id=export-{node},node-name={node},name={node},writable=on"
]

/// The state of a process as /proc tells it.
module Proc =
    let private statusField (name: string) (pid: int) : string =
        File.ReadLines $"/proc/{pid}/status"
        |> Seq.tryFind (fun line -> line.StartsWith(name + ":"))
        |> Option.map (fun line -> line.Substring(name.Length + 1).Trim())
        |> Option.defaultValue ""

    /// Resident memory, in bytes.
    let residentBytes (pid: int) : int64 =
        match (statusField "VmRSS" pid).Split ' ' with
        | [| kib; _ |] -> int64 kib * 1024L
        | _ -> 0L

    let descriptors (pid: int) : int =
        Directory.GetFileSystemEntries($"/proc/{pid}/fd").Length
