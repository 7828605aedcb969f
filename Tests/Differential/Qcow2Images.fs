/// Images that the real tools have filled, read and written by the machine; and what the real tools say of them then.
module StorageDaemon.Tests.Differential.Qcow2Images

open System
open System.IO
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2
open StorageDaemon.Shell.Codecs
open StorageDaemon.Tests.Crash.Qcow2Shapes
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir
open StorageDaemon.Tests.Reference.LayerRunner

[<Literal>]
let internal DiskBytes = 2097152

let internal qemuImg (directory: TempDir) (arguments: string list) =
    ChildProcess.runOk directory.Path (Requires.tool "qemu-img") arguments |> ignore

/// What the guest sees, by the real tool.
let internal contentOf (directory: TempDir) (image: string) (options: string list) : byte[] =
    qemuImg directory ([ "convert"; "-O"; "raw" ] @ options @ [ image; "content.raw" ])
    File.ReadAllBytes(directory.File "content.raw")

/// Commands for qemu-io that leave clusters of every kind.
let internal scribbles (random: Random) (compressed: bool) : string list =
    let where align =
        let offset = random.Next(DiskBytes / align) * align
        let length = min (align * (1 + random.Next 20)) (DiskBytes - offset)
        string offset + " " + string length

    let pattern () = string (1 + random.Next 250)

    [
        if compressed then
            // First, and each cluster once: the real tool compresses only into clusters that it has to allocate.
            for cluster in 0..2..30 do
                if random.Next 2 = 0 then
                    "write -c -P " + pattern () + " " + string (cluster * 65536) + " 65536"

        for _ in 0..11 do
            match random.Next 5 with
            | 0 -> "write -z -u " + where 512
            | 1 -> "write -z " + where 65536
            | 2 -> "discard " + where 65536
            | _ -> "write -P " + pattern () + " " + where 512
    ]

let internal scribble (directory: TempDir) (image: string) (commands: string list) =
    let arguments = commands |> List.collect (fun command -> [ "-c"; command ])

    ChildProcess.runOk
        directory.Path
        (Requires.tool "qemu-io")
        ([ "-f"; "qcow2"; "-d"; "unmap" ] @ arguments @ [ image ])
    |> ignore

[<NoComparison>]
type internal Kind = {
    Name: string
    Options: string
    Compressed: bool
    Backing: bool
    Snapshot: bool
    ExternalData: bool
}

let private kind options = {
    Name = options
    Options = options
    Compressed = true
    Backing = false
    Snapshot = false
    ExternalData = false
}

let internal kinds = [
    kind "compat=1.1"
    { kind "compat=0.10" with Snapshot = true }
    {
        kind "compat=0.10,cluster_size=4k" with
            Name = "version 2 over a backing image"
            Backing = true
    }
    { kind "cluster_size=512" with Compressed = false }
    {
        kind "cluster_size=4k,refcount_bits=1" with
            Compressed = false
    }
    {
        kind "cluster_size=2k,refcount_bits=64" with
            Compressed = false
            Snapshot = true
    }
    { kind "cluster_size=2M" with Compressed = false }
    { kind "compression_type=zstd" with Snapshot = true }
    {
        kind "extended_l2=on" with
            Backing = true
            Snapshot = true
    }
    {
        kind "extended_l2=on,cluster_size=16k" with
            Compressed = false
    }
    {
        kind "cluster_size=64k,lazy_refcounts=on" with
            Backing = true
            Snapshot = true
    }
    {
        kind "preallocation=metadata,cluster_size=8k" with
            Compressed = false
    }
    {
        kind "data_file=data.raw,cluster_size=16k" with
            Compressed = false
            ExternalData = true
    }
    {
        kind "data_file=data.raw,data_file_raw=on,cluster_size=16k" with
            Compressed = false
            ExternalData = true
    }
]

let internal codecOf (header: Header) : IClusterCodec =
    if header.CompressionType = 1uy then
        new ZstdClusters()
    else
        new DeflateClusters()

let internal headerOf (bytes: byte[]) : Header =
    match Header.clusterBytes bytes with
    | Error error -> failtest error.Desc
    | Ok length ->
        let cluster = Array.zeroCreate<byte> length
        Array.Copy(bytes, cluster, min length bytes.Length)

        match Header.decode { Writable = true; Check = false } cluster with
        | Ok header -> header
        | Error error -> failtest error.Desc

/// The machine over the files of an image, in memory.
let internal openReal (directory: TempDir) (kind: Kind) (backing: byte[]) (seed: int) =
    let file = MemoryChild(File.ReadAllBytes(directory.File "image"), fun _ -> 0)
    let dataChild = if kind.ExternalData then 1 else 0
    let image = openOver file backing dataChild 65536L (codecOf (headerOf file.Content))

    let children = [
        file
        if kind.ExternalData then
            MemoryChild(File.ReadAllBytes(directory.File "data.raw"), fun _ -> 0)
        if backing.Length > 0 then
            MemoryChild(backing, fun _ -> 0)
    ]

    struct (image, children, Runner(Qcow2Layer image, children, seed))

