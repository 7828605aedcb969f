/// qcow2 images of the published binary under real clients: chains, snapshots under an export, requests that meet.
module StorageDaemon.Tests.EndToEnd.Qcow2Chains

open System
open System.IO
open System.Text.Json
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.QmpClient

let private img (directory: TempDir.TempDir) (arguments: string) =
    ChildProcess.runOk directory.Path (Requires.tool "qemu-img") (List.ofArray (arguments.Split ' '))

let private io (directory: TempDir.TempDir) (commands: string list) =
    ChildProcess.runOk
        directory.Path
        (Requires.tool "qemu-io")
        ([ "-f"; "raw"; "-d"; "unmap"; "nbd+unix:///q?socket=n.sock" ]
         @ (commands |> List.collect (fun command -> [ "-c"; command ])))
    |> ignore

let private expectClean (directory: TempDir.TempDir) (name: string) =
    img directory $"check -f qcow2 {name}" |> ignore

/// The same guest data in the image and in what a client saw of it.
let private expectSame (directory: TempDir.TempDir) (image: string) (raw: string) =
    img directory $"compare -f qcow2 -F raw {image} {raw}" |> ignore

let private export (directory: TempDir.TempDir) (image: string) =
    Daemon.start
        Binaries.daemon.Value
        directory.Path
        ([
            "--blockdev"
            $"qcow2,node-name=q,discard=unmap,file.driver=file,file.filename={image}"
         ]
         @ Daemon.monitor "q.sock"
         @ Daemon.nbdServer "n.sock"
         @ [ "--export"; "nbd,id=e,node-name=q,name=q,writable=on" ])

let private chain (options: string) =
    testCase $"a chain of images {options}" (fun () ->
        use directory = new TempDir.TempDir()
        img directory "create -q -f qcow2 base.qcow2 64M" |> ignore

        ChildProcess.runOk directory.Path (Requires.tool "qemu-io") [
            "-f"
            "qcow2"
            "-c"
            "write -P 7 0 48M"
            "base.qcow2"
        ]
        |> ignore

        img directory $"create -q -f qcow2 -b base.qcow2 -F qcow2 -o {options} top.qcow2"
        |> ignore

        use child = export directory "top.qcow2"

        io directory [
            "write -P 1 100k 3M"
            "discard 1M 1M"
            "write -z 10M 5M"
            "write -P 2 12M 100k"
            "read -P 2 12M 100k"
            "read -P 0 11M 1M"
            "read -P 7 20M 1M"
            "flush"
        ]

        img directory "convert -f raw -O raw nbd+unix:///q?socket=n.sock seen.raw"
        |> ignore

        Expect.equal (Daemon.stop child) 0 "exit code"
        expectClean directory "top.qcow2"
        expectSame directory "top.qcow2" "seen.raw")

let private snapshotUnderExport =
    testCase "an export goes on above a new overlay" (fun () ->
        use directory = new TempDir.TempDir()
        img directory "create -q -f qcow2 base.qcow2 16M" |> ignore
        use child = export directory "base.qcow2"
        use qmp = QmpClient.Negotiated(directory.File "q.sock")
        io directory [ "write -P 1 0 1M" ]

        qmp.Execute(
            "blockdev-snapshot-sync",
            """{"node-name": "q", "snapshot-file": "over.qcow2", "snapshot-node-name": "o"}"""
        )
        |> ignore

        io directory [ "write -P 2 512k 1M"; "read -P 1 0 512k"; "read -P 2 512k 1M" ]
        // It unmaps as the image below did.
        io directory [ "write -P 3 4M 1M"; "discard 4M 1M"; "read -P 0 4M 1M" ]

        img directory "convert -f raw -O raw nbd+unix:///q?socket=n.sock seen.raw"
        |> ignore

        Expect.equal (Daemon.stop child) 0 "exit code"

        for image in [ "base.qcow2"; "over.qcow2" ] do
            expectClean directory image

        expectSame directory "over.qcow2" "seen.raw")

