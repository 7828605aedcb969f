/// Bytes of a hostile NBD client in the transmission phase.
module StorageDaemon.Fuzz.Targets.NbdTransmissionFuzz

open System
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire

let private sizeBytes = 4194304UL
let private contexts = [|
    { Id = 0u; Name = "base:allocation" }
    { Id = 2u; Name = "qemu:dirty-bitmap:b0" }
|]

/// Answers a block status request with extents made from the request's own bytes.
let private answerStatus (session: inref<Session>) (request: inref<Request>) (output: byte[]) =
    let mutable list = ExtentList()
    Extents.start &session &request 64 &list
    let mutable seed = request.Cookie ||| 1UL
    let mutable wanted = true
    let mutable rounds = 0

    while wanted && rounds < 100 do
        wanted <- Extents.add &list (Span<byte>(output, 0, 64)) (seed % 100000UL) (uint32 seed &&& 3u)
        seed <- seed * 6364136223846793005UL + 1442695040888963407UL
        rounds <- rounds + 1

    if list.CoveredBytes > request.Length then
        failwith "extents exceed the range"

    Reply.writeStatusChunk &session (Span<byte> output) &request true 0u list.Count
    |> ignore

let private answer (session: inref<Session>) (request: inref<Request>) (output: byte[]) =
    match request.Command with
    | NBD_CMD_READ ->
        let written = Reply.writeRead &session (Span<byte> output) &request

        if written <> Reply.readHeaderLength &session request.Length then
            failwith "header of a read has another length than promised"
    | NBD_CMD_BLOCK_STATUS -> answerStatus &session &request output
    | _ -> Reply.writeSuccess &session (Span<byte> output) &request |> ignore

let private refuse (session: inref<Session>) (request: inref<Request>) reason =
    let text = Request.reasonText &session reason &request

    if text = "" then
        failwith "a refusal without text"

    Reply.error &session &request (Request.refusalError reason) text |> ignore

/// Serves one request at the start of the input; returns the bytes used, or 0 to stop.
let private step (session: inref<Session>) (input: ReadOnlySpan<byte>) (output: byte[]) =
    let mutable request = Request()
    let taken = Request.decode &session input &request

    if taken < 0 then
        refuse &session &request Reason.BadMagic
        0
    elif taken = 0 || request.Command = NBD_CMD_DISC then
        0
    else
        let rest = input.Slice taken
        let payload = int (min (Request.payloadLength &request) (uint64 rest.Length))

        if request.Command = NBD_CMD_BLOCK_STATUS && Request.payloadLength &request > 0UL then
            Request.decodeStatusPayload &session (rest.Slice(0, payload)) &request

        let reason = Request.check &session &request

        if reason = Reason.None then
            if bigint request.Offset + bigint request.Length > bigint sizeBytes then
                failwith "an accepted range exceeds the export"

            answer &session &request output
            taken + payload
        else
            refuse &session &request reason
            if Request.closesConnection reason then
                0
            else
                taken + payload

/// The first byte chooses reply mode, access and contexts; the rest are requests with their payloads.
let run (input: byte[]) =
    if input.Length > 0 then
        let mode: ReplyMode = LanguagePrimitives.EnumOfValue(input[0] % 3uy)
        let isReadOnly = input[0] &&& 4uy <> 0uy
        let hasContexts = mode <> ReplyMode.Simple && input[0] &&& 8uy <> 0uy
        let session = Session(mode, isReadOnly, sizeBytes, 1, (if hasContexts then contexts else [||]))
        let output = Array.zeroCreate<byte> 128
        let mutable at = 1
        let mutable serving = true

        while serving do
            let used = step &session (ReadOnlySpan<byte>(input, at, input.Length - at)) output
            at <- at + used
            serving <- used > 0
