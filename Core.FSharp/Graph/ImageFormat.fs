namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Qcow2

/// Images that a driver can make.
type ImageCreation = {
    /// Whether an image can name the one below it, so that it can be made as an overlay.
    NamesBacking: bool
}

/// A driver as it is to commands that have no more of an image than a driver's name and a file's.
[<NoComparison; NoEquality>]
type ImageFormat = {
    /// The driver's name in the QAPI schema.
    Name: string
    /// The description of the image in that file, without a node's name. `isDevice`: the file is a device.
    Describe: bool -> string -> Result<BlockdevSpec, QapiError>
    /// None where the driver makes no images.
    Creation: ImageCreation option
}

/// The drivers that `blockdev-snapshot-sync` can make an overlay with, or could, if its images had backing images: the
/// one place where a format says so.
module ImageFormat =
    let private node (driver: Driver) (children: (string * ChildSpec) list) =
        Ok(BlockdevSpec.ofDriver None driver children)

    let private fileDriver (kind: FileKind) (filename: string) =
        // The daemon's own default, as in blockdev-add.
        File(kind, { FileOptions.ofFilename filename with Aio = AioIoUring })

    /// A driver that stands over the file.
    let private over (driver: Driver) (isDevice: bool) (filename: string) =
        let kind = if isDevice then HostDevice else RegularFile

        node driver [ "file", Inline(BlockdevSpec.ofDriver None (fileDriver kind filename) []) ]

    /// A null device has no file; its name is all that it can be opened by.
    let private nullDevice (kind: NullKind) (protocol: string) (_: bool) (filename: string) =
        if filename = protocol + "://" then
            let options: NullOptions = { SizeBytes = None; LatencyNs = 0UL; ReadZeroes = None }

            node (Null(kind, options)) []
        else
            QapiError.fail ("The only allowed filename for this driver is '" + protocol + "://'")

    /// The group has no place in a file's name.
    let private throttle (isDevice: bool) (filename: string) =
        over (Throttle "") isDevice filename
        |> Result.map (fun spec -> {
            spec with
                Mistake = Some(QapiError.generic "Please specify a throttle group")
        })

    let private withoutBacking = Some { NamesBacking = false }

    let private format name describe creation : ImageFormat = { Name = name; Describe = describe; Creation = creation }

    let private all: ImageFormat list = [
        format "file" (fun _ name -> node (fileDriver RegularFile name) []) withoutBacking
        format "host_device" (fun _ name -> node (fileDriver HostDevice name) []) withoutBacking
        format "host_cdrom" (fun _ name -> node (fileDriver HostCdrom name) []) withoutBacking
        format "raw" (over (Raw { OffsetBytes = None; SizeBytes = None })) withoutBacking
        format "qcow2" (over (Qcow2 Qcow2Options.defaults)) (Some { NamesBacking = true })
        format "null-co" (nullDevice NullCo "null-co") None
        format "null-aio" (nullDevice NullAio "null-aio") None
        format "throttle" throttle None
        format "copy-on-read" (over (CopyOnRead None)) None
        format "compress" (over Compress) None
        format "preallocate" (over (Preallocate PreallocateOptions.defaults)) None
    ]

    let private tryFind (name: string) : ImageFormat option =
        all |> List.tryFind (fun format -> format.Name = name)

    /// The description of an image that exists, in a file or on a device.
    let describeOn (isDevice: bool) (format: string) (filename: string) : Result<BlockdevSpec, QapiError> =
        match tryFind format with
        | Some format -> format.Describe isDevice filename
        | None -> QapiError.fail ("Unknown driver '" + format + "'")

    /// The description of an image that exists in a file.
    let describe (format: string) (filename: string) : Result<BlockdevSpec, QapiError> =
        describeOn false format filename

    /// Whether a new image of that format can be an overlay.
    let checkOverlay (format: string) : Result<unit, QapiError> =
        match tryFind format with
        | None -> QapiError.fail ("Unknown file format '" + format + "'")
        | Some { Creation = None } -> QapiError.fail ("Format driver '" + format + "' does not support image creation")
        | Some { Creation = Some { NamesBacking = false } } ->
            QapiError.fail ("Backing file not supported for file format '" + format + "'")
        | Some { Creation = Some { NamesBacking = true } } -> Ok()
