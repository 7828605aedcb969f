/// Jobs of the published binary: images made while QMP goes on, cancelled, and ended with the daemon.
module StorageDaemon.Tests.EndToEnd.Jobs

open System
open System.IO
open System.Text.Json
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient

/// More than can be written in the time that a test takes, and less than a disk holds.
let private long = 8L <<< 30

type private Stage() =
    let directory = new TempDir.TempDir()

    let child =
        Daemon.start Binaries.daemon.Value directory.Path (Daemon.monitor "q.sock" @ Daemon.nbdServer "n.sock")

    let qmp = QmpClient.Negotiated(directory.File "q.sock")

    member _.Qmp = qmp
    member _.Child = child
    member _.Directory = directory

    member _.Create(id: string, options: string) : unit =
        qmp.Execute("blockdev-create", $"""{{"job-id": "{id}", "options": {{"driver": "file", {options}}}}}""")
        |> ignore

    member _.CreateLong(id: string, name: string) : unit =
        qmp.Execute(
            "blockdev-create",
            $"""{{"job-id": "{id}", "options": {{"driver": "file", "filename": "{name}", "size": {long}, "preallocation": "full"}}}}"""
        )
        |> ignore

    /// Reads events until the job has concluded.
    member _.AwaitConcluded(id: string) : unit =
        let rec read () =
            match qmp.ReadLine() with
            | None -> failtest "the end"
            | Some line when line.Contains "\"concluded\"" && line.Contains $"\"{id}\"" -> ()
            | Some _ -> read ()

        read ()

    /// State and error of each job.
    member _.Jobs() : (string * string * string) list =
        (qmp.Execute "query-jobs").EnumerateArray()
        |> Seq.map (fun job ->
            let text (name: string) =
                match tryMember name job with
                | Some value -> value.GetString()
                | None -> ""

            text "id", text "status", text "error")
        |> List.ofSeq

    member _.Length(name: string) : int64 = FileInfo(directory.File name).Length

    interface IDisposable with
        member _.Dispose() =
            (qmp :> IDisposable).Dispose()
            (child :> IDisposable).Dispose()
            (directory :> IDisposable).Dispose()

let private createAndUse =
    testCase "an image is made, and served" (fun () ->
        use stage = new Stage()
        stage.Create("create", "\"filename\": \"disk.raw\", \"size\": 4194304")
        stage.AwaitConcluded "create"
        Expect.equal (stage.Jobs()) [ "create", "concluded", "" ] "query-jobs"
        stage.Qmp.Execute("job-dismiss", """{"id": "create"}""") |> ignore
        Expect.equal (stage.Jobs()) [] "dismissed"

        Expect.equal
            (File.GetUnixFileMode(stage.Directory.File "disk.raw")
             &&& UnixFileMode.OtherWrite)
            UnixFileMode.None
            "nobody else may write"

        let add (command: string) (arguments: string) =
            stage.Qmp.Execute(command, arguments) |> ignore

        add "blockdev-add" """{"driver": "file", "node-name": "f", "filename": "disk.raw"}"""
        add "block-export-add" """{"type": "nbd", "id": "e", "node-name": "f", "writable": true}"""
        use client = NbdClient.Connect(stage.Directory.File "n.sock")
        client.Go(Structured, "f") |> ignore
        Expect.equal (client.Write(0us, 4096UL, Array.create 512 7uy)) 0u "written"
        Expect.equal (stage.Length "disk.raw") 4194304L "length"
        stage.Create("again", "\"filename\": \"disk.raw\", \"size\": 512")
        Expect.equal (stage.Jobs()) [ "again", "concluded", "Failed to get \"resize\" lock" ] "in use")

let private goesOn =
    testCase "QMP goes on while gigabytes are written, and job-cancel ends it" (fun () ->
        use stage = new Stage()
        stage.CreateLong("long", "big.raw")

        for _ in 1..50 do
            stage.Qmp.Execute "query-version" |> ignore

        Expect.equal (stage.Jobs()) [ "long", "running", "" ] "under way"
        stage.Create("other", "\"filename\": \"small.raw\", \"size\": 65536")
        stage.AwaitConcluded "other"
        stage.Qmp.Execute("job-cancel", """{"id": "long"}""") |> ignore
        stage.AwaitConcluded "long"

        Expect.equal (stage.Jobs()) [ "other", "concluded", ""; "long", "concluded", "Operation canceled" ] "cancelled"

        Expect.equal (stage.Length "big.raw") 0L "the file"
        Expect.equal (stage.Length "small.raw") 65536L "the other file")

let private ends =
    testCase "quit ends jobs: their events, then the reply" (fun () ->
        use stage = new Stage()
        stage.CreateLong("one", "one.raw")
        stage.CreateLong("two", "two.raw")
        let events, reply = stage.Qmp.Request """{"execute": "quit"}"""

        let told =
            events
            |> List.map (fun line ->
                let data = (parse line).GetProperty "data"
                data.GetProperty("id").GetString()
                + " "
                + data.GetProperty("status").GetString())

        Expect.equal
            told
            [
                "two aborting"
                "two concluded"
                "two null"
                "one aborting"
                "one concluded"
                "one null"
            ]
            "events"

        Expect.equal reply """{"return": {}}""" "reply"
        Expect.equal (stage.Child.WaitExit Wait.defaultTimeout) (Some 0) "exit code"
        Expect.equal (stage.Length "one.raw", stage.Length "two.raw") (0L, 0L) "files")

