/// x-block-check of the published binary: the verdict of `qemu-img check`, while clients write, and repairs that
/// satisfy it.
module StorageDaemon.Tests.Differential.OnlineChecks

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient
open StorageDaemon.Tests.Differential.Qcow2Checks

/// A daemon with a monitor and an NBD server.
type private Stage(arguments: string list) =
    let directory = new TempDir.TempDir()
    let mutable child = null
    let mutable qmp: QmpClient = Unchecked.defaultof<QmpClient>
    let mutable jobs = 0

    member _.Directory = directory
    member _.Qmp = qmp

    member _.Img(arguments: string) =
        ChildProcess.runOk directory.Path (Requires.tool "qemu-img") (List.ofArray (arguments.Split ' '))
        |> ignore

    member _.Io(image: string, commands: string list) =
        ChildProcess.runOk
            directory.Path
            (Requires.tool "qemu-io")
            ([ "-f"; "qcow2"; image ]
             @ (commands |> List.collect (fun command -> [ "-c"; command ])))
        |> ignore

    /// Once the images are there.
    member _.Start() =
        child <-
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (Daemon.monitor "q.sock" @ Daemon.nbdServer "n.sock" @ arguments)

        qmp <- QmpClient.Negotiated(directory.File "q.sock")

    member _.Stop() =
        Expect.equal (Daemon.stop child) 0 "exit code"

    /// The reply to a command.
    member _.Ask(command: string, arguments: string) : JsonElement =
        qmp.Request $"{{\"execute\": \"{command}\", \"arguments\": {arguments}}}"
        |> snd
        |> parse

    member this.Refused(command: string, arguments: string) : string =
        match tryMember "error" (this.Ask(command, arguments)) with
        | Some error -> error.GetProperty("desc").GetString()
        | None -> failtest $"{command} {arguments} was not refused"

    /// Begins a check; its job.
    member this.Begin(node: string, fix: string) : string =
        jobs <- jobs + 1
        let id = $"c{jobs}"

        qmp.Execute("x-block-check", $"""{{"job-id": "{id}", "node-name": "{node}", "fix": "{fix}"}}""")
        |> ignore

        id

    member _.Job(id: string) : JsonElement =
        (qmp.Execute "query-jobs").EnumerateArray()
        |> Seq.find (fun job -> job.GetProperty("id").GetString() = id)

    /// The job once it is over; it is dismissed.
    member this.Concluded(id: string) : JsonElement =
        Wait.orFail Wait.defaultTimeout "the check's end" (fun () ->
            this.Job(id).GetProperty("status").GetString() = "concluded")

        let job = this.Job id
        qmp.Execute("job-dismiss", $"""{{"id": "{id}"}}""") |> ignore
        job

    /// A whole check.
    member this.Check(node: string, fix: string) : JsonElement = this.Concluded(this.Begin(node, fix))

    interface IDisposable with
        member _.Dispose() =
            if not (isNull (box qmp)) then
                (qmp :> IDisposable).Dispose()

            if not (isNull child) then
                (child :> IDisposable).Dispose()

            (directory :> IDisposable).Dispose()

let private found (job: JsonElement) : JsonElement =
    match tryMember "x-block-check" job with
    | Some result -> result
    | None -> failtest $"there is no verdict: {job}"

let private number (name: string) (job: JsonElement) : int64 =
    (found job).GetProperty(name).GetInt64()

let private errorOf (job: JsonElement) : string =
    match tryMember "error" job with
    | Some error -> error.GetString()
    | None -> ""

