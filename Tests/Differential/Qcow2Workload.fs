/// One random list of operations on images with the same options, through this daemon and through the real one. What
/// their guests see must be the same all the way, ours must be clean, and each daemon must be able to go on with the
/// other's image, even with one that was left in the middle.
///
/// A case is drawn from the seed and the number of its combination: `SEED` runs it again, `LONG=1` runs all combinations.
/// One operation at a time: the real daemon damages images when a write and a discard of one cluster meet.
module StorageDaemon.Tests.Differential.Qcow2Workload

open System
open System.Collections.Generic
open System.IO
open Expecto
open StorageDaemon.Tests.Crash
open StorageDaemon.Tests.Differential.Qcow2Combinations
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient
open StorageDaemon.Tests.Harness.TempDir

/// A request of the guest.
[<NoComparison>]
type private Request = {
    Command: uint16
    Flags: uint16
    Offset: int64
    Length: int
    /// Of what is written; the seed of its bytes, or none of them for zeroes.
    Pattern: int
}

/// What happens to the image between requests, by the monitor or by the real tool while nobody has it open.
type private Change =
    | Resize of bytes: int64
    /// `blockdev-snapshot-sync` into a new image, or into one with the options of the combination.
    | Overlay of isOurs: bool
    | TakeInternal
    | DeleteInternal
    | Restart

/// One of the daemons, with images in a directory of its own.
type private Side(name: string, binary: string, directory: string) =
    let mutable child: ChildProcess.Child = Unchecked.defaultof<_>
    let mutable qmp: QmpClient = Unchecked.defaultof<_>
    let mutable client: NbdClient = Unchecked.defaultof<_>

    let close () =
        (client :> IDisposable).Dispose()
        (qmp :> IDisposable).Dispose()

    member _.Name = name
    member _.Directory = directory

    member _.Export(node: string, isWritable: bool) : unit =
        let writable = if isWritable then "true" else "false"

        qmp.Execute(
            "block-export-add",
            $"""{{"type": "nbd", "id": "e", "node-name": "{node}", "name": "q", "writable": {writable}}}"""
        )
        |> ignore

        client <- NbdClient.Connect(Path.Combine(directory, "n.sock"))
        client.Go(Structured, "q") |> ignore

    /// Opens an image by its path, as the node `top`, and exports it.
    member this.Open(image: string, options: string, isWritable: bool) : unit =
        for socket in [ "n.sock"; "q.sock" ] do
            File.Delete(Path.Combine(directory, socket))

        child <-
            Daemon.start
                binary
                directory
                ([
                    "--blockdev"
                    $"driver=qcow2,node-name=top,file.driver=file,file.filename={image}{options}"
                 ]
                 @ Daemon.monitor "q.sock"
                 @ Daemon.nbdServer "n.sock")

        qmp <- QmpClient.Negotiated(Path.Combine(directory, "q.sock"))
        this.Export("top", isWritable)

    /// The reply to a command.
    member _.Ask(command: string) : string =
        try
            snd (qmp.Request command)
        with error ->
            failtest $"{name}: {error.Message}; exited: {child.HasExited}; {child.Error}"

    member _.Withdraw() : unit =
        client.Disconnect()
        (client :> IDisposable).Dispose()
        let events, reply =
            qmp.Request """{"execute": "block-export-del", "arguments": {"id": "e", "mode": "hard"}}"""
        Expect.equal reply """{"return": {}}""" "the export is withdrawn"

        if not (events |> List.exists _.Contains("BLOCK_EXPORT_DELETED")) then
            qmp.Await "BLOCK_EXPORT_DELETED" |> ignore

    /// The error of a request, and the bytes that were read.
    member _.Run(request: Request) : struct (uint32 * byte[]) =
        let offset, length = uint64 request.Offset, uint64 request.Length

        if request.Command = Cmd.READ then
            struct (0u, client.Read(offset, request.Length))
        elif request.Command = Cmd.WRITE then
            let data = Array.zeroCreate<byte> request.Length

            if request.Pattern <> 0 then
                Random(request.Pattern).NextBytes data

            struct (client.Write(request.Flags, offset, data), [||])
        else
            struct (client.Errno(request.Command, request.Flags, offset, length), [||])

    member _.ReadAll(bytes: int64) : byte[] =
        [|
            for offset in 0L .. 4194304L .. bytes - 1L do
                client.Read(uint64 offset, int (min 4194304L (bytes - offset)))
        |]
        |> Array.concat

    member _.Stop() : unit =
        close ()
        Expect.equal (Daemon.stop child) 0 $"{name}: exit code; {child.Error}"

    member _.Kill() : unit =
        child.Signal Native.SIGKILL
        child.WaitExit Wait.defaultTimeout |> ignore
        close ()

    interface IDisposable with
        member _.Dispose() =
            if not (isNull (box child)) then
                (child :> IDisposable).Dispose()

