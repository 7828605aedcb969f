/// What query-blockstats tells of nodes and of the exports that offer them.
module StorageDaemon.Tests.EndToEnd.Figures

open System.Text.Json
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.QmpClient

let private entry (stats: JsonElement) (node: string) : JsonElement =
    stats.EnumerateArray()
    |> Seq.find (fun entry -> entry.GetProperty("node-name").GetString() = node)

let private int64Of (name: string) (element: JsonElement) : int64 = element.GetProperty(name).GetInt64()

let private sum (values: JsonElement) : int64 =
    values.EnumerateArray() |> Seq.sumBy (fun value -> value.GetInt64())

let private perExport =
    testCase "each export has its own figures, in the entry of the node that it offers" (fun () ->
        use disk = new Disk.Disk(Disk.MiB)
        use qmp = disk.Qmp()

        qmp.Execute("block-export-add", """{"type": "nbd", "id": "second", "name": "second", "node-name": "disk"}""")
        |> ignore

        use client = disk.Client NbdClient.Structured
        Expect.equal (client.Write(0us, 0UL, Array.create 8192 1uy)) 0u "a write"
        Expect.equal (client.Errno(NbdClient.Cmd.FLUSH, 0us, 0UL, 0UL)) 0u "a flush"

        use second = NbdClient.NbdClient.Connect disk.Socket
        second.Go(NbdClient.Structured, "second") |> ignore
        second.Read(0UL, 512) |> ignore
        second.Read(4096UL, 1024) |> ignore

        let stats = qmp.Execute("query-blockstats", """{"query-nodes": true}""")
        let exports = (entry stats "disk").GetProperty("x-exports").EnumerateArray() |> List.ofSeq
        let names = exports |> List.map (fun export -> export.GetProperty("id").GetString())
        Expect.equal names [ "export-disk"; "second" ] "the oldest first"

        for export in exports do
            Expect.equal (export.GetProperty("type").GetString()) "nbd" "type"
            Expect.isFalse (export.GetProperty("shutting-down").GetBoolean()) "going on"

        let figures (index: int) = exports[index].GetProperty "stats"
        Expect.equal (int64Of "wr_bytes" (figures 0)) 8192L "written by the first"
        Expect.equal (int64Of "wr_operations" (figures 0)) 1L "writes of the first"
        Expect.equal (int64Of "flush_operations" (figures 0)) 1L "flushes of the first"
        Expect.equal (int64Of "rd_operations" (figures 0)) 0L "reads of the first"
        Expect.equal (int64Of "wr_highest_offset" (figures 0)) 8192L "end of the highest write"
        Expect.equal (int64Of "rd_bytes" (figures 1)) 1536L "read by the second"
        Expect.equal (int64Of "rd_operations" (figures 1)) 2L "reads of the second"
        Expect.equal (int64Of "wr_operations" (figures 1)) 0L "writes of the second"
        let bins = (figures 1).GetProperty("rd_latency_histogram").GetProperty "bins"
        Expect.equal (sum bins) 2L "reads in the histogram"

        // Told once: neither below another node nor of nodes that no export offers.
        Expect.isNone (tryMember "x-exports" (entry stats "disk-file")) "the file"
        Expect.isNone (tryMember "x-exports" ((entry stats "disk").GetProperty "parent")) "the file below"

        client.Disconnect()
        second.Disconnect()
        qmp.Execute("block-export-del", """{"id": "second", "mode": "hard"}""")
        |> ignore
        disk.Stop())

let private gone =
    testCase "an export that is gone is not told any more, and the node keeps its figures" (fun () ->
        use disk = new Disk.Disk(Disk.MiB)
        use qmp = disk.Qmp()
        use client = disk.Client NbdClient.Structured
        client.Read(0UL, 512) |> ignore

        qmp.Execute("block-export-del", """{"id": "export-disk", "mode": "hard"}""")
        |> ignore

        if (qmp.Execute "query-block-exports").GetArrayLength() > 0 then
            qmp.Await "BLOCK_EXPORT_DELETED" |> ignore

        let stats = qmp.Execute("query-blockstats", """{"query-nodes": true}""")
        Expect.isNone (tryMember "x-exports" (entry stats "disk")) "no export is left"
        Expect.equal (int64Of "rd_bytes" ((entry stats "disk").GetProperty "stats")) 512L "the node's own figures stay"
        disk.Stop())

[<Tests>]
let tests = testSequenced <| testList "end to end: figures" [ perExport; gone ]
