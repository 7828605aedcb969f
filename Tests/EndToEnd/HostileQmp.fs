/// QMP clients that send junk, send much, or do not read. The daemon lives on and other monitors work.
module StorageDaemon.Tests.EndToEnd.HostileQmp

open System
open System.Diagnostics
open System.Net.Sockets
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk
open StorageDaemon.Tests.Harness.QmpClient

/// A second monitor at `q2.sock`.
let private secondMonitor = [
    "--chardev"
    "socket,id=second,path=q2.sock,server=on,wait=off"
    "--monitor"
    "chardev=second"
]

let private isAnswered (client: QmpClient) (id: string) : unit =
    let _, reply = client.Request $"""{{"execute": "query-version", "id": "{id}"}}"""
    Expect.stringContains reply id "the reply's id"

let private otherMonitorWorks (disk: Disk) : unit =
    use other = QmpClient.Negotiated(disk.Directory.File "q2.sock")
    isAnswered other "other monitor"

let private nesting =
    testCase "100,000 brackets are an error, not a stack overflow" (fun () ->
        use disk = new Disk(MiB, secondMonitor, [])
        use qmp = disk.Qmp()

        for bracket in [ "["; "{\"a\":"; "[{\"a\":" ] do
            qmp.Send(String.replicate 100000 bracket)
            Expect.stringContains (qmp.ReadLine() |> Option.defaultValue "") "error" "the first answer"

        otherMonitorWorks disk
        disk.MustBeHealthy "nesting"
        disk.Stop())

let private longString =
    testCase "a string of 16 MiB takes no time" (fun () ->
        exceptReal "it reads QMP byte by byte: 107 s"
        use disk = new Disk(MiB)
        use qmp = disk.Qmp()
        let text = String('x', 16 <<< 20)
        let clock = Stopwatch.StartNew()
        let _, reply = qmp.Request $"""{{"execute": "query-version", "id": "{text}"}}"""
        let seconds = clock.Elapsed.TotalSeconds
        Expect.stringContains reply text "the id"
        // Whatever else the machine does: time that grows with the square of the length is minutes.
        Expect.isLessThan seconds 20.0 "seconds"
        disk.Stop())

let private tokenLimit =
    testCase "a string beyond 64 MiB is an error, and memory stays bounded" (fun () ->
        exceptReal "it reads QMP byte by byte: minutes"
        use disk = new Disk(MiB, secondMonitor, [])
        use qmp = disk.Qmp()
        let piece = String('x', 1 <<< 20)
        qmp.Send "{\"execute\": \""

        for _ in 1..70 do
            qmp.Send piece

        qmp.Send "\"}\n"
        Expect.stringContains (qmp.ReadLine() |> Option.defaultValue "") "error" "the answer"
        Expect.isLessThan (Daemon.Proc.residentBytes disk.Child.Pid) (400L * MiB) "resident bytes"
        otherMonitorWorks disk
        disk.Stop())

let private garbage =
    testCase "random bytes; the next client finds a fresh monitor" (fun () ->
        exceptReal "its monitor can stay suspended when a client leaves with errors unread"
        use disk = new Disk(MiB, secondMonitor, [])
        let random = Random 11

        for _ in 1..50 do
            use client = QmpClient.Connect(disk.Directory.File "q.sock")
            client.ReadLine() |> ignore
            let data = Array.zeroCreate<byte>(random.Next 2000)
            random.NextBytes data

            try
                client.Socket.Send data |> ignore
            with :? SocketException ->
                ()

        use qmp = disk.Qmp()
        isAnswered qmp "fresh"
        otherMonitorWorks disk
        disk.Stop())

let private structured =
    testCase "pieces of valid requests in random order" (fun () ->
        use disk = new Disk(MiB, secondMonitor, [])
        let random = Random 13

        let pieces = [|
            "{"
            "}"
            "["
            "]"
            ":"
            ","
            "\"execute\""
            "\"query-version\""
            "\"arguments\""
            "\"id\""
            "1"
            "-"
            "1.5e"
            "true"
            "null"
            "'x'"
            "\"\\u00"
            "\n"
            "\000"
            "\255"
        |]

        use client = disk.Qmp()
        // Errors come back all the time; they have to be read, or the monitor waits for us.
        client.Socket.Blocking <- false
        let buffer = Array.zeroCreate<byte> 65536

        for _ in 1..3000 do
            try
                client.Socket.Send(Text.Encoding.Latin1.GetBytes pieces[random.Next pieces.Length])
                |> ignore
            with :? SocketException ->
                ()

            try
                client.Socket.Receive buffer |> ignore
            with :? SocketException ->
                ()

        otherMonitorWorks disk
        disk.MustBeHealthy "pieces of requests"
        disk.Stop())

let private notReading =
    testCase "a client that does not read takes bounded memory" (fun () ->
        exceptReal "3000 replies of query-qmp-schema: 354 MB"
        use disk = new Disk(MiB, secondMonitor, [])
        use qmp = disk.Qmp()
        qmp.Socket.SendTimeout <- 500

        try
            for _ in 1..3000 do
                qmp.Send "{\"execute\": \"query-qmp-schema\"}\n"
        with :? SocketException ->
            ()

        Expect.isLessThan (Daemon.Proc.residentBytes disk.Child.Pid) (150L * MiB) "resident bytes"
        otherMonitorWorks disk
        disk.Stop())

let private unreadEvents =
    testCase "events that nobody reads end that monitor, not the memory" (fun () ->
        exceptReal "it queues them without a limit"
        use disk = new Disk(MiB, secondMonitor, [])
        use lazyClient = disk.Qmp()
        use busy = QmpClient.Negotiated(disk.Directory.File "q2.sock")
        let rounds = if Binaries.isLongRun then 200000 else 2000

        for _ in 1..rounds do
            busy.Execute("block-export-add", """{"type": "nbd", "id": "e", "node-name": "disk", "name": "e"}""")
            |> ignore

            busy.Execute("block-export-del", """{"id": "e"}""") |> ignore

        Expect.isLessThan (Daemon.Proc.residentBytes disk.Child.Pid) (150L * MiB) "resident bytes"
        isAnswered busy "busy"
        ignore lazyClient
        disk.Stop())

let private comeAndGo =
    testCase "200 clients that come and go, some in the middle of a request" (fun () ->
        use disk = new Disk(MiB)

        for i in 1..200 do
            use client = QmpClient.Connect(disk.Directory.File "q.sock")

            if i % 2 = 0 then
                client.ReadLine() |> ignore

            if i % 3 = 0 then
                client.Send "{\"execute\": \"qmp_capabilities\"}{\"execute\": \"query-named-block-nodes\"}{\"exec"

        use qmp = disk.Qmp()
        isAnswered qmp "at last"
        let descriptors = Daemon.Proc.descriptors disk.Child.Pid
        Expect.isLessThan descriptors 64 "open descriptors"
        disk.Stop())

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: hostile QMP" [
        nesting
        longString
        tokenLimit
        garbage
        structured
        notReading
        unreadEvents
        comeAndGo
    ]
