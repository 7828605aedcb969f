/// Headers of images that the real tools make, and the words with which they refuse bad ones.
module StorageDaemon.Tests.Differential.Qcow2Headers

open System
open System.Buffers.Binary
open System.IO
open System.Text.Json
open Expecto
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir

let private reading = { Writable = false; Check = false }

/// Creates `name` in the directory with options of `qemu-img create`.
let private create (directory: TempDir) (name: string) (arguments: string list) : string =
    let secret = [ "--object"; "secret,id=s,data=abc" ]

    ChildProcess.runOk
        directory.Path
        (Requires.tool "qemu-img")
        ("create" :: "-q" :: secret @ [ "-f"; "qcow2" ] @ arguments @ [ name; "1M" ])
    |> ignore

    directory.File name

/// The file's first bytes, with zeroes past its end.
let private start (path: string) (length: int) : byte[] =
    use file = File.OpenRead path
    let bytes: byte[] = Array.zeroCreate length
    file.ReadAtLeast(Span bytes, length, false) |> ignore
    bytes

let private firstCluster (path: string) : byte[] =
    match Header.clusterBytes (start path Header.fixedBytes) with
    | Ok length -> start path length
    | Error error -> failtest error.Desc

let private decode (path: string) : Header =
    match Header.decode reading (firstCluster path) with
    | Ok header -> header
    | Error error -> failtest error.Desc

let private option (text: string) = [ "-o"; text ]

let private creations: string list list = [
    []
    option "compat=0.10"
    option "cluster_size=512"
    option "cluster_size=4k"
    option "cluster_size=2M"
    option "refcount_bits=1"
    option "refcount_bits=8"
    option "refcount_bits=64"
    option "extended_l2=on"
    option "extended_l2=on,cluster_size=16k"
    option "lazy_refcounts=on"
    option "compression_type=zstd"
    option "preallocation=metadata"
    option "preallocation=falloc,cluster_size=64k"
    option "data_file=d.raw"
    option "data_file=e.raw,data_file_raw=on"
    option "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
    [ "-b"; "base.raw"; "-F"; "raw" ]
    [ "-b"; "base.raw"; "-F"; "raw" ] @ option "compat=0.10,cluster_size=512"
    [ "-b"; "base.raw"; "-F"; "raw" ]
    @ option "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,cluster_size=8k"
]

let private checkCreated (arguments: string list) () =
    use directory = new TempDir()
    sparse (directory.File "base.raw") 1048576L
    let path = create directory "i.qcow2" arguments
    let header = decode path

    if
        header.Version = 3
        && header.CryptMethod = 0u
        && header.Incompatible &&& Feature.dataFile = 0UL
    then
        ChildProcess.runOk directory.Path (Requires.tool "qemu-img") [ "bitmap"; "--add"; "i.qcow2"; "b" ]
        |> ignore

    let header = decode path
    Expect.equal (Header.encode header) (Ok(firstCluster path)) "written as it was"

    let text =
        ChildProcess.runOk directory.Path (Requires.tool "qemu-img") [ "info"; "--output=json"; "i.qcow2" ]

    use info = JsonDocument.Parse text
    let root = info.RootElement
    let specific = root.GetProperty "format-specific"
    let data = specific.GetProperty "data"
    let geometry = Geometry.ofHeader header
    let number (element: JsonElement) (name: string) =
        let value = element.GetProperty name
        value.GetInt64()

    Expect.equal header.SizeBytes (number root "virtual-size") "size"
    Expect.equal (int64 (Geometry.clusterBytes &geometry)) (number root "cluster-size") "cluster size"
    Expect.equal (int64 (Geometry.refcountBits &geometry)) (number data "refcount-bits") "refcount width"

    let text (element: JsonElement) (name: string) =
        match element.TryGetProperty name with
        | true, value -> ValueSome(value.GetString())
        | false, _ -> ValueNone

    Expect.equal (ValueSome(if header.Version = 2 then "0.10" else "1.1")) (text data "compat") "version"
    let compression = if header.CompressionType = 0uy then "zlib" else "zstd"
    Expect.equal (ValueSome compression) (text data "compression-type") "compression"
    let backing = header.BackingFile |> Option.map Header.nameText |> ValueOption.ofOption
    Expect.equal backing (text root "backing-filename") "backing file"
    Expect.equal (Header.backingFormat header) (text root "backing-filename-format") "backing format"
    Expect.equal (Header.dataFileName header) (text data "data-file") "data file"
    let hasBitmaps = ValueOption.isSome (Header.bitmaps header)
    Expect.equal hasBitmaps (fst (data.TryGetProperty "bitmaps")) "bitmaps"

