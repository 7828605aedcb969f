module StorageDaemon.Tests.Properties.NbdTransmission

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Tests.Generators.NbdGen
open StorageDaemon.Tests.Reference.NbdNaiveClient

let private forAll gen check = Prop.forAll (Arb.fromGen gen) check
let private more = { FsCheckConfig.defaultConfig with maxTest = 1000 }

let private writable mode =
    Session(
        mode,
        false,
        4194304UL,
        1,
        (if mode = ReplyMode.Simple then
             [||]
         else
             [| allocation; depth |])
    )

let private readOnly mode = Session(mode, true, 4194304UL, 1, [||])

let private headerOf command flags offset length = {
    Flags = flags
    Command = command
    Cookie = 0x4142434445464748UL
    Offset = offset
    Length = length
}

/// Verdict and text for a header, as a refusal would send them.
let private verdict (session: Session) header =
    let request = decode session header
    let reason = Request.check &session &request
    reason, Request.reasonText &session reason &request

let private pastEnd (offset: uint64) (length: uint64) =
    "operation past EOF; From: "
    + string offset
    + ", Len: "
    + string length
    + ", Size: 4194304"

let private tooLong (length: uint64) =
    "len (" + string length + ") is larger than max len (33554432)"
let private m = 1048576UL

/// Command, flags, offset, length and the text of the real daemon's refusal; the same in structured and extended
/// sessions. An empty text stands for success.
let private texts = [
    NBD_CMD_READ, 0us, 0UL, 512UL, ""
    NBD_CMD_READ, 0us, 4UL * m, 0UL, ""
    NBD_CMD_READ, NBD_CMD_FLAG_DF ||| NBD_CMD_FLAG_FUA, 0UL, 512UL, ""
    NBD_CMD_READ, 0us, 4194305UL, 0UL, pastEnd 4194305UL 0UL
    NBD_CMD_READ, 0us, 0UL, 32UL * m, pastEnd 0UL (32UL * m)
    NBD_CMD_READ, 0us, 0UL, 32UL * m + 1UL, tooLong (32UL * m + 1UL)
    NBD_CMD_READ, 0us, UInt64.MaxValue, 512UL, pastEnd UInt64.MaxValue 512UL
    NBD_CMD_READ, 2us, 0UL, 512UL, "unsupported flags for command read (got 0x2)"
    NBD_CMD_READ, 0x8000us, 0UL, 512UL, "unsupported flags for command read (got 0x8000)"
    NBD_CMD_READ, 8us, 4UL * m, 512UL, pastEnd (4UL * m) 512UL
    NBD_CMD_READ, 8us, 4UL * m, 64UL * m, tooLong (64UL * m)
    NBD_CMD_WRITE, 1us, 0UL, 512UL, ""
    NBD_CMD_WRITE, 0us, 4UL * m, 512UL, pastEnd (4UL * m) 512UL
    NBD_CMD_WRITE, 16us, 0UL, 512UL, "unsupported flags for command write (got 0x10)"
    NBD_CMD_FLUSH, 1us, 0UL, 0UL, ""
    NBD_CMD_FLUSH, 0us, 0UL, 512UL, ""
    NBD_CMD_FLUSH, 0us, 9437184UL, 512UL, pastEnd 9437184UL 512UL
    NBD_CMD_FLUSH, 2us, 0UL, 0UL, "unsupported flags for command flush (got 0x2)"
    NBD_CMD_TRIM, 1us, 0UL, 4UL * m, ""
    NBD_CMD_TRIM, 0us, 0UL, 64UL * m, pastEnd 0UL (64UL * m)
    NBD_CMD_TRIM, 3us, 0UL, 4096UL, "unsupported flags for command trim (got 0x3)"
    NBD_CMD_CACHE, 0us, 0UL, 4096UL, ""
    NBD_CMD_CACHE, 0us, 0UL, 64UL * m, tooLong (64UL * m)
    NBD_CMD_CACHE, 4us, 0UL, 4096UL, "unsupported flags for command cache (got 0x4)"
    NBD_CMD_WRITE_ZEROES, 0x13us, 0UL, 4096UL, ""
    NBD_CMD_WRITE_ZEROES, 4us, 0UL, 4096UL, "unsupported flags for command write zeroes (got 0x4)"
    NBD_CMD_WRITE_ZEROES, 0us, UInt64.MaxValue - 4095UL, 8192UL, pastEnd (UInt64.MaxValue - 4095UL) 8192UL
    NBD_CMD_BLOCK_STATUS, 9us, 0UL, 4096UL, ""
    NBD_CMD_BLOCK_STATUS, 0us, 0UL, 0UL, "need non-zero length"
    NBD_CMD_BLOCK_STATUS, 2us, 0UL, 0UL, "unsupported flags for command block status (got 0x2)"
    NBD_CMD_BLOCK_STATUS, 2us, 0UL, 1UL, "unsupported flags for command block status (got 0x2)"
    NBD_CMD_BLOCK_STATUS, 0us, 4194305UL, 0UL, pastEnd 4194305UL 0UL
    8us, 0us, 0UL, 0UL, "invalid request type (8) received"
    77us, 1us, 0UL, 4096UL, "invalid request type (77) received"
    77us, 0xffdfus, 0UL, 0UL, "unsupported flags for command <unknown> (got 0xffdf)"
    77us, 0us, 5242880UL, 4096UL, pastEnd 5242880UL 4096UL
    65535us, 0us, 0UL, 0UL, "invalid request type (65535) received"
]

