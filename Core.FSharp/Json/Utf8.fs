namespace StorageDaemon.Core.Json

open System
open System.Text

/// The UTF-8 that QMP accepts: RFC 3629 without noncharacters, plus `C0 80` for U+0000 ("modified UTF-8").
module internal Utf8 =
    /// No text quoted in an error message is longer than this many bytes: the peer chose it, and each byte may grow
    /// sixfold when it is escaped.
    [<Literal>]
    let MaxQuotedBytes = 4096

    let private isNoncharacter codepoint =
        (codepoint >= 0xFDD0 && codepoint <= 0xFDEF) || (codepoint &&& 0xFFFE) = 0xFFFE

    /// True for what may stand in a JSON string: a scalar value that is not a noncharacter.
    let isCharacter codepoint =
        codepoint >= 0
        && codepoint <= 0x10FFFF
        && (codepoint < 0xD800 || codepoint > 0xDFFF)
        && not (isNoncharacter codepoint)

    /// How many bytes a sequence with this first byte (C0..FD) should have, in the original definition of up to six.
    let private sequenceLength (lead: byte) =
        if lead < 0xE0uy then 2
        elif lead < 0xF0uy then 3
        elif lead < 0xF8uy then 4
        elif lead < 0xFCuy then 5
        else 6

    /// The smallest code point that needs a sequence of `length` bytes.
    let private smallest length =
        match length with
        | 2 -> 0x80
        | 3 -> 0x800
        | 4 -> 0x10000
        | _ -> Int32.MaxValue

    /// Decodes the first character of `input`, which is not empty: its code point and its length in bytes. The code
    /// point is -1 for an invalid sequence, whose length then covers the first byte and the continuation bytes
    /// that belong to it.
    let decode (input: ReadOnlySpan<byte>) : struct (int * int) =
        let lead = input[0]

        if lead < 0x80uy then
            struct (int lead, 1)
        elif lead < 0xC0uy || lead >= 0xFEuy then
            struct (-1, 1)
        else
            let length = sequenceLength lead
            let mutable codepoint = int lead &&& ((1 <<< (7 - length)) - 1)
            let mutable taken = 1

            while taken < length && taken < input.Length && (input[taken] &&& 0xC0uy) = 0x80uy do
                codepoint <- (codepoint <<< 6) ||| int (input[taken] &&& 0x3Fuy)
                taken <- taken + 1

            let isOverlong = codepoint < smallest length && not (length = 2 && codepoint = 0)

            if taken < length || isOverlong || not (isCharacter codepoint) then
                struct (-1, taken)
            else
                struct (codepoint, taken)

    /// Writes a code point as one or two UTF-16 units; answers how many.
    let encodeUtf16 (codepoint: int) (target: Span<char>) =
        if codepoint < 0x10000 then
            target[0] <- char codepoint
            1
        else
            target[0] <- char (0xD800 + ((codepoint - 0x10000) >>> 10))
            target[1] <- char (0xDC00 + ((codepoint - 0x10000) &&& 0x3FF))
            2

    /// The text of arbitrary input: U+FFFD for each invalid sequence, ending before the first zero byte.
    let lenientText (input: ReadOnlySpan<byte>) =
        let zero = input.IndexOf 0uy
        let input = if zero < 0 then input else input.Slice(0, zero)
        let text = StringBuilder(input.Length)
        let mutable position = 0

        while position < input.Length do
            let struct (codepoint, length) = decode (input.Slice position)

            if codepoint < 0 then
                text.Append '\uFFFD' |> ignore
            elif codepoint < 0x10000 then
                text.Append(char codepoint) |> ignore
            else
                text.Append(Char.ConvertFromUtf32 codepoint) |> ignore

            position <- position + length

        text.ToString()

    /// The text of arbitrary input for an error message: as `lenientText`, of at most `MaxQuotedBytes` bytes.
    let quote (input: ReadOnlySpan<byte>) =
        lenientText (input.Slice(0, min input.Length MaxQuotedBytes))