/// Writable and read-only nodes of damaged images, as far as they can be opened.
let private damages (rounds: int) (seed: int) (recipe: Recipe) () =
    use stage = new Stage([])
    let original = make stage.Directory recipe
    let places = targets original
    let random = Random seed
    stage.Start()

    for round in 1..rounds do
        let image = damaged random places original
        let name = $"i{round}.qcow2"
        File.WriteAllBytes(stage.Directory.File name, image)
        let readOnly = round % 2 = 0
        let context = $"seed {seed}, round {round}, {describe original image}"

        let added =
            stage.Ask(
                "blockdev-add",
                $"""{{"driver": "qcow2", "node-name": "n{round}", "read-only": {(string readOnly).ToLower()}, "file": {{"driver": "file", "filename": "{name}"}}}}"""
            )

        if (tryMember "return" added).IsSome then
            let job = stage.Check($"n{round}", "none")
            let real, text = verdictWith [ "-U" ] stage.Directory name

            if not (text.Contains "'data-file' is required") then
                match tryMember "x-block-check" job with
                | Some result -> Expect.equal (countsIn result) real $"same verdict: {context}\n{result}\n{text}"
                | None -> Expect.equal NoVerdict real $"no verdict: {context}\n{job}\n{text}"

            // Where one thing got on top of another, a repair changes what the next check sees.
            if not readOnly && isPlain image then
                let job = stage.Check($"n{round}", "all")
                Expect.equal (errorOf job) "" $"repaired: {context}"
                let real, text = verdictWith [ "-U" ] stage.Directory name

                // No repair takes reserved bits away, as they do no harm.
                if not (text.Contains "reserved bits") then
                    for field in [ "corruptions"; "leaks"; "check-errors" ] do
                        Expect.equal (count field real) 0L $"{field}: {context}\n{job}\n{text}"
                        Expect.equal (number field job) 0L $"{field} told: {context}\n{job}"

            stage.Qmp.Execute("blockdev-del", $"""{{"node-name": "n{round}"}}""") |> ignore

    stage.Stop()

let private exported (more: string) = [
    "--blockdev"
    "qcow2,node-name=q,discard=unmap,file.driver=file,file.filename=i.qcow2" + more
    "--export"
    "nbd,id=e,node-name=q,name=q,writable=on"
]

/// A client with up to 16 requests in flight, and what its disk has to read as. Requests that meet are not sent.
type private Writer(stage: Stage, bytes: int, seed: int) =
    let unit = 4096
    let client = NbdClient.Connect(stage.Directory.File "n.sock")
    let random = Random seed
    let model: byte[] = Array.zeroCreate bytes
    let busy = HashSet<int>()
    let flying = Dictionary<uint64, int[]>()

    do client.Go(Simple, "q") |> ignore

    member _.Model = model

    member _.Receive() =
        let chunk = client.ReadChunk 0
        Expect.equal chunk.Error 0u "no request fails"
        let units = flying[chunk.Cookie]
        flying.Remove chunk.Cookie |> ignore
        busy.ExceptWith units

    /// Sends one request once there are fewer than 16 in flight.
    member this.Send() =
        while flying.Count >= 16 do
            this.Receive()

        let count = 1 + random.Next(if random.Next 8 = 0 then 256 else 8)
        let first = random.Next(bytes / unit - count)
        let units = [| first .. first + count - 1 |]

        if random.Next 20 = 0 then
            flying.Add(client.SendRequest(Cmd.FLUSH, 0us, 0UL, 0UL, [||]), [||])
        elif not (busy.Overlaps units) then
            busy.UnionWith units
            let offset, length = first * unit, count * unit

            let cookie =
                match random.Next 4 with
                | 0 ->
                    Array.Clear(model, offset, length)
                    client.SendRequest(Cmd.WRITE_ZEROES, 0us, uint64 offset, uint64 length, [||])
                | _ ->
                    let data: byte[] = Array.create length (byte (1 + random.Next 255))
                    data.CopyTo(model, offset)
                    client.SendRequest(Cmd.WRITE, 0us, uint64 offset, uint64 length, data)

            flying.Add(cookie, units)

    member this.Finish() =
        while flying.Count > 0 do
            this.Receive()

    member _.ExpectContent() =
        for offset in 0..0x100000 .. bytes - 1 do
            let read = client.Read(uint64 offset, 0x100000)
            Expect.isTrue (read.AsSpan().SequenceEqual(model.AsSpan(offset, 0x100000))) $"the data at {offset}"

    interface IDisposable with
        member _.Dispose() = (client :> IDisposable).Dispose()