let private golden =
    testList "texts of the real daemon" [
        for mode in [ ReplyMode.Structured; ReplyMode.Extended ] do
            for command, flags, offset, length, message in texts do
                let name = [
                    string (int mode)
                    string command
                    string flags
                    string offset
                    string length
                ]

                testCase (String.concat " " name)
                <| fun () ->
                    let header = headerOf command flags offset length
                    Expect.equal (snd (verdict (writable mode) header)) message "text"

        for command in [ NBD_CMD_WRITE; NBD_CMD_TRIM; NBD_CMD_WRITE_ZEROES ] do
            testCase ("command " + string command + " on a read-only export")
            <| fun () ->
                let session = readOnly ReplyMode.Extended
                let header = headerOf command 0x8000us (5UL * m) 512UL
                Expect.equal (verdict session header) (Reason.ReadOnlyExport, "Export is read-only") "before all else"

        testCase "a read-only export can be flushed and prefetched"
        <| fun () ->
            for command in [ NBD_CMD_READ; NBD_CMD_FLUSH; NBD_CMD_CACHE ] do
                Expect.equal (verdict (readOnly ReplyMode.Simple) (headerOf command 0us 0UL 512UL)) (Reason.None, "") ""

        testCase "block status needs contexts"
        <| fun () ->
            let bare = Session(ReplyMode.Extended, false, 4194304UL, 1, [||])
            let ask header = snd (verdict bare header)
            let refusal = "CMD_BLOCK_STATUS not negotiated"
            Expect.equal (ask (headerOf NBD_CMD_BLOCK_STATUS 0us 0UL 0UL)) refusal "without payload"
            Expect.equal (ask (headerOf NBD_CMD_BLOCK_STATUS 0x20us 0UL 12UL)) refusal "with payload"

            Expect.equal
                (ask (headerOf NBD_CMD_BLOCK_STATUS 2us 0UL 0UL))
                "unsupported flags for command block status (got 0x2)"
                "flags come first"

        testCase "flags that a session has not negotiated are refused"
        <| fun () ->
            let df = headerOf NBD_CMD_READ NBD_CMD_FLAG_DF 0UL 512UL
            let payload = headerOf NBD_CMD_WRITE NBD_CMD_FLAG_PAYLOAD_LEN 0UL 512UL
            Expect.equal (fst (verdict (writable ReplyMode.Simple) df)) Reason.UnsupportedFlags "DF"
            Expect.equal (fst (verdict (writable ReplyMode.Structured) payload)) Reason.UnsupportedFlags "payload"
            Expect.equal (fst (verdict (writable ReplyMode.Extended) payload)) Reason.None "payload, extended"

        testCase "the length of a payload that a command cannot have is no range"
        <| fun () ->
            let header = headerOf NBD_CMD_TRIM NBD_CMD_FLAG_PAYLOAD_LEN (4UL * m) 512UL
            let _, message = verdict (writable ReplyMode.Extended) header
            Expect.equal message "unsupported flags for command trim (got 0x20)" "text"

        testCase "a payload that is too long ends the connection, a long read does not"
        <| fun () ->
            let close session header =
                let reason, message = verdict session header
                Expect.equal message (tooLong (33UL * m)) "text"
                Request.closesConnection reason

            let extended = writable ReplyMode.Extended
            Expect.isTrue (close (writable ReplyMode.Simple) (headerOf NBD_CMD_WRITE 0us 0UL (33UL * m))) "write"
            Expect.isTrue (close (readOnly ReplyMode.Simple) (headerOf NBD_CMD_WRITE 0us 0UL (33UL * m))) "read-only"
            Expect.isTrue (close extended (headerOf NBD_CMD_TRIM 0x20us 0UL (33UL * m))) "trim with payload"
            Expect.isTrue (close extended (headerOf NBD_CMD_BLOCK_STATUS 0x20us 0UL (33UL * m))) "block status"
            Expect.isFalse (close extended (headerOf NBD_CMD_READ 0us 0UL (33UL * m))) "read"

        testCase "a wrong magic is told with both numbers"
        <| fun () ->
            let session = writable ReplyMode.Structured
            let mutable request = Request()
            let bytes = Array.append (text "ZZZZ") [| 0uy .. 23uy |]
            let result = Request.decode &session (ReadOnlySpan<byte> bytes) &request
            Expect.equal result -1 "result"
            let message = Request.reasonText &session Reason.BadMagic &request
            Expect.equal message "invalid magic (got 0x5a5a5a5a, expected 0x25609513)" "text"
            Expect.equal request.Cookie 0x0405060708090a0bUL "cookie"
            Expect.isTrue (Request.closesConnection Reason.BadMagic) "closes"

        testCase "failed I/O"
        <| fun () ->
            let message command =
                let session = writable ReplyMode.Simple
                let request = Request()
                Request.reasonText &session (Request.failureReason command) &request

            let expected = [
                "reading from file failed"
                "writing to file failed"
                "flush failed"
                "discard failed"
                "caching data failed"
                "writing to file failed"
                "can't get block status"
            ]

            Expect.equal (List.map message [ 0us; 1us; 3us; 4us; 5us; 6us; 7us ]) expected "texts"

        testCase "errno of failed I/O"
        <| fun () ->
            let expected = [
                [ 0 ], 0u
                [ 1; 30 ], 1u
                [ 5 ], 5u
                [ 12 ], 12u
                [ 27; 28; 122 ], 28u
                [ 75 ], 75u
                [ 95 ], 95u
                [ 108 ], 108u
                [ 2; 9; 11; 13; 14; 16; 22; 34; 36; 38; 61; 110; 125; -1 ], 22u
            ]

            for errnos, error in expected do
                for errno in errnos do
                    Expect.equal (Request.errorOfErrno errno) error (string errno)

        testCase "every refusal is EINVAL, on a read-only export and past the end too"
        <| fun () ->
            Expect.equal (Request.refusalError Reason.ReadOnlyExport) NBD_EINVAL "read-only"
            Expect.equal (Request.refusalError Reason.PastEnd) NBD_EINVAL "past the end"
            Expect.equal (Request.refusalError Reason.None) NBD_SUCCESS "none"
    ]

