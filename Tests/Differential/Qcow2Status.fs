/// What an image says of its ranges, by the machine and by the real tool ("qemu-img map").
module StorageDaemon.Tests.Differential.Qcow2Status

open System
open System.IO
open System.Text.Json
open Expecto
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2
open StorageDaemon.Shell.Drivers
open StorageDaemon.Tests.Crash.Qcow2Shapes
open StorageDaemon.Tests.Differential.Qcow2Images
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir
open StorageDaemon.Tests.Reference.LayerRunner

/// A range as both see it; `Own` is whether the top image has it.
type private Extent = { Length: int64; Data: bool; Zero: bool; Own: bool }

/// Neighbours that are alike become one.
let private merge (extents: Extent list) : Extent list =
    (extents, [])
    ||> List.foldBack (fun extent merged ->
        match merged with
        | next :: rest when { next with Length = 0L } = { extent with Length = 0L } ->
            { extent with Length = extent.Length + next.Length } :: rest
        | _ -> extent :: merged)

/// A child that looks holes up in its file.
type private HoleyChild(path: string) =
    inherit MemoryChild(File.ReadAllBytes path, fun _ -> 0)

    override _.Status(offset, length) =
        use file =
            new OpenFile(FileOpener.Open(path, false, false, false), AioEngine.Threads, FileTraits.None, 1)
        let mutable extent = DataExtent()
        let mutable until = 0L
        let isHole = extent.Lookup(file, offset, offset + length, &until)

        struct ((if isHole then BlockStatus.Zero else BlockStatus.Data)
                ||| BlockStatus.Allocated,
                min length (until - offset))

let private childOf (directory: TempDir) (name: string) : MemoryChild =
    let path = directory.File name
    let child = HoleyChild path
    let blocks = ChildProcess.runOk directory.Path "stat" [ "-c"; "%b"; path ]
    child.SpaceBytes <- 512L * int64 (blocks.Trim())
    child

let private byRealTool (directory: TempDir) : Extent list =
    let map =
        ChildProcess.runOk directory.Path (Requires.tool "qemu-img") [ "map"; "--output=json"; "image" ]
    use document = JsonDocument.Parse map

    [
        for entry in document.RootElement.EnumerateArray() do
            let flag (name: string) = (entry.GetProperty name).GetBoolean()

            {
                Length = (entry.GetProperty "length").GetInt64()
                Data = flag "data"
                Zero = flag "zero"
                Own = flag "present" && (entry.GetProperty "depth").GetInt32() = 0
            }
    ]
    |> merge

let private byMachine (runner: Runner) (sizeBytes: int64) (step: int64) : Extent list =
    let rec go offset extents =
        if offset >= sizeBytes then
            List.rev extents
        else
            match runner.Status(offset, min step (sizeBytes - offset), RequestFlags.None) with
            | Error error -> failtest ("block status: " + string error)
            | Ok(struct (status, length)) ->
                let has flag = status &&& flag <> BlockStatus.None

                let extent = {
                    Length = length
                    Data = has BlockStatus.Data
                    Zero = has BlockStatus.Zero
                    Own = has BlockStatus.Allocated
                }

                Expect.isGreaterThan length 0L "an answer gets on"
                go (offset + length) (extent :: extents)

    merge (go 0L [])

let private test (kind: Kind) =
    testCase kind.Name
    <| fun () ->
        use directory = new TempDir()
        let seed = Random.Shared.Next 1_000_000
        let random = Random seed

        if kind.Backing then
            // Shorter than the disk, with holes.
            let bytes = Array.zeroCreate<byte>(DiskBytes / 4)
            random.NextBytes bytes
            use file = File.Create(directory.File "base.raw")
            file.Write bytes
            file.SetLength(int64 DiskBytes / 2L)
            file.Position <- int64 DiskBytes * 3L / 8L
            file.Write(bytes, 0, 8192)

        makeImage directory kind random
        let file = childOf directory "image"
        let backing =
            if kind.Backing then
                [ childOf directory "base.raw" ]
            else
                []
        let data =
            if kind.ExternalData then
                [ childOf directory "data.raw" ]
            else
                []
        let bytes = backing |> List.map _.Content |> Array.concat
        let image = openOver file bytes data.Length 65536L (codecOf (headerOf file.Content))
        let runner = Runner(Qcow2Layer image, file :: data @ backing, seed)
        let step = if random.Next 2 = 0 then int64 DiskBytes else 30000L
        Expect.equal (byMachine runner (int64 DiskBytes) step) (byRealTool directory) ("seed " + string seed)

[<Tests>]
let tests = testList "Differential.Qcow2Status" (List.map test kinds)
