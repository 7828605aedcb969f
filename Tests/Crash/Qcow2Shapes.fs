/// New qcow2 images of all shapes, opened over simulated disks.
module internal StorageDaemon.Tests.Crash.Qcow2Shapes

open System
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.LayerRunner
open StorageDaemon.Tests.Crash.SimulatedDisk
open StorageDaemon.Tests.Crash.SectorModel

[<NoComparison>]
type Shape = {
    ClusterBits: int
    RefcountOrder: int
    Version: int
    ExtendedL2: bool
    SizeBytes: int64
    BackingBytes: int
    Discards: DiscardSettings
}

let private layout (shape: Shape) : NewLayout =
    let header = {
        Version = shape.Version
        BackingFile = None
        ClusterBits = shape.ClusterBits
        SizeBytes = shape.SizeBytes
        CryptMethod = 0u
        L1Entries = 0
        L1Offset = 0L
        RefcountTableOffset = 0L
        RefcountTableClusters = 0
        SnapshotCount = 0
        SnapshotTableOffset = 0L
        Incompatible = if shape.ExtendedL2 then Feature.extendedL2 else 0UL
        Compatible = 0UL
        Autoclear = 0UL
        RefcountOrder = shape.RefcountOrder
        HeaderBytes =
            if shape.Version = 2 then
                Header.version2Bytes
            else
                Header.version3Bytes
        CompressionType = 0uy
        LaterFields =
            if shape.Version = 2 then
                Array.empty
            else
                Array.zeroCreate 7
        Extensions = []
    }

    match NewImage.plan NothingMapped header with
    | Ok layout -> layout
    | Error errno -> failtest ("no image: " + string errno)

let header (shape: Shape) : Header = (layout shape).Header

let newImage (shape: Shape) : byte[] =
    match ScriptRunner.run [||] (NewImage.write (layout shape)) with
    | Ok(), file, _ -> file
    | Error errno, _, _ -> failtest ("no image: " + string errno)

/// Compresses clusters of sectors that hold one value each: the values, and rubbish of any length behind them. What comes
/// to the length of a cluster does not fit.
let valueCodec = {
    new IClusterCodec with
        member _.Decompress(input, output) =
            for at in 0..8 .. output.Length - 8 do
                input.Slice(at / SectorBytes * 8, 8).CopyTo(output.Slice at)

            true

        member _.Compress(input, output) =
            let values = input.Length / SectorBytes * 8
            let rubbish =
                int (BitConverter.ToUInt64 input * 0x9e3779b97f4a7c15UL >>> 40) % (input.Length - values + 1)
            let length = values + rubbish

            if length > output.Length then
                0
            else
                output.Slice(0, length).Fill 0xeeuy

                for sector in 0 .. input.Length / SectorBytes - 1 do
                    input.Slice(sector * SectorBytes, 8).CopyTo(output.Slice(sector * 8))

                length
}

/// The same, for the naive reader.
let expand (data: byte[]) (length: int) : byte[] =
    let cluster = Array.zeroCreate<byte> length
    valueCodec.Decompress(ReadOnlySpan data, Span cluster) |> ignore
    cluster

/// Carries a script out; `carryOut` does one request of it.
let runIdle
    (carryOut: int -> RequestKind -> int64 -> int64 -> byte[] -> Result<byte[], int>)
    (script: IoScript<Result<'T, 'E>>)
    : Result<'T, 'E> =
    let rec go script =
        match script with
        | Finished result -> result
        | ReadChild(child, offset, length, next) ->
            go (next (carryOut child RequestKind.Read offset (int64 length) (Array.zeroCreate length)))
        | WriteChild(child, offset, data, next) ->
            go (
                next (
                    carryOut child RequestKind.Write offset data.LongLength data
                    |> Result.map ignore
                )
            )
        | FlushChild(child, next) -> go (next (carryOut child RequestKind.Flush 0L 0L [||] |> Result.map ignore))
        | DiscardChild(child, offset, length, next) ->
            go (next (carryOut child RequestKind.Discard offset length [||] |> Result.map ignore))
        | MeasureChild _
        | ResizeChild _
        | Report _ -> failtest "not a matter of open images"

    go script