/// Decodes a status payload and gives verdict, length and wanted contexts.
let private statusVerdict offset (payload: byte[]) =
    let session = writable ReplyMode.Extended
    let mutable request =
        decode session (headerOf NBD_CMD_BLOCK_STATUS NBD_CMD_FLAG_PAYLOAD_LEN offset (uint64 payload.Length))

    Request.decodeStatusPayload &session (ReadOnlySpan<byte> payload) &request
    let reason = Request.check &session &request
    let wanted = [ for i in 0..1 -> Request.wantsContext &request i ]
    Request.reasonText &session reason &request, request.Length, wanted

let private statusPayload (length: uint64) (ids: uint32 list) =
    Array.append (u64 length) (Array.concat (List.map u32 ids))

let private payloads =
    let invalid = "CMD_BLOCK_STATUS payload not valid"

    testList "block status payload" [
        testCase "valid ones"
        <| fun () ->
            Expect.equal (statusVerdict 0UL (statusPayload 4096UL [ 0u ])) ("", 4096UL, [ true; false ]) "first"
            Expect.equal (statusVerdict 0UL (statusPayload 4096UL [ 1u; 0u ])) ("", 4096UL, [ true; true ]) "both"

        for name, payload in
            [
                "none", [||]
                "short", text "abcd"
                "twice the same", statusPayload 4096UL [ 0u; 0u ]
                "unknown", statusPayload 4096UL [ 7u ]
                "known and unknown", statusPayload 4096UL [ 0u; 7u ]
                "odd length", Array.append (statusPayload 4096UL [ 0u ]) [| 0uy |]
                "many", statusPayload 4096UL (List.replicate 1000 0u)
            ] do
            testCase ("invalid: " + name)
            <| fun () -> Expect.equal (statusVerdict 0UL payload) (invalid, 0UL, [ false; false ]) "refused"

        testCase "one of a length alone names no context, but its range is checked"
        <| fun () ->
            let far = 1UL <<< 40
            Expect.equal (statusVerdict 0UL (statusPayload 4096UL [])) (invalid, 4096UL, [ false; false ]) "inside"
            let message, _, _ = statusVerdict 0UL (statusPayload far [])
            Expect.equal message (pastEnd 0UL far) "past the end"

        testCase "an invalid one counts as an empty range"
        <| fun () ->
            let far = 1UL <<< 40
            let message, _, _ = statusVerdict far (statusPayload 4096UL [ 7u ])
            Expect.equal message (pastEnd far 0UL) "past the end"

        testCase "its range is checked"
        <| fun () ->
            let message offset length =
                let text, _, _ = statusVerdict offset (statusPayload length [ 0u ])
                text

            Expect.equal (message 0UL 0UL) "need non-zero length" "empty"
            Expect.equal (message 1UL UInt64.MaxValue) (pastEnd 1UL UInt64.MaxValue) "wraps"
    ]

