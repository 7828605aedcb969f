namespace StorageDaemon.Core.Qcow2

open System
open System.Text
open StorageDaemon.Core

/// An entry of the bitmap directory ("Bitmap directory").
type BitmapEntry = {
    /// Bytes from the start of the file; a multiple of the cluster size.
    TableOffset: int64
    /// Entries of the bitmap table.
    TableEntries: int
    /// The bits of `BitmapFlags`.
    Flags: uint32
    /// Binary logarithm of the bytes of the disk that one bit stands for, 9 to 31.
    GranularityBits: int
    /// 1 to 1023 bytes.
    Name: byte[]
}

module BitmapFlags =
    /// The bitmap was not saved and is not to be trusted.
    [<Literal>]
    let inUse = 1u

    /// The bitmap records writes from the start.
    [<Literal>]
    let auto = 2u

    let known = inUse ||| auto

/// What an entry of a bitmap table says of one cluster of the bitmap's data.
[<Struct>]
type BitmapCluster =
    | AllZeroes
    | AllOnes
    | Stored of hostOffset: int64

/// The codec of bitmap directories and tables. Refusals have the real daemon's words; extra data are refused as there.
module BitmapDirectory =
    /// Bytes of an entry's fixed fields.
    [<Literal>]
    let fixedBytes = 24

    [<Literal>]
    let nameBytesMax = 1023

    /// Entries of one bitmap table.
    [<Literal>]
    let tableEntriesMax = 0x8000000u

    /// Bytes of one bitmap's data, in whole clusters.
    [<Literal>]
    let dataBytesMax = 0x20000000UL

    [<Literal>]
    let granularityBitsMin = 9

    [<Literal>]
    let granularityBitsMax = 31

    /// Reserved bits of a bitmap table's entry.
    [<Literal>]
    let tableReserved = 0xff000000000001feUL

    /// Bytes of a bitmap's data for a disk of `diskBytes`.
    let dataBytes (diskBytes: int64) (granularityBits: int) : int64 =
        let rest = diskBytes &&& ((1L <<< granularityBits) - 1L)
        let bits = (diskBytes >>> granularityBits) + (if rest = 0L then 0L else 1L)
        bits / 8L + (if bits % 8L = 0L then 0L else 1L)

    /// Entries of the table of such a bitmap.
    let tableEntries (clusterBytes: int) (diskBytes: int64) (granularityBits: int) : int64 =
        let bytes = dataBytes diskBytes granularityBits
        bytes / int64 clusterBytes
        + (if bytes % int64 clusterBytes = 0L then 0L else 1L)

    /// Whether the fixed fields keep to the limits, and the table is long enough for the disk. One of a bitmap in use
    /// may be outdated.
    let private isValid (clusterBytes: int) (diskBytes: int64) (bytes: ReadOnlySpan<byte>) : bool =
        let offset = BigEndian.readU64 bytes 0
        let entries = BigEndian.readU32 bytes 8
        let flags = BigEndian.readU32 bytes 12
        let granularityBits = int bytes[17]
        let nameBytes = int (BigEndian.readU16 bytes 18)

        entries <> 0u
        && entries <= tableEntriesMax
        && uint64 entries * uint64 clusterBytes <= dataBytesMax
        && offset <> 0UL
        && offset <= uint64 Int64.MaxValue
        && offset &&& uint64 (clusterBytes - 1) = 0UL
        && nameBytes > 0
        && nameBytes <= nameBytesMax
        && granularityBits >= granularityBitsMin
        && granularityBits <= granularityBitsMax
        && flags &&& ~~~BitmapFlags.known = 0u
        && bytes[16] = 1uy
        && (flags &&& BitmapFlags.inUse <> 0u
            || int64 entries >= tableEntries clusterBytes diskBytes granularityBits)

    let private decodeEntry (bytes: ReadOnlySpan<byte>) : BitmapEntry = {
        TableOffset = int64 (BigEndian.readU64 bytes 0)
        TableEntries = int (BigEndian.readU32 bytes 8)
        Flags = BigEndian.readU32 bytes 12
        GranularityBits = int bytes[17]
        Name = bytes.Slice(fixedBytes, int (BigEndian.readU16 bytes 18)).ToArray()
    }

    /// What is wrong with the entry at the start of `rest`, the directory's remaining bytes; empty if nothing.
    let private refusal (clusterBytes: int) (diskBytes: int64) (rest: ReadOnlySpan<byte>) : string =
        if rest.Length < fixedBytes then
            "Broken bitmap directory"
        elif BigEndian.readU32 rest 20 <> 0u then
            "Bitmap extra data is not supported"
        else
            let nameBytes = int (BigEndian.readU16 rest 18)

            if Padding.roundUp (fixedBytes + nameBytes) > rest.Length then
                "Broken bitmap directory"
            elif not (isValid clusterBytes diskBytes rest) then
                "Bitmap '"
                + Encoding.UTF8.GetString(rest.Slice(fixedBytes, nameBytes))
                + "' doesn't satisfy the constraints"
            else
                ""

    /// The entries of the directory of an image with a disk of `diskBytes`, as many as the header extension says.
    /// Allocates no more than the directory's own length.
    let decode
        (clusterBytes: int)
        (diskBytes: int64)
        (count: uint32)
        (directory: ReadOnlySpan<byte>)
        : Result<BitmapEntry list, QapiError> =
        // The sectors that an open image has: a rest of less than one is cut off.
        let diskBytes = diskBytes &&& ~~~511L
        let mutable at = 0
        let mutable found = 0u
        let mutable entries = []
        let mutable failure =
            if directory.IsEmpty then
                "Requested bitmap directory size is zero"
            else
                ""

        while failure = "" && at < directory.Length do
            let rest = directory.Slice at

            if rest.Length >= fixedBytes && found = count then
                failure <- "More bitmaps found than specified in header extension"
            else
                failure <- refusal clusterBytes diskBytes rest

            if failure = "" then
                let entry = decodeEntry rest
                entries <- entry :: entries
                found <- found + 1u
                at <- at + Padding.roundUp (fixedBytes + entry.Name.Length)

        // The table of a bitmap that is to be trusted has no more entries than the disk wants.
        let isTooLong (entry: BitmapEntry) =
            entry.Flags &&& BitmapFlags.inUse = 0u
            && int64 entry.TableEntries > tableEntries clusterBytes diskBytes entry.GranularityBits

        let tooLong =
            if failure = "" then
                List.tryFindBack isTooLong entries
            else
                None

        if failure <> "" then
            QapiError.fail failure
        elif found <> count then
            QapiError.fail "Less bitmaps found than specified in header extension"
        else
            match tooLong with
            | Some entry ->
                "Could not read bitmap '"
                + Encoding.UTF8.GetString entry.Name
                + "' from image: Invalid argument"
                |> QapiError.fail
            | None -> Ok(List.rev entries)

    /// Bytes of an entry, with its padding.
    let encodedBytes (entry: BitmapEntry) : int =
        Padding.roundUp (fixedBytes + entry.Name.Length)

    let private encodeEntry (entry: BitmapEntry) (bytes: Span<byte>) : unit =
        BigEndian.writeU64 bytes 0 (uint64 entry.TableOffset)
        BigEndian.writeU32 bytes 8 (uint32 entry.TableEntries)
        BigEndian.writeU32 bytes 12 entry.Flags
        bytes[16] <- 1uy
        bytes[17] <- byte entry.GranularityBits
        BigEndian.writeU16 bytes 18 (uint16 entry.Name.Length)
        entry.Name.AsSpan().CopyTo(bytes.Slice fixedBytes)

    /// The directory's bytes. EFBIG when it is too long.
    let encode (entries: BitmapEntry list) : Result<byte[], int> =
        let total = entries |> List.sumBy (encodedBytes >> int64)

        if
            uint64 total > Limits.bitmapDirectoryBytes
            || List.length entries > int Limits.bitmaps
            || entries |> List.exists (fun entry -> entry.Name.Length > nameBytesMax)
        then
            Error Errno.EFBIG
        else
            let directory: byte[] = Array.zeroCreate (int total)
            let mutable at = 0

            for entry in entries do
                encodeEntry entry (Span(directory).Slice at)
                at <- at + encodedBytes entry

            Ok directory

    /// An entry of a bitmap table; none if it has reserved bits or an unaligned offset.
    let decodeTableEntry (clusterBytes: int) (entry: uint64) : BitmapCluster voption =
        let offset = entry &&& Entry.offsetMask

        if
            entry &&& tableReserved <> 0UL
            || offset &&& uint64 (clusterBytes - 1) <> 0UL
            || (offset <> 0UL && entry &&& 1UL <> 0UL)
        then
            ValueNone
        elif offset <> 0UL then
            ValueSome(Stored(int64 offset))
        else
            ValueSome(if entry &&& 1UL <> 0UL then AllOnes else AllZeroes)

    let encodeTableEntry (cluster: BitmapCluster) : uint64 =
        match cluster with
        | AllZeroes -> 0UL
        | AllOnes -> 1UL
        | Stored offset -> uint64 offset
