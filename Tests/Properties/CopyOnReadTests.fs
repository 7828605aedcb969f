/// Copy-on-read and compress over images in memory that lack some of their sectors.
module StorageDaemon.Tests.Properties.CopyOnReadTests

open System
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Io
open StorageDaemon.Tests.Reference.LayerRunner

let private sector = 512
let private sectors = 61
let private grain = 4096

/// An image that has some of its sectors; the others are read from below it.
type private Overlay(content: byte[], has: bool[], fails: ChildRequest -> int) =
    inherit MemoryChild(content, fails)

    /// What the image's users have written.
    member val Wanted = Array.copy content

    member _.Has = has

    override this.Apply(request, buffer) =
        let changes = request.Kind = RequestKind.Write || request.Kind = RequestKind.WriteZeroes
        let first = int request.Offset / sector
        let last = int (request.Offset + request.Length - 1L) / sector

        if changes && request.Flags &&& RequestFlags.OnlyMissing <> RequestFlags.None then
            for i in first..last do
                if not has[i] then
                    let bytes =
                        if request.Kind = RequestKind.Write then
                            buffer.Slice(i * sector - int request.Offset, sector).ToArray()
                        else
                            Array.zeroCreate sector

                    Expect.equal bytes this.Content[i * sector .. (i + 1) * sector - 1] "a copy is what was there"
                    has[i] <- true
        else
            base.Apply(request, buffer)

            if changes then
                this.Content
                    .AsSpan(first * sector, (last - first + 1) * sector)
                    .CopyTo(this.Wanted.AsSpan(first * sector))

                for i in first..last do
                    has[i] <- true

    override _.Status(offset, length) =
        let first = int offset / sector
        let mutable behind = first

        while behind < has.Length && has[behind] = has[first] do
            behind <- behind + 1

        let status =
            if has[first] then
                BlockStatus.Allocated ||| BlockStatus.Data
            else
                BlockStatus.None

        struct (status, min length (int64 (behind * sector) - offset))

let private overlay (random: Random) fails =
    let content = Array.zeroCreate<byte>(sectors * sector)

    for i in 0 .. sectors - 1 do
        if random.Next 3 > 0 then
            random.NextBytes(content.AsSpan(i * sector, sector))

    Overlay(content, Array.init sectors (fun _ -> random.Next 2 = 0), fails)

let private range (random: Random) =
    let first = random.Next sectors
    let count = 1 + random.Next(sectors - first)
    struct (int64 (first * sector), int64 (count * sector))

let private layerOver (lengths: int list) =
    let layer = CopyOnReadLayer()
    layer.Ground <- CopyGround(int64 grain, lengths |> List.map int64 |> Array.ofList)
    layer

let private read (runner: Runner) kind (offset: int64) (length: int64) =
    runner.Run(kind, RequestFlags.None, offset, length, Array.create (int length) 0xeeuy, false)

let private forSeeds test =
    for _ in 1..200 do
        let seed = Random.Shared.Next()

        try
            test (Random seed) seed
        with error ->
            failtest ("seed " + string seed + ": " + error.Message)