let private u32 (at: int) (value: int64) : int * byte[] =
    let bytes = Array.zeroCreate 4
    BinaryPrimitives.WriteUInt32BigEndian(Span bytes, uint32 value)
    at, bytes

let private u64 (at: int) (value: uint64) : int * byte[] =
    let bytes = Array.zeroCreate 8
    BinaryPrimitives.WriteUInt64BigEndian(Span bytes, value)
    at, bytes

/// An extension right after the header of 112 bytes, and one after it that is ignored.
let private extension (kind: uint32) (data: byte[]) : int * byte[] =
    let marker = Array.zeroCreate ((-data.Length &&& 7) + 16)
    112, Array.concat [ snd (u32 0 (int64 kind)); snd (u32 0 (int64 data.Length)); data; marker ]

let private bitmaps (count: int64) (reserved: int64) (size: uint64) (offset: uint64) =
    extension
        ExtensionType.bitmaps
        (Array.concat [
            snd (u32 0 count)
            snd (u32 0 reserved)
            snd (u64 0 size)
            snd (u64 0 offset)
        ])

let private bitmapsBit = u64 88 1UL

/// Faults with a text of their own, each by the bytes that make it in an image with clusters of 4 KiB.
let private faults: (int * byte[]) list list = [
    [ 0, [| 0x52uy |] ]
    [ u32 4 1L ]
    [ u32 4 0xffffffffL ]
    [ u32 20 8L ]
    [ u32 20 22L ]
    [ u32 20 0xffffffffL ]
    [ u32 100 103L ]
    [ u32 100 4097L ]
    [ u32 100 4092L ]
    [ u32 100 0xffffffffL ]
    [ u64 8 4097UL ]
    [ u64 8 4096UL; u32 16 1L ]
    [ u64 8 4000UL; u32 16 97L ]
    [ u64 8 2000UL; u32 16 1024L ]
    [ u32 100 104L; u64 8 108UL; u32 16 0L ]
    [ u64 72 0x20UL ]
    [
        u64 72 0x8000000000000021UL
        extension ExtensionType.featureNameTable (Array.append [| 0uy; 5uy |] "five"B)
    ]
    [ u64 72 8UL ]
    [ 104, [| 1uy |] ]
    [ 104, [| 2uy |] ]
    [ u64 72 8UL; 104, [| 1uy |]; u32 100 104L ]
    [ u64 72 0x10UL ]
    [ u32 96 7L ]
    [ u32 96 0xffffffffL ]
    [ u32 56 0L ]
    [ u32 56 2049L ]
    [ u64 48 512UL ]
    [ u64 48 0x7ffffffffffff000UL ]
    [ u32 60 65537L ]
    [ u64 64 512UL ]
    [ u32 36 4194305L ]
    [ u64 40 512UL ]
    [ u64 40 0x8000000000000000UL ]
    [ u64 24 0x8000000000000000UL ]
    [ u64 24 0x7fffffffffffffffUL ]
    [ u64 24 0xffffffffffffffffUL ]
    [ u64 24 0x10000000UL ]
    [ u32 36 0L ]
    [ u32 32 3L ]
    [ u32 32 0xffffffffL ]
    [ u32 32 2L; 112, Array.zeroCreate 8 ]
    [ extension 5u [||]; 120, snd (u32 0 5L); 124, snd (u32 0 4000L) ]
    [ extension ExtensionType.backingFormat (Array.create 16 97uy) ]
    [ extension ExtensionType.encryption (Array.zeroCreate 16) ]
    [ u32 32 2L; extension ExtensionType.encryption (Array.zeroCreate 17) ]
    [ u32 32 2L; extension ExtensionType.encryption (Array.create 16 1uy) ]
    [ extension ExtensionType.bitmaps (Array.zeroCreate 5) ]
    [ bitmapsBit; bitmaps 0L 0L 32UL 512UL ]
    [ bitmapsBit; bitmaps 0L 1L 32UL 0UL ]
    [ bitmapsBit; bitmaps 65536L 0L 32UL 512UL ]
    [ bitmapsBit; bitmaps 1L 0L 32UL 512UL ]
    [ bitmapsBit; bitmaps 1L 0L 67107841UL 0UL ]
    [ u64 88 2UL ]
    // Two at once: the order of the checks.
    [ u64 72 0x20UL; 104, [| 2uy |] ]
    [ u64 72 0x30UL ]
    [ u64 72 0x10UL; u32 96 7L ]
    [ u32 96 7L; u32 56 0L ]
    [ u32 56 0L; u64 48 512UL ]
    [ u64 48 512UL; u32 60 65537L ]
    [ u64 64 512UL; u32 36 0L ]
    [ u64 24 0x8000000000000000UL; u64 40 512UL ]
    [ u32 36 0L; u32 32 3L ]
    [ u32 32 3L; extension 5u [||]; 120, snd (u32 0 5L); 124, snd (u32 0 4000L) ]
    [ u64 88 2UL; u64 8 2000UL; u32 16 1024L ]
    [ u32 32 2L; 112, Array.zeroCreate 8; u64 8 2000UL; u32 16 1024L ]
    [ u64 24 0xffffffffffffffffUL; u64 8 2000UL; u32 16 1024L ]
]