/// Images of all kinds over one another and over a part of a raw file, some of them shorter than those above. Many reads
/// meet the same clusters, so that what the first ones found out serves the others.
let private mixedChain =
    let seed = Environment.TickCount

    testCase $"reads through images of all kinds, seed {seed}" (fun () ->
        use directory = new TempDir.TempDir()
        let random = Random seed
        let sizes = [ 8; 6; 8; 7; 8; 8 ]

        let kinds = [
            "cluster_size=2M"
            "cluster_size=4k"
            "compat=0.10,cluster_size=16k"
            "extended_l2=on"
            "cluster_size=512"
            "cluster_size=64k"
        ]

        File.WriteAllBytes(directory.File "base.raw", Array.init (7 <<< 20) (fun i -> byte (i / 4096 + 1)))

        img directory "create -q -f qcow2 -b base.raw -F raw -o cluster_size=2M l0.qcow2 8M"
        |> ignore

        let qemuIo (image: string) (commands: string list) =
            ChildProcess.runOk
                directory.Path
                (Requires.tool "qemu-io")
                ([ "-f"; "qcow2" ]
                 @ (commands |> List.collect (fun command -> [ "-c"; command ]))
                 @ [ image ])
            |> ignore

        List.zip sizes kinds
        |> List.iteri (fun index (size, kind) ->
            let image = $"l{index}.qcow2"

            if index > 0 then
                img directory $"create -q -f qcow2 -b l{index - 1}.qcow2 -F qcow2 -o {kind} {image} {size}M"
                |> ignore

            qemuIo image [
                for _ in 1..8 do
                    let offset = random.Next(size * 2048 - 256) * 512
                    let length = random.Next(1, 256) * 512
                    let how = [| "write"; "write"; "write -z" |][random.Next 3]
                    let pattern = if how = "write" then $"-P {random.Next(1, 255)} " else ""
                    $"{how} {pattern}{offset} {length}"
            ])

        img directory "convert -f qcow2 -O raw l5.qcow2 seen.raw" |> ignore
        let expected = File.ReadAllBytes(directory.File "seen.raw")
        use child = export directory "l5.qcow2"
        use qmp = QmpClient.Negotiated(directory.File "q.sock")
        use client = NbdClient.NbdClient.Connect(directory.File "n.sock")
        client.Go(NbdClient.Structured, "q") |> ignore

        let expectRead (offset: int) (length: int) =
            let found = client.Read(uint64 offset, length)
            let same = found.AsSpan().SequenceEqual(expected.AsSpan(offset, length))
            Expect.isTrue same $"seed {seed}: {length} bytes from {offset}"

        for _ in 1..3000 do
            let length = random.Next(1, 40) * 512
            expectRead (random.Next((expected.Length - length) / 512) * 512) length

        // A write changes the top image only, and what is known of those below stays true.
        for _ in 1..300 do
            let length = random.Next(1, 40) * 512
            let offset = random.Next((expected.Length - length) / 512) * 512
            let data = Array.create length (byte (random.Next 256))
            Expect.equal (client.Write(0us, uint64 offset, data)) 0u "write"
            data.CopyTo(expected, offset)
            let from = max 0 (offset - 4096)
            expectRead from (min (expected.Length - from) (length + 8192))


        let stats = qmp.Execute("query-blockstats", """{"query-nodes": true}""")

        let reads =
            stats.EnumerateArray()
            |> Seq.map (fun entry ->
                entry.GetProperty("node-name").GetString(),
                entry.GetProperty("stats").GetProperty("rd_operations").GetInt64())
            |> Map.ofSeq

        Expect.equal reads["q"] 3300L "reads of the top image"
        // Those that reads only passed have their counts as well.
        let passed = reads |> Map.filter (fun _ count -> count > 0L)
        Expect.isGreaterThan passed.Count 8 "nodes with reads"

        Expect.equal (Daemon.stop child) 0 "exit code"

        for index in 0..5 do
            expectClean directory $"l{index}.qcow2")
let private internalSnapshots =
    testCase "an export goes on while internal snapshots come and go" (fun () ->
        use directory = new TempDir.TempDir()
        img directory "create -q -f qcow2 base.qcow2 16M" |> ignore
        img directory "create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2" |> ignore
        use child = export directory "top.qcow2"
        use qmp = QmpClient.Negotiated(directory.File "q.sock")

        let take name =
            qmp.Execute("blockdev-snapshot-internal-sync", $"""{{"device": "q", "name": "{name}"}}""")
            |> ignore

        let keep raw =
            img directory $"convert -f raw -O raw nbd+unix:///q?socket=n.sock {raw}"
            |> ignore

        io directory [ "write -P 1 0 1M" ]
        keep "one.raw"
        take "one"
        io directory [ "write -P 2 512k 1M"; "discard 0 64k" ]
        keep "two.raw"
        take "two"
        io directory [ "write -P 3 0 3M"; "write -z 1M 64k" ]

        qmp.Execute(
            "change-backing-file",
            """{"device": "q", "image-node-name": "q", "backing-file": "./base.qcow2"}"""
        )
        |> ignore

        io directory [ "write -P 4 2M 64k"; "read -P 3 0 1M"; "read -P 4 2M 64k" ]
        keep "last.raw"
        qmp.Execute("blockdev-snapshot-delete-internal-sync", """{"device": "q", "name": "one"}""")
        |> ignore
        take "three"
        Expect.equal (Daemon.stop child) 0 "exit code"
        expectClean directory "top.qcow2"
        expectSame directory "top.qcow2" "last.raw"
        img directory "convert -l snapshot.name=two -O raw top.qcow2 old.raw" |> ignore
        img directory "compare -f raw -F raw old.raw two.raw" |> ignore
        let listed = img directory "snapshot -l top.qcow2"
        Expect.isFalse (listed.Contains "one") "the first is gone"
        Expect.isTrue (listed.Contains "three") "the last is there"
        Expect.stringContains (img directory "info top.qcow2") "backing file: ./base.qcow2" "the name")

