/// A QMP client: one JSON message a line, replies told from events.
module StorageDaemon.Tests.Harness.QmpClient

open System
open System.IO
open System.Net.Sockets
open System.Text
open System.Text.Json

/// Parses one message; the element outlives its document.
let parse (line: string) : JsonElement =
    use document = JsonDocument.Parse(line, JsonDocumentOptions(MaxDepth = 2048))
    document.RootElement.Clone()

/// The member of an object, if it has it.
let tryMember (name: string) (element: JsonElement) : JsonElement option =
    match element.TryGetProperty name with
    | true, value -> Some value
    | _ -> None

let private isEvent (line: string) : bool =
    line.Contains "\"event\":"
    && (parse line
        |> fun message -> message.ValueKind = JsonValueKind.Object && (tryMember "event" message).IsSome)

/// Connects to a Unix stream socket; the daemon may still be starting, so a refusal is retried for a while.
let connectUnix (path: string) : Socket =
    let mutable socket = null

    let attempt () =
        let candidate = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)

        try
            candidate.Connect(UnixDomainSocketEndPoint path)
            socket <- candidate
            true
        with :? SocketException ->
            candidate.Dispose()
            false

    Wait.orFail Wait.defaultTimeout $"a connection to {path}" attempt
    socket

/// A connection to a QMP monitor over a stream socket. Nothing is read or sent before it is asked for.
type QmpClient(socket: Socket) =
    let buffer = Array.zeroCreate<byte> 65536
    let pending = new MemoryStream()
    let mutable start = 0
    let mutable count = 0

    let rec readLine () : string option =
        if start = count then
            start <- 0
            count <- socket.Receive buffer

        if count = 0 then
            None
        else
            let newline = Array.IndexOf(buffer, byte '\n', start, count - start)
            let stop = if newline < 0 then count else newline + 1
            pending.Write(buffer, start, stop - start)
            start <- stop

            if newline < 0 then
                readLine ()
            else
                let line = Encoding.UTF8.GetString(pending.GetBuffer(), 0, int pending.Length)
                pending.SetLength 0L
                Some(line.TrimEnd())

    do
        socket.ReceiveTimeout <- int Wait.defaultTimeout.TotalMilliseconds
        socket.SendTimeout <- int Wait.defaultTimeout.TotalMilliseconds

    /// Connects to the monitor at a path; the greeting is not read.
    static member Connect(path: string) : QmpClient = new QmpClient(connectUnix path)

    /// Connects, reads the greeting and leaves the negotiation mode.
    static member Negotiated(path: string) : QmpClient =
        let client = QmpClient.Connect path
        client.ReadLine() |> ignore
        client.Execute "qmp_capabilities" |> ignore
        client

    member _.Socket = socket

    /// The next line without its end; None at the end of the stream.
    member _.ReadLine() : string option =
        try
            readLine ()
        with :? SocketException as error when error.SocketErrorCode = SocketError.ConnectionReset ->
            None

    member _.Send(text: string) : unit =
        let bytes = Encoding.UTF8.GetBytes text
        let mutable sent = 0

        while sent < bytes.Length do
            sent <- sent + socket.Send(bytes, sent, bytes.Length - sent, SocketFlags.None)

    /// Sends one request; the events that came before its reply, and the reply.
    member this.Request(text: string) : string list * string =
        this.Send(text + "\n")

        let rec collect (events: string list) =
            match this.ReadLine() with
            | None -> failwith $"the monitor closed instead of answering {text}"
            | Some line when isEvent line -> collect (line :: events)
            // The real daemon, when one client leaves as the next one comes, may greet that one twice.
            | Some line when line.StartsWith "{\"QMP\"" -> collect events
            | Some line -> List.rev events, line

        collect []

    /// Reads until the named event has come; all lines read, the event last.
    member this.Await(event: string) : string list =
        let rec collect (lines: string list) =
            match this.ReadLine() with
            | None -> failwith $"the monitor closed instead of sending {event}"
            | Some line when isEvent line && (parse line).GetProperty("event").GetString() = event ->
                List.rev (line :: lines)
            | Some line -> collect (line :: lines)

        collect []

    /// Runs a command with arguments in JSON; what it returned, or a failed test.
    member this.Execute(command: string, arguments: string) : JsonElement =
        let _, reply = this.Request $"{{\"execute\": \"{command}\", \"arguments\": {arguments}}}"

        match tryMember "return" (parse reply) with
        | Some value -> value
        | None -> failwith $"{command} {arguments}: {reply}"

    /// Runs a command without arguments.
    member this.Execute(command: string) : JsonElement = this.Execute(command, "{}")

    interface IDisposable with
        member _.Dispose() = socket.Dispose()
