/// Slices of L2 tables that are known by one number: reads through them tell what reads of the tables tell.
module StorageDaemon.Tests.Crash.Qcow2LinearTests

open System
open System.Collections.Generic
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Crash.Qcow2Shapes
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.LayerRunner

let private clusterBytes = 1024

/// Eight tables of 128 clusters each.
let private shape: Shape = {
    ClusterBits = 10
    RefcountOrder = 4
    Version = 3
    ExtendedL2 = false
    SizeBytes = 1024L * int64 clusterBytes
    BackingBytes = 0
    Discards = noDiscards
}

let private extended = {
    shape with
        ClusterBits = 14
        ExtendedL2 = true
        SizeBytes = 2L * 1024L * 16384L
}

let private runnerOf (image: Image) (file: MemoryChild) = Runner(Qcow2Layer image, [ file ], 1)

let private run (runner: Runner) kind (offset: int64) (data: byte[]) : byte[] =
    let struct (error, back) =
        match runner.Run(kind, RequestFlags.None, offset, int64 data.Length, data, false) with
        | error, back -> struct (error, back)

    Expect.equal error 0 (string kind + " at " + string offset)
    back

/// The tables in memory are forgotten, what is known of them as numbers is not.
let private reload (image: Image) (runner: Runner) =
    for _ in 1..4 do
        run runner RequestKind.Flush 0L [||] |> ignore

    image.Slices.Clear()

let private tableReads (file: MemoryChild) (sliceBytes: int) =
    file.Requests
    |> Seq.filter (fun request -> request.Kind = RequestKind.Read && request.Length = int64 sliceBytes)
    |> Seq.length

/// What may come to a disk of 1024 clusters. Offsets and lengths in half clusters.
let private changes: Gen<(RequestKind * int * int) list> =
    gen {
        let! kind =
            Gen.elements [
                RequestKind.Write
                RequestKind.WriteZeroes
                RequestKind.Discard
                RequestKind.Read
                RequestKind.Flush
            ]
        let! from = Gen.choose (0, 2040)
        let! length = Gen.choose (1, 8)
        return kind, from, length
    }
    |> Gen.listOf

let private everything (shape: Shape) =
    let data = Array.zeroCreate<byte>(int shape.SizeBytes)
    Random(1).NextBytes data
    data

[<Tests>]
let tests =
    testList "Crash.Qcow2Linear" [
        for name, shape in [ "plain", shape; "subclusters", extended ] do
            testCase ("data in order are read without their tables, " + name)
            <| fun () ->
                let file = MemoryChild(newImage shape, fun _ -> 0)
                let image = openWith shape.Discards file [||] 0 4096L valueCodec
                let runner = runnerOf image file
                let data = everything shape
                run runner RequestKind.Write 0L data |> ignore
                reload image runner
                let zeroes = Array.zeroCreate<byte> data.Length
                Expect.equal (run runner RequestKind.Read 0L zeroes) data "first"
                let known =
                    Seq.init (int shape.SizeBytes >>> shape.ClusterBits) (fun cluster ->
                        image.LinearPlace(int64 cluster <<< shape.ClusterBits))
                    |> Seq.filter (fun place -> place >= 0L)
                    |> Seq.length
                Expect.isGreaterThan known 0 "known by numbers"
                image.Slices.Clear()
                let before = tableReads file image.SliceBytes
                let cluster = 1 <<< shape.ClusterBits

                for offset in 0L .. int64 cluster .. shape.SizeBytes - 1L do
                    if image.LinearPlace offset >= 0L then
                        let found = run runner RequestKind.Read offset (Array.zeroCreate cluster)
                        Expect.equal found (Array.sub data (int offset) cluster) ("at " + string offset)

                Expect.equal (tableReads file image.SliceBytes) before "tables read"

        testPropertyWithConfig
            { FsCheckConfig.defaultConfig with maxTest = 200 }
            "changes are seen, whatever is known of what was before"
            (Prop.forAll (Arb.fromGen changes) (fun changes ->
                let file = MemoryChild(newImage shape, fun _ -> 0)
                let image = openWith shape.Discards file [||] 0 4096L valueCodec
                let runner = runnerOf image file
                let model = everything shape
                run runner RequestKind.Write 0L model |> ignore
                reload image runner
                let half = clusterBytes / 2
                let random = Random 2

                for kind, from, length in changes do
                    let offset = from * half
                    let length = min (length * half) (model.Length - offset)
                    let data = Array.zeroCreate<byte> length

                    match kind with
                    | RequestKind.Write ->
                        random.NextBytes data
                        run runner kind (int64 offset) data |> ignore
                        data.CopyTo(model, offset)
                    | RequestKind.WriteZeroes ->
                        run runner kind (int64 offset) data |> ignore
                        Array.Clear(model, offset, length)
                    | RequestKind.Discard ->
                        run runner kind (int64 offset) data |> ignore
                        // Whole clusters read as zeroes afterwards; the rest is left.
                        let first = (offset + clusterBytes - 1) / clusterBytes * clusterBytes
                        let last = (offset + length) / clusterBytes * clusterBytes

                        if last > first then
                            Array.Clear(model, first, last - first)
                    | RequestKind.Flush -> reload image runner
                    | _ -> ()

                    Expect.equal
                        (run runner RequestKind.Read (int64 offset) (Array.zeroCreate length))
                        (Array.sub model offset length)
                        "what was touched"

                Expect.equal (run runner RequestKind.Read 0L (Array.zeroCreate model.Length)) model "the disk"))

        testProperty "a number is known if it was learned and not forgotten since; others may be forgotten"
        <| fun (steps: (bool * uint16 * int) list) ->
            let linear = LinearSlices()
            let model = Dictionary<int64, int64>()

            for learns, key, spread in steps do
                // Pages of other owners fall on the same place.
                let key = int64 key * 37L + int64 (abs (spread % 3)) * 262144L

                if learns then
                    linear.Learn(key, key * 512L)
                    model[key] <- key * 512L
                else
                    linear.Forget key
                    model.Remove key |> ignore

                let last = linear.Find key
                Expect.equal last (if learns then key * 512L else -1L) "the last one"

            for learns, key, _ in steps do
                for page in 0L .. 2L do
                    let key = int64 key * 37L + page * 262144L
                    let found = linear.Find key

                    match model.TryGetValue key with
                    | true, place -> Expect.isTrue (found = place || found = -1L) "learned"
                    | _ -> Expect.equal found -1L "unknown"
    ]
