namespace StorageDaemon.Core.Json

open System
open StorageDaemon.Core

/// A resumable parser for a stream of JSON values without separators, as QMP clients send them. What comes out depends
/// on the bytes alone, never on how they were cut into pieces.
///
/// After an error of syntax the message (up to balanced brackets) is dropped; after an error inside a token everything
/// up to the next bracket, colon, comma, control character or byte FE or FF. So a client can make the parser forget
/// half a message by sending FF. Limits: nesting 1024, 64 MiB of tokens and 2 Mi tokens per value.
[<RequireQualifiedAccess>]
module JsonStream =
    /// Between two calls: how far the current token and the current value have come. Holds no position and no clock, so
    /// it can be handed to another process.
    type State = internal {
        Mode: LexerMode
        /// The bytes so far of a token that is not finished.
        Pending: Chunks
        Parser: Parser
    }

    type Output =
        /// All input was taken, and no further value is complete.
        | More
        | Value of Json
        /// Always of class GenericError.
        | Failed of QapiError

    let initial = {
        Mode = Start
        Pending = Chunks.empty
        Parser = Parser.initial
    }

    let private acceptToken (parser: byref<Parser>) (kind: TokenKind) (pending: Chunks) (last: ReadOnlySpan<byte>) =
        if pending.Length = 0 then
            Parser.accept &parser kind last
        else
            Parser.accept &parser kind (ReadOnlySpan(Chunks.joinWith last pending))

    /// Reads up to the end of the next value or error: how many bytes of `input` that took, the state after them, and
    /// what was found. The caller feeds the rest again; `More` means that there is none. A byte that only shows that a
    /// number or a word has ended is not taken with it, so zero bytes taken can come with a value.
    let feed (state: State) (input: ReadOnlySpan<byte>) : struct (int * State * Output) =
        let mutable mode = state.Mode
        let mutable pending = state.Pending
        let mutable parser = state.Parser
        let mutable position = 0
        let mutable output = More
        let mutable isDone = false

        while not isDone do
            let start = Lexer.skip &mode input position
            // One byte past the limit is enough to know that a token is too long.
            let room = Lexer.MaxTokenBytes + 1 - pending.Length
            let within = input.Slice(0, start + min room (input.Length - start))
            position <- start

            let kind =
                match Lexer.scan &mode within &position with
                | Unfinished when position - start = room -> TooLong
                | kind -> kind

            let bytes = input.Slice(start, position - start)

            match kind with
            | Unfinished ->
                pending <- Chunks.append bytes pending
                isDone <- true
            | TooLong ->
                mode <- Start
                pending <- Chunks.empty
                output <- Failed(QapiError.generic "JSON token size limit exceeded")
                parser <- Parser.initial
                isDone <- true
            | _ ->
                let parsed = acceptToken &parser kind pending bytes
                pending <- Chunks.empty

                match parsed with
                | Incomplete -> ()
                | Complete value ->
                    output <- Value value
                    isDone <- true
                | Refused error ->
                    output <- Failed(QapiError.generic error)
                    isDone <- true

        struct (position, { Mode = mode; Pending = pending; Parser = parser }, output)

    /// What is left when no more input will come: a value that had no visible end, an error, or `More` for nothing.
    let finish (state: State) : Output =
        let mutable parser = state.Parser

        let parsed =
            match Lexer.finish state.Mode with
            | Unfinished -> Incomplete
            | kind -> Parser.accept &parser kind (ReadOnlySpan(Chunks.joinWith ReadOnlySpan.Empty state.Pending))

        match parsed with
        | Complete value -> Value value
        | Refused error -> Failed(QapiError.generic error)
        | Incomplete ->
            match Parser.finish parser with
            | null -> More
            | error -> Failed(QapiError.generic error)

/// JSON in an option argument: one complete value.
[<RequireQualifiedAccess>]
module JsonParser =
    let private collect (outputs: JsonStream.Output list) : Result<Json, QapiError> =
        match outputs with
        | [ JsonStream.Value value ] -> Ok value
        | JsonStream.Failed error :: _ -> Error error
        | JsonStream.Value _ :: _ -> QapiError.fail "Expecting at most one JSON value"
        | _ -> QapiError.fail "Expecting a JSON value"

    /// Parses `text`, which may hold blanks around the value and nothing else.
    let parse (text: string) : Result<Json, QapiError> =
        let bytes = Text.Encoding.UTF8.GetBytes text
        let struct (consumed, state, first) = JsonStream.feed JsonStream.initial (ReadOnlySpan bytes)

        match first with
        | JsonStream.Failed _ -> collect [ first ]
        | JsonStream.More ->
            match JsonStream.finish state with
            | JsonStream.More -> collect []
            | last -> collect [ last ]
        | JsonStream.Value _ ->
            let struct (_, state, second) =
                JsonStream.feed state (ReadOnlySpan(bytes, consumed, bytes.Length - consumed))

            match second with
            | JsonStream.More ->
                match JsonStream.finish state with
                | JsonStream.More -> collect [ first ]
                | last -> collect [ first; last ]
            | _ -> collect [ first; second ]
