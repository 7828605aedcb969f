namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Image

/// What a resize does to the host file.
[<NoComparison>]
type ResizeTarget =
    /// ftruncate(2) to that many bytes.
    | Truncate of NodeId * bytes: int64
    /// The image takes that length.
    | ResizedImage of NodeId * bytes: int64
    /// Only look how long the device is now; it must be at least that long.
    | Measure of NodeId * bytes: int64

/// The host file by whose length a node's is changed.
[<NoComparison>]
type ResizeLeaf = {
    File: NodeId
    /// It has the length that it has.
    IsDevice: bool
    /// Where the node begins in it, in bytes.
    OffsetBytes: int64
    /// The nodes whose length changes with it, from the top down.
    Path: NodeId list
}

/// A resize that may go on once `Grant` has succeeded: for its duration it is a user that needs the resize
/// permission.
[<NoComparison; NoEquality>]
type ResizePlan = {
    Grant: GraphChange
    User: BackendId
    /// What to do then. An error is reported only after the permission was granted, and the user detached after it.
    Target: Result<ResizeTarget, QapiError>
    /// The nodes whose length changes, from the top down.
    Path: NodeId list
}

/// block_resize.
module Resize =
    let private failWith errno (text: string) : Result<'T, QapiError> =
        QapiError.generic text |> QapiError.withErrno errno |> Error

    let private checkNode (node: Node) (newBytes: int64) : Result<unit, QapiError> =
        if newBytes > Raw.MaxLengthBytes then
            "offset("
            + string newBytes
            + ") exceeds maximum("
            + string Raw.MaxLengthBytes
            + ")"
            |> failWith Errno.EFBIG
        elif node.Options.ReadOnly then
            failWith Errno.EROFS "Image is read-only"
        else
            Ok()

    /// Goes down to the host file. Tail recursive, because chains may be long.
    let rec private descend (graph: Graph) (node: Node) (newBytes: int64) (above: NodeId list) =
        match checkNode node newBytes with
        | Error error -> Error error
        | Ok() ->
            let path = node.Id :: above

            match node.Driver, Node.primary node with
            | File(RegularFile, _), _ -> Ok(struct (Truncate(node.Id, newBytes), List.rev path))
            | File _, _ -> Ok(struct (Measure(node.Id, newBytes), List.rev path))
            | Raw options, Some child ->
                match Raw.childLength options newBytes with
                | Error error -> Error error
                | Ok childBytes -> descend graph (Graph.node child.Node graph) childBytes path
            | driver, _ when Driver.isImage driver ->
                if newBytes % Raw.SectorBytes <> 0L then
                    failWith Errno.EINVAL "The new size must be a multiple of 512"
                else
                    Ok(struct (ResizedImage(node.Id, newBytes), List.rev path))
            | driver, Some child when Driver.isFilter driver ->
                descend graph (Graph.node child.Node graph) newBytes path
            | _ -> failWith Errno.ENOTSUP "Image format driver does not support resize"

    /// Where a resize of the node would end, or why it cannot be resized.
    let leaf (graph: Graph) (node: Node) : Result<ResizeLeaf, QapiError> =
        let leaf file isDevice offset path = {
            File = file
            IsDevice = isDevice
            OffsetBytes = offset
            Path = path
        }

        descend graph node 0L []
        |> Result.bind (fun struct (target, path) ->
            match target with
            | Truncate(file, offset) -> Ok(leaf file false offset path)
            | Measure(file, offset) -> Ok(leaf file true offset path)
            | ResizedImage _ -> QapiError.fail "Image format driver does not support resize")

    /// Checks a resize of `node` to `newBytes` and asks for the permission.
    let plan (node: Node) (newBytes: int64) (graph: Graph) : Result<ResizePlan, QapiError> =
        if newBytes < 0L then
            QapiError.fail "Parameter 'size' expects a >0 size"
        else
            let user: BackendSpec = {
                Perms = Perm.resizing Perm.unused
                Label = Backend.UnnamedLabel
                FixedContext = false
                AllowInactive = false
            }

            Backends.attach node.Id user graph
            |> Result.mapError (QapiError.withErrno Errno.EBUSY)
            |> Result.map (fun attached ->
                let descended = descend graph node newBytes []

                {
                    Grant = attached.Change
                    User = attached.Id
                    Target = descended |> Result.map (fun struct (target, _) -> target)
                    Path =
                        match descended with
                        | Ok struct (_, path) -> path
                        | Error _ -> []
                })

    /// The error of ftruncate(2): `reason` is the C library's text.
    let truncateError (errno: int) (reason: string) : QapiError =
        QapiError.generic ("Could not resize file: " + reason)
        |> QapiError.withErrno errno

    let private setSize (bytes: int64) (graph: Graph) (node: Node) =
        Graph.putNode
            {
                node with
                    SizeBytes = Raw.roundUpToSector bytes
                    Header = node.Header |> Option.map (fun header -> { header with SizeBytes = bytes })
            }
            graph

    /// The lengths of the path, from the host file up. Nodes beside the path keep theirs: they learn of the new
    /// length only when they are resized themselves.
    let follow (path: NodeId list) (fileBytes: int64) (graph: Graph) : Graph =
        let step struct (graph: Graph, childBytes: int64) id =
            let node = Graph.node id graph

            let bytes =
                match node.Driver with
                | Raw options ->
                    match Raw.settle options childBytes with
                    | Ok geometry -> geometry.LengthBytes
                    // The device is shorter than the image's place in it.
                    | Error _ -> 0L
                | _ -> Raw.roundUpToSector childBytes

            struct (setSize bytes graph node, bytes)

        let struct (next, _) = path |> List.rev |> List.fold step struct (graph, fileBytes)
        next

    /// After the file has its new length, `actualBytes`: the new lengths, and the user detached. When the device is
    /// too short, the error; then, and after every other error, the plan's user goes with `Remove.backend`.
    let commit (plan: ResizePlan) (actualBytes: int64) (graph: Graph) : Result<GraphChange, QapiError> =
        match plan.Target with
        | Error error -> Error error
        | Ok(Measure(_, bytes)) when bytes > actualBytes -> QapiError.fail "Cannot grow device files"
        | Ok _ -> graph |> follow plan.Path actualBytes |> Remove.backend plan.User |> Ok
