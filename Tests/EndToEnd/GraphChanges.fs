/// The graph below an export changes while clients read, write and verify: no request is lost, doubled or failed.
module StorageDaemon.Tests.EndToEnd.GraphChanges

open System
open System.Collections.Generic
open System.IO
open System.Threading.Tasks
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.QmpClient

let private mib = 1L <<< 20

let private arguments = [
    "--object"
    "throttle-group,id=tg"
    "--object"
    "throttle-group,id=tg2"
    "--object"
    "iothread,id=io0"
    "--object"
    "iothread,id=io1"
    "--blockdev"
    "file,node-name=f,filename=disk.img,discard=unmap"
    "--blockdev"
    "throttle,node-name=t,throttle-group=tg,file=f,discard=unmap"
    "--blockdev"
    "throttle,node-name=t2,throttle-group=tg2,file=t,discard=unmap"
    "--blockdev"
    "copy-on-read,node-name=c,file=f,discard=unmap"
    "--blockdev"
    "raw,node-name=r,file=f,discard=unmap"
    "--nbd-server"
    "addr.type=unix,addr.path=nbd.sock"
    "--export"
    "nbd,id=e0,node-name=r,writable=on"
]

/// One change: a command with its arguments. What one change adds, a later one takes away.
let private change (random: Random) (added: Queue<string * string>) (number: int) : string * string =
    let pick (choices: string list) = choices[random.Next choices.Length]

    match random.Next 8 with
    | 0
    | 1 ->
        let file = pick [ "f"; "t"; "t2"; "c" ]
        "blockdev-reopen",
        $"""{{"options": [{{"driver": "raw", "node-name": "r", "file": "{file}", "discard": "unmap"}}]}}"""
    | 2 ->
        let direct = pick [ "true"; "false" ]
        let zeroes = pick [ "on"; "off"; "unmap" ]
        "blockdev-reopen",
        $"""{{"options": [{{"driver": "file", "node-name": "f", "filename": "disk.img", "discard": "unmap", "cache": {{"direct": {direct}}}, "detect-zeroes": "{zeroes}"}}]}}"""
    | 3 ->
        let group = pick [ "tg"; "tg2" ]
        "blockdev-reopen",
        $"""{{"options": [{{"driver": "throttle", "node-name": "t2", "throttle-group": "{group}", "file": "t", "discard": "unmap"}}]}}"""
    | 4 ->
        let limit = pick [ "0"; "2000"; "100000" ]
        "qom-set", $"""{{"path": "/objects/tg2", "property": "limits", "value": {{"iops-total": {limit}}}}}"""
    | 5 ->
        let thread = pick [ "null"; "\"io0\""; "\"io1\"" ]
        "x-blockdev-set-iothread", $"""{{"node-name": "f", "iothread": {thread}, "force": true}}"""
    | 6 -> "block-set-write-threshold", $"""{{"node-name": "f", "write-threshold": {random.Next 1000000}}}"""
    | _ when added.Count > 4 -> added.Dequeue()
    | _ when number % 2 = 0 ->
        added.Enqueue("blockdev-del", $"""{{"node-name": "extra{number}"}}""")

        "blockdev-add", $"""{{"driver": "raw", "node-name": "extra{number}", "file": "f", "read-only": true}}"""
    | _ ->
        added.Enqueue("block-export-del", $"""{{"id": "extra{number}"}}""")

        "block-export-add", $"""{{"type": "nbd", "id": "extra{number}", "name": "extra{number}", "node-name": "r"}}"""

let private fioArguments (directory: TempDir.TempDir) =
    let socket = directory.File "nbd.sock"

    [
        "--name=verify"
        "--ioengine=nbd"
        $"--uri=nbd+unix:///r?socket={socket}"
        "--rw=randrw"
        "--numjobs=2"
        "--size=16m"
        "--offset_increment=16m"
        "--bsrange=4k-64k"
        "--iodepth=8"
        "--verify=crc32c"
        "--verify_fatal=1"
        "--verify_backlog=64"
        "--group_reporting"
        "--time_based"
        $"--runtime={if Binaries.isLongRun then 60 else 6}"
    ]