/// How a node is opened; the same on both sides.
let private openOptions (random: Random) (combination: Combination) (isLazy: bool) : string =
    let coin () = random.Next 2 = 0
    let mutable options = ""
    let add (text: string) = options <- options + "," + text
    let unmap = random.Next 4 <> 0

    if unmap then
        add "discard=unmap,file.discard=unmap"

    if random.Next 4 = 0 then
        add (
            if unmap && coin () then
                "detect-zeroes=unmap"
            else
                "detect-zeroes=on"
        )

    if combination.Version = 3 && isLazy then
        add "lazy-refcounts=on"

    if combination.Version = 3 && random.Next 4 = 0 then
        add "discard-no-unref=on"

    if random.Next 3 = 0 then
        add $"l2-cache-size={4 * combination.ClusterBytes}"

    options

let private requestOf (random: Random) (combination: Combination) (sizeBytes: int64) : Request =
    // Whole clusters, sectors, or anything; mostly short, and often in the same places.
    let align =
        match random.Next 8 with
        | 0 -> 1
        | 1
        | 2
        | 3 -> combination.ClusterBytes
        | _ -> 512

    let spread =
        if random.Next 3 = 0 then
            sizeBytes
        else
            min sizeBytes (8L * int64 combination.ClusterBytes)

    let offset = random.NextInt64(max 1L (spread / int64 align)) * int64 align
    let longest = min (sizeBytes - offset) 4194304L

    let length =
        match random.Next 8 with
        | 0 -> 1L + random.NextInt64 longest
        | _ -> min longest (int64 align * int64 (1 + random.Next 12)) |> max 1L

    let fua = if random.Next 8 = 0 then Flag.FUA else 0us

    let command, flags =
        match random.Next 16 with
        | 0
        | 1 -> Cmd.READ, 0us
        | 2
        | 3 -> Cmd.WRITE_ZEROES, fua
        | 4
        | 5 -> Cmd.WRITE_ZEROES, fua ||| Flag.NO_HOLE
        | 6
        | 7
        | 8 -> Cmd.TRIM, fua
        | 9 -> Cmd.FLUSH, 0us
        | _ -> Cmd.WRITE, fua

    {
        Command = command
        Flags = flags
        Offset = if command = Cmd.FLUSH then 0L else offset
        Length = if command = Cmd.FLUSH then 0 else int length
        Pattern = if random.Next 8 = 0 then 0 else 1 + random.Next 1_000_000
    }

let private flush = {
    Command = Cmd.FLUSH
    Flags = 0us
    Offset = 0L
    Length = 0
    Pattern = 0
}

