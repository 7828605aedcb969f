/// qcow2 images of the published binary under real clients: chains, snapshots under an export, requests that meet.
module StorageDaemon.Tests.EndToEnd.Qcow2Chains

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
        ([ "-f"; "raw"; "nbd+unix:///q?socket=n.sock" ]
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

        img directory "convert -f raw -O raw nbd+unix:///q?socket=n.sock seen.raw"
        |> ignore

        Expect.equal (Daemon.stop child) 0 "exit code"

        for image in [ "base.qcow2"; "over.qcow2" ] do
            expectClean directory image

        expectSame directory "over.qcow2" "seen.raw")

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

[<Tests>]
let tests =
    testList "qcow2 chains" [
        bitmaps
        chain "compat=1.1"
        chain "compat=0.10,cluster_size=4k"
        chain "extended_l2=on"
        chain "cluster_size=512,refcount_bits=1"
        snapshotUnderExport
    ]