let private decoding =
    testList "requests" [
        testPropertyWithConfig more "round trip"
        <| forAll (Gen.zip session header) (fun (session, header) ->
            let mutable request = Request()
            let bytes = encodeHeader session.Mode header
            let result = Request.decode &session (ReadOnlySpan<byte> bytes) &request
            Expect.equal result bytes.Length "length"
            Expect.equal result (Request.headerLength &session) "header length"
            let fields = request.Flags, request.Command, request.Cookie, request.Offset
            Expect.equal fields (header.Flags, header.Command, header.Cookie, header.Offset) "fields"
            let isExtended = (session.Mode = ReplyMode.Extended)
            let length =
                if isExtended then
                    header.Length
                else
                    header.Length &&& 0xffffffffUL
            let hasFlag = isExtended && header.Flags &&& NBD_CMD_FLAG_PAYLOAD_LEN <> 0us
            let hasPayload = (hasFlag || header.Command = NBD_CMD_WRITE) && header.Command <> NBD_CMD_DISC
            Expect.equal (Request.payloadLength &request) (if hasPayload then length else 0UL) "payload"
            let isPayloads = hasPayload && header.Command <> NBD_CMD_WRITE
            Expect.equal request.Length (if isPayloads then 0UL else length) "length of the range")

        testPropertyWithConfig more "a part of a header needs more, garbage is refused"
        <| forAll (Gen.zip session (Gen.listOf (Gen.choose (0, 255)))) (fun (session, garbage) ->
            let bytes = Array.map byte (Array.ofList garbage)
            let mutable request = Request()
            let result = Request.decode &session (ReadOnlySpan<byte> bytes) &request
            Expect.equal
                result
                (if bytes.Length < Request.headerLength &session then
                     0
                 else
                     -1)
                "result"
            Request.check &session &request |> ignore)

        testPropertyWithConfig more "what is accepted lies within the export and may be done"
        <| forAll (Gen.zip session header) (fun (session, header) ->
            let request = decode session header

            if Request.check &session &request = Reason.None && request.Command <> NBD_CMD_DISC then
                let last = bigint request.Offset + bigint request.Length
                Expect.isLessThanOrEqual last (bigint session.SizeBytes) "range"
                Expect.isLessThanOrEqual (Request.payloadLength &request) (uint64 NBD_MAX_BUFFER_SIZE) "payload"
                Expect.isLessThanOrEqual request.Command NBD_CMD_BLOCK_STATUS "command"

                let modifies = List.contains request.Command [ NBD_CMD_WRITE; NBD_CMD_TRIM; NBD_CMD_WRITE_ZEROES ]
                Expect.isFalse (session.ReadOnly && modifies) "read-only")

        testPropertyWithConfig more "every refusal has a text"
        <| forAll (Gen.zip session header) (fun (session, header) ->
            let reason, message = verdict session header
            Expect.equal (message = "") (reason = Reason.None) "text")
    ]

