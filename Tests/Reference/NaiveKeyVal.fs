/// The key-value syntax once more, by hand and without regard to speed: one loop over the characters, a flat list of
/// what was read, and the tree made of it at the end.
module StorageDaemon.Tests.Reference.NaiveKeyVal

open System
open StorageDaemon.Core.Json

let private isLetter c =
    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
let private isDigit c = c >= '0' && c <= '9'

/// The length of the fragment at the beginning of `text`, or 0.
let private fragmentLength isFirst (text: string) =
    let mutable i = 0

    if text.StartsWith("__", StringComparison.Ordinal) then
        i <- 2

        while i < text.Length
              && (isLetter text[i] || isDigit text[i] || text[i] = '-' || text[i] = '.') do
            i <- i + 1

        i <-
            if i < text.Length && text[i] = '_' then
                i + 1
            else
                text.Length

    if i < text.Length && isLetter text[i] then
        while i < text.Length
              && (isLetter text[i] || isDigit text[i] || text[i] = '-' || text[i] = '_') do
            i <- i + 1
    else
        i <- 0

        while not isFirst && i < text.Length && isDigit text[i] do
            i <- i + 1

    if i < text.Length && text[i] <> '.' then 0 else i

exception private Bad of string

let private isPrefix (shorter: string list) (longer: string list) =
    shorter.Length < longer.Length && List.take shorter.Length longer = shorter

let private dotted (path: string list) = String.Join('.', path)

/// The fragments of `key`; checks against what was read before as soon as a fragment is known to have a successor.
let private splitKey (entries: (string list * string) list) (key: string) =
    let mutable path = []
    let mutable rest = key
    let mutable go = true

    while go do
        let length = fragmentLength (List.isEmpty path) rest

        if length = 0 then
            raise (Bad("Invalid parameter '" + key + "'"))

        let fragment = rest.Substring(0, length)

        if length > 127 then
            let what =
                if length = key.Length then
                    "Parameter"
                else
                    "Parameter fragment"
            raise (Bad(what + " '" + fragment + "' is too long"))

        if List.exists (fun (known, _) -> known = path) entries then
            raise (Bad("Parameters '" + dotted path + ".*' used inconsistently"))

        path <- path @ [ fragment ]
        go <- length < rest.Length
        rest <- if go then rest.Substring(length + 1) else ""

    path

let private add entries (path: string list) value =
    if List.exists (fun (known, _) -> isPrefix path known) entries then
        raise (Bad("Parameters '" + dotted path + ".*' used inconsistently"))

    if List.exists (fun (known, _) -> known = path) entries then
        entries
        |> List.map (fun (known, old) -> known, (if known = path then value else old))
    else
        entries @ [ path, value ]

let rec private build (above: string) (entries: (string list * string) list) =
    let keys = entries |> List.map (fst >> List.head) |> List.distinct

    let valueOf key =
        let below = entries |> List.filter (fun (path, _) -> List.head path = key)

        match below with
        | [ [ _ ], text ] -> String text
        | _ -> build (above + key + ".") (below |> List.map (fun (path, text) -> List.tail path, text))

    let members = keys |> List.map (fun key -> key, valueOf key)
    let isIndex (key: string, _) = isDigit key[0]

    if not (List.exists isIndex members) then
        Object members
    elif not (List.forall isIndex members) then
        raise (Bad("Parameters '" + above + "*' used inconsistently"))
    else
        let index (key: string) =
            int (bigint.Min(bigint.Parse key, bigint Int32.MaxValue))
        let elements = members |> List.map (fun (key, value) -> index key, value) |> Map.ofList
        let count = Map.count elements

        for i in 0 .. count - 1 do
            if not (Map.containsKey i elements) then
                raise (Bad("Parameter '" + above + string<int> i + "' missing"))

        List(elements |> Map.toList |> List.map snd)

let private readAll impliedKey (text: string) =
    let mutable entries = []
    let mutable help = false
    let mutable i = 0

    while i < text.Length do
        let start = i

        while i < text.Length && text[i] <> ',' && text[i] <> '=' do
            i <- i + 1

        let key = text.Substring(start, i - start)

        if i < text.Length && text[i] = '=' then
            i <- i + 1
            let path = splitKey entries key
            let mutable value = ""

            while i < text.Length
                  && (text[i] <> ',' || (i + 1 < text.Length && text[i + 1] = ',')) do
                value <- value + string<char> text[i]
                i <- if text[i] = ',' then i + 2 else i + 1

            entries <- add entries path value
        elif key = "help" || key = "?" then
            help <- true
        elif start = 0 && key <> "" && Option.isSome impliedKey then
            entries <- [ [ Option.get impliedKey ], key ]
        else
            splitKey entries key |> ignore
            raise (Bad("Expected '=' after parameter '" + key + "'"))

        i <- i + 1

    if help then Error "help" else Ok(build "" entries)

/// The tree, or the text of the error, or "help".
let parse (impliedKey: string option) (text: string) : Result<Json, string> =
    try
        readAll impliedKey text
    with Bad message ->
        Error message

/// The inverse: a tree of strings, objects and lists, none of them empty, as a text.
let print (tree: Json) =
    let rec flatten (path: string) value =
        let below key =
            if path = "" then key else path + "." + key

        match value with
        | Object members -> members |> List.collect (fun (key, value) -> flatten (below key) value)
        | List elements ->
            elements
            |> List.mapi (fun i value -> flatten (below (string<int> i)) value)
            |> List.concat
        | String text -> [ path + "=" + text.Replace(",", ",,") ]
        | _ -> []

    String.Join(',', flatten "" tree)
