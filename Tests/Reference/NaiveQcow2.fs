/// A qcow2 image read the slow and simple way, straight from the format's description: what the guest sees, and what a
/// check has to say. For small images without encryption and external data file.
module internal StorageDaemon.Tests.Reference.NaiveQcow2

open System
open System.Collections.Generic
open System.IO
open System.IO.Compression
open StorageDaemon.Core

/// Reads big-endian numbers; behind the end of the file all is zero.
type ImageFile(bytes: byte[]) =
    member _.Length = bytes.Length

    member _.Bytes(offset: int64, length: int) : byte[] =
        let result = Array.zeroCreate<byte> length
        let there = int (max 0L (min (int64 length) (int64 bytes.Length - offset)))

        if there > 0 then
            Array.Copy(bytes, offset, result, 0L, int64 there)

        result

    member this.U64(offset: int64) =
        // Nearly all numbers lie within the file, and a check reads them by the thousand.
        if offset <= int64 bytes.Length - 8L then
            BigEndian.readU64 (ReadOnlySpan bytes) (int offset)
        else
            BigEndian.readU64 (ReadOnlySpan(this.Bytes(offset, 8))) 0

    member this.U32(offset: int64) =
        BigEndian.readU32 (ReadOnlySpan(this.Bytes(offset, 4))) 0

    /// Zero behind the end.
    member _.Byte(offset: int64) : byte =
        if offset < int64 bytes.Length then
            bytes[int offset]
        else
            0uy

[<NoComparison; NoEquality>]
type Image = {
    File: ImageFile
    Version: uint32
    ClusterBits: int
    Size: int64
    L1Entries: int
    L1Offset: int64
    TableOffset: int64
    TableClusters: int
    RefcountOrder: int
    ExtendedL2: bool
}

let openImage (bytes: byte[]) : Image =
    let file = ImageFile bytes
    let version = file.U32 4L

    {
        File = file
        Version = version
        ClusterBits = int (file.U32 20L)
        Size = int64 (file.U64 24L)
        L1Entries = int (file.U32 36L)
        L1Offset = int64 (file.U64 40L)
        TableOffset = int64 (file.U64 48L)
        TableClusters = int (file.U32 56L)
        RefcountOrder = if version >= 3u then int (file.U32 96L) else 4
        ExtendedL2 = version >= 3u && file.U64 72L &&& 16UL <> 0UL
    }

let private offsetOf (entry: uint64) = int64 (entry &&& 0x00fffffffffffe00UL)

/// The L2 entry of a guest cluster.
let entry (image: Image) (cluster: int64) : struct (uint64 * uint64) =
    let entryBytes = if image.ExtendedL2 then 16L else 8L
    let perTable = (1L <<< image.ClusterBits) / entryBytes
    let l1 = image.File.U64(image.L1Offset + cluster / perTable * 8L)

    if offsetOf l1 = 0L then
        struct (0UL, 0UL)
    else
        let at = offsetOf l1 + cluster % perTable * entryBytes
        struct (image.File.U64 at, (if image.ExtendedL2 then image.File.U64(at + 8L) else 0UL))

let private isCompressed (descriptor: uint64) =
    descriptor &&& 0x4000000000000000UL <> 0UL

/// Where compressed data are, to the end of their last sector: bytes.
let private compressedPlace (image: Image) (descriptor: uint64) : struct (int64 * int) =
    let offsetBits = 62 - (image.ClusterBits - 8)
    let offset = int64 (descriptor &&& ((1UL <<< offsetBits) - 1UL))
    let sectors = int ((descriptor &&& 0x3fffffffffffffffUL) >>> offsetBits)
    struct (offset, (sectors + 1) * 512 - int (offset % 512L))

/// Fills an array of a cluster's length from deflated data.
let inflate (data: byte[]) (length: int) : byte[] =
    use stream = new DeflateStream(new MemoryStream(data), CompressionMode.Decompress)
    let cluster = Array.zeroCreate<byte> length
    stream.ReadExactly cluster
    cluster