/// Runs an encoder on a buffer of exactly the promised length and decodes what it wrote.
let private written (encode: byte[] -> int) =
    let buffer = Array.zeroCreate<byte> Reply.MaxHeaderLength
    let length = encode buffer
    buffer[.. length - 1]

let private offsetIn (session: Session) (request: Request) =
    if session.Mode = ReplyMode.Extended then
        Some request.Offset
    else
        None

let private replies =
    testList "replies" [
        testPropertyWithConfig more "success"
        <| forAll (Gen.zip session header) (fun (session, header) ->
            let request = decode session header
            let bytes = written (fun buffer -> Reply.writeSuccess &session (Span<byte> buffer) &request)
            let message, rest = replyMessage bytes
            let chunk =
                if session.Mode = ReplyMode.Extended then
                    NoContent
                else
                    SimpleReply 0u
            Expect.equal message.Chunk chunk "framing"
            Expect.equal (message.Cookie, message.IsLast, rest) (request.Cookie, true, [||]) "message"
            Expect.equal message.Offset (offsetIn session request) "offset")

        testPropertyWithConfig more "a read in one piece"
        <| forAll (Gen.zip session (Gen.choose (0, 100))) (fun (session, length) ->
            let request = decode session (headerOf NBD_CMD_READ 0us 4096UL (uint64 length))
            let bytes = written (fun buffer -> Reply.writeRead &session (Span<byte> buffer) &request)
            Expect.equal bytes.Length (Reply.readHeaderLength &session (uint64 length)) "header length"
            let data = Array.init length byte
            let message, rest = replyMessage (Array.append bytes data)

            match session.Mode, length with
            | ReplyMode.Simple, _ -> Expect.equal (message.Chunk, rest) (SimpleReply 0u, data) "simple"
            | _, 0 -> Expect.equal (message.Chunk, rest) (NoContent, [||]) "nothing"
            | _ -> Expect.equal (message.Chunk, rest) (Data(4096UL, data), [||]) "chunk"

            Expect.isTrue message.IsLast "last")

        testPropertyWithConfig more "content and error chunks"
        <| forAll (Gen.zip3 session header (Gen.choose (1, 1000000))) (fun (session, header, number) ->
            if session.Mode <> ReplyMode.Simple then
                let request = decode session header
                let isLast = number % 2 = 0
                let length = uint32 number
                let at = header.Offset

                let hole =
                    written (fun buffer -> Reply.writeHoleChunk &session (Span<byte> buffer) &request isLast at length)

                let data =
                    written (fun buffer -> Reply.writeDataChunk &session (Span<byte> buffer) &request isLast at 3u)

                let error =
                    written (fun buffer ->
                        Reply.writeErrorOffsetChunk &session (Span<byte> buffer) &request isLast length at)

                let messages = replyMessages (Array.concat [ hole; data; text "abc"; error ])

                let expected = [ Hole(at, length); Data(at, text "abc"); ErrorOffset(length, "", at) ]
                Expect.equal [ for message in messages -> message.Chunk ] expected "chunks"

                for message in messages do
                    Expect.equal (message.Cookie, message.IsLast) (request.Cookie, isLast) "header"
                    Expect.equal message.Offset (offsetIn session request) "offset")

        testPropertyWithConfig more "errors"
        <| forAll (Gen.zip session header) (fun (session, header) ->
            let request = decode session header
            let message, rest = replyMessage (Reply.error &session &request 22u "text")
            let chunk =
                if session.Mode = ReplyMode.Simple then
                    SimpleReply 22u
                else
                    Error(22u, "text")
            Expect.equal (message.Chunk, message.IsLast, rest) (chunk, true, [||]) "message")

        testCase "the real daemon's bytes"
        <| fun () ->
            let hex (bytes: byte[]) =
                Convert.ToHexString(bytes).ToLowerInvariant()
            let extended = writable ReplyMode.Extended
            let structured = writable ReplyMode.Structured
            let request = decode extended (headerOf NBD_CMD_BLOCK_STATUS 0us 0UL 4096UL)
            let bytes = written (fun b -> Reply.writeStatusChunk &extended (Span<byte> b) &request false 0u 1)
            let header =
                "6e8a278c0000000641424344454647480000000000000000000000000000001800000000"
                + "00000001"
            Expect.equal (hex bytes) header "extended block status"
            let bytes = written (fun b -> Reply.writeStatusChunk &structured (Span<byte> b) &request true 0u 1)
            Expect.equal (hex bytes) "668e33ef0001000541424344454647480000000c00000000" "structured block status"
            let refusal = "CMD_BLOCK_STATUS not negotiated"
            let error = Reply.error &structured &request 22u refusal
            let header = "668e33ef00018001414243444546474800000025" + "00000016001f"
            Expect.equal (hex error) (header + hex (text refusal)) "structured error"
    ]

