/// A QMP client that sends anything. The first byte chooses how the rest is cut into pieces; what the daemon answers
/// must not depend on it.
module StorageDaemon.Fuzz.Targets.QmpFuzz

open System
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qmp

let private config: Session.Config = {
    Package = ""
    OffersOob = true
    IsPretty = false
    IsCommand = fun name -> name.StartsWith "query-"
}

/// What came out of a session.
[<Struct>]
type private Transcript = { Sent: byte[]; Executed: int }

/// Commands that fail show their arguments, those that succeed their name.
let private execute (request: Request) : Result<Json, QapiError> =
    match request.Arguments with
    | [] -> Ok(Json.String request.Command)
    | arguments -> QapiError.fail (JsonPrinter.toString (Json.Object arguments))

/// One session with a client that reads everything at once. A command ends when the session takes no input before that,
/// so the order of replies and errors out of band does not depend on how the input is cut.
let private converse (pieceLength: int) (input: byte[]) : Transcript =
    let sent = ResizeArray<byte>()
    let mutable state = Session.initial
    let mutable underWay: Request voption = ValueNone
    let mutable isReading = true
    let mutable executed = 0

    let rec take (struct (next, outputs: Session.Output list)) =
        state <- next

        for output in outputs do
            match output with
            | Session.Send bytes -> sent.AddRange(bytes.ToArray())
            | Session.Execute request when underWay.IsSome -> invalidOp ("two commands at a time: " + request.Command)
            | Session.Execute request -> underWay <- ValueSome request
            | Session.SuspendReading -> isReading <- false
            | Session.ResumeReading -> isReading <- true
            | Session.Close -> invalidOp "closed without an event"

        if outputs |> List.exists _.IsSend then
            take (Session.drained config 0L state)

    let complete (request: Request) =
        underWay <- ValueNone
        executed <- executed + 1
        take (Session.completed config (execute request) state)

    take (Session.connected config state)
    let mutable position = 0

    while position < input.Length || underWay.IsSome do
        match underWay with
        | ValueSome request when position = input.Length || not isReading -> complete request
        | _ ->
            let length = min pieceLength (input.Length - position)

            let struct (consumed, next, outputs) =
                Session.received config state (ReadOnlySpan(input, position, length))

            // A byte that only ends a number is not consumed with it.
            if consumed = 0 && outputs.IsEmpty then
                invalidOp "nothing happens although the session is reading"

            position <- position + consumed
            take (struct (next, outputs))

    { Sent = sent.ToArray(); Executed = executed }

/// Every line that is sent must be JSON that can be read back.
let private checkIsJson (sent: byte[]) =
    let mutable state = JsonStream.initial
    let mutable position = 0

    while position < sent.Length do
        let struct (taken, next, output) =
            JsonStream.feed state (ReadOnlySpan(sent, position, sent.Length - position))

        position <- position + taken
        state <- next

        match output with
        | JsonStream.Failed error -> invalidOp ("the output is no JSON: " + error.Desc)
        | JsonStream.Value _
        | JsonStream.More -> ()

let run (input: byte[]) =
    if input.Length > 0 then
        let pieceLength = 1 + int input[0] % 64
        let bytes = input[1..]
        let whole = converse Int32.MaxValue bytes
        let pieces = converse pieceLength bytes

        if
            whole.Executed <> pieces.Executed
            || not (whole.Sent.AsSpan().SequenceEqual(ReadOnlySpan pieces.Sent))
        then
            invalidOp "the answers depend on how the input is cut"

        checkIsJson whole.Sent