/// Nothing follows writes into bitmaps yet: those that were to must not look complete to whoever reads them next.
let private bitmaps =
    testCase "bitmaps that do not follow writes are in use" (fun () ->
        use directory = new TempDir.TempDir()
        img directory "create -q -f qcow2 top.qcow2 16M" |> ignore
        img directory "bitmap --add top.qcow2 follows" |> ignore
        img directory "bitmap --add --disable top.qcow2 rests" |> ignore
        use child = export directory "top.qcow2"
        io directory [ "write -P 1 0 1M" ]
        Expect.equal (Daemon.stop child) 0 "exit code"
        use info = JsonDocument.Parse(img directory "info --output=json top.qcow2")

        let flags =
            info.RootElement.GetProperty("format-specific").GetProperty("data").GetProperty("bitmaps").EnumerateArray()
            |> Seq.map (fun bitmap ->
                bitmap.GetProperty("name").GetString(),
                bitmap.GetProperty("flags").EnumerateArray()
                |> Seq.map _.GetString()
                |> List.ofSeq)
            |> List.ofSeq

        Expect.equal flags [ "follows", [ "in-use"; "auto" ]; "rests", [] ] "flags"
        expectClean directory "top.qcow2")

/// Over a backing image version 2 cannot have holes; a discard does nothing then, but it does not fail.
let private discardInVersion2 =
    testCase "a discard that version 2 cannot do is none" (fun () ->
        use directory = new TempDir.TempDir()
        img directory "create -q -f raw base.raw 1M" |> ignore

        img directory "create -q -f qcow2 -o compat=0.10 -b base.raw -F raw top.qcow2"
        |> ignore

        use child = export directory "top.qcow2"
        io directory [ "write -P 1 0 1M"; "discard 0 1M"; "read -P 1 0 1M" ]
        Expect.equal (Daemon.stop child) 0 "exit code"
        expectClean directory "top.qcow2")

/// What has become of a resize, in the monitor's words.
let private resize (directory: TempDir.TempDir) (image: string) (bytes: int64) : string =
    use child =
        Daemon.start
            Binaries.daemon.Value
            directory.Path
            ([ "--blockdev"; $"qcow2,node-name=q,file.driver=file,file.filename={image}" ]
             @ Daemon.monitor "q.sock")

    use qmp = QmpClient.Negotiated(directory.File "q.sock")

    let _, reply =
        qmp.Request $"""{{"execute": "block_resize", "arguments": {{"node-name": "q", "size": {bytes}}}}}"""

    Expect.equal (Daemon.stop child) 0 "exit code"
    reply

let private fill (directory: TempDir.TempDir) (image: string) (bytes: int64) =
    ChildProcess.runOk directory.Path (Requires.tool "qemu-io") [ "-f"; "qcow2"; "-c"; $"write -P 7 0 {bytes}"; image ]
    |> ignore

/// The rest of the last cluster is cleared before a disk becomes shorter; not so if it may not.
let private refusedResize =
    testCase "a disk that may not become shorter loses nothing" (fun () ->
        use directory = new TempDir.TempDir()
        img directory "create -q -f qcow2 -o compat=0.10 top.qcow2 1M" |> ignore
        fill directory "top.qcow2" 1048576L
        img directory "snapshot -c s top.qcow2" |> ignore
        img directory "convert -O raw top.qcow2 before.raw" |> ignore
        let reply = resize directory "top.qcow2" 66048L
        Expect.stringContains reply "Can't resize a v2 image which has snapshots" "refused"
        expectSame directory "top.qcow2" "before.raw")

let private rawDataFileGrows =
    testCase "a raw data file grows with its disk" (fun () ->
        use directory = new TempDir.TempDir()

        img directory $"create -q -f qcow2 -o data_file={directory.Path}/data,data_file_raw=on top.qcow2 1M"
        |> ignore

        fill directory "top.qcow2" 1048576L
        Expect.stringContains (resize directory "top.qcow2" 2097664L) "return" "it grows"
        Expect.equal (FileInfo(directory.File "data").Length) 2097664L "the data file's length"
        expectSame directory "top.qcow2" "data")

[<Tests>]
let tests =
    testList "qcow2 chains" [
        bitmaps
        mixedChain
        chain "compat=1.1"
        chain "compat=0.10,cluster_size=4k"
        chain "extended_l2=on"
        chain "cluster_size=512,refcount_bits=1"
        snapshotUnderExport
        internalSnapshots
        discardInVersion2
        refusedResize
        rawDataFileGrows
    ]