/// After the daemon's end: the real tools are content.
let private expectClean (stage: Stage) (writer: Writer) =
    stage.Stop()
    File.WriteAllBytes(stage.Directory.File "model.raw", writer.Model)
    stage.Img "check -q i.qcow2"
    stage.Img "compare -q -f qcow2 -F raw i.qcow2 model.raw"

let private underLoad (options: string) =
    testCase $"nothing is found while a client writes, {options}" (fun () ->
        use stage = new Stage(exported "")
        stage.Img $"create -q -f qcow2 -o {options} i.qcow2 64M"
        stage.Start()
        use writer = new Writer(stage, 64 <<< 20, 1)
        let seconds = if Binaries.isLongRun then 60.0 else 4.0
        let clock = Diagnostics.Stopwatch.StartNew()
        let mutable checks = 0

        while clock.Elapsed.TotalSeconds < seconds || checks < 3 do
            let id = stage.Begin("q", (if checks % 2 = 0 then "none" else "all"))

            while stage.Job(id).GetProperty("status").GetString() <> "concluded" do
                for _ in 1..50 do
                    writer.Send()

            let job = stage.Concluded id
            checks <- checks + 1
            Expect.equal (errorOf job) "" "no error"

            for field in [ "corruptions"; "leaks"; "check-errors"; "leaks-fixed"; "corruptions-fixed" ] do
                Expect.equal (number field job) 0L $"{field}: {job}"

            for _ in 1..200 do
                writer.Send()

        writer.Finish()
        writer.ExpectContent()
        expectClean stage writer)

/// Gives clusters of the file other refcounts, in images with 16-bit refcounts and one block of them.
let private setRefcounts (file: string) (clusters: (int * uint16) list) =
    use stream = File.Open(file, FileMode.Open)

    let read (offset: int64) =
        let bytes: byte[] = Array.zeroCreate 8
        stream.Position <- offset
        stream.ReadExactly bytes
        Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(ReadOnlySpan bytes)

    let block = int64 (read (int64 (read 48L)))

    for cluster, refcount in clusters do
        stream.Position <- block + 2L * int64 cluster
        stream.Write(ReadOnlySpan [| byte (refcount >>> 8); byte refcount |])

let private repairs (fix: string) =
    testCase $"a client goes on over a repair of {fix}" (fun () ->
        use stage = new Stage(exported "")
        stage.Img "create -q -f qcow2 -o cluster_size=64k i.qcow2 64M"
        stage.Io("i.qcow2", [ "write -P 7 0 8M" ])
        // Clusters that nothing refers to, far behind the file's end and within it, and, for a repair of all, one too few.
        setRefcounts (stage.Directory.File "i.qcow2") [
            40, 3us
            if fix = "all" then
                41, 0us
                42, 0us
        ]

        stage.Start()
        use writer = new Writer(stage, 64 <<< 20, 2)
        Array.fill writer.Model 0 (8 <<< 20) 7uy
        writer.ExpectContent()
        let before = stage.Check("q", "none")
        Expect.equal (number "leaks" before) 1L "the leak"
        // One flag is wrong for the leak, two for the others.
        Expect.isGreaterThan (number "corruptions" before) 0L "the damage"
        Expect.isGreaterThan ((found before).GetProperty("findings").GetArrayLength()) 1 "what it was"

        if fix = "all" then
            // Nothing was written that could have taken the clusters.
            let id = stage.Begin("q", fix)
            let job = stage.Concluded id
            Expect.equal (errorOf job) "" "repaired"
            Expect.equal (number "leaks-fixed" job) 1L "leaks"
            Expect.isGreaterThan (number "corruptions-fixed" job) 0L "corruptions"
        else
            let id = stage.Begin("q", fix)

            while stage.Job(id).GetProperty("status").GetString() <> "concluded" do
                writer.Send()

            let job = stage.Concluded id
            Expect.equal (errorOf job) "" "repaired"
            Expect.equal (number "leaks-fixed" job) 1L "leaks"

        for _ in 1..300 do
            writer.Send()

        writer.Finish()
        let after = stage.Check("q", "none")
        Expect.equal (number "leaks" after) 0L "no leak is left"
        Expect.equal (number "corruptions" after) 0L "no damage is left"
        writer.ExpectContent()
        expectClean stage writer)

