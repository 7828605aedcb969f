namespace StorageDaemon.Core.Qcow2

open System
open System.Text
open StorageDaemon.Core

/// The header of an image ("Header"): what its first cluster holds. Offsets are bytes from the start of the file and
/// multiples of the cluster size.
type Header = {
    /// 2 or 3.
    Version: int
    /// 1 to 1023 bytes. Its place is not kept: it is written after the extensions.
    BackingFile: byte[] option
    /// 9 to 21.
    ClusterBits: int
    /// Bytes of the virtual disk.
    SizeBytes: int64
    /// 0 none, 1 AES, 2 LUKS.
    CryptMethod: uint32
    L1Entries: int
    L1Offset: int64
    RefcountTableOffset: int64
    RefcountTableClusters: int
    SnapshotCount: int
    SnapshotTableOffset: int64
    /// Feature bits; zero in version 2.
    Incompatible: uint64
    Compatible: uint64
    Autoclear: uint64
    /// 0 to 6; always 4 in version 2.
    RefcountOrder: int
    /// The fields' length: 72 in version 2, at least 104 in version 3.
    HeaderBytes: int
    /// 0 deflate, 1 zstd; absent, and so zero, unless `HeaderBytes` exceeds 104.
    CompressionType: byte
    /// Byte 105 to the header's end: fields of later programs, kept as they are.
    LaterFields: byte[]
    Extensions: HeaderExtension list
}

/// What the image is opened for.
[<Struct>]
type OpenMode = {
    Writable: bool
    /// For a check, which copes with what it is going to report.
    Check: bool
}