let private patch (path: string) (edits: (int * byte[]) list) : unit =
    use file = File.OpenWrite path

    for at, bytes in edits do
        file.Position <- int64 at
        file.Write bytes

/// The real text for an image that cannot be opened; none for one that can.
let private realRefusal (path: string) : string option =
    let result = ChildProcess.run "/" (Requires.tool "qemu-io") [ "-r"; "-f"; "qcow2"; "-c"; "quit"; path ]

    let prefix = $"qemu-io: can't open device {path}: "

    if result.ExitCode = 0 then
        None
    elif result.Error.StartsWith prefix then
        Some(result.Error.Substring(prefix.Length).TrimEnd('\n'))
    else
        failtest result.Error

let private ourRefusal (path: string) : string option =
    let decoded =
        Header.clusterBytes (start path Header.fixedBytes)
        |> Result.bind (fun length -> Header.decode reading (start path length))

    match decoded with
    | Ok _ -> None
    | Error error -> Some error.Desc

let private checkFaults () =
    use directory = new TempDir()
    let original = create directory "o.qcow2" (option "cluster_size=4k")
    let path = directory.File "i.qcow2"

    for edits in faults do
        File.Copy(original, path, true)
        patch path edits
        let ours = ourRefusal path
        Expect.isSome ours $"refused: %A{edits}"
        Expect.equal ours (realRefusal path) $"same words: %A{edits}"

/// Refusals that come after the header, of tables and files that it points to.
let private comesLater (text: string) : bool =
    [
        "Could not read L1 table"
        "Could not read snapshots"
        "Could not read qcow2 snapshots"
        "Could not get snapshots"
        "Too much extra metadata"
        "Snapshot table"
        "Could not open"
        "'data-file' is required"
        "Failed to read"
        "Broken bitmap"
        "Bitmap '"
        "Requested bitmap directory"
        "Could not read qcow2 header"
        "Parameter 'encrypt"
        "No space left on device"
        "Input/output error"
    ]
    |> List.exists text.StartsWith

/// Random bytes in the header's fields: this side and the real one refuse the same images with the same words.
let private checkDamage (seed: int) () =
    use directory = new TempDir()
    let original = create directory "o.qcow2" (option "cluster_size=4k")
    let path = directory.File "i.qcow2"
    let random = Random seed

    for round in 1..60 do
        File.Copy(original, path, true)

        let edits = [
            for _ in 0 .. random.Next 2 do
                let at = 4 + random.Next(if random.Next 4 = 0 then 400 else 108)
                at, [| byte (random.Next 256) |]
        ]

        patch path edits
        let ours, real = ourRefusal path, realRefusal path

        match ours, real with
        | None, Some text when comesLater text -> ()
        | _ -> Expect.equal ours real $"seed {seed}, round {round}: %A{edits}"

[<Tests>]
let tests =
    testList "qcow2 headers" [
        for arguments in creations do
            let name = String.Join(" ", arguments)
            testCase $"of a created image: {name}" (checkCreated arguments)

        testCase "are refused with the real words" checkFaults
        let seed = Environment.TickCount
        testCase $"damaged at random, seed {seed}" (checkDamage seed)
    ]
