namespace StorageDaemon.Core.Graph

open StorageDaemon.Core.Qcow2

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

    /// A name that a node's image has: relative ones begin in the directory of the file that the image is in, whatever
    /// lies between.
    let rec resolve (graph: Graph) (node: Node) (name: string) : string =
        match Node.primary node, node.ExactFilename with
        | Some child, _ -> resolve graph (Graph.node child.Node graph) name
        | None, Some file -> combine file name
        | None, None -> name

/// An image that another one names as its child.
type NamedImage = {
    /// "backing" or "data-file".
    Child: string
    Filename: string
    /// The driver, where it is named.
    Format: string option
}

module NamedImage =
    /// The backing image that a header names.
    let backing (header: Header) : NamedImage option =
        header.BackingFile
        |> Option.map (fun name -> {
            Child = Driver.BackingName
            Filename = Header.nameText name
            Format = Header.backingFormat header |> ValueOption.toOption
        })

    /// The file with the data that a header names.
    let dataFile (header: Header) : NamedImage option =
        Header.dataFileName header
        |> ValueOption.toOption
        |> Option.map (fun name -> {
            Child = Driver.DataFileName
            Filename = name
            Format = Some "file"
        })
