/// A shell without a kernel: it answers every call of the control plane, carries out every effect on pretended files,
/// exports and devices, and fails the test when the core asks for something that cannot be.
module StorageDaemon.Tests.Reference.FakeShell

open System.Collections.Generic
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Daemon
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Job
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qom
open StorageDaemon.Tests.Reference.GraphChecks

/// A served export: its clients, and whether it has been asked to end.
type FakeExport = { Clients: int; Stopping: bool }

/// `lengths`: what each opening of the host's files finds, by path, in bytes. Nodes over the same file are strangers to
/// each other: each has a length of its own.
type FakeShell(lengths: (string * int64) list) =
    let host = Map.ofList lengths
    // Opened and neither adopted nor discarded.
    let opened = ResizeArray<OpenRequest>()
    let sizes = Dictionary<NodeId, int64>()
    let exports = Dictionary<ExportKey, FakeExport>()
    let everServed = HashSet<ExportKey>()
    let iothreads = HashSet<string>()
    let warnings = ResizeArray<string>()
    let chardevs = Dictionary<string, ChardevBackend>()
    /// What was written to ring buffers and not read.
    let rings = Dictionary<string, byte[]>()
    let monitors = HashSet<string>()
    let events = ResizeArray<string * (string * Json) list>()
    let mutable files: Map<NodeId, HostFile> = Map.empty
    let mutable listening = false
    let mutable callsUntilFailure = -1
    let mutable failed = false
    let mutable shutdowns = 0
    let mutable openings = 0
    let mutable closings = 0
    let quiesced = HashSet<ExportKey>()
    let jobFiles = HashSet<JobKey>()
    let tasks = Dictionary<JobKey, FileTask>()
    let scripts = HashSet<JobKey>()
    let resting = HashSet<JobKey>()
    let stopped = HashSet<JobKey>()

    let refusal = QapiError.generic "The fake shell refuses"

    /// Whether the script makes this call fail.
    let fails () =
        callsUntilFailure <- callsUntilFailure - 1
        failed <- failed || callsUntilFailure = 0
        callsUntilFailure = 0

    let orRefused (act: unit -> Answer) =
        if fails () then Answer.Refused refusal else act ()

    let finished (act: unit -> unit) =
        act ()
        Answer.Finished

    let isOpen node =
        Expect.isTrue (files.ContainsKey node) "the node's file is open"

    let change (file: FileChange) =
        isOpen file.Node
        let old = files[file.Node]

        files <-
            files.Add(
                file.Node,
                {
                    Locked =
                        if Locks.isEmpty file.Locks then
                            old.Locked
                        else
                            runLocks file.Locks old
                    Writable =
                        match file.Reopen with
                        | Some request -> request.Writable
                        | None -> old.Writable
                }
            )

    let openOne (request: OpenRequest) =
        match host.TryFind request.Path with
        | _ when fails () -> NotOpened "Input/output error"
        | Some bytes ->
            opened.Add request
            openings <- openings + 1

            Opened { Kind = PlainFile; SizeBytes = bytes; AlignmentBytes = 1 }
        | None -> NotOpened "No such file or directory"

    let adopt (adopted: AdoptedFile list) =
        Expect.equal adopted.Length opened.Count "every opened file finds its node"

        for (file: AdoptedFile), (request: OpenRequest) in Seq.zip adopted opened do
            Expect.isFalse (files.ContainsKey file.Node) "a node adopts one file"
            sizes[file.Node] <- host[request.Path]

            files <- files.Add(file.Node, ({ Writable = request.Writable; Locked = Set.empty }: HostFile))

        opened.Clear()

    let describe () : ChardevStatus list = [
        for KeyValue(id, backend) in chardevs ->
            {
                Info = {
                    Label = id
                    Filename =
                        match backend with
                        | ChardevBackend.Socket _ -> "disconnected:a socket"
                        | _ -> "a device"
                    FrontendOpen = monitors.Contains id
                }
                Connected = false
                Bound = None
            }
    ]

    let rec leavesAreOpen (path: DataPath) =
        match path.Leaf with
        | FileLeaf node -> isOpen node
        | NullLeaf _ -> ()
        | LayerLeaf(_, _, children) -> List.iter leavesAreOpen children

    let isServable (served: ServedExport) =
        leavesAreOpen served.Path

        for id in served.Iothreads do
            Expect.isTrue (iothreads.Contains id) "the export's thread runs"

    let truncate node bytes =
        isOpen node

        if fails () then
            NotMeasured(Errno.EFBIG, "File too large")
        else
            sizes[node] <- bytes
            Measured bytes

    let openChardev id backend =
        orRefused (fun () ->
            chardevs[id] <- backend
            ChardevOpened { Pty = None })

    let endExports keys =
        for key in keys do
            Expect.isTrue (exports.Remove key) "only served exports are stopped"

    let openServer () =
        Expect.isFalse listening "one listener at a time"
        listening <- true

    /// Files of nodes that are open.
    member _.Files = files
    /// Opened files that no node has.
    member _.Unadopted = opened.Count
    member _.Openings = openings
    member _.Closings = closings
    member _.Exports = exports
    member _.Iothreads = Set.ofSeq iothreads
    member _.Warnings = List.ofSeq warnings
    member _.Chardevs = Set.ofSeq chardevs.Keys
    member _.Listening = listening
    member _.Shutdowns = shutdowns
    /// The work of jobs that is under way.
    member _.Tasks = tasks
    /// Jobs whose work was told to end early.
    member _.StoppedWork = Set.ofSeq stopped
    /// Files that jobs have open.
    member _.JobFiles = jobFiles.Count

    /// The work of a job ends.
    member _.EndWork(key: JobKey) =
        Expect.isTrue (tasks.Remove key) "there is work"
        Expect.isTrue (jobFiles.Remove key) "with a file"

    /// Exports that rest.
    member _.Resting = Set.ofSeq quiesced
    /// Whether the script has made a call fail since `Script`.
    member _.Failed = failed
    /// All events so far, the oldest first.
    member _.Events = List.ofSeq events

    /// Makes the nth failable call from now on fail; none for 0.
    member _.Script(nth: int) =
        callsUntilFailure <- nth
        failed <- false

    /// So many clients have chosen the export.
    member _.Connect(key: ExportKey, clients: int) =
        exports[key] <- { exports[key] with Clients = clients }

    /// The last client has gone; whether the export was only waiting for that.
    member _.Disconnect(key: ExportKey) : bool =
        let export = exports[key]

        if export.Stopping then
            exports.Remove key
        else
            exports[key] <- { export with Clients = 0 }
            false

    member this.Answer(call: Call) : Answer =
        match call with
        | OpenFiles requests -> OpenOutcomes(List.map openOne requests)
        | ApplyFiles(adopted, changes) ->
            adopt adopted
            orRefused (fun () -> finished (fun () -> List.iter change changes))
        | OpenLayer path ->
            leavesAreOpen path
            orRefused (fun () ->
                LayerIsOpen {
                    SizeBytes = path.SizeBytes
                    AlignmentBytes = 512
                    Header = None
                    Snapshots = []
                })
        | BeginView path ->
            leavesAreOpen path
            orRefused (fun () -> ViewHasBegun(Qcow2.MetadataView(path.SizeBytes, 4096), 1L, false))
        | RepairImage(path, _) ->
            leavesAreOpen path
            orRefused (fun () ->
                Repaired(
                    Ok {
                        CheckErrors = 0L
                        Corruptions = 0L
                        CorruptionsFixed = 0L
                        Leaks = 0L
                        LeaksFixed = 1L
                        ImageEndOffset = path.SizeBytes
                        TotalClusters = 1L
                        AllocatedClusters = 0L
                        CompressedClusters = 0L
                        FragmentedClusters = 0L
                        Findings = []
                    }
                ))
        | MakeOverlay _ -> orRefused (fun () -> Finished)
        | ProbeImage _ -> Probed(false, [||])
        | ResizeImage(path, bytes) ->
            leavesAreOpen path
            Measured bytes
        | ChangeImage(path, _) ->
            leavesAreOpen path

            if fails () then
                ImageNotChanged(5, "Input/output error")
            else
                ImageChanged {
                    SizeBytes = path.SizeBytes
                    AlignmentBytes = 1
                    Header = None
                    Snapshots = []
                }
        | TruncateFile(node, bytes) -> truncate node bytes
        | MeasureFile node ->
            isOpen node
            Measured sizes[node]
        | AllocatedSizes nodes ->
            List.iter isOpen nodes
            nodes |> List.map (fun node -> node, 0L) |> Map.ofList |> Sizes
        | CountIo ->
            Counted {
                Nodes = Map.empty
                Exports = Map.empty
                Discards = Map.empty
            }
        | Quiesce(keys, jobs) ->
            for job in jobs do
                Expect.isTrue (scripts.Contains job) "the script is under way"
                Expect.isTrue (resting.Add job) "a script rests once"

            for key in keys do
                Expect.isTrue (exports.ContainsKey key) "the export is served"
                Expect.isTrue (quiesced.Add key) "an export is quiesced once"

            Finished
        | OpenJobFile(key, path, locks) ->
            Expect.isTrue (jobFiles.Add key) "a job opens one file"
            Expect.isNonEmpty locks.Steps "it is locked"

            if fails () then
                jobFiles.Remove key |> ignore
                CouldNotOpen "Permission denied"
            elif path.StartsWith "locked" then
                jobFiles.Remove key |> ignore
                Answer.Refused(Locks.failure path locks.Steps[4])
            else
                Answer.Finished
        | AwaitJob key ->
            stopped.Add key |> ignore

            if tasks.Remove key then
                jobFiles.Remove key |> ignore
                JobWorked(Some(JobReport.File { Failed = []; Stopped = true }))
            elif scripts.Remove key then
                JobWorked(Some(JobReport.Nodes { Result = None; FileBytes = [] }))
            else
                JobWorked None
        | OpenNbdServer _ -> orRefused (fun () -> finished openServer)
        | StartExport served -> orRefused (fun () -> finished (fun () -> this.Serve served))
        | CountClients key -> Count exports[key].Clients
        | StopExports keys -> finished (fun () -> endExports keys)
        | CloseNbdServer ->
            Expect.isTrue listening "there is a listener to close"
            finished (fun () -> listening <- false)
        | StartObject(_, UserObject.ThreadContext _)
        | PlaceThread _ -> ThreadPlaced(1L, [ 0L ])
        | StartObject(_, UserObject.AuthzListFile _) -> Bytes "{}"B
        | LoadSecret _ -> Finished
        | StartObject(id, UserObject.Iothread _) ->
            orRefused (fun () -> finished (fun () -> Expect.isTrue (iothreads.Add id) "a thread starts once"))
        | StartObject _ -> Finished
        | OpenChardev(id, backend) ->
            Expect.isFalse (chardevs.ContainsKey id) "a device is opened once"
            openChardev id backend
        | ReplaceChardev(id, backend) ->
            Expect.isTrue (chardevs.ContainsKey id) "there is a device to replace"
            openChardev id backend
        | DescribeChardevs -> Chardevs(describe ())
        | ReadFiles(paths, _) ->
            paths
            |> List.map (fun path -> path, Error(CannotOpen "No such file"))
            |> Contents
        | ReadRing(id, limit) ->
            Expect.isGreaterThan limit 0L "something is asked for"
            let written = rings.GetValueOrDefault(id, [||])
            rings[id] <- Array.skip (int (min limit (int64 written.Length))) written
            Bytes(Array.truncate (int (min limit (int64 written.Length))) written)
        | StartMonitor options ->
            orRefused (fun () ->
                finished (fun () ->
                    let isNew = monitors.Add options.Chardev

                    match chardevs[options.Chardev] with
                    | ChardevBackend.Mux _ -> ()
                    | _ -> Expect.isTrue isNew "one monitor for a device"))

    member private _.Serve(served: ServedExport) =
        Expect.isTrue (everServed.Add served.Key) "a key is never given twice"

        isServable served
        exports.Add(served.Key, { Clients = 0; Stopping = false })

    member private _.Stop(key: ExportKey) =
        let export = exports[key]
        Expect.isFalse export.Stopping "an export is stopped once"

        if export.Clients = 0 then
            exports.Remove key |> ignore
        else
            exports[key] <- { export with Stopping = true }

    member this.Run(effect: Effect) =
        match effect with
        | Emit(name, data) -> events.Add((name, data))
        | Announce text
        | Complain text -> Expect.isNotEmpty text "something is said"
        | DiscardOpened ->
            closings <- closings + opened.Count
            opened.Clear()
        | RelaxFiles changes -> List.iter change changes
        | SettleImages paths -> List.iter leavesAreOpen paths
        | CloseNodes nodes ->
            for node in nodes do
                if files.ContainsKey node then
                    files <- files.Remove node
                    closings <- closings + 1
        | RunFileTask(key, task) ->
            Expect.isTrue (jobFiles.Contains key) "the file is open"
            tasks.Add(key, task)
        | RunNodeScript(key, script) ->
            Expect.isTrue (scripts.Add key) "a job has one script"
            script.Children |> List.iter (fun child -> leavesAreOpen child.Path)
        | UpdateNodeScript(key, children) ->
            Expect.isTrue (resting.Contains key) "no request is in flight"
            children |> List.iter (fun child -> leavesAreOpen child.Path)
        | ResumeNodeScripts keys ->
            for key in keys do
                Expect.isTrue (resting.Remove key) "the script rests"
        | StopJobWork key ->
            Expect.isTrue (tasks.ContainsKey key || scripts.Contains key) "there is work to stop"
            stopped.Add key |> ignore
        | EndView _ -> ()
        | UpdateExport served ->
            Expect.isTrue (exports.ContainsKey served.Key) "the export is served"
            Expect.isTrue (quiesced.Contains served.Key) "no request is in flight"
            isServable served
        | LimitWrites served -> Expect.isTrue (exports.ContainsKey served.Key) "the export is served"
        | ResumeExports keys ->
            for key in keys do
                Expect.isTrue (quiesced.Remove key) "the export rests"
        | StopExport key -> this.Stop key
        | TuneObject(id, UserObject.Iothread _) -> Expect.isTrue (iothreads.Contains id) "the thread runs"
        | StopObject(id, UserObject.Iothread _) -> Expect.isTrue (iothreads.Remove id) "the thread runs"
        | TuneObject _
        | StopObject _ -> ()
        | Warn text -> warnings.Add text
        | WriteChardev(id, bytes) ->
            Expect.isTrue (chardevs.ContainsKey id) "the device is there"
            rings[id] <- Array.append (rings.GetValueOrDefault(id, [||])) bytes
        | CloseChardev id -> Expect.isTrue (chardevs.Remove id) "the device is there"
        | Shutdown -> shutdowns <- shutdowns + 1

    /// Runs a transition to its end, as the control loop does.
    member this.Settle(transition: Transition) : struct (State * Result<Json, QapiError>) =
        let rec go (transition: Transition) calls =
            Expect.isLessThan calls 10 "a command comes to an end"
            List.iter this.Run transition.Effects

            match transition.Outcome with
            | Done result -> struct (transition.State, result)
            | Waiting(call, continuation) ->
                go (Step.resume transition.State continuation (this.Answer call)) (calls + 1)

        go transition 0