/// The file below is told of nothing.
let noDiscards = DiscardSettings.ofOptions false None (Some false) None None

/// One request of a script at a child.
let carryOutAt (target: MemoryChild) (child: int) (kind: RequestKind) (offset: int64) (length: int64) (data: byte[]) =
    let request = {
        Child = child
        Tag = 0
        Kind = kind
        Flags = RequestFlags.None
        Offset = offset
        Length = length
        Buffer = int FrameBuffer.None
        BufferOffset = 0L
    }

    target.Issued request

    match target.Run(request, Span data) with
    | 0 -> Ok data
    | errno -> Error errno

/// The script that opens the image in a child; `codec` is for its compressed clusters.
let private openingFor
    (writable: bool)
    (overlapCheck: MetadataSection)
    (discards: DiscardSettings)
    (disk: MemoryChild)
    (backing: byte[])
    (dataChild: int)
    (cacheBytes: int64)
    (codec: IClusterCodec)
    =
    let children = {
        FileBytes = int64 disk.Content.Length
        GrowsWithZeroes = true
        DataChild = dataChild
        BackingChild = if backing.Length > 0 then dataChild + 1 else -1
        BackingBytes = int64 backing.Length
        IsSparse =
            ImageChildren.isSparse
                (1L <<< int (BigEndian.readU32 (ReadOnlySpan disk.Content) 20))
                (int64 disk.Content.Length)
                disk.SpaceBytes
    }

    let settings = {
        Writable = writable
        Cache = {
            L2Bytes = cacheBytes
            RefcountBytes = cacheBytes
            // Several to a table, where it is long enough.
            L2EntryBytes = max 512 ((1 <<< int (BigEndian.readU32 (ReadOnlySpan disk.Content) 20)) / 4)
            CleanIntervalS = 0L
        }
        Codec = codec
        Discards = discards
        OverlapCheck = overlapCheck
    }

    Opener.script settings children string

/// The script that opens the image in a child for writing.
let opening overlapCheck discards disk backing dataChild cacheBytes codec =
    openingFor true overlapCheck discards disk backing dataChild cacheBytes codec

/// The image, opened for reading only.
let openReadOnly (disk: MemoryChild) backing dataChild cacheBytes codec : Image =
    let script = openingFor false Overlap.cached noDiscards disk backing dataChild cacheBytes codec

    match runIdle (carryOutAt disk) script with
    | Ok image -> image
    | Error error -> failtest error.Desc

/// The image, opened.
let openChecking overlapCheck discards (disk: MemoryChild) backing dataChild cacheBytes codec : Image =
    match runIdle (carryOutAt disk) (opening overlapCheck discards disk backing dataChild cacheBytes codec) with
    | Ok image -> image
    | Error error -> failtest error.Desc

let openWith discards disk backing dataChild cacheBytes codec : Image =
    openChecking Overlap.cached discards disk backing dataChild cacheBytes codec

let openOver disk backing dataChild cacheBytes codec : Image =
    openWith noDiscards disk backing dataChild cacheBytes codec

/// The bytes of a sector that holds a value.
let sectorOf (value: uint64) : byte[] =
    let bytes = Array.zeroCreate<byte> SectorBytes

    for i in 0..63 do
        BitConverter.TryWriteBytes(Span(bytes, i * 8, 8), value) |> ignore

    bytes

/// The value that a sector holds; none if it is not one sector's.
let valueOf (bytes: byte[]) (sector: int) : uint64 voption =
    let span = ReadOnlySpan(bytes, sector * SectorBytes, SectorBytes)
    let value = BitConverter.ToUInt64 span

    // Every number is the next one.
    if span.Slice(8).SequenceEqual(span.Slice(0, SectorBytes - 8)) then
        ValueSome value
    else
        ValueNone

/// What a sector of the backing image holds: there are zeroes here and there.
let backingValue (sector: int) : uint64 =
    if sector / 11 % 3 = 1 then
        0UL
    else
        0xb000000000000000UL + uint64 sector

let backingOf (shape: Shape) : byte[] =
    Array.init (shape.BackingBytes / SectorBytes) (backingValue >> sectorOf)
    |> Array.concat
