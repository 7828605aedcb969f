namespace StorageDaemon.Core.Image

open StorageDaemon.Core

/// What `blockdev-add driver=raw` may say about the part of the child that it shows. `None` is "not given", which is
/// not the same as zero: a given offset or size makes the node a slice and no longer a filter of its child.
[<NoComparison>]
type RawOptions = {
    /// Bytes; where the image begins in the child.
    OffsetBytes: int64 option
    /// Bytes; a given size fixes the image's length.
    SizeBytes: int64 option
}

/// The settled place of a raw image in its child, in bytes.
[<Struct; NoComparison>]
type RawGeometry = {
    OffsetBytes: int64
    /// Length of the image, rounded up to whole sectors.
    LengthBytes: int64
    /// Whether the length was given and so can never change.
    Fixed: bool
}

/// The raw format: a map from (offset, length) of the image to an offset of its child.
module Raw =
    /// Bytes in a sector, the unit of every length in the block layer.
    [<Literal>]
    let SectorBytes = 512L

    /// The greatest length of any node: 2^63 - 1 rounded down to the block layer's greatest alignment (1 GiB).
    [<Literal>]
    let MaxLengthBytes = 9223372035781033984L

    /// Rounds a length in [0, MaxLengthBytes] up to whole sectors.
    let roundUpToSector (lengthBytes: int64) =
        (lengthBytes + (SectorBytes - 1L)) &&& ~~~(SectorBytes - 1L)

    /// Neither offset nor size given: the node passes everything through, as a filter does.
    let isPassThrough (options: RawOptions) =
        options.OffsetBytes.IsNone && options.SizeBytes.IsNone

    /// A node that cannot be resized by others: a slice relies on the child's length.
    let needsFixedChild (options: RawOptions) =
        options.SizeBytes.IsSome || defaultArg options.OffsetBytes 0L > 0L

    let private outOfRange (name: string) (value: int64 option) =
        match value with
        | Some v when v < 0L -> QapiError.fail ("Value '" + string v + "' is out of range for parameter '" + name + "'")
        | _ -> Ok()

    /// Checks the options that do not need the child's length.
    let checkOptions (options: RawOptions) : Result<unit, QapiError> =
        result {
            do! outOfRange "offset" options.OffsetBytes
            do! outOfRange "size" options.SizeBytes
        }

    /// Settles the geometry against the child's length (bytes, whole sectors). The checks come in this order: offset,
    /// sum of both, multiple of the sector size.
    let settle (options: RawOptions) (childBytes: int64) : Result<RawGeometry, QapiError> =
        let offset = defaultArg options.OffsetBytes 0L

        if offset > childBytes then
            "Offset ("
            + string offset
            + ") cannot be greater than size of the containing file ("
            + string childBytes
            + ")"
            |> QapiError.fail
        else
            match options.SizeBytes with
            | None ->
                Ok {
                    OffsetBytes = offset
                    LengthBytes = roundUpToSector (childBytes - offset)
                    Fixed = false
                }
            | Some size when size > childBytes - offset ->
                "The sum of offset ("
                + string offset
                + ") and size ("
                + string size
                // The doubled blank is the real daemon's.
                + ") has to be smaller or equal to the  actual size of the containing file ("
                + string childBytes
                + ")"
                |> QapiError.fail
            | Some size when size % SectorBytes <> 0L -> QapiError.fail "Specified size is not multiple of 512"
            | Some size -> Ok { OffsetBytes = offset; LengthBytes = size; Fixed = true }

    /// The child's offset of `length` bytes at `offset` of the image, or nothing when any of them lies outside.
    let map (geometry: inref<RawGeometry>) (offset: int64) (length: int64) : int64 voption =
        if
            offset < 0L
            || length < 0L
            || offset > geometry.LengthBytes
            || length > geometry.LengthBytes - offset
        then
            ValueNone
        else
            ValueSome(geometry.OffsetBytes + offset)

    /// The length in bytes that the child must have for the image to be `newBytes` long.
    let childLength (options: RawOptions) (newBytes: int64) : Result<int64, QapiError> =
        let offset = defaultArg options.OffsetBytes 0L

        if options.SizeBytes.IsSome then
            QapiError.fail "Cannot resize fixed-size raw disks"
        elif newBytes > System.Int64.MaxValue - offset then
            QapiError.fail "Disk size too large for the chosen offset"
        else
            Ok(newBytes + offset)
