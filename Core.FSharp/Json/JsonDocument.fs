namespace StorageDaemon.Core.Json

open System
open StorageDaemon.Core

/// Files that hold one JSON value.
module JsonDocument =
    let private lineOf (bytes: byte array) (position: int) =
        let mutable line = 1

        for index in 0 .. min position bytes.Length - 1 do
            if bytes[index] = byte '\n' then
                line <- line + 1

        "line " + string line

    /// The one value in the file; of an error the line in which it was noticed.
    let parse (bytes: byte array) : Result<Json, string * QapiError> =
        // A blank behind the value shows its end.
        let input = Array.append bytes [| byte ' ' |]
        let struct (taken, state, first) = JsonStream.feed JsonStream.initial (ReadOnlySpan input)

        match first with
        | JsonStream.Failed error -> Error(lineOf bytes taken, error)
        | JsonStream.More ->
            match JsonStream.finish state with
            | JsonStream.Failed error -> Error(lineOf bytes taken, error)
            | JsonStream.Value value -> Ok value
            | JsonStream.More -> Error("", QapiError.generic "Expecting a JSON value")
        | JsonStream.Value value ->
            let struct (more, rest, second) =
                JsonStream.feed state (ReadOnlySpan(input, taken, input.Length - taken))

            match second, JsonStream.finish rest with
            | JsonStream.More, JsonStream.More -> Ok value
            | _ -> Error(lineOf bytes (taken + more), QapiError.generic "Expecting at most one JSON value")
