namespace StorageDaemon.Core.Qmp

open System
open System.Buffers
open StorageDaemon.Core
open StorageDaemon.Core.Json

/// One QMP monitor: greeting, negotiation, one command at a time, replies in order, events.
///
/// Commands are not taken up while the client leaves more than `MaxUnreadReplies` unread, so memory stays bounded
/// whatever a client asks for without reading. Events cannot be held back; a client that leaves more than
/// `MaxUnreadEvents` of them unread loses its connection. The real daemon has neither bound.
[<RequireQualifiedAccess>]
module Session =
    /// Bytes of unread output above which no further command is taken up.
    [<Literal>]
    let MaxUnreadReplies = 0x100000L

    /// Bytes of unread events above which the monitor is closed.
    [<Literal>]
    let MaxUnreadEvents = 0x1000000L

    /// Commands that wait behind the one under way, once the client has enabled `oob`. Without it none does.
    [<Literal>]
    let MaxQueued = 8

    /// What stays the same for the life of a monitor.
    [<NoComparison; NoEquality>]
    type Config = {
        /// The vendor's version string, as `query-version` gives it.
        Package: string
        OffersOob: bool
        /// One element per line (`pretty=on`).
        IsPretty: bool
        /// Whether a command of this name exists; `qmp_capabilities` need not be among them.
        IsCommand: string -> bool
    }

    [<NoComparison>]
    type Output =
        /// Bytes for the client.
        | Send of ReadOnlyMemory<byte>
        /// A command to execute, whose result is due in `completed`. No other follows before that.
        | Execute of Request
        /// Take no input from the client for now. What `received` did not consume must be kept.
        | SuspendReading
        /// Take input again: first of all, call `received` again with what was kept.
        | ResumeReading
        /// Close the client's connection; then call `disconnected`.
        | Close

    type private Phase =
        | Disconnected
        | Negotiating
        | Ready of hasOob: bool
        /// `Close` was said.
        | Closing

    type private Execution =
        | Idle
        | Running of id: Json option
        /// A command of a client that has left. Its result will be dropped, and until then no other starts.
        | Orphaned

    /// What waits for its turn to be answered.
    type private Waiting =
        | Command of Request
        | Refusal of id: Json option * error: QapiError

    /// What the monitor has taken up and sent since it was started, over all its clients.
    type Counts = {
        Commands: uint64
        /// Replies with a value.
        Successes: uint64
        /// Replies with an error, those to malformed input included.
        Errors: uint64
        Events: uint64
    }

    /// Plain data: it can be handed to another process.
    type State = private {
        Phase: Phase
        Input: JsonStream.State
        Execution: Execution
        /// The oldest first.
        Queue: Waiting list
        /// Bytes sent and not known to be read. Events are counted in both.
        Unread: int64
        UnreadEvents: int64
        IsReading: bool
        Counts: Counts
    }

    /// A monitor without a client.
    let initial = {
        Phase = Disconnected
        Input = JsonStream.initial
        Execution = Idle
        Queue = []
        Unread = 0L
        UnreadEvents = 0L
        IsReading = false
        Counts = {
            Commands = 0UL
            Successes = 0UL
            Errors = 0UL
            Events = 0UL
        }
    }

    let counts (state: State) : Counts = state.Counts

    /// A state without a client that remembers what went before.
    let private withoutClient execution (state: State) = {
        initial with
            Execution = execution
            Counts = state.Counts
    }

    /// A state that is being stepped, and its outputs so far (the newest first).
    [<Struct; NoComparison>]
    type private Step = { State: State; Outputs: Output list }

    let private begins state = { State = state; Outputs = [] }

    let private emit output step = { step with Outputs = output :: step.Outputs }

    let private ends step : struct (State * Output list) =
        struct (step.State, List.rev step.Outputs)

    let private lineEnd = "\r\n"B

    let private encode config (message: Json) =
        let output = ArrayBufferWriter<byte>()

        if config.IsPretty then
            JsonPrinter.writePretty "\r\n" output message
        else
            JsonPrinter.writeHashed output message

        output.Write(ReadOnlySpan lineEnd)
        output.WrittenMemory

    let private send config message step =
        let bytes = encode config message

        let state = {
            step.State with
                Unread = step.State.Unread + int64 bytes.Length
        }

        emit (Send bytes) { step with State = state }

    let private count (change: Counts -> Counts) (step: Step) = {
        step with
            State = { step.State with Counts = change step.State.Counts }
    }

    let private succeed config id value step =
        send config (Envelope.success id value) step
        |> count (fun counts -> { counts with Successes = counts.Successes + 1UL })

    let private refuse config id error step =
        send config (Envelope.failure id error) step
        |> count (fun counts -> { counts with Errors = counts.Errors + 1UL })

    let private hasOob state =
        match state.Phase with
        | Ready hasOob -> hasOob
        | _ -> false

    let private isBusy state =
        match state.Execution with
        | Idle -> false
        | _ -> true

    /// Whether the next message may be looked at.
    let private canRead state =
        match state.Phase with
        | Disconnected
        | Closing -> false
        | Negotiating
        | Ready _ when state.Unread > MaxUnreadReplies -> false
        | Ready true -> List.length state.Queue < MaxQueued
        | Negotiating
        | Ready false -> not (isBusy state) && state.Queue.IsEmpty

    /// Says so when reading has to begin or to end.
    let private adjustReading step =
        let canRead = canRead step.State

        if canRead = step.State.IsReading then
            step
        else
            let isConnected =
                match step.State.Phase with
                | Disconnected
                | Closing -> false
                | _ -> true

            let next = {
                step with
                    State = { step.State with IsReading = canRead }
            }

            if not isConnected then
                next
            else
                emit (if canRead then ResumeReading else SuspendReading) next

    let private negotiate config (request: Request) step =
        match Capabilities.decode request.Arguments with
        | Error error -> refuse config request.Id error step
        | Ok true when not config.OffersOob ->
            let error = QapiError.generic "Capability 'oob' not available"
            refuse config request.Id error step
        | Ok enablesOob ->
            match step.State.Phase with
            | Ready _ ->
                let text = "Capabilities negotiation is already complete, command ignored"
                refuse config request.Id (QapiError.ofClass CommandNotFound text) step
            | _ ->
                succeed config request.Id (Json.Object []) {
                    step with
                        State = { step.State with Phase = Ready enablesOob }
                }

    let private commandNotFound config (request: Request) =
        "The command " + request.Command + " has not been found"
        |> QapiError.ofClass CommandNotFound
        |> refuse config request.Id

    let private dispatch config (request: Request) step =
        match step.State.Phase with
        | _ when request.Command = "qmp_capabilities" -> negotiate config request step
        | Ready _ when config.IsCommand request.Command ->
            let state = { step.State with Execution = Running request.Id }

            emit (Execute request) { step with State = state }
        | Ready _ -> commandNotFound config request step
        | _ ->
            let text = "Expecting capabilities negotiation with 'qmp_capabilities'"
            refuse config request.Id (QapiError.ofClass CommandNotFound text) step

    /// Answers what waits, until a command is under way or the client has too much to read.
    let rec private dispatchQueue config step =
        match step.State.Queue with
        | next :: rest when not (isBusy step.State) && step.State.Unread <= MaxUnreadReplies ->
            let step = { step with State = { step.State with Queue = rest } }

            match next with
            | Command request -> dispatch config request step
            | Refusal(id, error) -> refuse config id error step
            |> dispatchQueue config
        | _ -> step

    let private enqueue config waiting step =
        let state = { step.State with Queue = step.State.Queue @ [ waiting ] }

        dispatchQueue config { step with State = state }

    /// Out of band, that is at once. No command of this daemon supports it.
    let private refuseOutOfBand config (request: Request) step =
        if request.Command = "qmp_capabilities" || config.IsCommand request.Command then
            let error = QapiError.generic ("The command " + request.Command + " does not support OOB")
            refuse config request.Id error step
        else
            commandNotFound config request step

    let private acceptMessage config message step =
        match message with
        | JsonStream.More -> step
        | JsonStream.Failed error -> enqueue config (Refusal(None, error)) step
        | JsonStream.Value value ->
            let step = count (fun counts -> { counts with Commands = counts.Commands + 1UL }) step

            match Envelope.decode (hasOob step.State) value with
            | Envelope.InBand request -> enqueue config (Command request) step
            | Envelope.OutOfBand request -> refuseOutOfBand config request step
            | Envelope.Malformed(id, error) -> enqueue config (Refusal(id, error)) step

    /// A client has connected: greets it. Reading begins with the first input unless the answer is to suspend it.
    let connected config state : struct (State * Output list) =
        let fresh = {
            state with
                Phase = Negotiating
                Input = JsonStream.initial
                Queue = []
                Unread = 0L
                UnreadEvents = 0L
                IsReading = true
        }

        begins fresh
        |> send config (Envelope.greeting config.Package config.OffersOob)
        |> adjustReading
        |> ends

    /// What becomes of a command when its client is gone.
    let private abandon execution =
        match execution with
        | Idle -> Idle
        | Running _
        | Orphaned -> Orphaned

    /// The client has left: forgets everything but a command still under way.
    let disconnected state : struct (State * Output list) =
        struct (withoutClient (abandon state.Execution) state, [])

    /// The client will send no more but goes on to read: it is told the result of a command under way, and of events if
    /// it had negotiated.
    let inputEnded state : struct (State * Output list) =
        struct ({
                    state with
                        Input = JsonStream.initial
                        Queue = []
                        IsReading = true
                },
                [])

    /// Bytes have come from the client: how many were consumed (all unless reading is suspended), the next state, and
    /// what to do. The rest is consumed after `ResumeReading`.
    let received config state (input: ReadOnlySpan<byte>) : struct (int * State * Output list) =
        let mutable step = begins state
        let mutable consumed = 0

        while consumed < input.Length && canRead step.State do
            let struct (taken, json, message) = JsonStream.feed step.State.Input (input.Slice consumed)
            consumed <- consumed + taken

            step <- acceptMessage config message { step with State = { step.State with Input = json } }

        let struct (state, outputs) = ends (adjustReading step)
        struct (consumed, state, outputs)

    /// The command under way has ended.
    let completed config (outcome: Result<Json, QapiError>) state : struct (State * Output list) =
        let step = begins { state with Execution = Idle }

        let step =
            match state.Execution, outcome with
            | Running id, Ok value -> succeed config id value step
            | Running id, Error error -> refuse config id error step
            | _ -> step

        step |> dispatchQueue config |> adjustReading |> ends

    /// Something has happened that clients are told of once they have negotiated. The time is the host's clock, since
    /// the epoch.
    let event config name data (seconds: int64) (microseconds: int64) state : struct (State * Output list) =
        match state.Phase with
        | Ready _ ->
            let bytes = encode config (Envelope.event name data seconds microseconds)
            let unreadEvents = state.UnreadEvents + int64 bytes.Length

            if unreadEvents > MaxUnreadEvents then
                let closing = withoutClient (abandon state.Execution) state
                struct ({ closing with Phase = Closing }, [ Close ])
            else
                let unread = state.Unread + int64 bytes.Length

                let next = { state with Unread = unread; UnreadEvents = unreadEvents }

                begins next
                |> emit (Send bytes)
                |> count (fun counts -> { counts with Events = counts.Events + 1UL })
                |> adjustReading
                |> ends
        | Disconnected
        | Negotiating
        | Closing -> struct (state, [])

    /// The client has read: of all that was sent, `unread` bytes are still on this side.
    let drained config (unread: int64) state : struct (State * Output list) =
        let next = {
            state with
                Unread = unread
                UnreadEvents = min state.UnreadEvents unread
        }

        begins next |> dispatchQueue config |> adjustReading |> ends
