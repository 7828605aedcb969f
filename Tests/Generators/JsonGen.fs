/// Values, their spellings, and near misses.
module StorageDaemon.Tests.Generators.JsonGen

open System
open System.Text
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Json

let private join (parts: Gen<string list>) = Gen.map (String.concat "") parts

/// One character that QMP accepts in a string.
let private character: Gen<string> =
    let inRange first last =
        Gen.choose (first, last) |> Gen.map Char.ConvertFromUtf32

    Gen.frequency [
        8, inRange 0x20 0x7E
        1, inRange 0 0x1F
        1, inRange 0x7F 0xD7FF
        1, inRange 0xE000 0xFDCF
        1, inRange 0x10000 0x1FFFD
    ]

let text: Gen<string> = Gen.listOf character |> join |> Gen.resize 12

/// Doubles that are not printed like integers, which would be read as such.
let private fractional: Gen<float> =
    ArbMap.defaults
    |> ArbMap.generate<NormalFloat>
    |> Gen.map _.Get
    |> Gen.filter (fun d -> d <> Math.Floor d || abs d >= 1e17)

let private scalar: Gen<Json> =
    Gen.frequency [
        1, Gen.constant Null
        1, Gen.elements [ Bool true; Bool false ]
        3, ArbMap.defaults |> ArbMap.generate<int64> |> Gen.map Int
        1,
        Gen.elements [
            Int Int64.MinValue
            Int Int64.MaxValue
            UInt 9223372036854775808UL
            UInt UInt64.MaxValue
        ]
        1, Gen.map Json.Double fractional
        3, Gen.map Json.String text
    ]

let rec private sized size : Gen<Json> =
    if size = 0 then
        scalar
    else
        let inner = sized (size / 3)
        let members = Gen.listOf (Gen.zip text inner) |> Gen.map (List.distinctBy fst)

        Gen.frequency [
            2, scalar
            1, Gen.map Json.List (Gen.listOf inner |> Gen.resize 5)
            2, Gen.map Json.Object (Gen.resize 5 members)
        ]

let value: Gen<Json> = Gen.sized (min 30 >> sized)

let private blank = Gen.elements [ ""; ""; ""; " "; "\n"; "\t"; "\r\n" ]

let private spellCharacter (quote: char) (rune: Rune) : Gen<string> =
    let escapes = String.Concat(rune.ToString() |> Seq.map (fun unit -> "\\u" + (int unit).ToString "x4"))
    let isPlain = rune.Value >= 0x20 && rune.Value <> int quote && rune.Value <> int '\\'

    if isPlain then
        Gen.frequency [ 6, Gen.constant (rune.ToString()); 1, Gen.constant escapes ]
    else
        Gen.constant escapes

let private spellString (text: string) : Gen<string> =
    gen {
        let! quote = Gen.elements [ '"'; '\'' ]

        let! characters =
            [ for rune in text.EnumerateRunes() -> spellCharacter quote rune ]
            |> Gen.sequenceToList
            |> join

        return string<char> quote + characters + string<char> quote
    }

let rec private spellValue (value: Json) : Gen<string> =
    gen {
        let! before = blank
        let! after = blank

        let! spelling =
            match value with
            | Json.String text -> spellString text
            | Json.List items -> between "[" "]" (List.map spellValue items)
            | Json.Object members -> between "{" "}" (List.map spellMember members)
            | scalar -> Gen.constant (JsonPrinter.toString scalar)

        return before + spelling + after
    }

and private spellMember (key, value) =
    Gen.map2 (fun key value -> key + ":" + value) (spellValue (Json.String key)) (spellValue value)

and private between left right (parts: Gen<string> list) =
    parts
    |> Gen.sequenceToList
    |> Gen.map (fun parts -> left + String.Join(",", parts) + right)

/// A value and one of its many spellings.
let spelled: Gen<Json * string> =
    gen {
        let! value = value
        let! spelling = spellValue value
        return value, spelling
    }

let private fragments = [
    "{"
    "}"
    "["
    "]"
    ":"
    ","
    "\""
    "'"
    "\"a\""
    "\"execute\""
    "\"id\""
    "'exec-oob'"
    "\"query-version\""
    "1"
    "0"
    "-"
    "."
    "e"
    "E5"
    "1.5"
    "18446744073709551616"
    "true"
    "null"
    "x"
    "@"
    "%"
    "\n"
    "\t"
    " "
    "\\"
    "\\u"
    "\\ud83d"
    "\\ude00"
    "00e9"
    "\000"
    "\001"
    "{\"a\":1}"
    "[1,2]"
    "{\"execute\":\"query-version\",\"id\":7}"
]

let private badBytes: byte[] list = [
    [| 0xFFuy |]
    [| 0xFEuy |]
    [| 0xC3uy; 0xA9uy |]
    [| 0xE2uy; 0x82uy |]
    [| 0xC0uy; 0x80uy |]
    [| 0x80uy |]
    [| 0xF0uy; 0x9Fuy; 0x98uy; 0x80uy |]
    [| 0xEDuy; 0xA0uy; 0x80uy |]
    [| 0xEFuy; 0xBFuy; 0xBEuy |]
]

/// Text that looks like JSON here and there.
let nearText: Gen<string> = Gen.elements fragments |> Gen.listOf |> join |> Gen.resize 14

/// The spelling of a value with one character removed, doubled or replaced.
let damaged: Gen<string> =
    gen {
        let! _, spelling = spelled
        let! position = Gen.choose (0, spelling.Length - 1)

        let! other =
            Gen.elements [
                ""
                "x"
                "\""
                "0"
                ","
                "]"
                "}"
                "."
                "\\"
                spelling.Substring(position, 1) + "1"
            ]
        // Half a surrogate pair could not be sent as UTF-8.
        let isHalf = Char.IsSurrogate spelling[position]

        return
            if isHalf then
                spelling
            else
                spelling.Remove(position, 1).Insert(position, other)
    }

/// Bytes that look like messages here and there.
let junk: Gen<byte[]> =
    let piece =
        Gen.frequency [
            8, Gen.elements fragments |> Gen.map Encoding.Latin1.GetBytes
            2, Gen.elements badBytes
            1, Gen.choose (0, 255) |> Gen.map (fun b -> [| byte b |])
        ]

    Gen.listOf piece |> Gen.map Array.concat |> Gen.resize 40

/// The lengths of the pieces in which bytes arrive, to be used round and round.
let cuts: Gen<int list> = Gen.nonEmptyListOf (Gen.choose (1, 9)) |> Gen.resize 6

/// Cuts `bytes` into pieces.
let rec pieces (cuts: int list) (bytes: byte[]) : byte[] list =
    let rec go position (remaining: int list) found =
        match remaining with
        | _ when position >= bytes.Length -> List.rev found
        | [] -> go position cuts found
        | cut :: rest ->
            let length = min cut (bytes.Length - position)
            go (position + length) rest (Array.sub bytes position length :: found)

    go 0 cuts []
