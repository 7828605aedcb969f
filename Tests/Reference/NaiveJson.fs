/// The grammar of QMP's JSON, written for reading: recursive, over text, without errors' texts. What it accepts is what
/// the resumable parser has to accept.
module StorageDaemon.Tests.Reference.NaiveJson

open System
open System.Globalization
open System.Numerics
open StorageDaemon.Core.Json

exception private Malformed

let private isNoncharacter codepoint =
    (codepoint >= 0xFDD0 && codepoint <= 0xFDEF) || codepoint &&& 0xFFFE = 0xFFFE

let private integer (digits: string) =
    let value = BigInteger.Parse(digits, CultureInfo.InvariantCulture)

    if value >= BigInteger Int64.MinValue && value <= BigInteger Int64.MaxValue then
        Int(int64 value)
    elif value > BigInteger.Zero && value <= BigInteger UInt64.MaxValue then
        UInt(uint64 value)
    else
        Json.Double(Double.Parse(digits, CultureInfo.InvariantCulture))

type private Reader(text: string) =
    let mutable position = 0

    member _.Peek = if position < text.Length then text[position] else '\000'
    member _.AtEnd = position = text.Length

    member reader.Take() =
        if reader.AtEnd then
            raise Malformed

        position <- position + 1
        text[position - 1]

    member reader.Expect c =
        if reader.Take() <> c then
            raise Malformed

    member reader.Blanks() =
        while not reader.AtEnd && " \t\r\n".Contains reader.Peek do
            position <- position + 1

    member reader.While predicate =
        let start = position

        while not reader.AtEnd && predicate reader.Peek do
            position <- position + 1

        text.Substring(start, position - start)

let private hexDigits (reader: Reader) =
    let digits = System.String [| for _ in 1..4 -> reader.Take() |]

    if Seq.forall Char.IsAsciiHexDigit digits then
        Convert.ToInt32(digits, 16)
    else
        raise Malformed

let private codepoint (reader: Reader) =
    let first = hexDigits reader

    let value =
        if first >= 0xD800 && first <= 0xDBFF then
            reader.Expect '\\'
            reader.Expect 'u'
            let second = hexDigits reader

            if second < 0xDC00 || second > 0xDFFF then
                raise Malformed

            0x10000 + (first - 0xD800) * 0x400 + (second - 0xDC00)
        else
            first

    if isNoncharacter value || (value >= 0xDC00 && value <= 0xDFFF) then
        raise Malformed

    Char.ConvertFromUtf32 value

let private escaped (reader: Reader) =
    match reader.Take() with
    | 'b' -> "\b"
    | 'f' -> "\f"
    | 'n' -> "\n"
    | 'r' -> "\r"
    | 't' -> "\t"
    | 'u' -> codepoint reader
    | '"'
    | '\''
    | '\\'
    | '/' as c -> string<char> c
    | _ -> raise Malformed

let private stringLiteral (reader: Reader) =
    let quote = reader.Take()
    let parts = ResizeArray<string>()
    let mutable isOpen = true

    while isOpen do
        match reader.Take() with
        | c when c = quote -> isOpen <- false
        | '\\' -> parts.Add(escaped reader)
        | c when c < ' ' -> raise Malformed
        | c -> parts.Add(string<char> c)

    let text = String.Concat parts

    for rune in text.EnumerateRunes() do
        if isNoncharacter rune.Value then
            raise Malformed

    text

let private number (reader: Reader) =
    let sign = reader.While(fun c -> c = '-')
    let whole = reader.While Char.IsAsciiDigit

    if sign.Length > 1 || whole = "" || (whole.Length > 1 && whole[0] = '0') then
        raise Malformed

    let fraction =
        if reader.Peek = '.' then
            reader.Expect '.'
            "." + reader.While Char.IsAsciiDigit
        else
            ""

    let mayHaveExponent = whole <> "0" || fraction <> ""

    let exponent =
        if mayHaveExponent && (reader.Peek = 'e' || reader.Peek = 'E') then
            reader.Take() |> ignore

            let sign =
                if reader.Peek = '+' || reader.Peek = '-' then
                    string<char>(reader.Take())
                else
                    ""

            "e" + sign + reader.While Char.IsAsciiDigit
        else
            ""

    if
        fraction = "."
        || (exponent <> "" && not (Char.IsAsciiDigit exponent[exponent.Length - 1]))
    then
        raise Malformed

    let value =
        if fraction + exponent = "" then
            integer (sign + whole)
        else
            Json.Double(Double.Parse(sign + whole + fraction + exponent, CultureInfo.InvariantCulture))

    match value with
    | Json.Double d when not (Double.IsFinite d) -> raise Malformed
    | value -> value

let rec private value (reader: Reader) : Json =
    reader.Blanks()

    let result =
        match reader.Peek with
        | '{' -> Json.Object(members reader)
        | '[' -> Json.List(items reader)
        | '"'
        | '\'' -> Json.String(stringLiteral reader)
        | c when c >= 'a' && c <= 'z' ->
            match reader.While(fun c -> c >= 'a' && c <= 'z') with
            | "true" -> Bool true
            | "false" -> Bool false
            | "null" -> Null
            | _ -> raise Malformed
        | _ -> number reader

    reader.Blanks()
    result

and private elements (reader: Reader) (close: char) (element: unit -> 'T) : 'T list =
    reader.Take() |> ignore
    reader.Blanks()

    if reader.Peek = close then
        reader.Take() |> ignore
        []
    else
        let found = ResizeArray [ element () ]

        while reader.Peek = ',' do
            reader.Expect ','
            found.Add(element ())

        reader.Expect close
        List.ofSeq found

and private items reader =
    elements reader ']' (fun () -> value reader)

and private members reader =
    let found =
        elements reader '}' (fun () ->
            match value reader with
            | Json.String key ->
                reader.Expect ':'
                key, value reader
            | _ -> raise Malformed)

    if List.length (List.distinctBy fst found) < found.Length then
        raise Malformed

    found

/// The one value that `text` holds, or None.
let parse (text: string) : Json option =
    try
        let reader = Reader text
        let result = value reader
        if reader.AtEnd then Some result else None
    with Malformed ->
        None