/// An image whose file is read slowly.
let private slow (stage: Stage) =
    stage.Img "create -q -f qcow2 -o cluster_size=4k i.qcow2 256M"
    stage.Io("i.qcow2", [ for i in 0..63 -> $"write -P 1 {i * 4}M 4k" ])

let private slowly = [
    "--object"
    "throttle-group,id=g,x-iops-read=40"
    "--blockdev"
    "qcow2,node-name=q,file.driver=throttle,file.node-name=t,file.throttle-group=g,file.file.driver=file,file.file.filename=i.qcow2"
]

let private lifeOfTheJob =
    testCase "progress, cancelling, and what must not happen meanwhile" (fun () ->
        use stage = new Stage(slowly)
        slow stage
        stage.Start()
        let id = stage.Begin("q", "none")
        let progress () =
            let job = stage.Job id
            job.GetProperty("current-progress").GetInt64(), job.GetProperty("total-progress").GetInt64()

        let first, total = progress ()
        Expect.isGreaterThan total 64L "what there is to do"
        Expect.isLessThan first total "it is under way"

        Expect.stringContains
            (stage.Refused("x-block-check", """{"job-id": "z", "node-name": "q"}"""))
            "is being checked by job"
            "one at a time"

        Expect.stringContains
            (stage.Refused("block_resize", """{"node-name": "q", "size": 1073741824}"""))
            $"block job '{id}'"
            "it keeps its length"

        Expect.stringContains (stage.Refused("blockdev-del", """{"node-name": "q"}""")) "in use" "it stays"
        stage.Qmp.Execute("job-cancel", $"""{{"id": "{id}"}}""") |> ignore
        let job = stage.Concluded id
        Expect.equal (errorOf job) "Operation canceled" "cancelled"
        Expect.isNone (tryMember "x-block-check" job) "no verdict"

        // Read anew meanwhile: what it has seen of the image proves nothing.
        let id = stage.Begin("q", "none")

        stage.Qmp.Execute(
            "blockdev-reopen",
            """{"options": [{"driver": "qcow2", "node-name": "q", "file": "t", "discard": "unmap"}]}"""
        )
        |> ignore

        Expect.equal (stage.Job(id).GetProperty("status").GetString()) "running" "the change has not waited for it"

        stage.Qmp.Execute("qom-set", """{"path": "/objects/g", "property": "limits", "value": {"iops-read": 0}}""")
        |> ignore

        let job = stage.Concluded id
        Expect.stringContains (errorOf job) "was changed as a whole" "no verdict"
        let job = stage.Check("q", "none")
        Expect.equal (errorOf job) "" "again"

        Expect.equal
            (job.GetProperty("current-progress").GetInt64())
            (job.GetProperty("total-progress").GetInt64())
            "all is done"

        // The daemon ends whether or not a check does.
        stage.Begin("q", "none") |> ignore
        stage.Stop()
        stage.Img "check -q i.qcow2")