[<Tests>]
let tests =
    testList "CopyOnRead" [
        for kind in [ RequestKind.Read; RequestKind.Prefetch ] do
            testCase ("what is asked for is in the image afterwards: " + string kind)
            <| fun () ->
                forSeeds (fun random seed ->
                    let child = overlay random (fun _ -> 0)
                    let runner = Runner(layerOver [ sectors * sector ], [ child ], seed)
                    let struct (offset, length) = range random
                    let error, data = read runner kind offset length
                    Expect.equal error 0 "no error"

                    if kind = RequestKind.Read then
                        Expect.equal data child.Content[int offset .. int (offset + length) - 1] "the data"

                    for i in int offset / sector .. int (offset + length - 1L) / sector do
                        Expect.isTrue child.Has[i] "it is there")

        testCase "whole grains are copied"
        <| fun () ->
            let child = Overlay(Array.create (sectors * sector) 7uy, Array.zeroCreate sectors, fun _ -> 0)
            let runner = Runner(layerOver [ sectors * sector ], [ child ], 1)
            read runner RequestKind.Read (int64 (grain + sector)) 512L |> ignore
            Expect.equal child.Has (Array.init sectors (fun i -> i >= 8 && i < 16)) "one grain"
            // The disk ends within its last one.
            read runner RequestKind.Read (int64 (60 * sector)) 512L |> ignore
            Expect.isTrue (Array.forall id child.Has[56..]) "the last one"

        testCase "a copy that fails matters to a prefetch only"
        <| fun () ->
            forSeeds (fun random seed ->
                let fails (request: ChildRequest) =
                    if request.Kind = RequestKind.Write || request.Kind = RequestKind.WriteZeroes then
                        Errno.ENOSPC
                    else
                        0

                let child = overlay random fails
                child.Has[0] <- false
                let runner = Runner(layerOver [ sectors * sector ], [ child ], seed)
                let error, data = read runner RequestKind.Read 0L (int64 (sectors * sector))
                Expect.equal error 0 "a read"
                Expect.equal data child.Content "the data"
                let error, _ = read runner RequestKind.Prefetch 0L (int64 (sectors * sector))
                Expect.equal error Errno.ENOSPC "a prefetch")

        testCase "nobody's writes are undone"
        <| fun () ->
            forSeeds (fun random seed ->
                let child = overlay random (fun _ -> 0)
                let runner = Runner(layerOver [ sectors * sector ], [ child ], seed)

                let slots = [
                    for _ in 1..12 do
                        let struct (offset, length) = range random
                        let data = Array.create (int length) (byte (1 + random.Next 255))
                        let kind =
                            if random.Next 2 = 0 then
                                RequestKind.Read
                            else
                                RequestKind.Write
                        runner.Start(kind, RequestFlags.None, offset, length, data, false)

                        for _ in 1 .. random.Next 8 do
                            runner.Step() |> ignore
                ]

                runner.Finish()
                Expect.isTrue (slots |> List.forall (fun slot -> slot.IsDone && slot.Error = 0)) "all have ended"
                Expect.equal child.Content child.Wanted "what was written")

        testCase "what only images below the bottom have is not copied"
        <| fun () ->
            forSeeds (fun random seed ->
                let child = overlay random (fun _ -> 0)
                let before = Array.copy child.Has
                let below =
                    Overlay(Array.zeroCreate (40 * sector), Array.init 40 (fun _ -> random.Next 2 = 0), fun _ -> 0)
                let layer = layerOver [ sectors * sector; 40 * sector ]
                // No more than what is missing below, too.
                layer.Ground <- CopyGround(int64 sector, layer.Ground.Lengths)
                let runner = Runner(layer, [ child; below ], seed)
                let error, data = read runner RequestKind.Read 0L (int64 (sectors * sector))
                Expect.equal error 0 "a read"
                Expect.equal data child.Content "the data"

                let wanted = Array.init sectors (fun i -> before[i] || (i < 40 && below.Has[i]))
                Expect.equal child.Has wanted "what is there")

        testCase "compress: whole clusters are written, with what was around the data"
        <| fun () ->
            forSeeds (fun random seed ->
                let child = MemoryChild(Array.zeroCreate (sectors * sector), fun _ -> 0)
                random.NextBytes child.Content
                let wanted = Array.copy child.Content
                let layer = CompressLayer()
                layer.Tune(int64 grain, int64 (sectors * sector))
                let struct (offset, length) = range random
                let data = Array.zeroCreate<byte>(int length)
                random.NextBytes data
                data.CopyTo(wanted, int offset)

                let error, _ =
                    Runner(layer, [ child ], seed)
                        .Run(RequestKind.Write, RequestFlags.None, offset, length, data, false)

                Expect.equal error 0 "no error"
                Expect.equal child.Content wanted "the content"

                for request in child.Requests do
                    if request.Kind = RequestKind.Write then
                        let until = request.Offset + request.Length
                        Expect.equal request.Flags RequestFlags.Compressed "compressed"
                        Expect.equal (request.Offset % int64 grain) 0L "from a cluster's start"
                        Expect.isTrue (until % int64 grain = 0L || until = int64 (sectors * sector)) "to an end")
    ]
