namespace StorageDaemon.Core.Options

open System
open System.Globalization

/// Why the text of a number was refused.
[<Struct>]
type NumberFault =
    | Malformed
    | OutOfRange

/// Booleans and numbers as option values spell them.
module NumberText =
    /// C's isspace in the "C" locale.
    let private isSpace c = c = ' ' || (c >= '\t' && c <= '\r')

    let private skipSpace (text: string) =
        let mutable i = 0

        while i < text.Length && isSpace text[i] do
            i <- i + 1

        i

    /// "on", "yes", "true", "y" and their opposites; nothing else, and case matters.
    let parseBool (text: string) =
        match text with
        | "on"
        | "yes"
        | "true"
        | "y" -> ValueSome true
        | "off"
        | "no"
        | "false"
        | "n" -> ValueSome false
        | _ -> ValueNone

    let private digitValue (c: char) =
        if Char.IsAsciiHexDigit c then
            Convert.ToInt32(string c, 16)
        else
            Int32.MaxValue

    /// The run of digits of `radix` from `start` on: the value, where it ends, and whether it went beyond 64 bits.
    let private digits (radix: int) (text: string) (start: int) =
        let mutable value = 0UL
        let mutable tooLarge = false
        let mutable i = start

        while i < text.Length && digitValue text[i] < radix do
            let digit = uint64 (digitValue text[i])

            if value > (UInt64.MaxValue - digit) / uint64 radix then
                tooLarge <- true
            else
                value <- value * uint64 radix + digit

            i <- i + 1

        struct (value, i, tooLarge)

    let private hasHexPrefix (text: string) i =
        i + 2 < text.Length
        && text[i] = '0'
        && (text[i + 1] = 'x' || text[i + 1] = 'X')
        && Char.IsAsciiHexDigit text[i + 2]

    /// An integer as C's strtoull reads it with base 0: leading blanks, a sign (a negative number wraps around),
    /// "0x" for hexadecimal, "0" for octal; nothing may follow.
    let parseUInt64 (text: string) : Result<uint64, NumberFault> =
        let start = skipSpace text
        let negative = start < text.Length && text[start] = '-'
        let start =
            if negative || (start < text.Length && text[start] = '+') then
                start + 1
            else
                start

        let struct (radix, first) =
            if hasHexPrefix text start then
                struct (16, start + 2)
            elif start < text.Length && text[start] = '0' then
                struct (8, start)
            else
                struct (10, start)

        let struct (value, stop, tooLarge) = digits radix text first

        if stop = first || stop < text.Length then Error Malformed
        elif tooLarge then Error OutOfRange
        elif negative then Ok(0UL - value)
        else Ok value

    let private suffixShift c =
        match Char.ToLowerInvariant c with
        | 'b' -> ValueSome 0
        | 'k' -> ValueSome 10
        | 'm' -> ValueSome 20
        | 'g' -> ValueSome 30
        | 't' -> ValueSome 40
        | 'p' -> ValueSome 50
        | 'e' -> ValueSome 60
        | _ -> ValueNone

    /// The fraction whose '.' stands at `point`, as a value of at most 1, and where it ends.
    let private fraction (text: string) point =
        let mutable stop = point + 1

        while stop < text.Length && Char.IsAsciiDigit text[stop] do
            stop <- stop + 1

        let value =
            if stop = point + 1 then
                0.0
            else
                Double.Parse("0" + text.Substring(point, stop - point), CultureInfo.InvariantCulture)

        struct (value, stop)

    /// Whole part, fraction and suffix put together; the fraction is rounded to the nearest byte.
    let private scale (whole: uint64) (part: float) (shift: int) =
        let extra = uint64 (part * float (1UL <<< shift) + 0.5)

        if part > 0.0 && shift = 0 then
            Error Malformed
        elif whole > ((UInt64.MaxValue - extra) >>> shift) then
            Error OutOfRange
        else
            Ok((whole <<< shift) + extra)

    let private decimalSize (text: string) start negative =
        let struct (whole, stop, tooLarge) = digits 10 text start

        let struct (part, next) =
            if stop < text.Length && text[stop] = '.' then
                fraction text stop
            else
                struct (0.0, stop)

        // A point alone is no number.
        let hasDigits = stop > start || next > stop + 1

        let suffix =
            if next = text.Length then ValueSome 0
            elif next = text.Length - 1 then suffixShift text[next]
            else ValueNone

        match suffix with
        | _ when not hasDigits -> Error Malformed
        | ValueNone -> Error Malformed
        | ValueSome _ when negative -> Error(if stop = text.Length then OutOfRange else Malformed)
        | ValueSome _ when tooLarge -> Error(if stop = text.Length then OutOfRange else Malformed)
        | ValueSome shift -> scale whole part shift

    /// A size in bytes: decimal with an optional fraction and a suffix b, k, M, G, T, P or E (powers of 1024, either
    /// case), or hexadecimal without a suffix. A fraction of a byte is refused, and so is a negative number.
    let parseSize (text: string) : Result<uint64, NumberFault> =
        let start = skipSpace text
        let negative = start < text.Length && text[start] = '-'
        let start =
            if negative || (start < text.Length && text[start] = '+') then
                start + 1
            else
                start

        if not (hasHexPrefix text start) then
            decimalSize text start negative
        else
            let struct (value, stop, tooLarge) = digits 16 text (start + 2)

            if stop < text.Length || negative then Error Malformed
            elif tooLarge then Error OutOfRange
            else Ok value