/// The codec of the first cluster.
module Header =
    /// "QFI\xfb"
    [<Literal>]
    let magic = 0x514649fbu

    [<Literal>]
    let version2Bytes = 72

    [<Literal>]
    let version3BytesMin = 104

    /// Header length of new images of version 3: with the compression type and its padding.
    [<Literal>]
    let version3Bytes = 112

    /// Bytes that `clusterBytes` wants.
    [<Literal>]
    let fixedBytes = 112

    /// Byte offsets of fields that are also written alone, each within one sector.
    [<Literal>]
    let l1FieldOffset = 36

    /// The disk's size, in front of the encryption method and the L1 table's fields.
    [<Literal>]
    let sizeFieldOffset = 24

    [<Literal>]
    let refcountTableFieldOffset = 48

    [<Literal>]
    let snapshotsFieldOffset = 60

    [<Literal>]
    let incompatibleFieldOffset = 72

    [<Literal>]
    let autoclearFieldOffset = 88

    let private u32 (bytes: byte[]) (at: int) =
        BigEndian.readU32 (ReadOnlySpan bytes) at
    let private u64 (bytes: byte[]) (at: int) =
        BigEndian.readU64 (ReadOnlySpan bytes) at

    let private need (condition: bool) (text: string) : Result<unit, QapiError> =
        if condition then Ok() else QapiError.fail text

    /// Whether the file begins as an image of this format; takes any number of bytes.
    let isImage (bytes: byte[]) : bool =
        bytes.Length >= 4 && u32 bytes 0 = magic

    /// The length of the first cluster, which is to be read next, from the file's first 112 bytes (with zeroes past
    /// the end of a shorter file).
    let clusterBytes (bytes: byte[]) : Result<int, QapiError> =
        result {
            do! need (bytes.Length >= fixedBytes && isImage bytes) "Image is not in qcow2 format"
            let version = u32 bytes 4
            do! need (version = 2u || version = 3u) ("Unsupported qcow2 version " + string version)
            let bits = u32 bytes 20

            do!
                need
                    (bits >= uint32 Limits.clusterBitsMin && bits <= uint32 Limits.clusterBitsMax)
                    ("Unsupported cluster size: 2^" + string bits)

            return 1 <<< int bits
        }

    let private checkCompression (features: uint64) (kind: byte) : Result<unit, QapiError> =
        if kind > 1uy then
            QapiError.fail ("qcow2: unknown compression type: " + string kind)
        elif (kind <> 0uy) = (features &&& Feature.compression <> 0UL) then
            Ok()
        elif kind = 0uy then
            QapiError.fail "qcow2: Compression type incompatible feature bit must not be set"
        else
            QapiError.fail "qcow2: Compression type incompatible feature bit must be set"

    let private checkFeatures
        (mode: OpenMode)
        (clusterBytes: int)
        (features: uint64)
        (extensions: HeaderExtension list)
        : Result<unit, QapiError> =
        let unknown = features &&& ~~~Feature.incompatible

        if unknown <> 0UL then
            extensions
            |> List.tryPick (function
                | FeatureNameTable table -> Some table
                | _ -> None)
            |> Option.map FeatureNames.entries
            |> Option.defaultValue []
            |> FeatureNames.describe unknown
            |> (+) "Unsupported qcow2 feature(s): "
            |> QapiError.fail
        elif mode.Writable && not mode.Check && features &&& Feature.corrupt <> 0UL then
            QapiError.fail "qcow2: Image is corrupt; cannot be opened read/write"
        elif
            features &&& Feature.extendedL2 <> 0UL
            && clusterBytes / 32 < Limits.subclusterBytesMin
        then
            QapiError.fail ("Unsupported subcluster size: " + string (clusterBytes / 32))
        else
            Ok()

    /// A table's place: not longer than allowed, within what offsets can say, aligned.
    let private checkTable (name: string) (cluster: int) (maxBytes: uint64) (tableBytes: uint64) (offset: uint64) =
        if tableBytes > maxBytes then
            QapiError.fail (name + " too large")
        elif
            offset > uint64 Int64.MaxValue - tableBytes
            || offset &&& uint64 (cluster - 1) <> 0UL
        then
            QapiError.fail (name + " offset invalid")
        else
            Ok()

    let private checkRefcountTable (mode: OpenMode) (bytes: byte[]) (cluster: int) : Result<unit, QapiError> =
        result {
            let clusters = u32 bytes 56
            do! need (clusters > 0u || mode.Check) "Image does not contain a reference count table"

            return!
                checkTable
                    "Reference count table"
                    cluster
                    Limits.refcountTableBytes
                    (uint64 clusters * uint64 cluster)
                    (u64 bytes 48)
        }

    let private checkSnapshotTable (bytes: byte[]) (cluster: int) : Result<unit, QapiError> =
        // Entries are longer than this; the rest shows when they are read.
        let fixedEntryBytes = 40UL
        let count = uint64 (u32 bytes 60)

        checkTable
            "Snapshot table"
            cluster
            (uint64 Limits.snapshots * fixedEntryBytes)
            (count * fixedEntryBytes)
            (u64 bytes 64)

    /// The L1 table covers the virtual disk.
    let private checkL1Table (bytes: byte[]) (clusterBits: int) (extendedL2: bool) : Result<unit, QapiError> =
        result {
            let entries = u32 bytes 36
            let size = u64 bytes 24
            do!
                checkTable
                    "Active L1 table"
                    (1 <<< clusterBits)
                    Limits.l1TableBytes
                    (uint64 entries * 8UL)
                    (u64 bytes 40)
            let shift = clusterBits + clusterBits - (if extendedL2 then 4 else 3)
            // The sum wraps for the last sizes below 2^64, as it does in the real daemon, which finds out later.
            let needed = (size + ((1UL <<< shift) - 1UL)) >>> shift
            do! need (needed <= uint64 Int32.MaxValue) "Image is too big"
            do! need (uint64 entries >= needed) "L1 table is too small"
        }

    let private decodeExtensions (context: ExtensionContext) (bytes: byte[]) (start: int) (backingOffset: int) =
        let endByte =
            if backingOffset = 0 then
                context.ClusterBytes
            else
                backingOffset
        Extension.decode context bytes start endByte

    /// What only the extensions tell.
    let private checkExtensions (incompatible: uint64) (autoclear: uint64) (crypt: uint32) extensions =
        let isEncryption =
            function
            | FullDiskEncryption _ -> true
            | _ -> false

        result {
            do!
                need
                    (autoclear &&& Feature.dataFileRaw = 0UL
                     || incompatible &&& Feature.dataFile <> 0UL)
                    "data-file-raw requires a data file"

            do!
                need
                    (crypt <> 2u || List.exists isEncryption extensions)
                    ("Missing CRYPTO header for crypt method " + string crypt)
        }

    /// Takes an offset within the cluster.
    let private decodeBackingFile (bytes: byte[]) (cluster: int) (offset: int) : Result<byte[] option, QapiError> =
        let length = u32 bytes 16

        if offset = 0 then
            Ok None
        elif length > uint32 (min Limits.backingFileBytes (cluster - offset)) then
            QapiError.fail "Backing file name too long"
        else
            // Names end at a zero byte, as all file names do.
            let name = ReadOnlySpan(bytes, offset, int length)
            let zero = name.IndexOf 0uy
            let name = if zero < 0 then name else name.Slice(0, zero)
            Ok(if name.IsEmpty then None else Some(name.ToArray()))

    /// The header from the first cluster: all `clusterBytes` of it, with zeroes past the end of a shorter file. The
    /// checks come in the real daemon's order, except that it reads the L1 table before it looks at the encryption
    /// method and the extensions. Allocates no more than the cluster holds.
    let decode (mode: OpenMode) (bytes: byte[]) : Result<Header, QapiError> =
        result {
            let! cluster = clusterBytes bytes
            do! need (bytes.Length >= cluster) "Image is not in qcow2 format"
            let v3 = u32 bytes 4 = 3u
            let headerBytes = if v3 then u32 bytes 100 else uint32 version2Bytes
            do! need (not v3 || headerBytes >= uint32 version3BytesMin) "qcow2 header too short"
            do! need (headerBytes <= uint32 cluster) "qcow2 header exceeds cluster size"
            let headerBytes = int headerBytes
            do! need (u64 bytes 8 <= uint64 cluster) "Invalid backing file offset"
            let backingOffset = int (u64 bytes 8)
            let incompatible = if v3 then u64 bytes 72 else 0UL
            let autoclear = if v3 then u64 bytes 88 else 0UL
            let compression =
                if headerBytes > version3BytesMin then
                    bytes[version3BytesMin]
                else
                    0uy
            do! checkCompression incompatible compression
            let crypt = u32 bytes 32

            let context = {
                ClusterBytes = cluster
                CryptMethod = crypt
                BitmapsValid = autoclear &&& Feature.bitmaps <> 0UL
            }

            let struct (extensions, extensionError) = decodeExtensions context bytes headerBytes backingOffset
            do! checkFeatures mode cluster incompatible extensions
            let order = if v3 then u32 bytes 96 else 4u
            do! need (order <= Limits.refcountOrderMax) "Reference count entry width too large; may not exceed 64 bits"
            do! checkRefcountTable mode bytes cluster
            do! checkSnapshotTable bytes cluster
            do! checkL1Table bytes (int (u32 bytes 20)) (incompatible &&& Feature.extendedL2 <> 0UL)
            do! need (crypt <= 2u) ("Unsupported encryption method " + string (int crypt))

            do!
                match extensionError with
                | ValueSome error -> Error error
                | ValueNone -> Ok()

            do! checkExtensions incompatible autoclear crypt extensions
            let! backing = decodeBackingFile bytes cluster backingOffset
            do! need (u64 bytes 24 <= uint64 Int64.MaxValue) "Could not refresh total sector count: File too large"

            return {
                Version = if v3 then 3 else 2
                BackingFile = backing
                ClusterBits = int (u32 bytes 20)
                SizeBytes = int64 (u64 bytes 24)
                CryptMethod = crypt
                L1Entries = int (u32 bytes 36)
                L1Offset = int64 (u64 bytes 40)
                RefcountTableOffset = int64 (u64 bytes 48)
                RefcountTableClusters = int (u32 bytes 56)
                SnapshotCount = int (u32 bytes 60)
                SnapshotTableOffset = int64 (u64 bytes 64)
                Incompatible = incompatible
                Compatible = if v3 then u64 bytes 80 else 0UL
                Autoclear = autoclear
                RefcountOrder = int order
                HeaderBytes = headerBytes
                CompressionType = compression
                LaterFields =
                    if headerBytes > version3BytesMin + 1 then
                        Array.sub bytes (version3BytesMin + 1) (headerBytes - version3BytesMin - 1)
                    else
                        Array.empty
                Extensions = extensions
            }
        }

    let private encodeFields (header: Header) (backingOffset: int) (nameBytes: int) (cluster: byte[]) =
        let put32 at (value: uint32) =
            BigEndian.writeU32 (Span cluster) at value
        let put64 at (value: uint64) =
            BigEndian.writeU64 (Span cluster) at value
        put32 0 magic
        put32 4 (uint32 header.Version)
        put64 8 (uint64 backingOffset)
        put32 16 (uint32 nameBytes)
        put32 20 (uint32 header.ClusterBits)
        put64 24 (uint64 header.SizeBytes)
        put32 32 header.CryptMethod
        put32 36 (uint32 header.L1Entries)
        put64 40 (uint64 header.L1Offset)
        put64 48 (uint64 header.RefcountTableOffset)
        put32 56 (uint32 header.RefcountTableClusters)
        put32 60 (uint32 header.SnapshotCount)
        put64 64 (uint64 header.SnapshotTableOffset)

        if header.Version >= 3 then
            put64 72 header.Incompatible
            put64 80 header.Compatible
            put64 88 header.Autoclear
            put32 96 (uint32 header.RefcountOrder)
            put32 100 (uint32 header.HeaderBytes)

            if header.HeaderBytes > version3BytesMin then
                cluster[version3BytesMin] <- header.CompressionType
                let later = min header.LaterFields.Length (header.HeaderBytes - version3BytesMin - 1)
                Array.blit header.LaterFields 0 cluster (version3BytesMin + 1) later

    /// The whole first cluster, for a new image as for an update: fields, extensions in their order, end marker,
    /// backing file name. ENOSPC when the cluster has no room for all of it.
    let encode (header: Header) : Result<byte[], int> =
        let clusterBytes = 1 <<< header.ClusterBits
        let name = Option.defaultValue Array.empty header.BackingFile
        let fixedEnd = int64 header.HeaderBytes + Extension.encodedBytes header.Extensions

        if fixedEnd + int64 name.Length > int64 clusterBytes then
            Error Errno.ENOSPC
        else
            let cluster: byte[] = Array.zeroCreate clusterBytes
            let nameOffset = Extension.encode header.Extensions cluster header.HeaderBytes
            Array.blit name 0 cluster nameOffset name.Length
            encodeFields header (if name.Length = 0 then 0 else nameOffset) name.Length cluster
            Ok cluster

    /// Where an extension stands more than once, the last counts.
    let private pickLast (choose: HeaderExtension -> 'T voption) (header: Header) : 'T voption =
        header.Extensions
        |> List.fold
            (fun found extension ->
                match choose extension with
                | ValueSome _ as chosen -> chosen
                | ValueNone -> found)
            ValueNone

    /// A name of the header as text, up to a zero byte.
    let nameText (name: byte[]) : string =
        let zero = Array.IndexOf(name, 0uy)
        Encoding.UTF8.GetString(name, 0, (if zero < 0 then name.Length else zero))

    /// The backing format's name, if the header gives one.
    let backingFormat (header: Header) : string voption =
        header
        |> pickLast (function
            | BackingFormat name -> ValueSome(nameText name)
            | _ -> ValueNone)

    /// The external data file's name, if the header gives one.
    let dataFileName (header: Header) : string voption =
        header
        |> pickLast (function
            | DataFileName name -> ValueSome(nameText name)
            | _ -> ValueNone)

    /// The bitmaps, unless the autoclear bit says that they are not to be trusted.
    let bitmaps (header: Header) : BitmapsPointer voption =
        if header.Autoclear &&& Feature.bitmaps = 0UL then
            ValueNone
        else
            header
            |> pickLast (function
                | Bitmaps pointer -> ValueSome pointer
                | _ -> ValueNone)

    /// Where the LUKS header is.
    let encryption (header: Header) : EncryptionPointer voption =
        header
        |> pickLast (function
            | FullDiskEncryption pointer -> ValueSome pointer
            | _ -> ValueNone)
