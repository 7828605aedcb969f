namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core

/// Where the bitmap directory is ("Bitmaps extension").
[<Struct>]
type BitmapsPointer = {
    /// Entries of the directory.
    Count: uint32
    DirectoryBytes: uint64
    /// Bytes from the start of the file; a multiple of the cluster size.
    DirectoryOffset: uint64
}

/// Where the LUKS header is ("Full disk encryption header pointer").
[<Struct>]
type EncryptionPointer = {
    /// Bytes from the start of the file; a multiple of the cluster size.
    Offset: uint64
    LengthBytes: uint64
}

/// One header extension ("Header extensions"). Names are bytes, as file names are.
type HeaderExtension =
    /// At most 15 bytes.
    | BackingFormat of name: byte[]
    /// The table as it stands in the file; `FeatureNames.entries` reads it.
    | FeatureNameTable of table: byte[]
    | Bitmaps of BitmapsPointer
    | FullDiskEncryption of EncryptionPointer
    | DataFileName of name: byte[]
    /// Kept as it is; the type is not zero, which ends the area.
    | UnknownExtension of kind: uint32 * data: byte[]

/// What the meaning of an extension depends on.
[<Struct>]
type ExtensionContext = {
    ClusterBytes: int
    /// The header's encryption method.
    CryptMethod: uint32
    /// The autoclear bit of bitmaps.
    BitmapsValid: bool
}

/// Types of extensions.
module ExtensionType =
    [<Literal>]
    let backingFormat = 0xe2792acau

    [<Literal>]
    let featureNameTable = 0x6803f857u

    [<Literal>]
    let bitmaps = 0x23852875u

    [<Literal>]
    let encryption = 0x0537be77u

    [<Literal>]
    let dataFileName = 0x44415441u

