/// What is measured.
module StorageDaemon.Bench.Cases

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open System.Threading
open StorageDaemon.Bench.Contestants
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.QmpClient

/// One measurement. `Rate` is per second and more is better, but for those cases that say so.
type Measurement = {
    Rate: float
    /// How many operations the server's CPU time is divided by.
    Operations: float
}

type Settings = { Seconds: int; ImageBytes: int64 }

/// Where a contestant comes from.
[<NoComparison; NoEquality>]
type Subject =
    /// A server that has been running; its CPU time is measured around the case.
    | Running of (Settings -> Running -> Measurement)
    /// The case starts the server by itself; no CPU time.
    | Started of (Contestant -> Serving -> Measurement)

[<NoComparison; NoEquality>]
type Case = {
    Name: string
    Front: Front
    Direct: bool
    Unit: string
    /// True where the smaller figure wins: the ratio is turned over.
    LessIsBetter: bool
    /// Needs QMP.
    DaemonsOnly: bool
    Subject: Subject
}

let private tool (name: string) (arguments: string list) : string =
    match ChildProcess.find name with
    | Some path -> ChildProcess.runOk "/" path arguments
    | None -> failwith $"{name} is not installed"

let private number (text: string) : float =
    Double.Parse(text, CultureInfo.InvariantCulture)

/// fio with its nbd engine; `jobs` of them have a connection each.
let private fio (rw: string) (blockSize: string) (depth: int) (jobs: int) (settings: Settings) (server: Running) =
    let output =
        tool "fio" [
            "--name=bench"
            "--ioengine=nbd"
            $"--uri={server.Uri}"
            $"--rw={rw}"
            $"--bs={blockSize}"
            $"--iodepth={depth}"
            $"--numjobs={jobs}"
            "--group_reporting"
            "--time_based"
            $"--runtime={settings.Seconds}"
            "--randrepeat=0"
            "--norandommap"
            "--output-format=json"
        ]

    if not (output.Contains '{') then
        failwith $"fio measured nothing: {output}\n{server.Error}"

    // fio prints notes before the object when it feels like it.
    use document = JsonDocument.Parse(output.Substring(output.IndexOf '{'))
    let side = if rw.EndsWith "read" then "read" else "write"
    let result = document.RootElement.GetProperty("jobs").[0].GetProperty(side)

    {
        Rate = result.GetProperty("iops").GetDouble()
        Operations = float (result.GetProperty("total_ios").GetInt64())
    }

let private timed (operations: float) (units: float) (work: unit -> unit) : Measurement =
    let clock = Stopwatch.StartNew()
    work ()

    {
        Rate = units / clock.Elapsed.TotalSeconds
        Operations = operations
    }

/// nbdcopy works in requests of 256 KiB; the figure is MiB a second.
let private nbdcopy (arguments: Running -> string list) (settings: Settings) (server: Running) : Measurement =
    timed (float (settings.ImageBytes / 262144L)) (float (settings.ImageBytes >>> 20)) (fun () ->
        tool "nbdcopy" (arguments server) |> ignore)

let private qemuImgBench (more: string list) (settings: Settings) (server: Running) : Measurement =
    let count = 20000 * settings.Seconds

    let output =
        tool
            "qemu-img"
            ([ "bench"; "-f"; "raw"; "-c"; $"{count}"; "-d"; "16"; "-s"; "4096" ]
             @ more
             @ [ server.Uri ])

    let seconds = Regex.Match(output, @"completed in ([0-9.]+) seconds").Groups[1].Value

    {
        Rate = float count / number seconds
        Operations = float count
    }

/// Connects as soon as the socket is there, without the pauses of a polite client.
let private connectEagerly (path: string) : Net.Sockets.Socket =
    let deadline = Stopwatch.StartNew()
    let mutable connected: Net.Sockets.Socket option = None

    while connected.IsNone do
        let socket =
            new Net.Sockets.Socket(
                Net.Sockets.AddressFamily.Unix,
                Net.Sockets.SocketType.Stream,
                Net.Sockets.ProtocolType.Unspecified
            )

        try
            socket.Connect(Net.Sockets.UnixDomainSocketEndPoint path)
            connected <- Some socket
        with :? Net.Sockets.SocketException when deadline.Elapsed < Wait.defaultTimeout ->
            socket.Dispose()
            Thread.Sleep(TimeSpan.FromMicroseconds 100.0)

    connected.Value

