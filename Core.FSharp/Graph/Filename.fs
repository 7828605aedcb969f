namespace StorageDaemon.Core.Graph

open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Image

/// How listings name an image: by a plain name where that says all, else by the options that matter, as JSON.
module Filename =
    /// The longest name in characters; a longer one ends in "...".
    [<Literal>]
    let MaxLength = 4095

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

    let private appendMember (text: StringBuilder) (first: bool) (name: string) (value: string) =
        text.Append(if first then "" else ", ").Append('"').Append(name).Append("\": ").Append(value)
        |> ignore

    /// Writes the options of a node up to the place of its child; whether there is one.
    let private appendOptions (text: StringBuilder) (driver: Driver) : bool =
        let before = text.Append('{').Length
        let add name value =
            appendMember text (text.Length = before) name value
        let addDriver () =
            add "driver" ("\"" + Driver.name driver + "\"")

        match driver with
        | File(_, options) ->
            addDriver ()
            add "filename" ""
            text.Append(Json.JsonPrinter.toString (Json.Json.String options.Filename))
            |> ignore
            false
        | Null(_, options) ->
            options.ReadZeroes
            |> Option.iter (fun value -> add "read-zeroes" (if value then "true" else "false"))

            addDriver ()
            options.SizeBytes |> Option.iter (fun value -> add "size" (string value))
            false
        | Raw options ->
            options.OffsetBytes |> Option.iter (fun value -> add "offset" (string value))
            addDriver ()
            options.SizeBytes |> Option.iter (fun value -> add "size" (string value))
            add "file" ""
            true
        | Throttle group ->
            add "throttle-group" (Json.JsonPrinter.toString (Json.Json.String group))
            addDriver ()
            add "file" ""
            true
        | CopyOnRead _
        | Compress
        | Preallocate _ ->
            addDriver ()
            add "file" ""
            true

    /// The name of a node's image. The work is bounded by the name's greatest length, however deep the graph is.
    let ofNode (graph: Graph) (node: Node) : string =
        match node.ExactFilename with
        | Some name -> name
        | None ->
            let text = StringBuilder "json:"
            let mutable current = Some node
            let mutable depth = 0

            while current.IsSome && text.Length <= MaxLength do
                let node = current.Value
                depth <- depth + 1

                current <-
                    match appendOptions text node.Driver, node.Children with
                    | true, child :: _ -> Graph.tryNode child.Node graph
                    | _ -> None

            text.Append('}', depth) |> ignore

            if text.Length <= MaxLength then
                text.ToString()
            else
                text.ToString(0, MaxLength - 3) + "..."
