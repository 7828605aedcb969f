namespace StorageDaemon.Core.Job

open System
open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Image
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qcow2

/// How a qcow2 image is made: child 0 is the image file, child 1 an external data file. The texts are the real daemon's.
/// Unlike there, nothing is written before all that can be known is checked, and the header comes last: an image that is
/// half made is none.
module CreateQcow2 =
    [<Literal>]
    let private DefaultClusterBytes = 65536UL

    /// Feature names take room that smaller clusters need for other things: so much must be left for them.
    [<Literal>]
    let private FeatureNamesRoomBytes = 4096L

    let private clusterBytes (options: BlockdevCreateOptionsQcow2) =
        defaultArg options.ClusterSize DefaultClusterBytes

    let private isVersion2 (options: BlockdevCreateOptionsQcow2) =
        options.Version = Some BlockdevQcow2Version.V2

    let private extendedL2 (options: BlockdevCreateOptionsQcow2) = options.ExtendedL2 = Some true
    let private isRaw (options: BlockdevCreateOptionsQcow2) = options.DataFileRaw = Some true

    let private preallocation (options: BlockdevCreateOptionsQcow2) =
        defaultArg options.Preallocation PreallocMode.Off

    let private refcountBits (options: BlockdevCreateOptionsQcow2) = defaultArg options.RefcountBits 16L

    let private need (condition: bool) (text: string) : Result<unit, string> = if condition then Ok() else Error text

    let private newerOnly (options: BlockdevCreateOptionsQcow2) (asked: bool) (what: string) : Result<unit, string> =
        need
            (not (asked && isVersion2 options))
            (what
             + " only supported with compatibility level 1.1 and above (use version=v3 or greater)")

    /// What can be said of the options before the data file is looked at; the first mistake counts.
    let check (options: BlockdevCreateOptionsQcow2) : Result<unit, string> =
        result {
            do! need (options.Size % uint64 Raw.SectorBytes = 0UL) "Image size must be a multiple of 512 bytes"
            let cluster = clusterBytes options

            do!
                need
                    (UInt64.IsPow2 cluster
                     && cluster >= (1UL <<< Limits.clusterBitsMin)
                     && cluster <= (1UL <<< Limits.clusterBitsMax))
                    "Cluster size must be a power of two between 512 and 2048k"

            do! newerOnly options (extendedL2 options) "Extended L2 entries are"

            do!
                need
                    (not (extendedL2 options) || cluster >= 32UL * uint64 Limits.subclusterBytesMin)
                    "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes"

            do!
                need
                    (preallocation options = PreallocMode.Off
                     || options.BackingFile.IsNone
                     || extendedL2 options)
                    "Backing file and preallocation can only be used at the same time if extended_l2 is on"

            do!
                need
                    (options.BackingFmt.IsNone || options.BackingFile.IsSome)
                    "Backing format cannot be used without backing file"

            do! newerOnly options (options.LazyRefcounts = Some true) "Lazy refcounts"
            let bits = refcountBits options

            do!
                need
                    (bits >= 1L && bits <= 64L && Int64.IsPow2 bits)
                    "Refcount width must be a power of two and may not exceed 64 bits"

            do!
                need
                    (bits = 16L || not (isVersion2 options))
                    "Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)"

            do! need (not (isRaw options) || options.DataFile.IsSome) "data-file-raw requires data-file"

            do!
                need
                    (not (isRaw options) || options.BackingFile.IsNone)
                    "Backing file and data-file-raw cannot be used at the same time"

            do! newerOnly options options.DataFile.IsSome "External data files are"

            do!
                newerOnly
                    options
                    (options.CompressionType = Some Qcow2CompressionType.Zstd)
                    "Non-zlib compression type is"
        }

    /// The features that the options ask for.
    let private features (options: BlockdevCreateOptionsQcow2) : uint64 =
        let when' condition bit = if condition then bit else 0UL

        when' options.DataFile.IsSome Feature.dataFile
        ||| when' (options.CompressionType = Some Qcow2CompressionType.Zstd) Feature.compression
        ||| when' (extendedL2 options) Feature.extendedL2

    let private extensions (options: BlockdevCreateOptionsQcow2) (dataFileName: string option) : HeaderExtension list =
        let own = [
            match options.BackingFmt with
            | Some format -> BackingFormat(Encoding.UTF8.GetBytes format)
            | None -> ()
            match dataFileName with
            | Some name -> DataFileName(Encoding.UTF8.GetBytes name)
            | None -> ()
        ]

        let room =
            int64 (clusterBytes options)
            - int64 Header.version3Bytes
            - Extension.encodedBytes own

        if isVersion2 options || room < FeatureNamesRoomBytes then
            own
        else
            own @ [ FeatureNameTable(FeatureNames.encode FeatureNames.known) ]

    /// The header but for the places of the tables; `check` has passed, and the disk is not too long.
    let header (options: BlockdevCreateOptionsQcow2) (dataFileName: string option) : Header =
        let isVersion2 = isVersion2 options

        {
            Version = if isVersion2 then 2 else 3
            BackingFile =
                match options.BackingFile with
                | None
                | Some "" -> None
                | Some name -> Some(Encoding.UTF8.GetBytes name)
            ClusterBits = int (UInt64.Log2(clusterBytes options))
            SizeBytes = int64 options.Size
            CryptMethod = 0u
            L1Entries = 0
            L1Offset = 0L
            RefcountTableOffset = 0L
            RefcountTableClusters = 0
            SnapshotCount = 0
            SnapshotTableOffset = 0L
            Incompatible = features options
            Compatible =
                if options.LazyRefcounts = Some true then
                    Feature.lazyRefcounts
                else
                    0UL
            Autoclear = if isRaw options then Feature.dataFileRaw else 0UL
            RefcountOrder = int (Int64.Log2(refcountBits options))
            HeaderBytes =
                if isVersion2 then
                    Header.version2Bytes
                else
                    Header.version3Bytes
            CompressionType =
                if options.CompressionType = Some Qcow2CompressionType.Zstd then
                    1uy
                else
                    0uy
            LaterFields =
                if isVersion2 then
                    Array.empty
                else
                    Array.zeroCreate (Header.version3Bytes - Header.version3BytesMin - 1)
            Extensions = extensions options dataFileName
        }

    let private checkNames (options: BlockdevCreateOptionsQcow2) (header: Header) (errorText: int -> string) =
        let unassigned errno =
            "Could not assign backing file '"
            + defaultArg options.BackingFile ""
            + (match options.BackingFmt with
               | Some format -> "' with format '" + format
               | None -> "")
            + "': "
            + errorText errno

        let fits (header: Header) = Header.encode header |> Result.isOk

        match header.BackingFile with
        | Some name when name.Length > Limits.backingFileBytes -> Error(unassigned Errno.EINVAL)
        | _ when not (fits { header with BackingFile = None }) ->
            Error("Could not update qcow2 header: " + errorText Errno.ENOSPC)
        | _ when not (fits header) -> Error(unassigned Errno.ENOSPC)
        | _ -> Ok()

    let private resizing (text: string) = "Could not resize image: " + text

    let private checkSize (options: BlockdevCreateOptionsQcow2) (header: Header) (errorText: int -> string) =
        let g = Geometry.ofHeader header
        let sizeMax = Geometry.sizeMax &g

        result {
            do! need (options.Size <= uint64 Int64.MaxValue) (resizing "Image size cannot be negative")

            do!
                need
                    (options.Size <= uint64 Raw.MaxLengthBytes)
                    (resizing (
                        "offset("
                        + string options.Size
                        + ") exceeds maximum("
                        + string Raw.MaxLengthBytes
                        + ")"
                    ))

            do! need (header.SizeBytes <= sizeMax) (resizing ("Failed to grow the L1 table: " + errorText Errno.EFBIG))
        }

    let private mapping (options: BlockdevCreateOptionsQcow2) : InitialMapping =
        match preallocation options with
        // A raw data file is the disk: all of it is mapped, so that nothing in front of it says otherwise.
        | PreallocMode.Off when isRaw options -> TablesAmongData
        | PreallocMode.Off -> NothingMapped
        | PreallocMode.Metadata -> TablesAmongData
        | PreallocMode.Falloc
        | PreallocMode.Full -> DataInOnePiece

    let private growth (options: BlockdevCreateOptionsQcow2) : GrowthMode =
        match preallocation options with
        | PreallocMode.Off
        | PreallocMode.Metadata -> Sparse
        | PreallocMode.Falloc -> Reserved
        | PreallocMode.Full -> Zeroed

    let private failing (text: 'E -> string) (script: IoScript<Result<'T, 'E>>) = IoScript.mapError text script

    /// A child that is to hold all that is mapped.
    let private growTo (child: int) (bytes: int64) (mode: GrowthMode) (text: string -> string) =
        MeasureChild(
            child,
            fun length ->
                if length >= bytes then
                    Finished(Ok())
                else
                    IoScript.resize child bytes mode |> failing text
        )

    /// The guest's clusters get their room, wherever they are.
    let private makeRoom (options: BlockdevCreateOptionsQcow2) (layout: NewLayout) : IoScript<Result<unit, string>> =
        let isMapped = layout.Mapping <> NothingMapped
        let mode = growth options

        if options.DataFile.IsSome then
            if isMapped then
                growTo 1 (layout.MappedClusters <<< layout.Header.ClusterBits) mode resizing
            else
                IoScript.resize 1 layout.Header.SizeBytes Sparse |> failing resizing
        elif not isMapped then
            Finished(Ok())
        elif mode = Sparse then
            growTo 0 (NewImage.fileBytes layout) Sparse resizing
        else
            IoScript.resize 0 (NewImage.fileBytes layout) mode
            |> failing (fun text -> resizing ("Failed to resize underlying file: " + text))

    /// What was written must be there: a null device swallows all of it.
    let private verify: IoScript<Result<unit, string>> =
        ReadChild(
            0,
            0L,
            int Raw.SectorBytes,
            function
            | Ok bytes when Header.isImage bytes -> Finished(Ok())
            | _ -> Finished(Error "Image is not in qcow2 format")
        )

    /// The work. `dataFileName` is what the image is to call its data file, `errorText` the C library's for an errno.
    let script
        (options: BlockdevCreateOptionsQcow2)
        (dataFileName: string option)
        (errorText: int -> string)
        : IoScript<Result<unit, string>> =
        let at (text: string) script =
            failing (fun errno -> text + ": " + errorText errno) script

        let planned =
            result {
                let header = header options dataFileName
                do! checkNames options header errorText
                do! checkSize options header errorText

                return!
                    NewImage.plan (mapping options) header
                    |> Result.mapError (fun errno -> resizing ("Allocating clusters failed: " + errorText errno))
            }

        ioResult {
            let! layout = IoScript.ofResult planned
            do! makeRoom options layout
            do! NewImage.wipe |> at "Could not write qcow2 header"
            do! NewImage.writeRefcounts layout |> at "Could not write refcount table"
            do! NewImage.writeL1 layout |> at (resizing "Failed to grow the L1 table")
            do! NewImage.writeL2 layout |> at (resizing "Allocating clusters failed")
            do! NewImage.writeTail layout |> at (resizing "Allocating clusters failed")
            do! NewImage.writeHeader layout |> at "Could not write qcow2 header"
            do! verify
        }
