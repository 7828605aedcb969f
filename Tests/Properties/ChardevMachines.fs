/// The pure parts of character devices: ring buffers, shared devices, WebSocket servers.
module StorageDaemon.Tests.Properties.ChardevMachines

open System
open System.Text
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Chardev

let private span (bytes: byte[]) = ReadOnlySpan<byte> bytes
let private bytesOf (text: string) = Encoding.Latin1.GetBytes text

/// Cuts bytes into pieces of the given lengths, and the rest.
let private cut (lengths: int list) (bytes: byte[]) : byte[] list =
    let rec go lengths (rest: byte[]) =
        match lengths with
        | length :: lengths when rest.Length > 0 ->
            let length = min rest.Length (abs length % 50 + 1)
            rest[.. length - 1] :: go lengths rest[length..]
        | _ -> [ rest ]

    go lengths bytes

let private sha1Tests =
    let hash (text: string) =
        Convert.ToHexStringLower(Sha1.compute (span (bytesOf text)))

    testList "sha1" [
        test "vectors" {
            Expect.equal (hash "") "da39a3ee5e6b4b0d3255bfef95601890afd80709" "empty"
            Expect.equal (hash "abc") "a9993e364706816aba3e25717850c26c9cd0d89d" "one block"

            Expect.equal
                (hash "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
                "two blocks"
        }

        testProperty "is the runtime's"
        <| fun (bytes: byte[]) (length: byte) ->
            let bytes = Array.append bytes (Array.zeroCreate (int length))
            Sha1.compute (span bytes) = Security.Cryptography.SHA1.HashData bytes
    ]

let private ringTests =
    testList "ring buffer" [
        testProperty "keeps the last bytes, in order"
        <| fun (power: byte) (steps: (byte[] * byte) list) ->
            let capacity = 1 <<< (int power % 8)
            let ring = RingBuffer capacity
            let mutable kept: byte[] = [||]

            for data, limit in steps do
                ring.Write(span data)
                kept <- Array.append kept data
                kept <- kept[max 0 (kept.Length - capacity) ..]
                Expect.equal ring.Count kept.Length "count"
                let expected = Array.truncate (int limit) kept
                Expect.equal (ring.Read(int64 limit)) expected "read"
                kept <- kept[expected.Length ..]

        test "grows up to its capacity" {
            let ring = RingBuffer 65536
            let data = Array.init 200_000 byte

            for piece in Array.chunkBySize 999 data do
                ring.Write(span piece)

            Expect.equal (ring.Read Int64.MaxValue) data[200_000 - 65536 ..] "the last 64 KiB"
            Expect.equal ring.Count 0 "empty"
        }

        test "a ring of nothing holds nothing" {
            let ring = RingBuffer 0
            ring.Write(span [| 1uy |])
            Expect.equal (ring.Read 9L) [||] "nothing"
        }

        test "capacities" {
            let powerOfTwo = Error "size of ringbuf chardev must be power of two"
            Expect.equal (RingBufferRules.capacity None) (Ok 65536) "default"
            Expect.equal (RingBufferRules.capacity (Some 0L)) (Ok 0) "none"
            Expect.equal (RingBufferRules.capacity (Some 3L)) powerOfTwo "three"
            Expect.equal (RingBufferRules.capacity (Some -1L)) powerOfTwo "negative"
            Expect.equal (RingBufferRules.capacity (Some(1L <<< 30))) (Ok(1 <<< 30)) "the most"
            Expect.isError (RingBufferRules.capacity (Some(1L <<< 31))) "too large"
            Expect.isError (RingBufferRules.capacity (Some Int64.MinValue)) "a power of two by its bits"
        }

        testProperty "base64: what .NET encodes"
        <| fun (bytes: byte[]) -> RingBufferRules.decodeBase64 (Convert.ToBase64String bytes) = Ok bytes

        test "base64 that is not well-formed" {
            let lengths = [
                "A===", 1
                "AAAA====", 4
                "=AAA", 3
                "AA=A", 2
                "AAA=AAAA", 5
                "YQ", 0
                "YQ=", 0
                "YWJj\n", 3
            ]

            for text, length in lengths do
                let decoded = RingBufferRules.decodeBase64 text |> Result.map Array.length
                Expect.equal decoded (Ok length) text

            for text in [ "!"; "AG Fi"; "_/4A"; "é" ] do
                Expect.isError (RingBufferRules.decodeBase64 text) text
        }
    ]

let private attach (state: MuxState) : MuxState =
    match Mux.attach state with
    | ValueSome state -> state
    | ValueNone -> failtest "there is a place"

/// All that a shared device says and delivers, with neighbours of one kind joined.
let private muxRun (frontends: int) (pieces: byte[] list) =
    let attached = List.fold (fun state _ -> attach state) Mux.initial [ 1..frontends ]

    let join outputs (input: MuxInput) =
        match input, outputs with
        | MuxInput.Deliver(frontend, bytes), ("data", number, text: string) :: rest when number = frontend ->
            ("data", number, text + Encoding.Latin1.GetString bytes.Span) :: rest
        | MuxInput.Deliver(frontend, bytes), _ -> ("data", frontend, Encoding.Latin1.GetString bytes.Span) :: outputs
        | MuxInput.Reply bytes, _ -> ("reply", -1, Encoding.Latin1.GetString bytes.Span) :: outputs
        | MuxInput.Break frontend, _ -> ("break", frontend, "") :: outputs
        | MuxInput.Quit, _ -> ("quit", -1, "") :: outputs

    let step (state, outputs) (piece: byte[]) =
        let struct (state, inputs) = Mux.input state (span piece)
        state, List.fold join outputs inputs

    let state, outputs = List.fold step (attached, []) pieces
    state, List.rev outputs

/// Bytes with many escapes and keys.
let private keys =
    Gen.elements [
        1uy
        1uy
        byte 'c'
        byte 't'
        byte 'h'
        byte 'b'
        byte 'x'
        byte 'a'
        10uy
        0uy
    ]
    |> Gen.listOf
    |> Gen.map Array.ofList
    |> Arb.fromGen

let private muxTests =
    testList "mux" [
        testPropertyWithConfig FsCheckConfig.defaultConfig "input in any pieces is the same"
        <| Prop.forAll keys (fun bytes ->
            Prop.forAll (Arb.fromGen (Gen.listOf (Gen.choose (0, 5)))) (fun lengths ->
                muxRun 3 [ bytes ] = muxRun 3 (cut lengths bytes)))

        test "the keys" {
            let outputs text = muxRun 2 [ bytesOf text ] |> snd
            Expect.equal (outputs "ab") [ "data", 1, "ab" ] "the last one attached reads"
            Expect.equal (outputs "a\001cb\001cd") [ "data", 1, "a"; "data", 0, "b"; "data", 1, "d" ] "in turn"
            Expect.equal (outputs "a\001\001b") [ "data", 1, "a\001b" ] "the key itself"
            Expect.equal (outputs "a\001zb\001sc") [ "data", 1, "abc" ] "other keys"
            Expect.equal (outputs "\001b") [ "break", 1, "" ] "break"
            Expect.equal (outputs "\001x") [ "reply", -1, "QEMU: Terminated\n\r"; "quit", -1, "" ] "end"
            Expect.equal (outputs "\001h") (outputs "\001?") "help"
            Expect.equal (muxRun 0 [ bytesOf "abc\001b\001c" ] |> snd) [] "nobody reads"
        }

        test "as many as four, and places are given again" {
            let full = muxRun 4 [] |> fst
            Expect.equal (Mux.attach full) ValueNone "no fifth"
            let less = Mux.detach 3 (Mux.detach 1 full)
            Expect.equal less.Focus 0 "the focus goes on"
            Expect.equal (attach less).Focus 1 "the free place"
            let none = List.fold (fun state number -> Mux.detach number state) full [ 0..3 ]
            Expect.equal none.Focus -1 "nobody"
        }

        test "timestamps" {
            let struct (state, _) = Mux.input Mux.initial (span "\001t"B)
            let struct (state, first) = Mux.output 5L state (span "a\r\nb"B)
            let struct (_, second) = Mux.output (5L + 3_723_004L) state (span "\nc"B)
            Expect.equal (Encoding.Latin1.GetString first) "a\r\n[00:00:00.000] b" "from the first new line on"
            Expect.equal (Encoding.Latin1.GetString second) "\n[01:02:03.004] c" "hours"
        }

        testProperty "without timestamps output is as it is"
        <| fun (bytes: byte[]) ->
            let struct (_, written) = Mux.output 0L Mux.initial (span bytes)
            written = bytes
    ]

let private now = DateTime(2026, 11, 7, 1, 2, 3, DateTimeKind.Utc)

let private request =
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: binary\r\n"
    + "Sec-WebSocket-Version: 13\r\n\r\n"

/// A frame of a client.
let private frame (first: byte) (payload: byte[]) : byte[] =
    let mask = [| 0x11uy; 0x22uy; 0x33uy; 0xF4uy |]

    let length =
        if payload.Length < 126 then
            [| 0x80uy ||| byte payload.Length |]
        elif payload.Length < 65536 then
            [| 0xFEuy; byte (payload.Length >>> 8); byte payload.Length |]
        else
            let bytes = BitConverter.GetBytes(uint64 payload.Length) |> Array.rev
            Array.append [| 0xFFuy |] bytes

    let masked = payload |> Array.mapi (fun i b -> b ^^^ mask[i % 4])
    Array.concat [ [| first |]; length; mask; masked ]

/// What comes out of pieces, with neighbours of one kind joined.
let private webRun (pieces: byte[] list) =
    let join outputs (output: WebSocketOutput) =
        match output, outputs with
        | WebSocketOutput.Data bytes, ("data", text: string) :: rest ->
            ("data", text + Encoding.Latin1.GetString bytes.Span) :: rest
        | WebSocketOutput.Data bytes, _ -> ("data", Encoding.Latin1.GetString bytes.Span) :: outputs
        | WebSocketOutput.Send bytes, _ -> ("send", Encoding.Latin1.GetString bytes.Span) :: outputs
        | WebSocketOutput.Opened, _ -> ("opened", "") :: outputs
        | WebSocketOutput.Finish, _ -> ("finish", "") :: outputs

    let step (state, outputs) (piece: byte[]) =
        let struct (state, more) = WebSocket.feed now state (span piece)

        match state with
        | Handshaking kept -> Expect.isLessThan kept.Length WebSocketHandshake.MaxRequestBytes "bounded"
        | Header(_, kept) -> Expect.isLessThan kept.Length 14 "bounded"
        | Payload(_, _, _, _, _, ping) -> Expect.isLessThan ping.Length 126 "bounded"
        | Finished -> ()

        state, List.fold join outputs more

    let _, outputs = List.fold step (WebSocket.initial, []) pieces
    List.rev outputs

/// What an open connection answers to bytes.
let private afterHandshake (bytes: byte[]) =
    webRun [ bytesOf request; bytes ] |> List.skip 2

let private reply (text: string) =
    match webRun [ bytesOf text ] with
    | ("send", text) :: _ -> text.Split('\r')[0]
    | _ -> "none"

let private handshakeTests =
    testList "handshake" [
        test "RFC 6455, section 1.3" {
            let expected =
                "HTTP/1.1 101 Switching Protocols\r\nServer: QEMU VNC\r\nDate: Sat, 07 Nov 2026 01:02:03 GMT\r\n"
                + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                + "Sec-WebSocket-Protocol: binary\r\n\r\n"

            Expect.equal (webRun [ bytesOf request ]) [ "send", expected; "opened", "" ] "reply"
        }

        test "requests as the real daemon judges them" {
            let change (before: string) (after: string) = reply (request.Replace(before, after))
            let good = "HTTP/1.1 101 Switching Protocols"
            let bad = "HTTP/1.1 400 Bad Request"
            Expect.equal (change "Sec-WebSocket-Protocol: binary\r\n" "") good "no protocol"
            Expect.equal (change "binary" "base64, binary") good "several protocols"
            Expect.equal (change "Host: x" "HOST:x") good "case and space"
            Expect.equal (change "websocket\r" "WebSocket\r") good "case of the upgrade"

            for before, after in
                [
                    "Host: x\r\n", ""
                    "Host: x", "Host x"
                    "Upgrade: websocket\r\n", ""
                    "keep-alive, Upgrade", "close"
                    "Version: 13", "Version: 8"
                    "Version: 13", "Version: 13 "
                    "binary", "base64"
                    "bXBsZSBub25jZQ==", "abc"
                    "GET ", "POST "
                    "HTTP/1.1", "HTTP/1.0"
                    " HTTP/1.1", ""
                    "Host: x\r\n", String.replicate 40 "Host: x\r\n"
                ] do
                Expect.equal (change before after) bad before

            Expect.equal (change "GET /" "GET /x") "HTTP/1.1 404 Not Found" "path"
            Expect.equal (change "GET / HTTP/1.1" "GET") "" "no path: an empty reply"
            Expect.equal (reply "\r\n\r\n") bad "nothing"
            Expect.equal (reply (String('x', 4096))) "HTTP/1.1 403 Request Entity Too Large" "no end"
            Expect.equal (webRun [ Array.zeroCreate 4095 ]) [] "not yet"
        }
    ]

let private frameTests =
    let closed status reason =
        let payload = Array.append [| 3uy; byte (status - 768) |] (bytesOf reason)
        let frame = Array.append [| 0x88uy; byte payload.Length |] payload
        [ "send", Encoding.Latin1.GetString frame; "finish", "" ]

    testList "frames" [
        testProperty "data of any length in any pieces"
        <| fun (payloads: byte[] list) (lengths: int list) (extra: uint16) ->
            let payloads = payloads @ [ Array.zeroCreate (int extra) ]
            let wire = Array.concat [ bytesOf request; yield! payloads |> List.map (frame 0x82uy) ]
            let data = Encoding.Latin1.GetString(Array.concat payloads)
            let expected = if data = "" then [] else [ "data", data ]
            List.skip 2 (webRun (cut lengths wire)) = expected

        testProperty "garbage in any pieces is the same, and bounded"
        <| fun (garbage: byte[]) (lengths: int list) (opened: bool) ->
            let wire = Array.append (if opened then bytesOf request else [||]) garbage
            webRun [ wire ] = webRun (cut lengths wire)

        testProperty "what is sent is frames of binary data"
        <| fun (bytes: byte[]) (zeros: uint16) ->
            let bytes = Array.append bytes (Array.zeroCreate (int zeros))

            let payload (frame: byte[]) =
                Expect.equal frame[0] 0x82uy "final and binary"

                match frame[1] with
                | 126uy ->
                    let length = int frame[2] <<< 8 ||| int frame[3]
                    Expect.equal frame.Length (length + 4) "length"
                    Expect.isTrue (length > 125 && length <= WebSocket.MaxFrameBytes) "two bytes only if needed"
                    frame[4..]
                | length ->
                    Expect.equal frame.Length (int length + 2) "length"
                    frame[2..]

            WebSocket.encode (span bytes) |> List.map payload |> Array.concat = bytes

        test "fragments, with a ping between them" {
            let wire = Array.concat [ frame 2uy "ab"B; frame 0x89uy "p"B; frame 0uy "c"B; frame 0x80uy "d"B ]
            Expect.equal (afterHandshake wire) [ "data", "ab"; "send", "\138\001p"; "data", "cd" ] "whole"
        }

        test "pings are answered, pongs are not" {
            Expect.equal (afterHandshake (frame 0x89uy "x"B)) [ "send", "\138\001x" ] "ping"
            Expect.equal (afterHandshake (frame 0x89uy [||])) [ "send", "\138\000" ] "empty"
            Expect.equal (afterHandshake (frame 0x8Auy "x"B)) [] "pong"
        }

        test "what ends the connection" {
            let kinds = "only binary, close, ping, and pong frames are supported"
            Expect.equal (afterHandshake (frame 0x88uy "xx"B)) (closed 1000 "peer requested close") "close"
            Expect.equal (afterHandshake (frame 0x81uy "x"B)) (closed 1003 kinds) "text"
            Expect.equal (afterHandshake (frame 0x80uy "x"B)) (closed 1003 kinds) "continues nothing"
            Expect.equal (afterHandshake [| 0x82uy; 1uy |]) (closed 1002 "client frames must be masked") "no mask"
            let tooLarge = frame 0x89uy (Array.zeroCreate 126)
            Expect.equal (afterHandshake tooLarge) (closed 1002 "control frame is too large") "ping"
            let fragment = frame 9uy [||]
            Expect.equal (afterHandshake fragment) (closed 1008 "only binary frames may be fragmented") "fragment"
            let behind = Array.append (frame 0x88uy [||]) (frame 0x82uy "x"B)
            Expect.equal (afterHandshake behind) (closed 1000 "peer requested close") "nothing after it"
        }
    ]

[<Tests>]
let tests =
    testList "Chardev.Machines" [
        sha1Tests
        ringTests
        muxTests
        testList "websocket" [ handshakeTests; frameTests ]
    ]
