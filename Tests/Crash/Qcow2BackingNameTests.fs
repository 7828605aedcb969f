/// Another backing file name in a header: whatever a crash leaves of the writes, it is the old one or the new one.
module StorageDaemon.Tests.Crash.Qcow2BackingNameTests

open System
open System.Text
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Qcow2
open StorageDaemon.Shell.Codecs
open StorageDaemon.Tests.Crash.Qcow2Shapes
open StorageDaemon.Tests.Crash.SimulatedDisk
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.LayerRunner

let private bytesOf (text: string) = Encoding.ASCII.GetBytes text

let private shapeOf (clusterBits: int) (version: int) : Shape = {
    ClusterBits = clusterBits
    RefcountOrder = 4
    Version = version
    ExtendedL2 = false
    SizeBytes = 65536L
    BackingBytes = 0
    Discards = noDiscards
}

let private decoded (file: byte[]) (clusterBits: int) : Result<Header, string> =
    Header.decode { Writable = true; Check = true } (Array.sub file 0 (1 <<< clusterBits))
    |> Result.mapError _.Desc

/// An image with such a header.
let private imageWith (shape: Shape) (extensions: HeaderExtension list) (name: byte[] option) : byte[] option =
    let file = newImage shape

    match decoded file shape.ClusterBits with
    | Error text -> failtest text
    | Ok header ->
        match Header.encode { header with Extensions = extensions; BackingFile = name } with
        | Ok cluster ->
            Array.blit cluster 0 file 0 cluster.Length
            Some file
        | Error _ -> None

/// Writes of whole or torn sectors, on top of what is durable.
let private crash (random: Random) (durable: byte[]) (pending: (int64 * byte[]) list) : byte[] =
    let disk = SimulatedDisk(durable, (fun _ -> 0))

    for offset, data in pending do
        disk.Unflushed.Add { Offset = int offset; Data = data }

    disk.Crash random

/// All crashes that a number of seeds finds, between any two steps.
let private crashes (random: Random) (file: byte[]) (steps: ScriptRunner.Step list) (check: byte[] -> unit) =
    let mutable durable = file
    let mutable pending = []

    for step in steps do
        match step with
        | ScriptRunner.Wrote(offset, data) -> pending <- pending @ [ offset, data ]
        | ScriptRunner.Flushed ->
            durable <-
                pending
                |> List.fold (fun file (offset, data) -> ScriptRunner.apply file offset data) durable
            pending <- []

        for _ in 1..8 do
            check (crash random durable pending)

let private names (random: Random) =
    String('n', random.Next 5 * random.Next 200 + random.Next 16) |> bytesOf

let private change (seed: int) =
    let random = Random seed
    let where what = what + ", seed " + string seed
    let bits = 9 + random.Next 8
    let version = 2 + random.Next 2

    let extensions = [
        if random.Next 3 > 0 then
            BackingFormat(bytesOf (List.item (random.Next 3) [ "raw"; "qcow2"; "parallels" ]))
        if random.Next 2 = 0 then
            FeatureNameTable(FeatureNames.encode FeatureNames.known)
        if random.Next 4 = 0 then
            UnknownExtension(77u, Array.create (random.Next 40) 9uy)
    ]

    let name =
        match names random with
        | [||] -> None
        | name -> Some name

    match imageWith (shapeOf bits version) extensions name with
    // The cluster has no room for such a header.
    | None -> false
    | Some file ->
        let mutable file = file
        let mutable hasChanged = false

        for _ in 1..6 do
            let before = Expect.wantOk (decoded file bits) (where "the header")
            let image =
                openWith noDiscards (MemoryChild(Array.copy file, (fun _ -> 0))) [||] 0 65536L (new DeflateClusters())
            let wanted = names random
            let result, after, steps = ScriptRunner.run file (Idle.nameBacking image wanted (bytesOf "qcow2"))
            let found = Expect.wantOk (decoded after bits) (where "the header afterwards")

            match result with
            | Error errno ->
                Expect.equal errno Errno.ENOSPC (where "no room")
                Expect.equal found before (where "nothing has changed")
                Expect.equal image.Header.BackingFile before.BackingFile (where "nor in memory")
                // A cluster with room for both names is always enough where the format stays.
                let room = Extension.encodedBytes before.Extensions + 112L + 2100L
                Expect.isFalse
                    (int64 (1 <<< bits) > room && Header.backingFormat before = ValueSome "qcow2")
                    (where "room")
            | Ok() ->
                hasChanged <- true
                Expect.equal found.BackingFile (if wanted.Length = 0 then None else Some wanted) (where "the name")

                if wanted.Length > 0 then
                    Expect.equal (Header.backingFormat found) (ValueSome "qcow2") (where "the format")

                Expect.equal
                    { found with BackingFile = None; Extensions = [] }
                    { before with BackingFile = None; Extensions = [] }
                    (where "the rest")

                Expect.equal image.Header found (where "in memory")

            crashes random file steps (fun crashed ->
                let header = Expect.wantOk (decoded crashed bits) (where "the header after a crash")
                Expect.isTrue (header = before || header = found) (where "the old header or the new one"))

            file <- after

        hasChanged

[<Tests>]
let tests =
    testList "Crash.Qcow2BackingName" [
        testCase "the old name or the new one"
        <| fun () ->
            let first = Random.Shared.Next 1_000_000
            let changed = Seq.init 300 (fun i -> change (first + i)) |> Seq.filter id |> Seq.length
            Expect.isGreaterThan changed 100 "most images had room"

        testCase "a name is not too long, and has no zeroes"
        <| fun () ->
            let file = newImage (shapeOf 16 3)
            let image =
                openWith noDiscards (MemoryChild(Array.copy file, (fun _ -> 0))) [||] 0 65536L (new DeflateClusters())

            for name in [ Array.create 1024 110uy; [| 110uy; 0uy |] ] do
                let result, after, _ = ScriptRunner.run file (Idle.nameBacking image name (bytesOf "qcow2"))
                Expect.equal result (Error Errno.EINVAL) "refused"
                Expect.equal after file "nothing has changed"
    ]