let private revival =
    testCase "an image that has met fatal damage is repaired, and serves again" (fun () ->
        use stage = new Stage(exported "")
        stage.Img "create -q -f qcow2 -o cluster_size=64k i.qcow2 64M"
        stage.Io("i.qcow2", [ "write -P 7 0 1M" ])
        let file = stage.Directory.File "i.qcow2"
        let image = File.ReadAllBytes file
        let word (at: int64) =
            Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(ReadOnlySpan(image, int at, 8))
        let l2 = int64 (word (int64 (word 40L)) &&& 0x00fffffffffffe00UL)
        // The third guest cluster is said to lie on the L1 table.
        Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(
            Span(image, int l2 + 16, 8),
            word 40L ||| 0x8000000000000000UL
        )
        File.WriteAllBytes(file, image)
        stage.Start()
        use client = NbdClient.Connect(stage.Directory.File "n.sock")
        client.Go(Simple, "q") |> ignore
        Expect.notEqual (client.Write(0us, 131072UL, Array.create 4096 1uy)) 0u "it would destroy the L1 table"
        Expect.notEqual (client.Write(0us, 0UL, Array.create 4096 1uy)) 0u "nothing is written any more"
        let before = stage.Check("q", "none")
        Expect.isGreaterThan (number "corruptions" before) 0L "the damage"
        let job = stage.Check("q", "all")
        Expect.equal (errorOf job) "" "repaired"
        Expect.equal (number "corruptions" job) 0L "nothing is left"
        Expect.equal (client.Write(0us, 131072UL, Array.create 65536 1uy)) 0u "it is written to again"
        Expect.equal (client.Read(131072UL, 65536)) (Array.create 65536 1uy) "that is there"
        Expect.equal (client.Read(0UL, 131072)) (Array.create 131072 7uy) "and what was there before"
        stage.Stop()
        stage.Img "check -q i.qcow2")

let private refusals =
    testCase "what cannot be checked, and jobs that go by themselves" (fun () ->
        use stage =
            new Stage(
                [
                    "--blockdev"
                    "qcow2,node-name=q,read-only=on,file.driver=file,file.filename=i.qcow2"
                    "--blockdev"
                    "null-co,node-name=n"
                ]
            )

        stage.Img "create -q -f qcow2 i.qcow2 1M"
        stage.Start()

        let refused (arguments: string) =
            stage.Refused("x-block-check", $"""{{"job-id": "c", {arguments}}}""")

        Expect.equal (refused "\"node-name\": \"x\"") "Cannot find device='x' nor node-name='x'" "no such node"
        Expect.equal (refused "\"node-name\": \"n\"") "This image format does not support checks" "no image"
        Expect.equal (refused "\"node-name\": \"q\", \"fix\": \"all\"") "Block node is read-only" "read-only"

        Expect.equal
            (refused "\"node-name\": \"q\", \"fix\": \"some\"")
            "Parameter 'fix' does not accept value 'some'"
            "another repair"

        Expect.equal (errorOf (stage.Check("q", "none"))) "" "a check alone"

        stage.Qmp.Execute("x-block-check", """{"job-id": "d", "node-name": "q", "auto-dismiss": true}""")
        |> ignore

        Wait.orFail Wait.defaultTimeout "the job's end" (fun () ->
            (stage.Qmp.Execute "query-jobs").GetArrayLength() = 0)

        stage.Qmp.Execute("x-block-check", """{"job-id": "f", "node-name": "q", "auto-finalize": false}""")
        |> ignore

        Wait.orFail Wait.defaultTimeout "the job's end" (fun () ->
            stage.Job("f").GetProperty("status").GetString() = "pending")

        Expect.equal (number "corruptions" (stage.Job "f")) 0L "it can be read already"
        stage.Qmp.Execute("job-finalize", """{"id": "f"}""") |> ignore
        stage.Concluded "f" |> ignore
        stage.Stop())

[<Tests>]
let tests =
    let rounds = if Binaries.isLongRun then 100 else 10
    let seed = Environment.TickCount

    testSequenced (
        testList "online checks" [
            for recipe in recipes do
                testCase $"{recipe.Title}, seed {seed}" (damages rounds seed recipe)

            for options in
                [
                    "cluster_size=64k"
                    "cluster_size=4k,refcount_bits=64"
                    "cluster_size=16k,extended_l2=on"
                    "compat=0.10"
                ] do
                underLoad options

            repairs "leaks"
            repairs "all"
            lifeOfTheJob
            revival
            refusals
        ]
    )
