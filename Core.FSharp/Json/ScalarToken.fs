namespace StorageDaemon.Core.Json

open System
open System.Globalization
open System.Text

/// Decodes the tokens of scalar values. Errors are the texts that follow "JSON parse error, ".
module internal ScalarToken =
    let private hexDigit (c: byte) =
        if c >= '0'B && c <= '9'B then int (c - '0'B)
        elif c >= 'a'B && c <= 'f'B then int (c - 'a'B) + 10
        elif c >= 'A'B && c <= 'F'B then int (c - 'A'B) + 10
        else -1

    /// The value of the four hexadecimal digits at the front of `input`, or -1.
    let private fourHexDigits (input: ReadOnlySpan<byte>) =
        let mutable value = if input.Length < 4 then -1 else 0
        let mutable i = 0

        while value >= 0 && i < 4 do
            let digit = hexDigit input[i]
            value <- if digit < 0 then -1 else value * 16 + digit
            i <- i + 1

        value

    let private notACharacter (escape: ReadOnlySpan<byte>) (length: int) =
        Error(
            Utf8.quote (escape.Slice(0, min length escape.Length))
            + " is not a valid Unicode character"
        )

    /// Decodes `\uXXXX`, or the two that are a surrogate pair, at the front of `escape` (which runs to the end of the
    /// token): the code point and the length in bytes.
    let private unicodeEscape (escape: ReadOnlySpan<byte>) : Result<struct (int * int), string> =
        let first = fourHexDigits (escape.Slice 2)

        let isPair =
            first >= 0xD800
            && first <= 0xDBFF
            && escape.Length >= 12
            && escape[6] = '\\'B
            && escape[7] = 'u'B

        let second = if isPair then fourHexDigits (escape.Slice 8) else -1

        if second >= 0xDC00 && second <= 0xDFFF then
            let codepoint = 0x10000 + ((first &&& 0x3FF) <<< 10) + (second &&& 0x3FF)

            if Utf8.isCharacter codepoint then
                Ok(struct (codepoint, 12))
            else
                notACharacter escape 12
        elif Utf8.isCharacter first then
            Ok(struct (first, 6))
        else
            notACharacter escape 6

    /// Decodes an escape at the front of `escape`: the code point and the length in bytes.
    let private escape (escape: ReadOnlySpan<byte>) : Result<struct (int * int), string> =
        match escape[1] with
        | 'u'B -> unicodeEscape escape
        | '"'B
        | '\''B
        | '\\'B
        | '/'B -> Ok(struct (int escape[1], 2))
        | 'b'B -> Ok(struct (8, 2))
        | 'f'B -> Ok(struct (12, 2))
        | 'n'B -> Ok(struct (10, 2))
        | 'r'B -> Ok(struct (13, 2))
        | 't'B -> Ok(struct (9, 2))
        | _ -> Error "invalid escape sequence in string"

    /// Decodes a string token with escapes or with characters beyond ASCII.
    let private decodeSlowly (token: ReadOnlySpan<byte>) =
        // One unit of UTF-16 never takes less than one byte of the token.
        let text = Array.zeroCreate<char> token.Length
        let mutable length = 0
        let mutable position = 1
        let mutable error = null

        while isNull error && position < token.Length - 1 do
            let rest = token.Slice position

            let decoded =
                if rest[0] = '\\'B then
                    escape rest
                else
                    let struct (codepoint, taken) = Utf8.decode rest

                    if codepoint < 0 then
                        Error "invalid UTF-8 sequence in string"
                    else
                        Ok(struct (codepoint, taken))

            match decoded with
            | Error e -> error <- e
            | Ok(struct (codepoint, taken)) ->
                length <- length + Utf8.encodeUtf16 codepoint (text.AsSpan length)
                position <- position + taken

        if isNull error then
            Ok(String(text, 0, length))
        else
            Error error

    /// Decodes a string token, quotes included.
    let decodeString (token: ReadOnlySpan<byte>) : Result<string, string> =
        let body = token.Slice(1, token.Length - 2)

        if Ascii.IsValid body && body.IndexOf '\\'B < 0 then
            Ok(Encoding.ASCII.GetString body)
        else
            decodeSlowly token

    /// Decodes a number with fraction or exponent, or an integer that fits no integer type. One beyond the range of a
    /// double is refused: it could only be echoed as an infinity, for which JSON has no spelling.
    let decodeDouble (token: ReadOnlySpan<byte>) : Result<Json, string> =
        let mutable value = 0.0

        if
            Double.TryParse(token, NumberStyles.Float, CultureInfo.InvariantCulture, &value)
            && Double.IsFinite value
        then
            Ok(Json.Double value)
        else
            Error "number out of range"

    /// Decodes an integer token.
    let decodeInteger (token: ReadOnlySpan<byte>) : Result<Json, string> =
        let mutable signed = 0L
        let mutable unsigned = 0UL

        if Int64.TryParse(token, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, &signed) then
            Ok(Int signed)
        elif UInt64.TryParse(token, NumberStyles.None, CultureInfo.InvariantCulture, &unsigned) then
            Ok(UInt unsigned)
        else
            decodeDouble token

    let private trueWord = "true"B
    let private falseWord = "false"B
    let private nullWord = "null"B

    let decodeKeyword (token: ReadOnlySpan<byte>) : Result<Json, string> =
        if token.SequenceEqual trueWord then Ok(Bool true)
        elif token.SequenceEqual falseWord then Ok(Bool false)
        elif token.SequenceEqual nullWord then Ok Null
        else Error("invalid keyword '" + Utf8.quote token + "'")