/// All bytes of the guest's disk, with those of `backing` where there is no cluster.
let contentWith (inflate: byte[] -> int -> byte[]) (image: Image) (backing: byte[]) : byte[] =
    let clusterBytes = 1L <<< image.ClusterBits
    let disk = Array.zeroCreate<byte>(int image.Size)
    let unitCount = if image.ExtendedL2 then 32 else 1
    let unitBytes = clusterBytes / int64 unitCount

    for cluster in 0L .. (image.Size - 1L) / clusterBytes do
        let struct (descriptor, bitmap) = entry image cluster

        for unit in 0 .. unitCount - 1 do
            let start = cluster * clusterBytes + int64 unit * unitBytes
            let length = int (max 0L (min unitBytes (image.Size - start)))

            let isZero, isData =
                if image.ExtendedL2 then
                    bitmap >>> (32 + unit) &&& 1UL = 1UL, bitmap >>> unit &&& 1UL = 1UL
                else
                    descriptor &&& 1UL = 1UL, offsetOf descriptor <> 0L

            if length = 0 then
                ()
            elif isCompressed descriptor then
                let struct (offset, bytes) = compressedPlace image descriptor
                let whole = inflate (image.File.Bytes(offset, bytes)) (int clusterBytes)
                Array.Copy(whole, int64 unit * unitBytes, disk, start, int64 length)
            elif isZero then
                ()
            elif isData then
                image.File.Bytes(offsetOf descriptor + int64 unit * unitBytes, length).CopyTo(disk, start)
            else
                let below = int (max 0L (min (int64 length) (int64 backing.Length - start)))

                if below > 0 then
                    Array.Copy(backing, start, disk, start, int64 below)

    disk

let content (image: Image) (backing: byte[]) : byte[] = contentWith inflate image backing

let refcount (image: Image) (cluster: int64) : uint64 =
    let clusterBytes = 1L <<< image.ClusterBits
    let perBlock = clusterBytes * 8L >>> image.RefcountOrder
    let index = cluster / perBlock

    if index >= int64 image.TableClusters * clusterBytes / 8L then
        0UL
    else
        match int64 (image.File.U64(image.TableOffset + index * 8L)) &&& ~~~511L with
        | 0L -> 0UL
        | block ->
            let width = 1 <<< image.RefcountOrder
            let bit = cluster % perBlock * int64 width
            let at = block + bit / 8L

            if width < 8 then
                uint64 ((int (image.File.Byte at) >>> int (bit % 8L)) &&& ((1 <<< width) - 1))
            else
                let mutable value = 0UL

                for i in 0 .. width / 8 - 1 do
                    value <- (value <<< 8) ||| uint64 (image.File.Byte(at + int64 i))

                value

/// An entry of the snapshot table.
[<NoComparison; NoEquality>]
type Snapshot = {
    Id: string
    Name: string
    /// The image as the snapshot sees it.
    View: Image
}

/// The snapshots, and the bytes of their table.
let snapshots (image: Image) : struct (Snapshot list * int64) =
    let start = int64 (image.File.U64 64L)
    let found = List<Snapshot>()
    let mutable at = start

    for _ in 1u .. image.File.U32 60L do
        let u16 (offset: int64) = int (image.File.U32 offset >>> 16)
        let extra = int64 (image.File.U32(at + 36L))
        let idBytes = u16 (at + 12L)
        let nameBytes = u16 (at + 14L)
        let text offset length =
            Text.Encoding.UTF8.GetString(image.File.Bytes(offset, length))

        found.Add {
            Id = text (at + 40L + extra) idBytes
            Name = text (at + 40L + extra + int64 idBytes) nameBytes
            View = {
                image with
                    L1Offset = int64 (image.File.U64 at)
                    L1Entries = int (image.File.U32(at + 8L))
                    Size =
                        if extra >= 16L then
                            int64 (image.File.U64(at + 48L))
                        else
                            image.Size
            }
        }

        at <- at + (40L + extra + int64 idBytes + int64 nameBytes + 7L) / 8L * 8L

    struct (List.ofSeq found, at - start)