let private underLoad =
    testCase "random changes under fio lose and double no request" (fun () ->
        let fio = Requires.tool "fio"
        use directory = new TempDir.TempDir()
        TempDir.sparse (directory.File "disk.img") (64L * mib)
        use child = Daemon.start Binaries.daemon.Value directory.Path (arguments @ Daemon.monitor "qmp.sock")
        use qmp = QmpClient.Negotiated(directory.File "qmp.sock")
        let seed = Environment.TickCount
        let random = Random seed

        let load =
            Task.Run(fun () -> ChildProcess.runFor (TimeSpan.FromSeconds 120.0) "/" fio (fioArguments directory))

        let added = Queue<string * string>()
        let mutable changes = 0

        while not load.IsCompleted do
            changes <- changes + 1
            let command, arguments = change random added changes
            qmp.Execute(command, arguments) |> ignore
            Threading.Thread.Sleep(random.Next 20)

        let result = load.Result
        Expect.equal result.ExitCode 0 $"seed {seed}: {result.Output} {result.Error}"
        Expect.isFalse (result.Error.Contains "verify:") $"seed {seed}: {result.Error}"
        Expect.isGreaterThan changes (if Binaries.isLongRun then 1000 else 50) "changes took place"
        Expect.equal (Daemon.stop child) 0 "exit code")

/// Requests per second that fio reads from an export of plain data.
let private rate (directory: TempDir.TempDir) (fio: string) (export: string) (seconds: int) : float =
    let socket = directory.File "nbd.sock"

    let output =
        ChildProcess.runOk "/" fio [
            "--name=rate"
            "--ioengine=nbd"
            $"--uri=nbd+unix:///{export}?socket={socket}"
            "--rw=randread"
            "--bs=4k"
            "--iodepth=16"
            "--time_based"
            $"--runtime={seconds}"
            "--output-format=json"
        ]

    use document = Text.Json.JsonDocument.Parse(output.Substring(output.IndexOf '{'))
    document.RootElement.GetProperty("jobs").[0].GetProperty("read").GetProperty("iops").GetDouble()

let private throttled =
    testCase "a throttle group keeps its rate, alone and shared, and takes new limits at once" (fun () ->
        let fio = Requires.tool "fio"
        use directory = new TempDir.TempDir()

        for file in [ "a.img"; "b.img" ] do
            let bytes = Array.zeroCreate<byte>(8 * int mib)
            Random(1).NextBytes bytes
            File.WriteAllBytes(directory.File file, bytes)

        let node name = [
            "--blockdev"
            $"throttle,node-name={name},throttle-group=tg,file.driver=file,file.filename={name}.img"
            "--export"
            $"nbd,id={name},node-name={name}"
        ]

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                ([
                    "--object"
                    "throttle-group,id=tg,limits.iops-total=1000"
                    "--nbd-server"
                    "addr.type=unix,addr.path=nbd.sock"
                 ]
                 @ node "a"
                 @ node "b"
                 @ Daemon.monitor "qmp.sock")

        use qmp = QmpClient.Negotiated(directory.File "qmp.sock")
        let seconds = if Binaries.isLongRun then 10 else 4
        // The first tenth of a second's worth goes at once.
        let tolerance = 0.05 + 0.1 / float seconds

        let near (expected: float) (actual: float) what =
            Expect.isLessThan (abs (actual / expected - 1.0)) tolerance $"{what}: {actual} instead of {expected}"

        near 1000.0 (rate directory fio "a" seconds) "alone"

        let both =
            [ "a"; "b" ]
            |> List.map (fun export -> Task.Run(fun () -> rate directory fio export seconds))

        let rates = both |> List.map _.Result
        near 1000.0 (List.sum rates) "together"

        for one in rates do
            Expect.isGreaterThan one 350.0 $"neither member starves: {rates}"

        qmp.Execute("qom-set", """{"path": "/objects/tg", "property": "limits", "value": {"iops-total": 3000}}""")
        |> ignore

        near 3000.0 (rate directory fio "b" seconds) "after the limits changed"
        Expect.equal (Daemon.stop child) 0 "exit code")

[<Tests>]
let tests = testSequenced <| testList "end to end: graph changes" [ underLoad; throttled ]
