namespace StorageDaemon.Core.Json

open System

/// What the parser made of a token.
[<Struct>]
type internal Parsed =
    /// The message needs more tokens.
    | Incomplete
    | Complete of value: Json
    | Refused of error: string

/// Which container the parser is in.
[<Struct>]
type internal ContainerKind =
    | TopLevel
    | InList
    | InObject

/// What the grammar allows next.
[<Struct>]
type internal Expected =
    | Value
    | ValueOrEnd
    /// A member's key, which is parsed like any value and must turn out to be a string.
    | Key
    | KeyOrEnd
    | KeySeparator
    | SeparatorOrEnd

/// A container under construction.
[<Struct>]
type internal Container = {
    Kind: ContainerKind
    /// The newest first.
    Items: Json list
    /// The newest first.
    Members: (string * Json) list
    MemberCount: int
    /// The keys of `Members`, once they are too many to look through; empty until then.
    Keys: Set<string>
    /// The key whose value comes next; null in the place of a key.
    Key: string
}

/// The syntax of one message, token by token, with an explicit stack. Like the real daemon's parser it works on
/// messages, whose end is where braces and brackets, counted separately, balance (or close too often): after an error
/// of syntax the rest of the message is skipped, and the error is reported at its end.
[<Struct>]
type internal Parser = {
    mutable Expected: Expected
    mutable Current: Container
    mutable Parents: Container list
    /// What the message has come to: null while there is neither.
    mutable Result: Json
    mutable Error: string
    mutable Braces: int
    mutable Brackets: int
    mutable Tokens: int
    /// The sum of the lengths of the message's tokens, in bytes.
    mutable TokenBytes: int64
}