/// The area of header extensions: from the end of the header to its end marker, the backing file name or the end of
/// the first cluster.
module Extension =
    /// A backing format's name is shorter than this, in bytes.
    [<Literal>]
    let backingFormatBytesMax = 16

    /// Bytes of an extension's type and length.
    [<Literal>]
    let private prefixBytes = 8

    /// Bytes of the bitmaps extension's data.
    [<Literal>]
    let private bitmapsBytes = 24

    /// Bytes of the encryption extension's data.
    [<Literal>]
    let private encryptionBytes = 16

    let private checkBitmaps (clusterBytes: int) (reserved: uint32) (pointer: BitmapsPointer) =
        if reserved <> 0u then
            QapiError.fail "bitmaps_ext: Reserved field is not zero"
        elif pointer.Count = 0u then
            QapiError.fail "found bitmaps extension with zero bitmaps"
        elif pointer.Count > Limits.bitmaps then
            "bitmaps_ext: Image has "
            + string pointer.Count
            + " bitmaps, exceeding the QEMU supported maximum of "
            + string Limits.bitmaps
            |> QapiError.fail
        elif pointer.DirectoryOffset &&& uint64 (clusterBytes - 1) <> 0UL then
            QapiError.fail "bitmaps_ext: invalid bitmap directory offset"
        elif pointer.DirectoryBytes > Limits.bitmapDirectoryBytes then
            "bitmaps_ext: bitmap directory size ("
            + string pointer.DirectoryBytes
            + ") exceeds the maximum supported size ("
            + string Limits.bitmapDirectoryBytes
            + ")"
            |> QapiError.fail
        else
            Ok(Bitmaps pointer)

    /// Whoever cleared the autoclear bit may have left anything: then the extension is only kept, not read.
    let private decodeBitmaps (context: ExtensionContext) (data: byte[]) : Result<HeaderExtension, QapiError> =
        let span = ReadOnlySpan data

        if data.Length <> bitmapsBytes then
            QapiError.fail "bitmaps_ext: Invalid extension length"
        elif not context.BitmapsValid then
            Ok(UnknownExtension(ExtensionType.bitmaps, data))
        else
            checkBitmaps context.ClusterBytes (BigEndian.readU32 span 4) {
                Count = BigEndian.readU32 span 0
                DirectoryBytes = BigEndian.readU64 span 8
                DirectoryOffset = BigEndian.readU64 span 16
            }

    let private decodeEncryption (context: ExtensionContext) (data: byte[]) : Result<HeaderExtension, QapiError> =
        if context.CryptMethod <> 2u then
            QapiError.fail "CRYPTO header extension only expected with LUKS encryption method"
        elif data.Length <> encryptionBytes then
            "CRYPTO header extension size "
            + string data.Length
            + ", but expected size "
            + string encryptionBytes
            |> QapiError.fail
        else
            let pointer = {
                Offset = BigEndian.readU64 (ReadOnlySpan data) 0
                LengthBytes = BigEndian.readU64 (ReadOnlySpan data) 8
            }

            if pointer.Offset &&& uint64 (context.ClusterBytes - 1) <> 0UL then
                "Encryption header offset '"
                + string pointer.Offset
                + "' is not a multiple of cluster size '"
                + string context.ClusterBytes
                + "'"
                |> QapiError.fail
            else
                Ok(FullDiskEncryption pointer)

    let private decodeData
        (context: ExtensionContext)
        (kind: uint32)
        (data: byte[])
        : Result<HeaderExtension, QapiError> =
        match kind with
        | ExtensionType.backingFormat when data.Length >= backingFormatBytesMax ->
            "ERROR: ext_backing_format: len="
            + string data.Length
            + " too large (>="
            + string backingFormatBytesMax
            + ")"
            |> QapiError.fail
        | ExtensionType.backingFormat -> Ok(BackingFormat data)
        | ExtensionType.featureNameTable -> Ok(FeatureNameTable data)
        | ExtensionType.bitmaps -> decodeBitmaps context data
        | ExtensionType.encryption -> decodeEncryption context data
        | ExtensionType.dataFileName -> Ok(DataFileName data)
        | _ -> Ok(UnknownExtension(kind, data))

    /// The extensions of `cluster` in [start, end), in their order, up to the first that is wrong, and what is wrong
    /// with it. Copies no more than the area holds.
    let decode
        (context: ExtensionContext)
        (cluster: byte[])
        (startByte: int)
        (endByte: int)
        : struct (HeaderExtension list * QapiError voption) =
        let endByte = min endByte cluster.Length

        let rec next (at: int) (found: HeaderExtension list) =
            let data = at + prefixBytes

            if at >= endByte then
                struct (List.rev found, ValueNone)
            elif
                data > endByte
                || BigEndian.readU32 (ReadOnlySpan cluster) (at + 4) > uint32 (endByte - data)
            then
                struct (List.rev found, ValueSome(QapiError.generic "Header extension too large"))
            else
                let kind = BigEndian.readU32 (ReadOnlySpan cluster) at
                let length = int (BigEndian.readU32 (ReadOnlySpan cluster) (at + 4))

                if kind = 0u then
                    struct (List.rev found, ValueNone)
                else
                    match decodeData context kind (Array.sub cluster data length) with
                    | Ok extension -> next (data + Padding.roundUp length) (extension :: found)
                    | Error error -> struct (List.rev found, ValueSome error)

        next startByte []

    let private dataOf (extension: HeaderExtension) : struct (uint32 * byte[]) =
        match extension with
        | BackingFormat name -> struct (ExtensionType.backingFormat, name)
        | FeatureNameTable table -> struct (ExtensionType.featureNameTable, table)
        | Bitmaps pointer ->
            let data = Array.zeroCreate bitmapsBytes
            BigEndian.writeU32 (Span data) 0 pointer.Count
            BigEndian.writeU64 (Span data) 8 pointer.DirectoryBytes
            BigEndian.writeU64 (Span data) 16 pointer.DirectoryOffset
            struct (ExtensionType.bitmaps, data)
        | FullDiskEncryption pointer ->
            let data = Array.zeroCreate encryptionBytes
            BigEndian.writeU64 (Span data) 0 pointer.Offset
            BigEndian.writeU64 (Span data) 8 pointer.LengthBytes
            struct (ExtensionType.encryption, data)
        | DataFileName name -> struct (ExtensionType.dataFileName, name)
        | UnknownExtension(kind, data) -> struct (kind, data)

    /// Bytes that the extensions and the end marker take.
    let encodedBytes (extensions: HeaderExtension list) : int64 =
        extensions
        |> List.sumBy (fun extension ->
            let struct (_, data) = dataOf extension
            int64 prefixBytes + ((int64 data.Length + 7L) &&& ~~~7L))
        |> (+) (int64 prefixBytes)

    /// Writes the extensions and the end marker at `start` of a zeroed cluster that has room for `encodedBytes`;
    /// returns the byte after them.
    let encode (extensions: HeaderExtension list) (cluster: byte[]) (start: int) : int =
        let mutable at = start

        for extension in extensions do
            let struct (kind, data) = dataOf extension
            BigEndian.writeU32 (Span cluster) at kind
            BigEndian.writeU32 (Span cluster) (at + 4) (uint32 data.Length)
            Array.blit data 0 cluster (at + prefixBytes) data.Length
            at <- at + prefixBytes + Padding.roundUp data.Length

        at + prefixBytes