/// What is wrong with an image, and how many clusters are leaked.
let check (image: Image) : struct (string list * int) =
    let clusterBytes = 1L <<< image.ClusterBits
    let problems = List<string>()
    let references = Dictionary<int64, int>()
    // Of the active disk and of the tables: only compressed data may share clusters, and with nothing else.
    let own = Dictionary<int64, int>()
    // Of any disk.
    let packed = HashSet<int64>()
    let alone = HashSet<int64>()

    let addTo (counts: Dictionary<int64, int>) (cluster: int64) =
        counts[cluster] <-
            match counts.TryGetValue cluster with
            | true, count -> count + 1
            | _ -> 1

    let refer (isOwn: bool) (what: string) (offset: int64) =
        if offset % clusterBytes <> 0L then
            problems.Add(what + " is not aligned: " + string offset)

        addTo references (offset / clusterBytes)

        if isOwn then
            addTo own (offset / clusterBytes)

    let referAll (what: string) (offset: int64) (lengthBytes: int64) =
        for i in 0L .. (lengthBytes + clusterBytes - 1L) / clusterBytes - 1L do
            refer true what (offset + i * clusterBytes)

    let checkCopied (what: string) (value: uint64) =
        let isCopied = value &&& 0x8000000000000000UL <> 0UL

        if isCopied <> (refcount image (offsetOf value / clusterBytes) = 1UL) then
            problems.Add(what + " has the wrong copied flag: " + string (offsetOf value))

    let entryBytes = if image.ExtendedL2 then 16L else 8L

    let walk (isActive: bool) (view: Image) =
        referAll "L1 table" view.L1Offset (int64 view.L1Entries * 8L)

        for i in 0L .. int64 view.L1Entries - 1L do
            let l1 = image.File.U64(view.L1Offset + i * 8L)

            if offsetOf l1 <> 0L then
                refer isActive "L2 table" (offsetOf l1)

                if isActive then
                    checkCopied "L1 entry" l1

                for j in 0L .. clusterBytes / entryBytes - 1L do
                    let l2 = image.File.U64(offsetOf l1 + j * entryBytes)

                    if isCompressed l2 then
                        let struct (offset, bytes) = compressedPlace image l2

                        if l2 >>> 63 = 1UL then
                            problems.Add("a compressed cluster is marked as copied: " + string offset)

                        for host in offset / clusterBytes .. (offset + int64 bytes - 1L) / clusterBytes do
                            refer isActive "compressed data" (host * clusterBytes)
                            packed.Add host |> ignore
                    elif offsetOf l2 <> 0L then
                        refer isActive "data" (offsetOf l2)
                        alone.Add(offsetOf l2 / clusterBytes) |> ignore

                        if isActive then
                            checkCopied "L2 entry" l2

                        if offsetOf l2 >= int64 image.File.Length then
                            problems.Add("data behind the end of the file: " + string (offsetOf l2))

    refer true "header" 0L
    referAll "refcount table" image.TableOffset (int64 image.TableClusters * clusterBytes)

    for i in 0L .. int64 image.TableClusters * clusterBytes / 8L - 1L do
        let block = int64 (image.File.U64(image.TableOffset + i * 8L))

        if block <> 0L then
            refer true "refcount block" block

    walk true image
    let struct (snapshots, tableBytes) = snapshots image
    referAll "snapshot table" (int64 (image.File.U64 64L)) tableBytes

    for snapshot in snapshots do
        walk false snapshot.View

    for KeyValue(cluster, count) in references do
        if refcount image cluster < uint64 count then
            problems.Add(
                "cluster "
                + string cluster
                + " has refcount "
                + string (refcount image cluster)
                + ", references "
                + string count
            )

    for KeyValue(cluster, count) in own do
        if count > 1 && not (packed.Contains cluster) then
            problems.Add("cluster " + string cluster + " is used " + string count + " times")

    for cluster in packed do
        if alone.Contains cluster then
            problems.Add("cluster " + string cluster + " has both compressed data and others")

    let mutable leaks = 0

    for cluster in 0L .. int64 image.File.Length / clusterBytes do
        let count =
            match references.TryGetValue cluster with
            | true, count -> uint64 count
            | _ -> 0UL

        if refcount image cluster > count then
            leaks <- leaks + 1

    struct (List.ofSeq problems, leaks)
