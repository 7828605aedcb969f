/// Random requests from several clients, each in a region of its own, checked against an array of bytes.
module internal StorageDaemon.Tests.Sim.Workload

open System
open System.Collections.Generic
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Tests.Sim.NbdPeer

/// What the model knows of the export.
type Model = {
    Content: byte[]
    /// Bytes that no failed request has touched since they were last known.
    IsKnown: bool[]
    /// Of a simulated disk: what would survive a loss of power, and where the export begins there. Else null.
    Durable: byte[]
    DurableOffset: int
    /// Trims reach the file and leave zeroes.
    TrimsZero: bool
    /// Ranges [first byte, end) of the export whose requests must fail, and with which NBD error.
    BadRanges: (int64 * int64 * uint32) list
    /// Requests that may be refused with ENOTSUP: those that ask for zeroes quickly.
    MayRefuseFastZero: bool
}

let newModel (content: byte[]) = {
    Content = content
    IsKnown = Array.create content.Length true
    Durable = null
    DurableOffset = 0
    TrimsZero = true
    BadRanges = []
    MayRefuseFastZero = true
}

let private overlaps (a: Sent) (start: int64) (stop: int64) =
    a.Offset < stop && start < a.Offset + int64 a.Length

let private modifies (command: uint16) =
    command = NBD_CMD_WRITE
    || command = NBD_CMD_WRITE_ZEROES
    || command = NBD_CMD_TRIM

let private isPastEnd (model: Model) (sent: Sent) =
    sent.Offset + int64 sent.Length > int64 model.Content.Length

let private fail (answer: Answer) (what: string) =
    let s = answer.Sent

    failwith (
        what
        + ": command "
        + string s.Command
        + " flags "
        + string s.Flags
        + " of "
        + string s.Length
        + " bytes at "
        + string s.Offset
        + ", error "
        + string answer.Error
    )

/// Compares with the model where that is known.
let expectContent (model: Model) (what: string) (start: int) (actual: ReadOnlySpan<byte>) =
    for i in 0 .. actual.Length - 1 do
        if model.IsKnown[start + i] && model.Content[start + i] <> actual[i] then
            failwith (
                what
                + ": byte "
                + string (start + i)
                + " is "
                + string actual[i]
                + " and should be "
                + string model.Content[start + i]
            )

let private checkExtents (model: Model) (answer: Answer) =
    let total = answer.Extents |> List.sumBy (fun (length, _) -> int64 length)

    if total <= 0L || total > int64 answer.Sent.Length then
        fail answer "extents that do not fit the range"

    if answer.Sent.Flags &&& NBD_CMD_FLAG_REQ_ONE <> 0us && answer.Extents.Length <> 1 then
        fail answer "more than one extent"

    let mutable at = int answer.Sent.Offset

    for length, flags in answer.Extents do
        if flags &&& uint64 NBD_STATE_ZERO <> 0UL then
            for i in at .. at + int length - 1 do
                if model.IsKnown[i] && model.Content[i] <> 0uy then
                    fail answer ("said to be zero, but byte " + string i + " is not")

        at <- at + int length

let private applySuccess (model: Model) (answer: Answer) =
    let s = answer.Sent
    let at = int s.Offset

    match s.Command with
    | NBD_CMD_READ -> expectContent model "read" at (ReadOnlySpan answer.Data)
    | NBD_CMD_BLOCK_STATUS -> checkExtents model answer
    | NBD_CMD_WRITE ->
        Array.blit s.Payload 0 model.Content at s.Length
        Array.fill model.IsKnown at s.Length true
    | NBD_CMD_WRITE_ZEROES ->
        Array.Clear(model.Content, at, s.Length)
        Array.fill model.IsKnown at s.Length true
    | NBD_CMD_TRIM when model.TrimsZero ->
        Array.Clear(model.Content, at, s.Length)
        Array.fill model.IsKnown at s.Length true
    | _ -> ()

    let isFuaWrite =
        s.Flags &&& NBD_CMD_FLAG_FUA <> 0us
        && (s.Command = NBD_CMD_WRITE || s.Command = NBD_CMD_WRITE_ZEROES)

    if isFuaWrite && not (isNull model.Durable) then
        expectContent model "not durable after FUA" at (ReadOnlySpan(model.Durable, model.DurableOffset + at, s.Length))

/// Checks an answer against the model and moves the model on.
let check (model: Model) (answer: Answer) =
    let s = answer.Sent
    let touchesData = s.Command = NBD_CMD_READ || modifies s.Command

    let bad =
        if touchesData then
            model.BadRanges
            |> List.filter (fun (start, stop, _) -> overlaps s start stop)
            |> List.map (fun (_, _, error) -> error)
        else
            []

    let isFastZero = s.Command = NBD_CMD_WRITE_ZEROES && s.Flags &&& NBD_CMD_FLAG_FAST_ZERO <> 0us

    if isPastEnd model s then
        if answer.Error <> NBD_EINVAL then
            fail answer "past the end of the export"
    elif answer.Error = 0u then
        if not bad.IsEmpty && (s.Command = NBD_CMD_READ || s.Command = NBD_CMD_WRITE) then
            fail answer "success on a bad range"

        applySuccess model answer
    elif
        List.contains answer.Error bad
        || isFastZero && model.MayRefuseFastZero && answer.Error = NBD_ENOTSUP
    then
        if modifies s.Command then
            Array.fill model.IsKnown (int s.Offset) s.Length false
    else
        fail answer "unexpected error"

