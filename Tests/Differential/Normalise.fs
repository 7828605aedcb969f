/// What may differ between two runs of the same daemon is taken out before answers are compared.
module StorageDaemon.Tests.Differential.Normalise

open System.Collections.Generic
open System.Text
open System.Text.Json
open System.Text.RegularExpressions

let private programName = Regex(@"^(\S*/)?(qemu-)?storage-daemon(?=:)", RegexOptions.Multiline)
let private pty = Regex @"/dev/pts/\d+"
let private autoName = Regex @"#block\d+"
let private addressOfNode = Regex "0x[0-9a-f]{6,}"

/// Replaces automatic node names by their order of appearance; one per transcript, so that a name keeps its number.
type AutoNames() =
    let seen = Dictionary<string, string>()

    member _.Replace(text: string) : string =
        autoName.Replace(
            text,
            fun found ->
                match seen.TryGetValue found.Value with
                | true, name -> name
                | _ ->
                    let name = $"#auto{seen.Count}"
                    seen[found.Value] <- name
                    name
        )

/// Text of standard error: the program's name, terminals and pointers.
let text (message: string) : string =
    let message = programName.Replace(message, "PROGRAM")
    let message = pty.Replace(message, "/dev/pts/N")
    addressOfNode.Replace(message, "0xN").TrimEnd()

/// The real daemon counts nothing for a node but the end of the highest write.
let private isCounted (parent: string) (name: string) : bool =
    parent = "stats" && name <> "wr_highest_offset"

/// Members that only this daemon has; `KnownDifferences.schema` lists them with their reasons.
let private isAddition (name: string) : bool = name = "x-exports"

/// What histograms count in, and when snapshots were taken.
let private isTime (name: string) : bool =
    name.EndsWith "_ns"
    || List.contains name [ "date-sec"; "date-nsec"; "vm-clock-sec"; "vm-clock-nsec" ]

/// Lists whose order is that of a hash table: they compare sorted.
let private hasHashOrder (element: JsonElement) : bool =
    element.GetArrayLength() > 1
    && element[0].ValueKind = JsonValueKind.Object
    && (fst (element[0].TryGetProperty "label")
        || fst (element[0].TryGetProperty "type") && fst (element[0].TryGetProperty "name"))

let rec private write (output: StringBuilder) (name: string) (element: JsonElement) : unit =
    match element.ValueKind with
    | JsonValueKind.Object ->
        let members =
            element.EnumerateObject()
            |> Seq.filter (fun property ->
                property.Name <> "timestamp"
                && not (isAddition property.Name)
                && not (isCounted name property.Name))
            |> Seq.sortBy (fun property -> property.Name)

        output.Append '{' |> ignore

        members
        |> Seq.iteri (fun i property ->
            if i > 0 then
                output.Append ", " |> ignore

            output.Append('"').Append(property.Name).Append("\": ") |> ignore
            write output property.Name property.Value)

        output.Append '}' |> ignore
    | JsonValueKind.Array ->
        let items =
            element.EnumerateArray()
            |> Seq.map (fun item ->
                let inner = StringBuilder()
                write inner name item
                inner.ToString())
            |> List.ofSeq

        let items = if hasHashOrder element then List.sort items else items
        output.Append('[').AppendJoin(", ", items).Append(']') |> ignore
    | JsonValueKind.String when name = "package" -> output.Append "\"PACKAGE\"" |> ignore
    | JsonValueKind.Number when isTime name -> output.Append "NS" |> ignore
    | _ -> output.Append(element.GetRawText()) |> ignore

/// A QMP message: members sorted, no timestamp, package or times. What is no JSON is compared as it is.
let message (line: string) : string =
    try
        use document = JsonDocument.Parse(line, JsonDocumentOptions(MaxDepth = 2048))
        let output = StringBuilder()
        write output "" document.RootElement
        pty.Replace(output.ToString(), "/dev/pts/N")
    with :? JsonException ->
        "not JSON: "
        + Regex.Replace(line, "\"package\": \"[^\"]*\"", "\"package\": \"PACKAGE\"")
