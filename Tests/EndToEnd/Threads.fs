/// Exports that move to other threads while clients are connected.
module StorageDaemon.Tests.EndToEnd.Threads

open System
open System.Collections.Generic
open System.IO
open System.Threading
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.QmpClient

let private threads = [ "--object"; "iothread,id=t0"; "--object"; "iothread,id=t1" ]

let private move (qmp: QmpClient) (thread: string) : unit =
    qmp.Execute("x-blockdev-set-iothread", $"{{\"node-name\": \"disk\", \"iothread\": {thread}, \"force\": true}}")
    |> ignore

/// A file of a thread that may end at any time; empty if it has.
let private linesOf (task: string) (file: string) : string[] =
    try
        File.ReadAllLines(Path.Combine(task, file))
    with :? IOException -> [||]

/// How often the thread of that name has given the processor up.
let private switches (pid: int) (name: string) : int64 =
    Directory.GetDirectories $"/proc/{pid}/task"
    |> Seq.filter (fun task -> linesOf task "comm" = [| name |])
    |> Seq.sumBy (fun task ->
        linesOf task "status"
        |> Seq.filter (fun line -> line.StartsWith "voluntary_ctxt_switches:")
        |> Seq.sumBy (fun line -> int64 (line.Split(':')[1])))

let private follows =
    testCase "clients and new ones are served by the node's thread" (fun () ->
        use disk = new Disk.Disk(Disk.MiB, threads, [])
        use qmp = disk.Qmp()
        use old = disk.Client NbdClient.Structured

        /// The iothread objects that have served `client`'s requests.
        let serving (client: NbdClient.NbdClient) =
            let before = [ "t0"; "t1" ] |> List.map (switches disk.Child.Pid)

            for i in 0UL .. 99UL do
                Expect.equal (client.Read(i * 4096UL, 4096)) (TempDir.pattern (int64 i * 4096L) 4096) "data"
                Thread.Sleep 1

            [ "t0"; "t1" ]
            |> List.zip before
            |> List.filter (fun (before, name) -> switches disk.Child.Pid name - before > 20L)
            |> List.map snd

        Expect.equal (serving old) [] "the daemon's own threads"
        move qmp "\"t0\""
        Expect.equal (serving old) [ "t0" ] "moved"
        use fresh = disk.Client NbdClient.Structured
        Expect.equal (serving fresh) [ "t0" ] "a new client"
        move qmp "\"t1\""
        Expect.equal (serving old) [ "t1" ] "moved on"
        qmp.Execute("object-del", """{"id": "t0"}""") |> ignore
        move qmp "null"
        Expect.equal (serving fresh) [] "back"
        qmp.Execute("object-del", """{"id": "t1"}""") |> ignore
        Expect.equal (old.Read(0UL, 4096)) (TempDir.pattern 0L 4096) "both threads have gone"
        old.Disconnect()
        fresh.Disconnect()
        disk.Stop())

let private unread =
    testCase "replies that wait for their client come along" (fun () ->
        let length = 512 * 1024
        use disk = new Disk.Disk(16L * Disk.MiB, threads, [])
        use qmp = disk.Qmp()
        move qmp "\"t0\""
        use client = disk.Client NbdClient.Simple
        let offsets = Dictionary<uint64, int64>()

        for i in 0L .. 15L do
            let offset = i * Disk.MiB
            let cookie = client.SendRequest(NbdClient.Cmd.READ, 0us, uint64 offset, uint64 length, [||])
            offsets[cookie] <- offset

        Thread.Sleep 200
        move qmp "\"t1\""
        qmp.Execute("object-del", """{"id": "t0"}""") |> ignore
        move qmp "null"
        qmp.Execute("object-del", """{"id": "t1"}""") |> ignore

        while offsets.Count > 0 do
            let reply = client.ReadChunk length
            Expect.equal reply.Error 0u "error"
            let offset = offsets[reply.Cookie]
            Expect.isTrue (reply.Payload = TempDir.pattern offset length) $"data of {offset}"
            offsets.Remove reply.Cookie |> ignore

        disk.MustBeHealthy "moving"
        client.Disconnect()
        disk.Stop())

let private payload =
    testCase "a write whose payload comes in pieces goes on" (fun () ->
        use disk = new Disk.Disk(Disk.MiB, threads, [])
        use qmp = disk.Qmp()
        use client = disk.Client NbdClient.Simple
        let data = Array.init 65536 (fun i -> byte (i * 7))
        // The header tells of more than is sent with it.
        client.SendRequest(NbdClient.Cmd.WRITE, 0us, 4096UL, uint64 data.Length, data[..999])
        |> ignore

        for thread, sent in [ "\"t0\"", 1000; "\"t1\"", 21000; "null", 41000 ] do
            Thread.Sleep 50
            move qmp thread
            client.Send data[sent .. min (sent + 19999) (data.Length - 1)]

        client.Send data[61000..]
        Expect.equal (client.ReadChunk 0).Error 0u "the write"
        Expect.isTrue (client.Read(4096UL, data.Length) = data) "the data"
        client.Disconnect()
        disk.Stop())

[<Tests>]
let tests = testSequenced <| testList "end to end: threads" [ follows; unread; payload ]