/// One client: sends requests into its region that do not conflict with those in flight.
[<Sealed>]
type Client(rng: Random, peer: NbdPeer, model: Model, start: int, stop: int, maxLength: int, depth: int) =
    let inFlight = Dictionary<uint64, Sent>()

    let commands =
        let common = [|
            NBD_CMD_READ
            NBD_CMD_READ
            NBD_CMD_READ
            NBD_CMD_WRITE
            NBD_CMD_WRITE
            NBD_CMD_WRITE
            NBD_CMD_WRITE_ZEROES
            NBD_CMD_TRIM
            NBD_CMD_FLUSH
            NBD_CMD_CACHE
        |]

        if peer.Mode = ReplyMode.Simple then
            common
        else
            Array.append common [| NBD_CMD_BLOCK_STATUS |]

    let pickFlags (command: uint16) =
        let maybe flag = if rng.Next 4 = 0 then flag else 0us

        maybe NBD_CMD_FLAG_FUA
        ||| match command with
            | NBD_CMD_READ when peer.Mode <> ReplyMode.Simple -> maybe NBD_CMD_FLAG_DF
            | NBD_CMD_WRITE_ZEROES -> maybe NBD_CMD_FLAG_NO_HOLE ||| maybe NBD_CMD_FLAG_FAST_ZERO
            | NBD_CMD_BLOCK_STATUS -> maybe NBD_CMD_FLAG_REQ_ONE
            | _ -> 0us

    let pickRange () =
        let longest = min maxLength (stop - start)

        let length =
            match rng.Next 10 with
            | 0 -> 1 + rng.Next longest
            | n when n < 5 -> min longest (512 * (1 + rng.Next 16))
            | _ -> 1 + rng.Next(min longest 5000)

        let offset = start + rng.Next(stop - start - length + 1)
        struct ((if length % 512 = 0 && offset > start + 511 then
                     offset &&& ~~~511
                 else
                     offset),
                length)

    let pick () =
        let command = commands[rng.Next commands.Length]
        let struct (offset, length) = pickRange ()

        // Some requests are refused, payload and all.
        let offset = if rng.Next 40 = 0 then model.Content.Length - 1 else offset
        let length =
            if offset = model.Content.Length - 1 then
                max 2 length
            else
                length

        if command = NBD_CMD_FLUSH then
            {
                Command = command
                Flags = pickFlags command
                Offset = 0L
                Length = 0
                Payload = [||]
            }
        else
            let payload =
                if command = NBD_CMD_WRITE then
                    Array.zeroCreate<byte> length
                else
                    [||]
            rng.NextBytes payload

            {
                Command = command
                Flags = pickFlags command
                Offset = int64 offset
                Length = length
                Payload = payload
            }

    let conflicts (sent: Sent) =
        inFlight.Values
        |> Seq.exists (fun other ->
            (modifies other.Command || modifies sent.Command)
            && overlaps sent other.Offset (other.Offset + int64 other.Length))

    member _.Peer = peer
    member _.InFlight = inFlight.Count

    /// Sends a request if one fits beside those in flight.
    member _.TrySend() : bool =
        if inFlight.Count >= depth then
            false
        else
            let sent = pick ()

            if conflicts sent then
                false
            else
                let cookie = peer.Send(sent.Command, sent.Flags, sent.Offset, sent.Length, sent.Payload)
                inFlight.Add(cookie, sent)
                true

    /// Takes the answers that have come.
    member _.TakeAnswers() =
        let mutable answer = Unchecked.defaultof<Answer>

        while peer.TryAnswer &answer do
            inFlight.Remove answer.Cookie |> ignore
            check model answer

/// Drives the clients until each has sent so many requests and has all its answers.
let run (clients: Client list) (requests: int) =
    let left = Dictionary<Client, int>()

    for client in clients do
        left[client] <- requests

    let isBusy (client: Client) = left[client] > 0 || client.InFlight > 0
    let clock = Diagnostics.Stopwatch.StartNew()

    while List.exists isBusy clients do
        if clock.ElapsedMilliseconds > 30000L then
            failwith "the requests do not end"

        let mutable moved = false

        for client in clients do
            let mutable going = true

            while going && left[client] > 0 do
                going <- client.TrySend()

                if going then
                    left[client] <- left[client] - 1

            moved <- client.Peer.Pump() || moved
            client.TakeAnswers()

            if client.Peer.IsClosed then
                failwith "the server has closed"

        if not moved then
            waitForAny (clients |> List.map (fun client -> client.Peer))

    for client in clients do
        if client.Peer.Unparsed > 0 then
            failwith "bytes behind the last reply"
