namespace StorageDaemon.Core.Graph

open System

/// File names that images have of other images.
module ImageName =
    /// Whether a name begins with a protocol: what stands before its first colon has no slash.
    let protocol (name: string) : string option =
        match name.IndexOf ':' with
        | -1 -> None
        | colon when name.IndexOf('/') >= 0 && name.IndexOf('/') < colon -> None
        | colon -> Some(name.Substring(0, colon))

    /// A name as the image at `from` means it: a relative one begins in its directory.
    let combine (from: string) (name: string) : string =
        if (protocol name).IsSome || name.StartsWith('/') then
            name
        else
            from.Substring(0, from.LastIndexOf '/' + 1) + name

    /// A name that a node's image has.
    let resolve (graph: Graph) (node: Node) (name: string) : string =
        match
            Node.primary node
            |> Option.bind (fun child -> (Graph.node child.Node graph).ExactFilename)
        with
        | Some file -> combine file name
        | None -> name
