namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Image

/// What a host file turned out to be.
type OpenedKind =
    | PlainFile
    | BlockDevice
    | CharacterDevice
    | OtherFile

[<NoComparison>]
type OpenedFile = {
    Kind: OpenedKind
    SizeBytes: int64
    /// Bytes; the unit in which the descriptor can be read and written: 1 with the page cache.
    AlignmentBytes: int
}

/// The result of an `OpenRequest`.
[<NoComparison>]
type OpenOutcome =
    | Opened of OpenedFile
    /// The C library's text for the errno.
    | NotOpened of reason: string

/// What a planned node is, as far as its file and its children tell: with the checks that its driver makes of them.
module internal NodeMeasure =
    let private checkOpened (kind: FileKind) (file: FileOptions) (options: NodeOptions) (opened: OpenedFile) =
        let requires what =
            QapiError.fail (
                "'"
                + Driver.name (File(kind, file))
                + "' driver requires '"
                + file.Filename
                + "' "
                + what
            )

        match kind, opened.Kind with
        | _ when file.Aio = AioNative && not options.Direct ->
            QapiError.fail "aio=native was specified, but it requires cache.direct=on, which was not specified."
        | RegularFile, PlainFile -> Ok()
        | RegularFile, _ -> requires "to be a regular file"
        | _, (BlockDevice | CharacterDevice) -> Ok()
        | _ -> requires "to be either a character or block device"

    let checkLength (bytes: int64) : Result<int64, QapiError> =
        if bytes > Raw.MaxLengthBytes then
            QapiError.fail "Could not refresh total sector count: File too large"
        else
            Ok(Raw.roundUpToSector (max 0L bytes))

    /// The default length of a null node: 1 GiB.
    [<Literal>]
    let private DefaultNullBytes = 1073741824L

    /// A filter is as its child, but for its name and what it asks of requests.
    let private filtered (driver: Driver) (child: Node) : struct (int64 * int * string option) =
        struct (child.SizeBytes, max (Driver.alignment driver) child.AlignmentBytes, None)

    let private checkQuorum (options: QuorumOptions) (children: Node list) : Result<unit, QapiError> =
        let count = int64 children.Length

        if options.VoteThreshold < 1L then
            QapiError.fail "Parameter 'vote-threshold' expects a value >= 1"
        elif options.VoteThreshold > count then
            QapiError.fail "threshold may not exceed children count"
        elif count > int64 Quorum.MaxChildren then
            QapiError.fail "Too many children"
        elif options.BlkVerify && (count <> 2L || options.VoteThreshold <> 2L) then
            QapiError.fail "blkverify=on can only be set if there are exactly two files and vote-threshold is 2"
        elif options.BlkVerify && options.RewriteCorrupted then
            QapiError.fail "rewrite-corrupted=on cannot be used with blkverify=on"
        else
            Ok()

    let private measureQuorum (options: QuorumOptions) (children: Node list) =
        match children with
        | [] -> QapiError.fail "Number of provided children must be 1 or more"
        | first :: rest ->
            result {
                do! checkQuorum options children

                if rest |> List.exists (fun child -> child.SizeBytes <> first.SizeBytes) then
                    return! QapiError.fail "Could not refresh total sector count: Input/output error"
                else
                    return struct (first.SizeBytes, children |> List.map _.AlignmentBytes |> List.max, None)
            }

    /// The node of copy-on-read's `bottom` must be in the chain below, and no filter.
    let private checkBottom (graph: Graph) (child: Node) (bottom: string option) : Result<unit, QapiError> =
        let rec isBelow (node: Node) (name: string) =
            node.Name = name
            || match
                node.Children
                |> List.tryFind (fun c -> c.Role.HasFlag ChildRole.Filtered || c.Role.HasFlag ChildRole.Cow)
               with
               | Some next -> isBelow (Graph.node next.Node graph) name
               | None -> false

        match bottom with
        | None -> Ok()
        | Some name ->
            match Graph.tryByName name graph with
            | None -> QapiError.fail ("Bottom node '" + name + "' not found")
            | Some node when Driver.isFilter node.Driver -> QapiError.fail ("Bottom node '" + name + "' is a filter")
            | Some _ when not (isBelow child name) ->
                QapiError.fail ("Bottom node '" + name + "' is not in the chain below '" + child.Name + "'")
            | Some _ -> Ok()

    let private checkPreallocate (options: PreallocateOptions) : Result<unit, QapiError> =
        if options.AlignBytes % Raw.SectorBytes <> 0L then
            "prealloc-align parameter of preallocate filter is not aligned to "
            + string Raw.SectorBytes
            |> QapiError.fail
        else
            Ok()

    /// Length, alignment and plain file name of a node.
    let measure
        (graph: Graph)
        (node: PlannedNode)
        (outcome: OpenOutcome option)
        (children: Node list)
        : Result<struct (int64 * int * string option), QapiError> =
        match node.Driver, outcome, List.tryHead children with
        | File(_, file), Some(NotOpened reason), _ -> Error(OpenFailure.error file.Filename reason)
        | File(kind, file), Some(Opened opened), _ ->
            result {
                do! checkOpened kind file node.Options opened
                let! bytes = checkLength opened.SizeBytes
                return struct (bytes, max 1 opened.AlignmentBytes, Some file.Filename)
            }
        | Null(_, options), _, _ ->
            result {
                let! bytes = checkLength (defaultArg options.SizeBytes DefaultNullBytes)
                return struct (bytes, 1, Filename.ofNull node.Driver options)
            }
        | Raw options, _, Some child ->
            result {
                let! geometry = Raw.settle options child.SizeBytes
                return struct (geometry.LengthBytes, child.AlignmentBytes, Filename.ofRaw options child)
            }
        | Throttle group, _, Some child when graph.ThrottleGroups.ContainsKey group -> Ok(filtered node.Driver child)
        | Throttle group, _, Some _ -> QapiError.fail ("Throttle group '" + group + "' does not exist")
        | CopyOnRead bottom, _, Some child ->
            checkBottom graph child bottom
            |> Result.map (fun () -> filtered node.Driver child)
        | Compress, _, Some child when Driver.canCompress child.Driver -> Ok(filtered node.Driver child)
        | Compress, _, Some child ->
            QapiError.fail (
                "Compression is not supported for underlying format: "
                + Driver.name child.Driver
            )
        | Preallocate options, _, Some child ->
            checkPreallocate options |> Result.map (fun () -> filtered node.Driver child)
        | Quorum options, _, _ -> measureQuorum options children
        | BlkVerify, _, Some raw ->
            match children with
            | [ _; test ] ->
                let struct (size, alignment, _) = filtered node.Driver test
                Ok struct (size, max alignment raw.AlignmentBytes, Filename.ofBlkVerify raw test)
            | _ -> QapiError.fail "The node lacks an image"
        | BlkDebug options, _, Some image ->
            BlkDebugLimits.check options.Limits
            |> Result.map (fun () ->
                let struct (size, alignment, _) = filtered node.Driver image
                struct (size, alignment, Filename.ofBlkDebug node.Given options image))
        | BlkLogWrites _, _, Some file -> Ok(filtered node.Driver file)
        // Its header says the rest.
        | Qcow2 _, _, Some file -> Ok struct (0L, 1, Filename.ofImage file)
        | _ -> QapiError.fail "The node lacks its file"
