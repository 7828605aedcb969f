namespace StorageDaemon.Core.Graph

open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Image

/// How listings name an image: by a plain name where that says all, else by the options that matter, as JSON.
module Filename =
    /// The longest name in characters; a longer one ends in "...".
    [<Literal>]
    let MaxLength = 4095

    /// Options that every node has: they do not show in a name.
    let private commonOptions =
        Set.ofList [
            "driver"
            "node-name"
            "discard"
            "cache.direct"
            "cache.no-flush"
            "active"
            "read-only"
            "auto-read-only"
            "force-share"
            "detect-zeroes"
        ]

    /// The plain name of a null node, which has no place for options.
    let ofNull (driver: Driver) (options: NullOptions) : string option =
        if options.SizeBytes.IsNone && options.ReadZeroes.IsNone then
            Some(Driver.name driver + "://")
        else
            None

    /// The plain name of a raw node: its file's, as if it had been probed. A format in a format cannot be named so.
    let ofRaw (options: RawOptions) (child: Node) : string option =
        match child.Driver with
        | File _
        | Null _ when Raw.isPassThrough options -> child.ExactFilename
        | _ -> None

    /// The plain name of an image: its file's, as if its format had been probed.
    let ofImage (file: Node) : string option =
        match file.Driver with
        | File _ -> file.ExactFilename
        | _ -> None

    /// The plain name of a blkverify node.
    let ofBlkVerify (raw: Node) (test: Node) : string option =
        match raw.ExactFilename, test.ExactFilename with
        | Some raw, Some test -> Some("blkverify:" + raw + ":" + test)
        | _ -> None

    /// Permissions that blkdebug takes or withholds do not show in a name either.
    let private isChildPermission (name: string) = name.Contains "-child-perms."

    /// The plain name of a blkdebug node, where a file has all of its rules.
    let ofBlkDebug (given: Map<string, string>) (options: BlkDebugOptions) (image: Node) : string option =
        let isUnnamed (name: string) =
            name = "config" || Set.contains name commonOptions || isChildPermission name

        match image.ExactFilename with
        | Some name when given |> Map.forall (fun key _ -> isUnnamed key) ->
            Some("blkdebug:" + defaultArg options.Config "" + ":" + name)
        | _ -> None

    /// What stands for a member of the options in a name.
    [<NoComparison>]
    type private Part =
        | Text of string
        | Below of NodeId
        | AllBelow of NodeId list

    let private quoted (text: string) =
        Text(Json.JsonPrinter.toString (Json.Json.String text))

    let private flag (name: string) (value: bool) =
        if value then [ name, Text "true" ] else []

    let private number (name: string) (value: 'T option) =
        value |> Option.map (fun value -> name, Text(string value)) |> Option.toList

    let private children (node: Node) =
        node.Children |> List.map (fun child -> child.Name, Below child.Node)

    /// The options that matter, the last one given first.
    let private parts (node: Node) : (string * Part) list =
        match node.Driver with
        | File(_, options) -> [ "filename", quoted options.Filename ]
        | Null(_, options) ->
            (options.ReadZeroes
             |> Option.map (fun value -> "read-zeroes", Text(if value then "true" else "false"))
             |> Option.toList)
            @ number "size" options.SizeBytes
        | Raw options ->
            number "offset" options.OffsetBytes
            @ number "size" options.SizeBytes
            @ children node
        | Throttle group -> ("throttle-group", quoted group) :: children node
        | CopyOnRead _
        | Compress
        | Preallocate _
        | BlkVerify -> children node
        | Qcow2 options ->
            let isShown (child: Child) =
                child.Name = "file"
                || child.Name <> Driver.DataFileName
                || options.GivesDataFile

            let shown = node.Children |> List.filter isShown
            let hasBacking = shown |> List.exists (fun child -> child.Name = Driver.BackingName)

            [
                if node.AutoBackingFile.IsSome && not hasBacking then
                    Driver.BackingName, Text "null"
            ]
            @ (shown |> List.map (fun child -> child.Name, Below child.Node))
        | Quorum options ->
            [
                "children", AllBelow(node.Children |> List.map _.Node)
                "vote-threshold", Text(string options.VoteThreshold)
            ]
            @ flag "blkverify" options.BlkVerify
            @ flag "rewrite-corrupted" options.RewriteCorrupted
            @ (match options.ReadPattern with
               | None -> []
               | Some ReadAll -> [ "read-pattern", quoted "quorum" ]
               | Some ReadFifo -> [ "read-pattern", quoted "fifo" ])
        | BlkLogWrites options ->
            number "log-sector-size" options.SectorBytes
            @ flag "log-append" options.Append
            @ number "log-super-update-interval" options.SuperInterval
            @ children node
        | BlkDebug _ ->
            (node.Given
             |> Map.toList
             |> List.filter (fun (name, _) -> not (commonOptions.Contains name || isChildPermission name))
             |> List.rev
             |> List.map (fun (name, value) -> name, Text value))
            @ children node

    let rec private append (graph: Graph) (text: StringBuilder) (node: Node) : unit =
        text.Append '{' |> ignore

        ("driver", quoted (Driver.name node.Driver)) :: parts node
        |> HashOrder.sort
        |> List.iteri (fun i (name, part) ->
            text.Append(if i = 0 then "" else ", ").Append('"').Append(name).Append("\": ")
            |> ignore

            match part with
            | Text value -> text.Append value |> ignore
            | Below id -> appendNode graph text id
            | AllBelow ids ->
                text.Append '[' |> ignore

                ids
                |> List.iteri (fun i id ->
                    text.Append(if i = 0 then "" else ", ") |> ignore
                    appendNode graph text id)

                text.Append ']' |> ignore)

        text.Append '}' |> ignore

    /// What lies beyond the greatest length is not looked at: each level takes some of it, so the recursion is short.
    and private appendNode (graph: Graph) (text: StringBuilder) (id: NodeId) =
        if text.Length <= MaxLength then
            Graph.tryNode id graph |> Option.iter (append graph text)

    /// The name of a node's image. The work is bounded by the name's greatest length, however deep the graph is.
    let ofNode (graph: Graph) (node: Node) : string =
        match node.ExactFilename with
        | Some name -> name
        | None ->
            let text = StringBuilder "json:"
            append graph text node

            if text.Length <= MaxLength then
                text.ToString()
            else
                text.ToString(0, MaxLength - 3) + "..."
