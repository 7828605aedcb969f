namespace StorageDaemon.Core.Json

open System
open System.Buffers

/// What the lexer recognised.
[<Struct>]
type internal TokenKind =
    /// The input ended inside a token, or before one.
    | Unfinished
    | LeftBrace
    | RightBrace
    | LeftBracket
    | RightBracket
    | Colon
    | Comma
    /// With its quotes and escapes.
    | StringToken
    | IntegerToken
    | FloatToken
    /// A run of lower-case letters, which need not be a known word.
    | Keyword
    /// A token with a byte that cannot continue it. That byte is its last one.
    | Stray
    /// More than `Lexer.MaxTokenBytes` without an end.
    | TooLong

/// Where inside a token the lexer stands.
[<Struct>]
type internal LexerMode =
    | Start
    /// After an error: skips to the next byte that can hardly be in the middle of a token.
    | Recovery
    | InDoubleQuotes
    | InDoubleQuotesEscape
    | InSingleQuotes
    | InSingleQuotesEscape
    | AfterMinus
    /// No digit may follow a leading zero, and (in this dialect) no exponent.
    | AfterZero
    | InDigits
    | AfterPoint
    | InFraction
    | AfterE
    | AfterESign
    | InExponent
    | InKeyword

/// The lexical grammar of QMP's dialect: JSON with single-quoted strings as well. A string may hold any byte but
/// control characters, FE and FF; its escapes and its UTF-8 are examined when it is decoded.
module internal Lexer =
    /// The longest token, in bytes.
    [<Literal>]
    let MaxTokenBytes = 0x4000000

    let private controls = Array.init 0x20 byte
    let private neverUtf8 = [| 0xFEuy; 0xFFuy |]
    let private setOf (bytes: byte[] list) = SearchValues.Create(Array.concat bytes)

    /// The bytes that end a run of plain bytes in a string.
    let private doubleQuotedStops = setOf [ controls; "\"\\"B; neverUtf8 ]
    let private singleQuotedStops = setOf [ controls; "'\\"B; neverUtf8 ]

    /// The bytes at which recovery ends: structure, control characters except tab, and bytes that UTF-8 never uses.
    let private resets = setOf [ Array.filter (fun c -> c <> '\t'B) controls; "{}[]:,"B; neverUtf8 ]

    let private lowercase = setOf [ "abcdefghijklmnopqrstuvwxyz"B ]
    let private blanks = setOf [ " \t\r\n"B ]

    let inline private isDigit (c: byte) = c >= '0'B && c <= '9'B

    let inline private advanceTo (found: int) (length: int) = if found < 0 then length else found

    /// Skips what precedes the next token: blanks, or after an error everything up to a reset. Answers the position of
    /// the token, or the length of the input if there is none yet.
    let skip (mode: byref<LexerMode>) (input: ReadOnlySpan<byte>) (position: int) =
        let mutable position = position

        match mode with
        | Recovery ->
            let rest = input.Slice position
            let found = rest.IndexOfAny resets
            position <- position + advanceTo found rest.Length

            if found >= 0 then
                mode <- Start
        | _ -> ()

        match mode with
        | Start ->
            // Mostly there is nothing to skip, which is worth finding out before the call.
            if position < input.Length && input[position] <= ' 'B then
                let rest = input.Slice position
                position <- position + advanceTo (rest.IndexOfAnyExcept blanks) rest.Length
        | _ -> ()

        position

    /// Begins a token with `c`: the mode for the bytes that follow it, or the kind of a token that is complete.
    let private beginToken (c: byte) (mode: byref<LexerMode>) =
        match c with
        | '{'B -> LeftBrace
        | '}'B -> RightBrace
        | '['B -> LeftBracket
        | ']'B -> RightBracket
        | ':'B -> Colon
        | ','B -> Comma
        | '"'B ->
            mode <- InDoubleQuotes
            Unfinished
        | '\''B ->
            mode <- InSingleQuotes
            Unfinished
        | '-'B ->
            mode <- AfterMinus
            Unfinished
        | '0'B ->
            mode <- AfterZero
            Unfinished
        | c when isDigit c ->
            mode <- InDigits
            Unfinished
        | c when c >= 'a'B && c <= 'z'B ->
            mode <- InKeyword
            Unfinished
        | _ -> Stray

    /// One byte of a number: true if it belongs to the number. Otherwise `kind` says what ended.
    let private continueNumber (c: byte) (mode: byref<LexerMode>) (kind: byref<TokenKind>) =
        let mutable belongs = true

        match mode with
        | AfterMinus when c = '0'B -> mode <- AfterZero
        | AfterMinus when isDigit c -> mode <- InDigits
        | AfterZero when c = '.'B -> mode <- AfterPoint
        | AfterZero when not (isDigit c) ->
            kind <- IntegerToken
            belongs <- false
        | InDigits when isDigit c -> ()
        | InDigits when c = '.'B -> mode <- AfterPoint
        | InDigits
        | InFraction when c = 'e'B || c = 'E'B -> mode <- AfterE
        | InDigits ->
            kind <- IntegerToken
            belongs <- false
        | AfterPoint
        | InFraction when isDigit c -> mode <- InFraction
        | AfterE when c = '+'B || c = '-'B -> mode <- AfterESign
        | AfterE
        | AfterESign
        | InExponent when isDigit c -> mode <- InExponent
        | InFraction
        | InExponent ->
            kind <- FloatToken
            belongs <- false
        | _ -> kind <- Stray

        belongs

    /// One byte of a string at which a run of plain bytes ended.
    let private continueString (c: byte) (quote: byte) (escape: LexerMode) (mode: byref<LexerMode>) =
        if c = quote then
            StringToken
        elif c = '\\'B then
            mode <- escape
            Unfinished
        else
            Stray

    let private isStringByte (c: byte) = c >= 0x20uy && c < 0xFEuy

    let inline private isUnfinished kind =
        match kind with
        | Unfinished -> true
        | _ -> false

    /// Scans from `position`, which `skip` answered or which continues an unfinished token, to the end of the token,
    /// and moves `position` there. After a token the mode is `Start`, after a stray byte `Recovery`.
    let scan (mode: byref<LexerMode>) (input: ReadOnlySpan<byte>) (position: byref<int>) : TokenKind =
        let mutable kind = Unfinished

        while isUnfinished kind && position < input.Length do
            let c = input[position]
            let mutable taken = 1

            match mode with
            | Start
            | Recovery -> kind <- beginToken c &mode
            | InDoubleQuotes ->
                let plain = advanceTo (input.Slice(position).IndexOfAny doubleQuotedStops) (input.Length - position)

                if plain > 0 then
                    taken <- plain
                else
                    kind <- continueString c '"'B InDoubleQuotesEscape &mode
            | InSingleQuotes ->
                let plain = advanceTo (input.Slice(position).IndexOfAny singleQuotedStops) (input.Length - position)

                if plain > 0 then
                    taken <- plain
                else
                    kind <- continueString c '\''B InSingleQuotesEscape &mode
            | InDoubleQuotesEscape ->
                if isStringByte c then
                    mode <- InDoubleQuotes
                else
                    kind <- Stray
            | InSingleQuotesEscape ->
                if isStringByte c then
                    mode <- InSingleQuotes
                else
                    kind <- Stray
            | InKeyword ->
                let letters = advanceTo (input.Slice(position).IndexOfAnyExcept lowercase) (input.Length - position)

                taken <- letters

                if letters = 0 then
                    kind <- Keyword
            | _ ->
                if not (continueNumber c &mode &kind) then
                    taken <- 0

            position <- position + taken

        match kind with
        | Unfinished -> ()
        | Stray -> mode <- Recovery
        | _ -> mode <- Start

        kind

    /// What an unfinished token is when no more input will come.
    let finish (mode: LexerMode) =
        match mode with
        | AfterZero
        | InDigits -> IntegerToken
        | InFraction
        | InExponent -> FloatToken
        | InKeyword -> Keyword
        | Start
        | Recovery -> Unfinished
        | _ -> Stray