let internal readAll (image: Image) (runner: Runner) : byte[] =
    let bytes = int image.Header.SizeBytes
    let error, data =
        runner.Run(RequestKind.Read, RequestFlags.None, 0L, int64 bytes, Array.create bytes 0xeeuy, false)

    Expect.equal error 0 "the disk is read"
    data

/// Random requests; the content that they should leave.
let internal change (random: Random) (runner: Runner) (image: Image) (content: byte[]) =
    let clusterBytes = image.ClusterBytes
    let diskBytes = content.Length

    for i in 0..29 do
        let offset = random.Next(diskBytes / clusterBytes) * clusterBytes
        let data = Array.zeroCreate<byte> clusterBytes
        random.NextBytes(data.AsSpan(0, clusterBytes * random.Next 8 / 7))

        let error, _ =
            runner.Run(RequestKind.Write, RequestFlags.Compressed, int64 offset, int64 clusterBytes, data, false)

        match error with
        | 0 -> data.CopyTo(content, offset)
        // The image has the cluster already, or its data lie elsewhere.
        | Errno.EIO
        | Errno.ENOTSUP -> ()
        | error -> failtest ("a compressed write: " + string error)

    for i in 0..59 do
        let align = if random.Next 2 = 0 then 512 else 65536
        let offset = random.Next(diskBytes / align) * align
        let length = min (align * (1 + random.Next 12)) (diskBytes - offset)

        let error, _ =
            if random.Next 4 = 0 then
                content.AsSpan(offset, length).Clear()
                let flags =
                    if random.Next 2 = 0 then
                        RequestFlags.MayUnmap
                    else
                        RequestFlags.None
                runner.Run(RequestKind.WriteZeroes, flags, int64 offset, int64 length, [||], false)
            else
                let data = Array.zeroCreate<byte> length
                random.NextBytes data
                data.CopyTo(content, offset)
                runner.Run(RequestKind.Write, RequestFlags.None, int64 offset, int64 length, data, false)

        Expect.equal error 0 "a request"

let internal settle (image: Image) (runner: Runner) =
    let mutable rounds = 0

    while (image.IsDirty || not image.Freed.IsEmpty) && rounds < 10 do
        rounds <- rounds + 1
        let error, _ = runner.Run(RequestKind.Flush, RequestFlags.None, 0L, 0L, [||], false)
        Expect.equal error 0 "a flush"

/// An image of the real tool's, over `base.raw` where it has a backing image, with something of everything in it.
let internal makeImage (directory: TempDir) (kind: Kind) (random: Random) : unit =
    let over =
        if kind.Backing then
            [ "-b"; "base.raw"; "-F"; "raw" ]
        else
            []

    qemuImg
        directory
        ([ "create"; "-q"; "-f"; "qcow2"; "-o"; kind.Options ]
         @ over
         @ [ "image"; string DiskBytes ])

    scribble directory "image" (scribbles random kind.Compressed)

/// The same over a backing image half as long; its bytes.
let internal prepare (directory: TempDir) (kind: Kind) (random: Random) : byte[] =
    let backing =
        if kind.Backing then
            let bytes = Array.zeroCreate<byte>(DiskBytes / 2)
            random.NextBytes bytes
            File.WriteAllBytes(directory.File "base.raw", bytes)
            bytes
        else
            Array.empty

    makeImage directory kind random
    backing

let private test (kind: Kind) =
    testCase kind.Name
    <| fun () ->
        use directory = new TempDir()
        let seed = Random.Shared.Next 1_000_000
        let random = Random seed
        let where what = what + ", seed " + string seed

        let backing = prepare directory kind random

        if kind.Snapshot then
            qemuImg directory [ "snapshot"; "-c"; "s"; "image" ]
            scribble directory "image" (scribbles random false)

        let expected = contentOf directory "image" []
        let snapshot =
            if kind.Snapshot then
                contentOf directory "image" [ "-l"; "s" ]
            else
                [||]
        let struct (image, children, runner) = openReal directory kind backing seed
        Expect.isTrue
            ((readAll image runner).AsSpan().SequenceEqual(ReadOnlySpan expected))
            (where "what the real tool reads")
        change random runner image expected
        Expect.isTrue ((readAll image runner).AsSpan().SequenceEqual(ReadOnlySpan expected)) (where "what was written")
        settle image runner
        File.WriteAllBytes(directory.File "image", children[0].Content)

        if kind.ExternalData then
            File.WriteAllBytes(directory.File "data.raw", children[1].Content)

        qemuImg directory [ "check"; "-q"; "image" ]
        let content = contentOf directory "image" []
        Expect.isTrue
            (content.AsSpan().SequenceEqual(ReadOnlySpan expected))
            (where "what the real tool reads afterwards")

        if kind.Options.Contains "data_file_raw" then
            let raw = File.ReadAllBytes(directory.File "data.raw")
            Expect.isTrue (raw.AsSpan().SequenceEqual(ReadOnlySpan expected)) (where "the data file alone")

        if kind.Snapshot then
            let content = contentOf directory "image" [ "-l"; "s" ]
            Expect.isTrue (content.AsSpan().SequenceEqual(ReadOnlySpan snapshot)) (where "the snapshot is as it was")

[<Tests>]
let tests = testList "Differential.Qcow2Images" (List.map test kinds)