/// Status of a range told in pieces: the naive twin of `Extents`.
let private naiveExtents (range: uint64) maxCount (maxLength: uint64) (pieces: (uint64 * uint32) list) =
    let rec merge pieces =
        match pieces with
        | (0UL, _) :: rest -> merge rest
        | (a, f) :: (0UL, _) :: rest -> merge ((a, f) :: rest)
        | (a, f) :: (b, g) :: rest when f = g -> merge ((a + b, f) :: rest)
        | first :: rest -> first :: merge rest
        | [] -> []

    let rec cut left pieces =
        match pieces with
        | (length, flags) :: rest when left > 0UL ->
            let told = List.min [ length; left; maxLength ]
            (told, uint64 (flags: uint32))
            :: (if told = maxLength && length > told then
                    []
                else
                    cut (left - told) rest)
        | _ -> []

    List.truncate maxCount (cut range (merge pieces))

let private buildExtents (session: Session) (request: Request) capacity (pieces: (uint64 * uint32) list) =
    let buffer = Array.zeroCreate<byte> capacity
    let mutable list = ExtentList()
    Extents.start &session &request capacity &list
    let mutable wanted = true

    for length, flags in pieces do
        if wanted then
            wanted <- Extents.add &list (Span<byte> buffer) length flags

    let header =
        written (fun b -> Reply.writeStatusChunk &session (Span<byte> b) &request true 7u list.Count)

    Expect.equal header.Length (Reply.statusHeaderLength &session) "header length"
    Expect.equal (Extents.payloadLength &list) (list.Count * Reply.extentLength &session) "payload length"
    let message, _ = replyMessage (Array.append header buffer[.. Extents.payloadLength &list - 1])

    match message.Chunk with
    | Status(7u, extents) -> extents, wanted
    | _ -> failwith "not a status"

let private pieces: Gen<(uint64 * uint32) list> =
    let length =
        Gen.frequency [
            8, Gen.map uint64 (Gen.choose (0, 5000))
            1, Gen.elements [ 0xfffffffeUL; 0xffffffffUL; 1UL <<< 32; 5UL <<< 32 ]
        ]

    Gen.nonEmptyListOf (Gen.zip length (Gen.map uint32 (Gen.choose (0, 2))))

let private wideOrNot = Gen.elements [ ReplyMode.Structured; ReplyMode.Extended ]

