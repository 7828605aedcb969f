namespace StorageDaemon.Core.Json

open System
open System.Buffers
open System.Collections.Generic
open System.Globalization
open System.Text
open StorageDaemon.Core

/// Writes JSON as the real daemon does: ASCII only, a space after `:` and `,`.
[<RequireQualifiedAccess>]
module JsonPrinter =
    /// A list or an object of which some elements are still to be written.
    [<AllowNullLiteral>]
    type private OpenContainer(items: Json list, members: (string * Json) list, isObject: bool) =
        member val Items = items with get, set
        member val Members = members with get, set
        member val IsFirst = true with get, set
        member _.IsObject = isObject

    /// What JSON strings hold unescaped here: printable ASCII without quotation mark and backslash.
    let private plain =
        let isPlain c = c <> '"' && c <> '\\'
        SearchValues.Create(ReadOnlySpan(Array.filter isPlain [| ' ' .. '~' |]))

    let private ascii (output: IBufferWriter<byte>) (text: ReadOnlySpan<char>) =
        let target = output.GetSpan text.Length
        output.Advance(Encoding.ASCII.GetBytes(text, target))

    let private literal (output: IBufferWriter<byte>) (text: string) = ascii output (text.AsSpan())

    let private hexEscape (output: IBufferWriter<byte>) (unit: char) =
        literal output "\\u"
        let target = output.GetSpan 4
        let mutable written = 0

        (int unit).TryFormat(target, &written, "X4".AsSpan(), CultureInfo.InvariantCulture)
        |> ignore

        output.Advance written

    /// The escapes of one letter; null for other characters.
    let private shortEscape (unit: char) =
        match unit with
        | '"' -> "\\\""
        | '\\' -> "\\\\"
        | '\b' -> "\\b"
        | '\f' -> "\\f"
        | '\n' -> "\\n"
        | '\r' -> "\\r"
        | '\t' -> "\\t"
        | _ -> null

    /// Escapes the character at the front of `text`; answers its length in UTF-16 units. What is no character
    /// (half a surrogate pair, a noncharacter) becomes U+FFFD.
    let private escape (output: IBufferWriter<byte>) (text: ReadOnlySpan<char>) =
        let first = text[0]

        match shortEscape first with
        | null when Char.IsHighSurrogate first && text.Length > 1 && Char.IsLowSurrogate text[1] ->
            if Utf8.isCharacter (Char.ConvertToUtf32(first, text[1])) then
                hexEscape output first
                hexEscape output text[1]
            else
                hexEscape output '\uFFFD'

            2
        | null ->
            hexEscape output (if Utf8.isCharacter (int first) then first else '\uFFFD')
            1
        | short ->
            literal output short
            1

    let private writeString (output: IBufferWriter<byte>) (text: string) =
        literal output "\""
        let mutable rest = text.AsSpan()

        while not rest.IsEmpty do
            let special = rest.IndexOfAnyExcept plain
            let run = if special < 0 then rest.Length else special
            ascii output (rest.Slice(0, run))
            rest <- rest.Slice run

            if not rest.IsEmpty then
                rest <- rest.Slice(escape output rest)

        literal output "\""

    /// As C's "%.17g". JSON has no infinities and no NaN; where a value could be one, `null` is at least valid.
    let private writeDouble (output: IBufferWriter<byte>) (value: float) =
        if Double.IsFinite value then
            let target = output.GetSpan 32
            let mutable written = 0

            value.TryFormat(target, &written, "g17".AsSpan(), CultureInfo.InvariantCulture)
            |> ignore

            output.Advance written
        else
            literal output "null"

    let private writeInt (output: IBufferWriter<byte>) (value: int64) =
        let target = output.GetSpan 20
        let mutable written = 0

        value.TryFormat(target, &written, ReadOnlySpan.Empty, CultureInfo.InvariantCulture)
        |> ignore

        output.Advance written

    let private writeUInt (output: IBufferWriter<byte>) (value: uint64) =
        let target = output.GetSpan 20
        let mutable written = 0

        value.TryFormat(target, &written, ReadOnlySpan.Empty, CultureInfo.InvariantCulture)
        |> ignore

        output.Advance written

    /// Writes a scalar, or the opening bracket of a container, which it answers; null for a scalar.
    let private writeStart (output: IBufferWriter<byte>) (hashed: bool) (value: Json) : OpenContainer =
        match value with
        | Json.List items ->
            literal output "["
            OpenContainer(items, [], false)
        | Json.Object members ->
            literal output "{"
            OpenContainer([], (if hashed then HashOrder.arrange members else members), true)
        | scalar ->
            match scalar with
            | Bool true -> literal output "true"
            | Bool false -> literal output "false"
            | Int value -> writeInt output value
            | UInt value -> writeUInt output value
            | Json.Double value -> writeDouble output value
            | Json.String text -> writeString output text
            | _ -> literal output "null"

            null

    let private breakLine (output: IBufferWriter<byte>) (newline: string) (depth: int) =
        if not (isNull newline) then
            literal output newline

            for _ in 1..depth do
                literal output "    "

    /// Writes what precedes an element: comma, line break or space.
    let private separate (output: IBufferWriter<byte>) newline depth (container: OpenContainer) =
        if not container.IsFirst then
            literal output (if isNull newline then ", " else ",")

        container.IsFirst <- false
        breakLine output newline depth

    let private writeValue (output: IBufferWriter<byte>) (newline: string) (hashed: bool) (value: Json) =
        let containers = Stack<OpenContainer>()

        let start value =
            match writeStart output hashed value with
            | null -> ()
            | container -> containers.Push container

        start value

        while containers.Count > 0 do
            let container = containers.Peek()

            match struct (container.Items, container.Members) with
            | struct (item :: rest, _) ->
                separate output newline containers.Count container
                container.Items <- rest
                start item
            | struct ([], (key, item) :: rest) ->
                separate output newline containers.Count container
                container.Members <- rest
                writeString output key
                literal output ": "
                start item
            | struct ([], []) ->
                containers.Pop() |> ignore
                breakLine output newline containers.Count
                literal output (if container.IsObject then "}" else "]")

    /// Writes on one line, members in their order: `{"a": 1, "b": [1, 2]}`.
    let write (output: IBufferWriter<byte>) (value: Json) = writeValue output null false value

    /// Writes on one line, members in the order in which the real daemon writes them.
    let writeHashed (output: IBufferWriter<byte>) (value: Json) = writeValue output null true value

    /// As `writeHashed`, but one element per line, indented by four spaces per level, with `newline` ("\n", or "\r\n" as
    /// monitors have it) between lines and not after the last. Empty containers take two lines.
    let writePretty (newline: string) (output: IBufferWriter<byte>) (value: Json) = writeValue output newline true value

    /// The text that `write` writes.
    let toString (value: Json) =
        let output = ArrayBufferWriter<byte>()
        write output value
        Encoding.ASCII.GetString output.WrittenSpan
