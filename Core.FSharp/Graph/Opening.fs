namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2

/// A child as a node finds it when it is opened.
[<Struct>]
type ChildFile = {
    /// Bytes; of what is below, not of the node.
    LengthBytes: int64
    /// Bytes that it takes on disk; none where that is not known.
    SpaceBytes: int64
    /// Whether what lies behind the end reads as zeroes once it has grown.
    GrowsWithZeroes: bool
}

/// What a node answers when it is opened.
[<NoComparison; NoEquality>]
type OpenedNode =
    | IsOpen of Layer * NodeFacts
    /// The data are in a file of their own, which has to be there first; its name, if the image has one.
    | LacksDataFile of NamedImage option

/// What opening a node needs besides its children.
[<NoComparison; NoEquality>]
type OpenContext = {
    /// The C library's text for an errno.
    ErrorText: System.Func<int, string>
    /// The codec for an image, from the compression type in its header: 0 for deflate, 1 for Zstandard.
    MakeCodec: System.Func<byte, IClusterCodec>
}

/// How nodes that have to read their children find out what they are.
module Opening =
    let private asNode (script: IoScript<Result<LayerOpened, QapiError>>) : IoScript<Result<OpenedNode, QapiError>> =
        script
        |> IoScript.bind (
            Result.map (fun opened ->
                IsOpen(
                    opened.Machine,
                    {
                        SizeBytes = opened.SizeBytes
                        AlignmentBytes = opened.AlignmentBytes
                        Header = None
                        Snapshots = []
                    }
                ))
            >> Finished
        )

    let private openImage
        (options: Qcow2Options)
        (path: DataPath)
        (children: ChildFile list)
        (context: OpenContext)
        (header: Header)
        : IoScript<Result<OpenedNode, QapiError>> =
        let hasDataFile = header.Incompatible &&& Feature.dataFile <> 0UL

        match children with
        | [ _ ] when hasDataFile -> Finished(Ok(LacksDataFile(NamedImage.dataFile header)))
        | [ _ ] when options.GivesDataFile ->
            Finished(QapiError.fail "'data-file' can only be set for images with an external data file")
        | [] -> Finished(QapiError.fail "The node lacks its file")
        | file :: _ ->
            ioResult {
                let! sizes = Finished(Qcow2Options.settle header options)

                let settings: ImageSettings = {
                    Writable = not path.ReadOnly
                    Cache = sizes
                    Discards =
                        DiscardSettings.ofOptions
                            path.Discard
                            options.PassDiscardRequest
                            options.PassDiscardSnapshot
                            options.PassDiscardOther
                            (Some options.DiscardNoUnref)
                    OverlapCheck = options.OverlapChecks
                    Codec = context.MakeCodec.Invoke header.CompressionType
                }

                let below: ImageChildren = {
                    FileBytes = file.LengthBytes
                    GrowsWithZeroes = file.GrowsWithZeroes
                    DataChild = if hasDataFile then 1 else 0
                    BackingChild = -1
                    BackingBytes = 0L
                    IsSparse = ImageChildren.isSparse (1L <<< header.ClusterBits) file.LengthBytes file.SpaceBytes
                }

                let! image = Opener.script settings below context.ErrorText.Invoke

                return
                    IsOpen(
                        Qcow2Layer image,
                        {
                            SizeBytes = image.Header.SizeBytes
                            AlignmentBytes = 1
                            Header = Some image.Header
                            Snapshots = image.Snapshots
                        }
                    )
            }

    /// The script of a driver over its children.
    let script
        (path: DataPath)
        (driver: Driver)
        (paths: DataPath list)
        (children: ChildFile list)
        (context: OpenContext)
        : IoScript<Result<OpenedNode, QapiError>> =
        match driver, paths, children with
        | BlkLogWrites options, [ file; _ ], [ _; log ] ->
            LogWritesLayer.Open(options, file.SizeBytes, file.AlignmentBytes, log.LengthBytes, context.ErrorText.Invoke)
            |> asNode
        | Qcow2 options, _, _ ->
            Opener.readHeader (not path.ReadOnly) context.ErrorText.Invoke
            |> IoScript.bind (function
                | Error error -> Finished(Error error)
                | Ok header -> openImage options path children context header)
        | _ -> Finished(QapiError.fail ("'" + Driver.name driver + "' does not read its children"))
