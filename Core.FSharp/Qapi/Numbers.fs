namespace StorageDaemon.Core.Qapi

open System
open System.Globalization

/// Numbers in key-value text. The real daemon reads them with the C library (ISO C "strtoll" with base 0), whose rules
/// on white space, signs and prefixes these functions keep. All of the text must be a number.
module Numbers =
    let private isSpace (c: char) = c = ' ' || (c >= '\t' && c <= '\r')

    let private digitValue (c: char) =
        if c >= '0' && c <= '9' then int c - int '0'
        elif c >= 'a' && c <= 'f' then int c - int 'a' + 10
        elif c >= 'A' && c <= 'F' then int c - int 'A' + 10
        else Int32.MaxValue

    let private skipSpaces (text: string) =
        let mutable i = 0

        while i < text.Length && isSpace text[i] do
            i <- i + 1

        i

    let private hasHexPrefix (text: string) start =
        start + 1 < text.Length
        && text[start] = '0'
        && (text[start + 1] = 'x' || text[start + 1] = 'X')

    /// The value of the digits from `start` up to `stop`; none if there are no digits, other characters, or too many.
    let private digits (radix: int) (text: string) start stop : uint64 voption =
        let mutable value = 0UL
        let mutable ok = stop > start
        let mutable i = start
        let radix64 = uint64 radix

        while ok && i < stop do
            let digit = digitValue text[i]

            if digit >= radix || value > (UInt64.MaxValue - uint64 digit) / radix64 then
                ok <- false
            else
                value <- value * radix64 + uint64 digit
                i <- i + 1

        if ok then ValueSome value else ValueNone

    /// The sign and magnitude of an integer: decimal, hexadecimal after 0x, octal after 0.
    let private integer (text: string) : struct (bool * uint64) voption =
        let start = skipSpaces text
        let signed = start < text.Length && (text[start] = '-' || text[start] = '+')
        let negative = signed && text[start] = '-'
        let start = if signed then start + 1 else start

        let magnitude =
            if hasHexPrefix text start then
                digits 16 text (start + 2) text.Length
            elif start < text.Length && text[start] = '0' then
                digits 8 text start text.Length
            else
                digits 10 text start text.Length

        match magnitude with
        | ValueSome value -> ValueSome(struct (negative, value))
        | ValueNone -> ValueNone

    let tryInt64 (text: string) : int64 voption =
        match integer text with
        | ValueSome(struct (false, magnitude)) when magnitude <= uint64 Int64.MaxValue -> ValueSome(int64 magnitude)
        | ValueSome(struct (true, magnitude)) when magnitude <= 1UL + uint64 Int64.MaxValue ->
            ValueSome(int64 (0UL - magnitude))
        | _ -> ValueNone

    /// A minus sign is allowed and negates modulo 2^64, as in C.
    let tryUInt64 (text: string) : uint64 voption =
        match integer text with
        | ValueSome(struct (false, magnitude)) -> ValueSome magnitude
        | ValueSome(struct (true, magnitude)) -> ValueSome(0UL - magnitude)
        | ValueNone -> ValueNone

    let private unitOf (c: char) : uint64 voption =
        match c with
        | 'b'
        | 'B' -> ValueSome 1UL
        | 'k'
        | 'K' -> ValueSome(1UL <<< 10)
        | 'm'
        | 'M' -> ValueSome(1UL <<< 20)
        | 'g'
        | 'G' -> ValueSome(1UL <<< 30)
        | 't'
        | 'T' -> ValueSome(1UL <<< 40)
        | 'p'
        | 'P' -> ValueSome(1UL <<< 50)
        | 'e'
        | 'E' -> ValueSome(1UL <<< 60)
        | _ -> ValueNone

    let private allDigits (text: string) start stop =
        let mutable i = start

        while i < stop && Char.IsAsciiDigit text[i] do
            i <- i + 1

        i = stop

    /// Bytes of a fraction of a unit: the decimals in `text` from `start` up to `stop`.
    let private fractionBytes (text: string) start stop (bytesPerUnit: uint64) : uint64 voption =
        let fraction =
            if stop = start then
                0.0
            else
                Double.Parse(
                    String.Concat("0.", text.AsSpan(start, stop - start)),
                    NumberStyles.AllowDecimalPoint,
                    CultureInfo.InvariantCulture
                )

        // Half a byte does not exist.
        if bytesPerUnit = 1UL && fraction > 0.0 then
            ValueNone
        else
            ValueSome(uint64 (fraction * float bytesPerUnit))

    let private decimalSize (text: string) (start: int) : uint64 voption =
        let suffix = unitOf text[text.Length - 1]
        let stop = if suffix.IsSome then text.Length - 1 else text.Length
        let bytesPerUnit = suffix |> ValueOption.defaultValue 1UL
        let point = text.IndexOf('.', startIndex = start)
        let wholeStop = if point < 0 then stop else point
        let fractionStart = if point < 0 then stop else point + 1
        let hasDigits = wholeStop > start || stop > fractionStart

        if not (hasDigits && allDigits text start wholeStop && allDigits text fractionStart stop) then
            ValueNone
        else
            let whole =
                if wholeStop > start then
                    digits 10 text start wholeStop
                else
                    ValueSome 0UL

            match whole, fractionBytes text fractionStart stop bytesPerUnit with
            | ValueSome whole, ValueSome rest when whole <= (UInt64.MaxValue - rest) / bytesPerUnit ->
                ValueSome(whole * bytesPerUnit + rest)
            | _ -> ValueNone

    /// Bytes: a decimal number with an optional fraction and an optional suffix out of B, K, M, G, T, P and E (powers
    /// of 1024), or a hexadecimal number without either. Never negative.
    let trySize (text: string) : uint64 voption =
        let start = skipSpaces text
        let start =
            if start < text.Length && text[start] = '+' then
                start + 1
            else
                start

        if start >= text.Length then
            ValueNone
        elif hasHexPrefix text start then
            digits 16 text (start + 2) text.Length
        else
            decimalSize text start

    let tryBool (text: string) : bool voption =
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