/// The same to both: what they said must be the same.
let private both (sides: Side list) (where: string) (ask: Side -> 'T) : 'T =
    match sides |> List.map ask with
    | [ ours; real ] ->
        if ours <> real then
            failtest $"{where}: ours {ours}, real {real}"

        ours
    | _ -> failwith "two sides"

let private qemuImg (directory: string) (arguments: string list) : ChildProcess.ToolResult =
    ChildProcess.run directory (Requires.tool "qemu-img") arguments

/// The offset of the first byte outside the excepted ranges that is not the same.
let private firstDifference (excepted: List<struct (int64 * int)>) (left: byte[]) (right: byte[]) : int =
    let left, right = Array.copy left, Array.copy right

    for struct (offset, length) in excepted do
        left.AsSpan(int offset, length).Clear()
        right.AsSpan(int offset, length).Clear()

    if left.Length <> right.Length then
        min left.Length right.Length
    else
        let same = left.AsSpan().CommonPrefixLength(ReadOnlySpan right)
        if same = left.Length then -1 else same

/// A case from begin to end; `index` is the combination's. What happens is written into the log.
let private run (log: List<string>) (seed: int) (index: int) (combination: Combination) : unit =
    let realBinary = Requires.realDaemon ()
    let random = Random(seed * 1000 + index)
    use directory = new TempDir()

    let makeSide (name: string) (binary: string) =
        new Side(name, binary, Directory.CreateDirectory(directory.File name).FullName)

    use ours = makeSide "ours" Binaries.daemon.Value
    use real = makeSide "real" realBinary
    let sides = [ ours; real ]
    let mutable size = diskBytes random combination
    let mutable top = "a.qcow2"
    let mutable node = "top"
    let mutable layers = 0
    let mutable snapshots = 0
    let mutable isLazy = false
    let content = random.Next()
    log.Add $"{size} bytes"

    for side in sides do
        createStanding side.Directory content combination top size

    let perform (request: Request) =
        log.Add
            $"command {request.Command}, flags {request.Flags}, {request.Offset} + {request.Length}, pattern {request.Pattern}"
        let answers = sides |> List.map (fun side -> side.Run request)

        match answers with
        | [ struct (error, data); struct (realError, realData) ] ->
            if error <> realError then
                failtest $"error {error}, real {realError}"

            match firstDifference (List()) data realData with
            | -1 -> ()
            | at -> failtest $"another byte is read at + {at}: {data[at]}, real {realData[at]}"
        | _ -> failwith "two sides"

    let openTop () =
        isLazy <- random.Next 2 = 0
        let options = openOptions random combination isLazy
        log.Add $"{top} is opened{options}"

        for side in sides do
            side.Open(top, options, true)

        node <- "top"

    let tool (arguments: string list) =
        log.Add("qemu-img " + String.concat " " arguments)

        both sides "qemu-img" (fun side ->
            let answer = qemuImg side.Directory arguments
            struct (answer.ExitCode, answer.Output + answer.Error))
        |> fun struct (code, _) -> code = 0

    let ask (command: string) =
        log.Add command
        let reply = both sides "the reply" (fun side -> side.Ask command)
        log.Add reply
        reply.StartsWith "{\"return\""

    let restart (between: unit -> unit) =
        for side in sides do
            side.Stop()

        between ()
        openTop ()

    let change (what: Change) =
        match what with
        | Resize bytes ->
            // The real daemon shows what was in the rest of the last cluster when the disk becomes longer again.
            let clusterBytes = int64 (max 65536 combination.ClusterBytes)
            let rest = min size ((bytes + clusterBytes - 1L) / clusterBytes * clusterBytes) - bytes

            if rest > 0L then
                perform {
                    flush with
                        Command = Cmd.WRITE_ZEROES
                        Offset = bytes
                        Length = int rest
                }

            // Nobody but an export holds an overlay of the monitor's, and no disk changes its length under an export.
            if node <> "top" then
                restart ignore

            for side in sides do
                side.Withdraw()

            if ask $"""{{"execute": "block_resize", "arguments": {{"node-name": "{node}", "size": {bytes}}}}}""" then
                size <- bytes

            for side in sides do
                side.Export(node, true)
        | Overlay isOurs ->
            layers <- layers + 1
            let file = $"overlay{layers}.qcow2"

            if isOurs then
                for side in sides do
                    create side.Directory { combination with DataFile = InImage } file size [ "qcow2"; top ]

            let mode = if isOurs then "existing" else "absolute-paths"

            // The export goes on above the overlay.
            if
                ask
                    $"""{{"execute": "blockdev-snapshot-sync", "arguments": {{"node-name": "{node}", "snapshot-file": "{file}", "snapshot-node-name": "o{layers}", "mode": "{mode}"}}}}"""
            then
                top <- file
                node <- $"o{layers}"
                snapshots <- 0
        | TakeInternal ->
            restart (fun () ->
                if tool [ "snapshot"; "-c"; $"s{snapshots + 1}"; top ] then
                    snapshots <- snapshots + 1)
        | DeleteInternal ->
            restart (fun () ->
                if tool [ "snapshot"; "-d"; $"s{snapshots}"; top ] then
                    snapshots <- snapshots - 1)
        | Restart -> restart ignore

    let nextChange () =
        match random.Next 6 with
        | 0
        | 1 ->
            let bytes = 512L + 512L * random.NextInt64(size * 3L / 1024L)
            let isElsewhere = combination.DataFile <> InImage && layers = 0

            // The real daemon aborts when it clears a part of a cluster in a data file that nobody may write to, and
            // when it shortens a raw one.
            if isElsewhere && (bytes < size || size % int64 combination.ClusterBytes <> 0L) then
                Restart
            else
                Resize bytes
        | 2 -> Overlay(random.Next 2 = 0)
        // The real tool leaks a cluster when it fails for want of refcounts.
        | 3 when (combination.HasInternalSnapshots || layers > 0) && combination.RefcountBits > 1 -> TakeInternal
        | 4 when snapshots > 0 -> DeleteInternal
        | _ -> Restart

    let requests count =
        for _ in 1..count do
            perform (requestOf random combination size)

    openTop ()

    for _ in 0 .. random.Next 4 do
        requests (10 + random.Next 25)
        change (nextChange ())

    requests 20
    let excepted = List<struct (int64 * int)>()
    let isKilled = random.Next 2 = 0

    if isKilled then
        perform flush

        // What comes after it may be lost.
        for _ in 1 .. random.Next 6 do
            let request = requestOf random combination size
            perform request

            if request.Command <> Cmd.READ then
                excepted.Add(struct (request.Offset, request.Length))

        log.Add "killed"

        for side in sides do
            side.Kill()
    else
        for side in sides do
            side.Stop()

        let compared =
            qemuImg directory.Path [ "compare"; "-f"; "qcow2"; "-F"; "qcow2"; $"ours/{top}"; $"real/{top}" ]

        if compared.ExitCode <> 0 then
            failtest (compared.Output + compared.Error)

        let check = qemuImg ours.Directory [ "check"; "-f"; "qcow2"; top ]

        if check.ExitCode <> 0 then
            failtest (check.Output + check.Error)

    // Each goes on with the other's image; for a dirty one that is a repair.
    let swapped = [
        new Side("ours, on the real one's image", Binaries.daemon.Value, real.Directory)
        new Side("real, on our image", realBinary, ours.Directory)
    ]

    let contents =
        swapped
        |> List.map (fun side ->
            use side = side
            side.Open(top, "", isKilled)
            let bytes = side.ReadAll size
            side.Stop()
            bytes)

    match firstDifference excepted contents[0] contents[1] with
    | -1 -> ()
    | at -> failtest $"the images differ at {at}, killed: {isKilled}"

    if combination.DataFile = RawDataFile && layers = 0 then
        match
            sides
            |> List.map (fun side -> File.ReadAllBytes(Path.Combine(side.Directory, top + ".data")))
        with
        | [ data; realData ] ->
            let length = int size

            // It may be longer, by a part of a cluster, as the real one's is.
            if
                data.Length < length
                || firstDifference excepted (Array.sub data 0 length) contents[1] >= 0
            then
                failtest
                    $"the raw data file is something else; {data.Length} bytes, real {realData.Length}, disk {size}"
        | _ -> failwith "two sides"

    // Whoever is killed may leave clusters that nobody uses.
    let check = qemuImg ours.Directory [ "check"; "-f"; "qcow2"; top ]

    if check.ExitCode <> 0 && not (isKilled && check.ExitCode = 3) then
        failtest ("after a repair: " + check.Output + check.Error)

[<Tests>]
let tests =
    let seed = Qcow2CrashTests.firstSeed () % 1_000_000
    let cases = List.indexed all

    let chosen =
        if Binaries.isLongRun then
            cases
        else
            let random = Random seed

            List.init 8 (fun _ -> cases[random.Next cases.Length]) |> List.distinctBy fst

    testSequenced
    <| testList "Differential.Qcow2Workload" [
        for index, combination in chosen do
            testCase $"{combination.Title}, SEED={seed}" (fun () ->
                let log = List<string>()

                try
                    run log seed index combination
                with
                | :? IgnoreException -> reraise ()
                | error ->
                    let last = log.GetRange(max 0 (log.Count - 100), min 100 log.Count)
                    let steps = String.Join("\n  ", last)
                    failtest $"{error.Message}\nafter\n  {steps}")
    ]
