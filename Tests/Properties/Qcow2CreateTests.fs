/// New qcow2 images: whatever is asked for is what the header says, and a check finds nothing.
module StorageDaemon.Tests.Properties.Qcow2CreateTests

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Job
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Reference

let private options (size: int64) : BlockdevCreateOptionsQcow2 = {
    File = BlockdevRef.Reference "f"
    DataFile = None
    DataFileRaw = None
    ExtendedL2 = None
    Size = uint64 size
    Version = None
    BackingFile = None
    BackingFmt = None
    ClusterSize = None
    Preallocation = None
    LazyRefcounts = None
    RefcountBits = None
    CompressionType = None
}

let private optional (gen: Gen<'T>) : Gen<'T option> =
    Gen.oneof [ Gen.constant None; Gen.map Some gen ]

let private anyOptions: Gen<BlockdevCreateOptionsQcow2> =
    gen {
        let! sectors = Gen.choose (0, 8192)
        let! clusterBits = Gen.choose (9, 16)
        let! refcountOrder = optional (Gen.choose (0, 6))
        let! dataFile = optional (Gen.constant (BlockdevRef.Reference "d"))
        let! raw = optional (Gen.elements [ true; false ])
        let! extended = optional (Gen.elements [ true; false ])
        let! version = optional (Gen.elements [ BlockdevQcow2Version.V2; BlockdevQcow2Version.V3 ])
        let! backing = optional (Gen.elements [ "b"; ""; String('n', 1023); String('n', 400) ])
        let! format = optional (Gen.elements [ "raw"; "qcow2" ])

        let! preallocation =
            optional (
                Gen.elements [
                    PreallocMode.Off
                    PreallocMode.Metadata
                    PreallocMode.Falloc
                    PreallocMode.Full
                ]
            )

        let! isLazy = optional (Gen.elements [ true; false ])
        let! compression = optional (Gen.elements [ Qcow2CompressionType.Zlib; Qcow2CompressionType.Zstd ])

        return {
            options (int64 sectors * 512L) with
                ClusterSize = Some(1UL <<< clusterBits)
                RefcountBits = refcountOrder |> Option.map (fun order -> 1L <<< order)
                DataFile = dataFile
                DataFileRaw = raw
                ExtendedL2 = extended
                Version = version
                BackingFile = backing
                BackingFmt = format
                Preallocation = preallocation
                LazyRefcounts = isLazy
                CompressionType = compression
        }
    }

/// The longest piece that a script has written, and the files of its children.
[<NoComparison; NoEquality>]
type private Outcome = {
    Result: Result<unit, string>
    Image: byte[]
    Data: byte[]
    LongestWrite: int
}

/// Runs a creation over an image file that holds something else.
let private create (before: byte[]) (options: BlockdevCreateOptionsQcow2) : Outcome =
    let files = [| before; [||] |]
    let mutable longest = 0

    let resized (file: byte[]) (length: int) =
        let bytes: byte[] = Array.zeroCreate length
        Array.blit file 0 bytes 0 (min file.Length length)
        bytes

    let rec go (script: IoScript<Result<unit, string>>) =
        match script with
        | Finished result -> result
        | ReadChild(child, offset, length, next) ->
            let file = files[child]
            go (next (Ok(resized (Array.skip (min (int offset) file.Length) file) length)))
        | WriteChild(child, offset, data, next) ->
            longest <- max longest data.Length
            files[child] <- ScriptRunner.apply files[child] offset data
            go (next (Ok()))
        | FlushChild(_, next)
        | DiscardChild(_, _, _, next) -> go (next (Ok()))
        | MeasureChild(child, next) -> go (next files[child].LongLength)
        | ResizeChild(child, bytes, mode, next) ->
            if mode <> Sparse && bytes < files[child].LongLength then
                go (next (Error "shrinking"))
            else
                files[child] <- resized files[child] (int bytes)
                go (next (Ok()))
        | Report(_, _, next) -> go (next ())

    let name = options.DataFile |> Option.map (fun _ -> "d")
    let result = go (CreateQcow2.script options name (fun errno -> "errno " + string errno))

    {
        Result = result
        Image = files[0]
        Data = files[1]
        LongestWrite = longest
    }

let private headerOf (options: BlockdevCreateOptionsQcow2) (image: byte[]) : Header =
    let clusterBytes = int (defaultArg options.ClusterSize 65536UL)

    match Header.decode { Writable = true; Check = false } (Array.truncate clusterBytes image) with
    | Ok header -> header
    | Error error -> failtest error.Desc

let private isAsAsked (options: BlockdevCreateOptionsQcow2) (image: byte[]) : unit =
    let header = headerOf options image
    let v2 = options.Version = Some BlockdevQcow2Version.V2
    Expect.equal header.Version (if v2 then 2 else 3) "version"
    Expect.equal (uint64 header.SizeBytes) options.Size "size"
    Expect.equal (Some(1UL <<< header.ClusterBits)) options.ClusterSize "cluster size"
    Expect.equal (1L <<< header.RefcountOrder) (defaultArg options.RefcountBits 16L) "refcount bits"
    Expect.equal (header.Incompatible &&& Feature.extendedL2 <> 0UL) (options.ExtendedL2 = Some true) "extended L2"
    Expect.equal (header.Incompatible &&& Feature.dataFile <> 0UL) options.DataFile.IsSome "data file"
    Expect.equal (header.Autoclear &&& Feature.dataFileRaw <> 0UL) (options.DataFileRaw = Some true) "raw"
    Expect.equal (header.Compatible &&& Feature.lazyRefcounts <> 0UL) (options.LazyRefcounts = Some true) "lazy"

    Expect.equal
        (header.CompressionType = 1uy)
        (options.CompressionType = Some Qcow2CompressionType.Zstd)
        "compression type"

    let backing = options.BackingFile |> Option.filter (fun name -> name <> "")
    Expect.equal (header.BackingFile |> Option.map Header.nameText) backing "backing file"
    Expect.equal (ValueOption.toOption (Header.backingFormat header)) options.BackingFmt "backing format"

    Expect.equal
        (ValueOption.toOption (Header.dataFileName header))
        (options.DataFile |> Option.map (fun _ -> "d"))
        "data file name"

/// Nothing is wrong, and all is mapped that should be.
let private isSound (options: BlockdevCreateOptionsQcow2) (image: byte[]) : unit =
    // The check reads whole clusters; what lies behind the file's end is zero.
    let cluster = int (defaultArg options.ClusterSize 65536UL)
    let padded = Array.zeroCreate<byte>((image.Length + cluster - 1) / cluster * cluster)
    Array.blit image 0 padded 0 image.Length

    match ScriptRunner.run padded (Check.run Check.defaultLimits CheckFix.Nothing 0 padded.LongLength) with
    | Ok report, _, _ ->
        Expect.equal (report.CheckErrors, report.Corruptions, report.Leaks) (0L, 0L, 0L) "check"
        let isMapped =
            options.DataFileRaw = Some true
            || defaultArg options.Preallocation PreallocMode.Off <> PreallocMode.Off
        Expect.equal report.AllocatedClusters (if isMapped then report.TotalClusters else 0L) "mapped clusters"
    | Error error, _, _ -> failtest (string error)

let private sound (before: byte[]) =
    Prop.forAll (Arb.fromGen anyOptions) (fun options ->
        match CreateQcow2.check options with
        | Error text -> Expect.isNotEmpty text "a reason"
        | Ok() ->
            let outcome = create before options
            Expect.isLessThanOrEqual outcome.LongestWrite 65536 "pieces are small"

            match outcome.Result with
            | Ok() ->
                isAsAsked options outcome.Image
                isSound options outcome.Image
            | Error text ->
                Expect.isTrue
                    (text = "Could not update qcow2 header: errno 28"
                     || text.EndsWith "': errno 28"
                     || text.EndsWith "shrinking")
                    text

                Expect.equal outcome.Image before "nothing is touched")

let private errno errno = "errno " + string errno

/// All that a script would write, without a file: an image of any size.
let private countWrites (options: BlockdevCreateOptionsQcow2) : struct (int64 * Result<unit, string>) =
    let mutable written = 0L

    let rec go (script: IoScript<Result<unit, string>>) =
        match script with
        | Finished result -> result
        | ReadChild(_, _, length, next) ->
            let bytes = Array.zeroCreate<byte> length
            BigEndian.writeU32 (Span bytes) 0 Header.magic
            go (next (Ok bytes))
        | WriteChild(_, _, data, next) ->
            written <- written + int64 data.Length
            go (next (Ok()))
        | FlushChild(_, next)
        | DiscardChild(_, _, _, next) -> go (next (Ok()))
        | MeasureChild(_, next) -> go (next 0L)
        | ResizeChild(_, _, _, next) -> go (next (Ok()))
        | Report(_, _, next) -> go (next ())

    let result = go (CreateQcow2.script options None errno)
    struct (written, result)

[<Tests>]
let tests =
    testList "qcow2: new images" [
        testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 300 } "in an empty file" (sound [||])

        testPropertyWithConfig
            { FsCheckConfig.defaultConfig with maxTest = 300 }
            "over something else"
            (sound (Array.init 300_000 (fun i -> byte (i * 7 + 1))))

        test "the greatest image, and one more" {
            let greatest = { options (1L <<< 61) with ClusterSize = Some 2097152UL }

            match countWrites greatest with
            | struct (written, Ok()) -> Expect.isLessThan written 50_000_000L "L1 table and a few blocks"
            | struct (_, Error text) -> failtest text

            let sizeError size clusterBytes =
                match
                    countWrites {
                        options 0L with
                            Size = size
                            ClusterSize = Some clusterBytes
                    }
                with
                | struct (0L, Error text) -> text
                | _ -> failtest "nothing is written"

            Expect.equal
                (sizeError ((1UL <<< 61) + 512UL) 2097152UL)
                "Could not resize image: Failed to grow the L1 table: errno 27"
                "L1 table"

            Expect.equal
                (sizeError 9223372036854775296UL 65536UL)
                "Could not resize image: offset(9223372036854775296) exceeds maximum(9223372035781033984)"
                "block layer"

            Expect.equal (sizeError (1UL <<< 63) 65536UL) "Could not resize image: Image size cannot be negative" "sign"
        }

        test "tables of a great image are made piece by piece" {
            // 128 MiB of L2 tables.
            let mapped = {
                options (1L <<< 40) with
                    Preallocation = Some PreallocMode.Metadata
            }

            let before = GC.GetTotalMemory true

            match countWrites mapped with
            | struct (written, Ok()) -> Expect.isGreaterThan written (1L <<< 27) "all tables"
            | struct (_, Error text) -> failtest text

            Expect.isLessThan (GC.GetTotalMemory true - before) 4_000_000L "nothing is kept"
        }
    ]
