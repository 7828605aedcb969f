/// A QMP session with a client whose every byte is written down, and a daemon with one command.
module StorageDaemon.Tests.Properties.QmpHarness

open System
open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qmp

let config: Session.Config = {
    Package = "Debian 1:10.0.2+ds-2+deb13u1~bpo12+1"
    OffersOob = true
    IsPretty = false
    IsCommand = fun name -> name = "query-version"
}

/// Drives one session. `answersAtOnce` says whether commands are executed as they come, or wait for `Complete`.
type Client(config: Session.Config, answersAtOnce: bool) =
    let sent = StringBuilder()
    let requests = ResizeArray<Request>()
    let mutable state = Session.initial
    let mutable kept: byte[] = [||]
    let mutable isReading = true
    let mutable isClosed = false
    let mutable unread = 0L

    let execute (request: Request) =
        match request.Arguments with
        | [] -> Ok(Envelope.version config.Package)
        | (name, _) :: _ -> QapiError.fail ("Parameter '" + name + "' is unexpected")

    member val ReadsReplies = true with get, set
    member _.Requests = List.ofSeq requests
    member _.IsReading = isReading
    member _.IsClosed = isClosed
    member _.Kept = kept.Length

    /// What came since the last look.
    member _.Sent =
        let text = sent.ToString()
        sent.Clear() |> ignore
        text

    member private client.Run(struct (next, outputs: Session.Output list)) =
        state <- next

        for output in outputs do
            match output with
            | Session.Send bytes ->
                sent.Append(Encoding.ASCII.GetString bytes.Span) |> ignore
                unread <- unread + int64 bytes.Length
            | Session.Execute request -> requests.Add request
            | Session.SuspendReading -> isReading <- false
            | Session.ResumeReading -> isReading <- true
            | Session.Close -> isClosed <- true

        for output in outputs do
            match output with
            | Session.Execute request when answersAtOnce -> client.Complete(execute request)
            | _ -> ()

        if client.ReadsReplies && unread > 0L then
            client.Read()

    member client.Connect() =
        isReading <- true
        client.Run(Session.connected config state)

    member client.Disconnect() =
        kept <- [||]
        unread <- 0L
        client.Run(Session.disconnected state)

    /// Ends its side, but goes on to read.
    member client.EndInput() =
        kept <- [||]
        client.Run(Session.inputEnded state)

    member client.Complete outcome =
        client.Run(Session.completed config outcome state)

    member client.Event name data =
        client.Run(Session.event config name data 1700000000L 123456L state)

    /// Reads everything that was sent.
    member client.Read() =
        unread <- 0L
        client.Run(Session.drained config 0L state)

    /// Lets the session take what it will of what it left before.
    member client.Retry() =
        let mutable goesOn = kept.Length > 0

        while goesOn do
            let input = kept
            let struct (consumed, next, outputs) = Session.received config state (ReadOnlySpan input)
            kept <- input[consumed..]
            client.Run(struct (next, outputs))
            goesOn <- isReading && kept.Length > 0

    member client.Type(bytes: byte[]) =
        kept <- Array.append kept bytes
        client.Retry()

    member client.Type(text: string) =
        client.Type(Encoding.UTF8.GetBytes text)

/// A client that is connected, its greeting read.
let connect config answersAtOnce =
    let client = Client(config, answersAtOnce)
    client.Connect()
    client.Sent |> ignore
    client

/// A client that has negotiated. `capabilities` is a JSON list.
let negotiate config answersAtOnce (capabilities: string) =
    let client = connect config answersAtOnce
    client.Type("{'execute':'qmp_capabilities','arguments':{'enable':" + capabilities + "}}")
    client.Sent |> ignore
    client