/// Milliseconds from the start of the process to its NBD greeting and its QMP greeting.
let private startUp (contestant: Contestant) (serving: Serving) : Measurement =
    let clock = Stopwatch.StartNew()
    use server = new Running(contestant, serving)
    use nbd = new NbdClient.NbdClient(connectEagerly server.NbdSocket)
    ignore nbd

    if contestant.IsDaemon then
        use qmp = new QmpClient(connectEagerly server.QmpSocket)
        qmp.ReadLine() |> ignore

    { Rate = clock.Elapsed.TotalMilliseconds; Operations = 0.0 }

/// Megabytes resident once it has served one connection and rests.
let private idleMemory (contestant: Contestant) (serving: Serving) : Measurement =
    use server = new Running(contestant, serving)

    do
        use nbd = new NbdClient.NbdClient(connectEagerly server.NbdSocket)
        nbd.Go(NbdClient.Structured, "") |> ignore
        nbd.Read(0UL, 4096) |> ignore

    Thread.Sleep 200

    {
        Rate = float (Daemon.Proc.residentBytes server.Pid) / 1e6
        Operations = 0.0
    }

let private qmpRequest = "{\"execute\": \"query-block\"}\n"

let private qmpSync (settings: Settings) (server: Running) : Measurement =
    use qmp = QmpClient.Negotiated server.QmpSocket
    let count = 5000 * settings.Seconds

    timed (float count) (float count) (fun () ->
        for _ in 1..count do
            qmp.Send qmpRequest
            qmp.ReadLine() |> ignore)

let private qmpPipelined (settings: Settings) (server: Running) : Measurement =
    use qmp = QmpClient.Negotiated server.QmpSocket
    let batch = 100
    let text = String.replicate batch qmpRequest
    let batches = 100 * settings.Seconds

    timed (float (batch * batches)) (float (batch * batches)) (fun () ->
        for _ in 1..batches do
            qmp.Send text

            for _ in 1..batch do
                qmp.ReadLine() |> ignore)

let private case (name: string) (direct: bool) (unit: string) (run: Settings -> Running -> Measurement) : Case = {
    Name = name
    Front = Nbd
    Direct = direct
    Unit = unit
    LessIsBetter = false
    DaemonsOnly = false
    Subject = Running run
}

let private ofData (direct: bool) : Case list =
    let name (base': string) =
        if direct then base' + " direct" else base'

    [
        for rw in [ "randread"; "randwrite" ] do
            for depth in [ 1; 16; 64 ] do
                case (name $"4k {rw} qd{depth}") direct "op/s" (fio rw "4k" depth 1)

            case (name $"4k {rw} qd16 x4") direct "op/s" (fio rw "4k" 16 4)

        case (name "1m read qd4") direct "op/s" (fio "read" "1m" 4 1)
        case (name "1m write qd4") direct "op/s" (fio "write" "1m" 4 1)
        case (name "nbdcopy out") direct "MiB/s" (nbdcopy (fun server -> [ server.Uri; "null:" ]))
        case
            (name "nbdcopy in")
            direct
            "MiB/s"
            (nbdcopy (fun server -> [ server.Serving.Image + ".source"; server.Uri ]))
        case (name "qemu-img bench read") direct "op/s" (qemuImgBench [])
        case (name "qemu-img bench write") direct "op/s" (qemuImgBench [ "-w" ])
    ]

/// 4 KiB reads over vhost-user with `depth` requests in each queue.
let private vhostUser (depth: int) (queues: int) : Case =
    let name = $"vhost-user 4k randread qd{depth}"

    let run (settings: Settings) (server: Running) =
        use driver = new VhostUserDriver.Driver(server.VhostUserSocket, queues, depth, settings.ImageBytes)
        let clock = Stopwatch.StartNew()
        let operations = float (driver.Read(TimeSpan.FromSeconds(float settings.Seconds)))

        {
            Rate = operations / clock.Elapsed.TotalSeconds
            Operations = operations
        }

    {
        case (if queues = 1 then name else $"{name} x{queues}") false "op/s" run with
            Front = VhostUser
    }

let all: Case list =
    ofData false
    @ ofData true
    @ [
        for depth in [ 1; 32 ] do
            for queues in [ 1; 2 ] do
                vhostUser depth queues
    ]
    @ [
        {
            case "qmp sync" false "cmd/s" qmpSync with
                DaemonsOnly = true
        }
        {
            case "qmp pipelined" false "cmd/s" qmpPipelined with
                DaemonsOnly = true
        }
        {
            Name = "start-up"
            Front = Nbd
            Direct = false
            Unit = "ms"
            LessIsBetter = true
            DaemonsOnly = false
            Subject = Started startUp
        }
        {
            Name = "idle memory"
            Front = Nbd
            Direct = false
            Unit = "MB"
            LessIsBetter = true
            DaemonsOnly = false
            Subject = Started idleMemory
        }
    ]