let private terminated =
    testCase "SIGTERM ends jobs, too" (fun () ->
        use stage = new Stage()
        stage.CreateLong("one", "one.raw")
        stage.Child.Signal Native.SIGTERM
        Expect.equal (stage.Child.WaitExit Wait.defaultTimeout) (Some 0) "exit code"
        Expect.equal (stage.Length "one.raw") 0L "the file")

/// KubeVirt's overlay: the header and the tables in one file, the guest's data as they are in another.
let private overlay =
    testCase "an overlay with a raw data file, as KubeVirt makes it" (fun () ->
        use directory = new TempDir.TempDir()
        let disk = Array.init 4194304 (fun i -> byte (i / 512))
        File.WriteAllBytes(directory.File "disk.img", disk)
        File.WriteAllBytes(directory.File "overlay.qcow2", [||])

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (Daemon.monitor "q.sock"
                 @ [
                     "--blockdev"
                     "file,node-name=file,filename=overlay.qcow2"
                     "--blockdev"
                     "file,node-name=data-file,filename=disk.img"
                 ])

        use qmp = QmpClient.Connect(directory.File "q.sock")
        qmp.ReadLine() |> ignore

        // Both at once.
        qmp.Send(
            """{"execute": "qmp_capabilities"}"""
            + """{"execute": "blockdev-create", "arguments": {"job-id": "create", "options": {"driver": "qcow2", "file": "file", "data-file": "data-file", "data-file-raw": true, "size": 4194304, "cluster-size": 262144}}}"""
        )

        let rec read () =
            match qmp.ReadLine() with
            | None -> failtest "the end"
            | Some line when line.Contains "\"concluded\"" -> ()
            | Some _ -> read ()

        read ()
        let job = Seq.exactlyOne ((qmp.Execute "query-jobs").EnumerateArray())
        Expect.isNone (tryMember "error" job) "no error"
        qmp.Execute("job-dismiss", """{"id": "create"}""") |> ignore
        qmp.Execute "quit" |> ignore
        Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) "exit code"
        Expect.equal (File.ReadAllBytes(directory.File "disk.img")) disk "the data are as they were"

        match ChildProcess.find "qemu-img" with
        | None -> ()
        | Some tool ->
            ChildProcess.runOk directory.Path tool [
                "compare"
                "-f"
                "qcow2"
                "-F"
                "raw"
                "overlay.qcow2"
                "disk.img"
            ]
            |> ignore

            ChildProcess.runOk directory.Path tool [ "check"; "overlay.qcow2" ] |> ignore)

/// More tables than are written in the time that a test takes.
let private greatImage =
    testCase "an image of terabytes is made beside QMP, several at once, and cancelled between two pieces" (fun () ->
        use stage = new Stage()

        let add (name: string) =
            File.WriteAllBytes(stage.Directory.File name, [||])

            stage.Qmp.Execute("blockdev-add", $"""{{"driver": "file", "node-name": "{name}", "filename": "{name}"}}""")
            |> ignore

        let create (id: string) (node: string) (options: string) =
            stage.Qmp.Execute(
                "blockdev-create",
                $"""{{"job-id": "{id}", "options": {{"driver": "qcow2", "file": "{node}", {options}}}}}"""
            )
            |> ignore

        add "great"
        add "other"
        add "small"
        let terabytes = "\"size\": 8796093022208, \"cluster-size\": 16384, \"preallocation\": \"metadata\""
        create "great" "great" terabytes
        create "other" "other" terabytes

        for _ in 1..50 do
            stage.Qmp.Execute "query-version" |> ignore

        let used =
            stage.Qmp.Request """{"execute": "blockdev-del", "arguments": {"node-name": "great"}}"""
            |> snd

        Expect.stringContains used "Node great is in use" "in use"

        // The graph changes below a script.
        stage.Qmp.Execute(
            "blockdev-reopen",
            """{"options": [{"driver": "file", "node-name": "great", "filename": "great", "cache": {"no-flush": true}}]}"""
        )
        |> ignore

        create "small" "small" "\"size\": 1048576"
        stage.AwaitConcluded "small"

        let resident = Daemon.Proc.residentBytes stage.Child.Pid
        Expect.isLessThan resident (512L <<< 20) "memory"

        for id in [ "great"; "other" ] do
            stage.Qmp.Execute("job-cancel", $"""{{"id": "{id}"}}""") |> ignore
            stage.AwaitConcluded id

        Expect.equal
            (stage.Jobs())
            [
                "small", "concluded", ""
                "other", "concluded", "Operation canceled"
                "great", "concluded", "Operation canceled"
            ]
            "jobs"

        // What is half made is no image.
        let start = Array.zeroCreate<byte> 4
        use file = File.OpenRead(stage.Directory.File "great")
        file.ReadExactly start
        Expect.equal start [| 0uy; 0uy; 0uy; 0uy |] "no header"
        stage.Qmp.Execute("blockdev-del", """{"node-name": "great"}""") |> ignore)

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: jobs" [ createAndUse; goesOn; overlay; greatImage; ends; terminated ]