module internal Parser =
    /// Braces and brackets open at one time.
    [<Literal>]
    let MaxNesting = 1024

    /// Tokens of one message.
    [<Literal>]
    let MaxTokens = 0x200000

    /// Up to this many members, comparing with each key is faster than a set.
    [<Literal>]
    let private FewMembers = 8

    let private container kind = {
        Kind = kind
        Items = []
        Members = []
        MemberCount = 0
        Keys = Set.empty
        Key = null
    }

    let private topLevel = container TopLevel

    /// Between two messages.
    let initial = {
        Expected = Value
        Current = topLevel
        Parents = []
        Result = Unchecked.defaultof<Json>
        Error = null
        Braces = 0
        Brackets = 0
        Tokens = 0
        TokenBytes = 0L
    }

    /// Records the message's first error and lets go of what was built.
    let private fail (parser: byref<Parser>) error =
        parser.Error <- "JSON parse error, " + error
        parser.Current <- topLevel
        parser.Parents <- []

    let rec private hasMember key (members: (string * Json) list) =
        match members with
        | [] -> false
        | (other, _) :: rest -> String.Equals(key, other) || hasMember key rest

    /// Adds the member `Key`: `value` to the current object.
    let private addMember (parser: byref<Parser>) value =
        let current = parser.Current
        let key = current.Key

        let keys =
            if current.MemberCount = FewMembers then
                current.Members |> List.map fst |> Set.ofList
            else
                current.Keys

        let isDuplicate =
            if current.MemberCount < FewMembers then
                hasMember key current.Members
            else
                keys.Contains key

        if isDuplicate then
            fail &parser "duplicate key"
        else
            parser.Current <- {
                current with
                    Members = (key, value) :: current.Members
                    MemberCount = current.MemberCount + 1
                    Keys =
                        if current.MemberCount < FewMembers then
                            keys
                        else
                            keys.Add key
                    Key = null
            }

            parser.Expected <- SeparatorOrEnd

    /// Puts a complete value where it belongs.
    let private addValue (parser: byref<Parser>) value =
        match parser.Current.Kind with
        | TopLevel -> parser.Result <- value
        | InList ->
            parser.Current <- {
                parser.Current with
                    Items = value :: parser.Current.Items
            }

            parser.Expected <- SeparatorOrEnd
        | InObject when not (isNull parser.Current.Key) -> addMember &parser value
        | InObject ->
            match value with
            | Json.String key ->
                parser.Current <- { parser.Current with Key = key }
                parser.Expected <- KeySeparator
            | _ -> fail &parser "key is not a string in object"

    let private openContainer (parser: byref<Parser>) kind expected =
        parser.Parents <- parser.Current :: parser.Parents
        parser.Current <- container kind
        parser.Expected <- expected

    let private closeContainer (parser: byref<Parser>) =
        let value =
            match parser.Current.Kind with
            | InObject -> Json.Object(List.rev parser.Current.Members)
            | _ -> Json.List(List.rev parser.Current.Items)

        match parser.Parents with
        | parent :: older ->
            parser.Current <- parent
            parser.Parents <- older
        | [] -> ()

        addValue &parser value

    let private addScalar (parser: byref<Parser>) (decoded: Result<Json, string>) =
        match decoded with
        | Ok value -> addValue &parser value
        | Error error -> fail &parser error

    /// A token where a value, a key, or the end of an empty container may stand.
    let private acceptValue (parser: byref<Parser>) (kind: TokenKind) (token: ReadOnlySpan<byte>) =
        match kind with
        | LeftBrace -> openContainer &parser InObject KeyOrEnd
        | LeftBracket -> openContainer &parser InList ValueOrEnd
        | StringToken ->
            match ScalarToken.decodeString token with
            | Ok text -> addValue &parser (Json.String text)
            | Error error -> fail &parser error
        | IntegerToken -> addScalar &parser (ScalarToken.decodeInteger token)
        | FloatToken -> addScalar &parser (ScalarToken.decodeDouble token)
        | Keyword -> addScalar &parser (ScalarToken.decodeKeyword token)
        | RightBrace ->
            match parser.Expected with
            | KeyOrEnd -> closeContainer &parser
            | _ -> fail &parser "expecting value"
        | RightBracket ->
            match parser.Expected with
            | ValueOrEnd -> closeContainer &parser
            | _ -> fail &parser "expecting value"
        | _ -> fail &parser "expecting value"

    /// A token after an item or a member.
    let private acceptSeparator (parser: byref<Parser>) (kind: TokenKind) =
        match struct (parser.Current.Kind, kind) with
        | struct (InObject, Comma) -> parser.Expected <- Key
        | struct (InObject, RightBrace) -> closeContainer &parser
        | struct (InObject, _) -> fail &parser "expected separator in dict"
        | struct (_, Comma) -> parser.Expected <- Value
        | struct (_, RightBracket) -> closeContainer &parser
        | _ -> fail &parser "expected separator in list"

    let private advance (parser: byref<Parser>) (kind: TokenKind) (token: ReadOnlySpan<byte>) =
        match parser.Expected with
        | KeySeparator ->
            match kind with
            | Colon -> parser.Expected <- Value
            | _ -> fail &parser "missing : in object pair"
        | SeparatorOrEnd -> acceptSeparator &parser kind
        | _ -> acceptValue &parser kind token

    let private count (parser: byref<Parser>) (kind: TokenKind) (length: int) =
        parser.Tokens <- parser.Tokens + 1
        parser.TokenBytes <- parser.TokenBytes + int64 length

        match kind with
        | LeftBrace -> parser.Braces <- parser.Braces + 1
        | RightBrace -> parser.Braces <- parser.Braces - 1
        | LeftBracket -> parser.Brackets <- parser.Brackets + 1
        | RightBracket -> parser.Brackets <- parser.Brackets - 1
        | _ -> ()

    let private refuse (parser: byref<Parser>) error =
        parser <- initial
        Refused error

    /// Takes the next token, with its bytes. When it ends the message, the parser is ready for the next one.
    let accept (parser: byref<Parser>) (kind: TokenKind) (token: ReadOnlySpan<byte>) : Parsed =
        count &parser kind token.Length

        match kind with
        | Stray -> refuse &parser ("JSON parse error, stray '" + Utf8.quote token + "'")
        | TooLong -> refuse &parser "JSON token size limit exceeded"
        | _ when parser.TokenBytes > int64 Lexer.MaxTokenBytes -> refuse &parser "JSON token size limit exceeded"
        | _ when parser.Tokens > MaxTokens -> refuse &parser "JSON token count limit exceeded"
        | _ when parser.Braces + parser.Brackets > MaxNesting -> refuse &parser "JSON nesting depth limit exceeded"
        | _ ->
            if isNull parser.Error then
                advance &parser kind token

            if
                parser.Braces >= 0
                && parser.Brackets >= 0
                && parser.Braces + parser.Brackets > 0
            then
                Incomplete
            elif isNull parser.Error then
                let value = parser.Result
                parser <- initial
                Complete value
            else
                refuse &parser parser.Error

    /// The error of a message that the end of the input cut off; null between messages.
    let finish (parser: Parser) =
        if parser.Tokens = 0 then
            null
        elif isNull parser.Error then
            "JSON parse error, premature EOI"
        else
            parser.Error
