/// JSON through .NET's own parser, for texts in tests: independent of the parser under test.
module StorageDaemon.Tests.JsonText

open System.Text.Json
open StorageDaemon.Core.Json

let private number (element: JsonElement) =
    match element.TryGetInt64() with
    | true, value -> Int value
    | _ ->
        match element.TryGetUInt64() with
        | true, value -> UInt value
        | _ -> Double(element.GetDouble())

let rec private ofElement (element: JsonElement) : Json =
    match element.ValueKind with
    | JsonValueKind.True -> Bool true
    | JsonValueKind.False -> Bool false
    | JsonValueKind.Number -> number element
    | JsonValueKind.String -> String(element.GetString())
    | JsonValueKind.Array -> List [ for item in element.EnumerateArray() -> ofElement item ]
    | JsonValueKind.Object -> Object [ for m in element.EnumerateObject() -> m.Name, ofElement m.Value ]
    | _ -> Null

let parse (text: string) : Json =
    use document = JsonDocument.Parse text
    ofElement document.RootElement

let parseMembers text =
    match parse text with
    | Object members -> members
    | _ -> failwith "not an object"
