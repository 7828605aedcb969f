/// Bytes of a hostile NBD client during the handshake.
module StorageDaemon.Fuzz.Targets.NbdHandshakeFuzz

open System
open StorageDaemon.Core.Nbd

let private export key name description minimumBlock contexts = {
    Name = name
    Description = description
    SizeBytes = 4194304UL
    TransmissionFlags = 0x0d6dus
    MinimumBlock = minimumBlock
    PreferredBlock = 4096u
    MaximumBlock = 33554432u
    Contexts = contexts
    Key = key
}

let private exports = [
    export 1 "q" (Some "hello") 1u [
        { Id = 0u; Name = "base:allocation" }
        { Id = 2u; Name = "qemu:dirty-bitmap:b0" }
    ]
    export 2 "" None 4096u []
]

/// Everything that is sent, one byte for each way of ending, and how much input is left for the transmission phase.
let private handshake policy (chunks: byte[] list) =
    let struct (start, _) = Handshake.start policy
    let mutable state = start
    let sent = ResizeArray<byte>()
    let mutable ending = 0uy
    let mutable unread = 0

    for chunk in chunks do
        let mutable at = 0
        let mutable feeding = (ending = 0uy)

        if not feeding then
            unread <- unread + chunk.Length

        while feeding do
            let rest = ReadOnlySpan<byte>(chunk, at, chunk.Length - at)
            let struct (consumed, next, output) = Handshake.feed exports state rest
            at <- at + consumed
            state <- next

            match output with
            | NeedMore ->
                if at <> chunk.Length then
                    failwith "input left although more is wanted"

                feeding <- false
            | Send bytes -> sent.AddRange bytes
            | Enter(bytes, _) ->
                sent.AddRange bytes
                ending <- 1uy
                unread <- chunk.Length - at
                feeding <- false
            | StartTls bytes ->
                sent.AddRange bytes
                ending <- 2uy
                feeding <- false
            | Close bytes ->
                sent.AddRange bytes
                ending <- 3uy
                feeding <- false

    sent.ToArray(), ending, (if ending = 1uy then unread else 0)

/// The first byte chooses the TLS policy; the rest comes from the client, at once and byte by byte with the same
/// result.
let run (input: byte[]) =
    if input.Length > 0 then
        let policy =
            match input[0] % 3uy with
            | 0uy -> NoTls
            | 1uy -> TlsAllowed
            | _ -> TlsRequired

        let bytes = input[1..]
        let whole, wholeEnd, wholeUnread = handshake policy [ bytes ]
        let pieces, piecesEnd, piecesUnread = handshake policy [ for b in bytes -> [| b |] ]

        if not (whole.AsSpan().SequenceEqual(ReadOnlySpan<byte> pieces)) then
            failwith "chunking changes the replies"

        if wholeEnd <> piecesEnd || wholeUnread <> piecesUnread then
            failwith "chunking changes the end"