let private extents =
    testList "extents" [
        testPropertyWithConfig more "are the naive twin's"
        <| forAll
            (gen {
                let! mode = wideOrNot
                let! pieces = pieces
                let! one = Gen.elements [ 0us; NBD_CMD_FLAG_REQ_ONE ]
                let! range = Gen.oneof [ Gen.map uint64 (Gen.choose (1, 20000)); Gen.constant (1UL <<< 40) ]
                let! slots = Gen.choose (1, 8)
                return mode, pieces, one, range, slots
            })
            (fun (mode, pieces, one, range, slots) ->
                let session = Session(mode, false, 1UL <<< 41, 1, [| allocation |])
                let mutable request = decode session (headerOf NBD_CMD_BLOCK_STATUS one 0UL 1UL)
                request.Length <- range
                let entry = Reply.extentLength &session
                let told, _ = buildExtents session request (slots * entry + entry / 2) pieces
                let maxLength =
                    if mode = ReplyMode.Extended then
                        UInt64.MaxValue
                    else
                        0xffffffffUL
                let maxCount = if one <> 0us then 1 else slots
                Expect.equal told (naiveExtents range maxCount maxLength pieces) "extents")

        testCase "a mixed file, as the real daemon tells it"
        <| fun () ->
            let session = Session(ReplyMode.Structured, false, m, 1, [| allocation |])
            let ask flags offset length pieces =
                let request = decode session (headerOf NBD_CMD_BLOCK_STATUS flags offset length)
                fst (buildExtents session request 1048576 pieces)

            let file = [ 65436UL, 0u; 65536UL, 3u; 65536UL, 0u; 327680UL, 3u ]
            Expect.equal (ask 0us 100UL 100000UL file) [ 65436UL, 0UL; 34564UL, 3UL ] "cut at the range's end"
            Expect.equal (ask 8us 65530UL 100UL [ 6UL, 0u; 94UL, 3u ]) [ 6UL, 0UL ] "only one"

        testCase "no more than the cap"
        <| fun () ->
            for mode in [ ReplyMode.Structured; ReplyMode.Extended ] do
                let session = Session(mode, false, 1UL <<< 40, 1, [| allocation |])
                let request = decode session (headerOf NBD_CMD_BLOCK_STATUS 0us 0UL 0xffffffffUL)
                let fragments = [ for i in 0..140000 -> 4096UL, uint32 (i % 2) ]
                let told, wanted = buildExtents session request 4194304 fragments
                Expect.equal told.Length 131072 "count"
                Expect.isFalse wanted "complete"
    ]

/// One request's way through the hot path.
let private serve (session: inref<Session>) (input: byte[]) (output: byte[]) =
    let mutable request = Request()
    let taken = Request.decode &session (ReadOnlySpan<byte> input) &request
    let mutable list = ExtentList()
    let target = Span<byte> output

    if taken > 0 && Request.check &session &request = Reason.None then
        match request.Command with
        | NBD_CMD_READ ->
            Reply.writeRead &session target &request
            + Reply.writeDataChunk &session target &request false request.Offset 1u
            + Reply.writeHoleChunk &session target &request true request.Offset 1u
        | NBD_CMD_BLOCK_STATUS ->
            Extents.start &session &request 64 &list
            Extents.add &list target 512UL 1u |> ignore
            Extents.add &list target 512UL 2u |> ignore
            Reply.writeStatusChunk &session target &request true 0u list.Count
        | _ -> Reply.writeSuccess &session target &request
    else
        0

let private hotPath =
    testCase "ten thousand requests allocate nothing"
    <| fun () ->
        for mode in [ ReplyMode.Structured; ReplyMode.Extended ] do
            let session = writable mode
            let output = Array.zeroCreate<byte> 128

            let inputs = [|
                for command in 0us .. 8us -> encodeHeader mode (headerOf command 0us 512UL 4096UL)
            |]

            let run rounds =
                let mutable written = 0

                for _ in 1..rounds do
                    for input in inputs do
                        written <- written + serve &session input output

                written

            run 100 |> ignore
            let before = GC.GetAllocatedBytesForCurrentThread()
            let written = run 1200
            let allocated = GC.GetAllocatedBytesForCurrentThread() - before
            Expect.isGreaterThan written 0 "something was written"
            Expect.equal allocated 0L "allocated"

[<Tests>]
let tests = testList "NBD transmission" [ golden; payloads; decoding; replies; extents; hotPath ]
