module StorageDaemon.Tests.Properties.NbdHandshake

open System
open System.Text
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Tests.Generators.NbdGen
open StorageDaemon.Tests.Reference.NbdNaiveClient

let private forAll gen check = Prop.forAll (Arb.fromGen gen) check
let private flags3 = u32 3u

/// Handshake with both client flags set, after these messages.
let private after messages =
    handshake NoTls exports [ Array.concat (flags3 :: messages) ]

/// The last option reply as its type and text.
let private lastReply (run: HandshakeRun) =
    let reply = List.last (optionReplies run.Sent)
    reply.Type, Encoding.UTF8.GetString reply.Data

let private isClosed (run: HandshakeRun) =
    match run.End with
    | Closed -> true
    | _ -> false

let private endOf (run: HandshakeRun) =
    match run.End with
    | Waiting -> "waiting", 0, []
    | Closed -> "closed", 0, []
    | Upgrading -> "upgrading", 0, []
    | Entered session -> "entered", session.ExportKey, List.ofArray session.Contexts

let private structured = option NBD_OPT_STRUCTURED_REPLY [||]
let private extended = option NBD_OPT_EXTENDED_HEADERS [||]
let private go name =
    option NBD_OPT_GO (infoPayload name [ NBD_INFO_BLOCK_SIZE ])
let private setMeta name queries =
    option NBD_OPT_SET_META_CONTEXT (metaPayload name queries)
let private y n = String.replicate n "y"

/// Messages and the refusal that the real daemon sent for them, after its payload, keeping the connection.
let private refusals = [
    "starttls", [ option 5u [||] ], NBD_REP_ERR_POLICY, "TLS not configured"
    "starttls with payload", [ option 5u [| 1uy |] ], NBD_REP_ERR_INVALID, "option 'starttls' has unexpected length"
    "unknown", [ option 99u [||] ], NBD_REP_ERR_UNSUP, "Unsupported option 99 (<unknown>)"
    "peek export", [ option 4u (text "abc") ], NBD_REP_ERR_UNSUP, "Unsupported option 4 (<unknown>)"
    "largest", [ option UInt32.MaxValue [||] ], NBD_REP_ERR_UNSUP, "Unsupported option 4294967295 (<unknown>)"
    "list with payload", [ option 3u (text "abc") ], NBD_REP_ERR_INVALID, "option 'list' has unexpected length"
    "structured with payload",
    [ option 8u (text "a") ],
    NBD_REP_ERR_INVALID,
    "option 'structured reply' has unexpected length"
    "extended with payload",
    [ option 11u (text "a") ],
    NBD_REP_ERR_INVALID,
    "option 'extended headers' has unexpected length"
    "structured twice", [ structured; structured ], NBD_REP_ERR_INVALID, "structured reply already negotiated"
    "extended twice", [ extended; extended ], NBD_REP_ERR_INVALID, "extended headers already negotiated"
    "structured after extended",
    [ extended; structured ],
    NBD_REP_ERR_EXT_HEADER_REQD,
    "extended headers already negotiated"
    "unknown export", [ go "nope" ], NBD_REP_ERR_UNKNOWN, "export 'nope' not present"
    "unknown export, 79 bytes", [ go (y 79) ], NBD_REP_ERR_UNKNOWN, "export '" + y 79 + "' not present"
    "unknown export, 80 bytes", [ go (y 80) ], NBD_REP_ERR_UNKNOWN, "export '" + y 80 + "...' not present"
    "unknown export, 4096 bytes", [ go (y 4096) ], NBD_REP_ERR_UNKNOWN, "export '" + y 80 + "...' not present"
    "name too long", [ go (y 4097) ], NBD_REP_ERR_INVALID, "Invalid name length: 4097"
    "name length 2^32 - 1", [ option 6u (u32 UInt32.MaxValue) ], NBD_REP_ERR_INVALID, "Invalid name length: 4294967295"
    "NUL in name", [ go "a\000b" ], NBD_REP_ERR_INVALID, "Unexpected embedded NUL in option go"
    "info empty", [ option 6u [||] ], NBD_REP_ERR_INVALID, "Inconsistent lengths in option info"
    "info without count",
    [ option 6u (Array.append (u32 1u) (text "q")) ],
    NBD_REP_ERR_INVALID,
    "Inconsistent lengths in option info"
    "go with short requests",
    [ option 7u (Array.concat [ u32 1u; text "q"; u16 3us; u16 1us ]) ],
    NBD_REP_ERR_INVALID,
    "Inconsistent lengths in option go"
    "info with more than its requests",
    [ option 6u (Array.append (infoPayload "nope" [ 1us ]) [| 0uy |]) ],
    NBD_REP_ERR_INVALID,
    "option 'info' has unexpected length"
    "info without block size",
    [ option 6u (infoPayload "al" []) ],
    NBD_REP_ERR_BLOCK_SIZE_REQD,
    "request NBD_INFO_BLOCK_SIZE to use this export"
    "set before structured",
    [ setMeta "q" [ "base:allocation" ] ],
    NBD_REP_ERR_INVALID,
    "request option 'set meta context' when structured reply is not negotiated"
    "set, malformed, before structured",
    [ option 10u (text "zzz") ],
    NBD_REP_ERR_INVALID,
    "request option 'set meta context' when structured reply is not negotiated"
    "list meta, empty", [ option 9u [||] ], NBD_REP_ERR_INVALID, "Inconsistent lengths in option list meta context"
    "set meta, too many queries announced",
    [
        structured
        option 10u (Array.concat [ u32 1u; text "q"; u32 UInt32.MaxValue ])
    ],
    NBD_REP_ERR_INVALID,
    "Inconsistent lengths in option set meta context"
    "set meta, query cut off",
    [
        structured
        option 10u (Array.concat [ u32 1u; text "q"; u32 1u; u32 32u; text "base:" ])
    ],
    NBD_REP_ERR_INVALID,
    "Inconsistent lengths in option set meta context"
    "set meta, NUL in query",
    [ structured; setMeta "q" [ "zz\000" ] ],
    NBD_REP_ERR_INVALID,
    "Unexpected embedded NUL in option set meta context"
    "list meta, unknown export without count",
    [ option 9u (Array.append (u32 4u) (text "nope")) ],
    NBD_REP_ERR_UNKNOWN,
    "export 'nope' not present"
]

let private golden =
    testList "texts of the real daemon" [
        for name, messages, replyType, message in refusals do
            testCase name
            <| fun () ->
                let run = after (messages @ [ option NBD_OPT_LIST [||] ])
                let replies = optionReplies run.Sent
                let refusal =
                    replies
                    |> List.filter (fun reply -> reply.Type &&& 0x80000000u <> 0u)
                    |> List.exactlyOne
                Expect.equal (refusal.Type, Encoding.UTF8.GetString refusal.Data) (replyType, message) "refusal"
                Expect.equal (lastReply run) (NBD_REP_ACK, "") "the next option is served"

        testCase "a refusal repeats the client's bytes, whatever they are"
        <| fun () ->
            let name = [| 0xffuy; 1uy; 10uy; byte '%'; byte 's' |]
            let payload = Array.concat [ u32 5u; name; u16 0us ]
            let reply = List.exactlyOne (optionReplies (after [ option NBD_OPT_INFO payload ]).Sent)
            Expect.equal reply.Data (Array.concat [ text "export '"; name; text "' not present" ]) "data"
    ]

let private closings = [
    "unknown client flag", [ u32 4u ]
    "wrong magic", [ flags3; text "IHAVEOPX" ]
    "payload over 32 MiB", [ flags3; text "IHAVEOPT"; u32 99u; u32 33554433u ]
    "abort with payload over 32 MiB", [ flags3; text "IHAVEOPT"; u32 2u; u32 33554433u ]
    "export name over 4096", [ flags3; text "IHAVEOPT"; u32 1u; u32 4097u ]
    "unknown export by name", [ flags3; option 1u (text "nope") ]
    "export name after extended headers", [ flags3; extended; option 1u (text "q") ]
    "list by a client of plain newstyle", [ u32 0u; text "IHAVEOPT"; u32 3u; u32 0u ]
    "starttls by a client of plain newstyle", [ u32 2u; text "IHAVEOPT"; u32 5u; u32 0u ]
]

let private closes =
    testList "closes without a word" [
        for name, input in closings do
            testCase name
            <| fun () ->
                let run = handshake NoTls exports [ Array.concat input ]
                Expect.isTrue (isClosed run) "closed"
                Expect.equal (List.filter (fun r -> r.Type <> NBD_REP_ACK) (optionReplies run.Sent)) [] "nothing said"
    ]

let private entering =
    testList "entering transmission" [
        for clientFlags, name, expected in
            [
                3u, "q", "00000000004000000d6d"
                2u, "ro", "0000000000400000050f"
                1u, "q", "00000000004000000d6d" + String.replicate 248 "0"
                0u, "q\000junk", "00000000004000000d6d" + String.replicate 248 "0"
            ] do
            testCase ("export name with client flags " + string clientFlags)
            <| fun () ->
                let run = handshake NoTls exports [ Array.append (u32 clientFlags) (option 1u (text name)) ]
                Expect.equal (Convert.ToHexString(run.Sent).ToLowerInvariant()) expected "reply"

        testCase "what follows is left to the transmission phase"
        <| fun () ->
            let run = after [ go "q"; text "the first request" ]
            Expect.equal run.Unread (text "the first request") "unread"

        testCase "flags tell the reply mode and the payload of block status"
        <| fun () ->
            let flags messages =
                let replies = optionReplies (after messages).Sent
                let info = replies |> List.findBack (fun r -> r.Type = NBD_REP_INFO)
                Convert.ToHexString info.Data[10..11]

            let info = option NBD_OPT_INFO (infoPayload "q" [])
            let set = setMeta "q" [ "base:allocation" ]
            Expect.equal (flags [ go "q" ]) "0D6D" "simple"
            Expect.equal (flags [ structured; set; go "q" ]) "0DED" "structured"
            Expect.equal (flags [ extended; go "q" ]) "0DED" "extended without contexts"
            Expect.equal (flags [ extended; info ]) "1DED" "extended, informed"
            Expect.equal (flags [ extended; set; go "q" ]) "1DED" "extended with contexts"
            Expect.equal (flags [ structured; set; extended; go "q" ]) "1DED" "contexts set before extended headers"
            Expect.equal (flags [ extended; set; go "ro" ]) "058F" "contexts of another export"

        testCase "a failed set leaves no contexts, a listing keeps them"
        <| fun () ->
            let selected messages =
                let _, _, contexts = endOf (after (messages @ [ go "q" ]))
                contexts

            let set = [ structured; setMeta "q" [ "qemu:allocation-depth"; "base:allocation" ] ]
            let listing = option 9u (metaPayload "ro" [])
            Expect.equal (selected set) [ allocation; depth ] "in the export's order"
            Expect.equal (selected (set @ [ listing ])) [ allocation; depth ] "listing"
            Expect.equal (selected (set @ [ setMeta "q" [ "base:" ] ])) [] "no wildcards when setting"
            Expect.equal (selected (set @ [ setMeta "nope" [] ])) [] "unknown export"
            Expect.equal (selected (set @ [ option 10u (text "zz") ])) [] "malformed"
            Expect.equal (selected (set @ [ go "nope" ])) [ allocation; depth ] "failed go"

        testCase "contexts of an export that was replaced under the same name do not count"
        <| fun () ->
            let struct (state, _) = Handshake.start NoTls
            let begun = { Sent = [||]; End = Waiting; Unread = [||]; State = state }
            let chunk = Array.concat [ flags3; structured; setMeta "q" [ "base:allocation" ] ]
            let run = continueWith exports begun [ chunk ]
            let replaced = [ export 9 "q" None writableFlags 1u [ allocation ] ]
            Expect.equal (endOf (continueWith replaced run [ go "q" ])) ("entered", 9, []) "end"

        testCase "a client cannot select more contexts than a request can name"
        <| fun () ->
            let contexts = [ for id in 0u .. 99u -> { Id = id; Name = "qemu:dirty-bitmap:b" + string id } ]
            let many = [ export 1 "q" None writableFlags 1u contexts ]
            let queries = [ for context in contexts -> context.Name ]
            let input = Array.concat [ flags3; structured; setMeta "q" queries; go "q" ]
            let _, _, selected = endOf (handshake NoTls many [ input ])
            Expect.equal selected (List.truncate 64 contexts) "selected"
    ]

let private tls =
    testList "TLS" [
        for code in [ 3u; 7u; 11u; 99u ] do
            testCase ("option " + string code + " is refused before a forced upgrade")
            <| fun () ->
                let run = handshake TlsRequired exports [ Array.concat [ flags3; option code (text "abc") ] ]
                let message = "Option 0x" + code.ToString "x" + " not permitted before TLS"
                Expect.equal (lastReply run) (NBD_REP_ERR_TLS_REQD, message) "refusal"
                Expect.isFalse (isClosed run) "open"

        testCase "abort before a forced upgrade is refused and closes"
        <| fun () ->
            let run = handshake TlsRequired exports [ Array.append flags3 (option 2u [||]) ]
            Expect.equal (lastReply run) (NBD_REP_ERR_TLS_REQD, "Option 0x2 not permitted before TLS") "refusal"
            Expect.isTrue (isClosed run) "closed"

        testCase "an export name before a forced upgrade closes"
        <| fun () ->
            let run = handshake TlsRequired exports [ Array.append flags3 (option 1u (text "q")) ]
            Expect.isTrue (isClosed run) "closed"

        testCase "the upgrade drops what came in plain text, options and bytes"
        <| fun () ->
            let plain = [
                flags3
                structured
                setMeta "q" [ "base:allocation" ]
                option 5u [||]
                go "q"
            ]
            let run = handshake TlsAllowed exports [ Array.concat plain ]
            Expect.equal (endOf run) ("upgrading", 0, []) "upgrading"
            Expect.equal run.Unread [||] "the injected option is gone"
            let secured = continueWith exports { run with End = Waiting; Sent = [||] } [ go "q" ]
            let replies = optionReplies secured.Sent
            let info = replies |> List.findBack (fun r -> r.Type = NBD_REP_INFO)
            Expect.equal (Convert.ToHexString info.Data[10..11]) "0D6D" "simple replies again"
            Expect.equal (endOf secured) ("entered", 1, []) "no contexts"

        testCase "a second upgrade is refused"
        <| fun () ->
            let run = handshake TlsRequired exports [ Array.append flags3 (option 5u [||]) ]
            let again = continueWith exports { run with End = Waiting; Sent = [||] } [ option 5u [||] ]
            Expect.equal (lastReply again) (NBD_REP_ERR_INVALID, "TLS already enabled") "refusal"
    ]

let private policy = Gen.elements [ NoTls; TlsAllowed; TlsRequired ]

let private chunking =
    testList "any input" [
        testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 300 } "chunking makes no difference"
        <| forAll
            (gen {
                let! input = handshakeInput
                let! chunks = chunked input
                let! policy = policy
                return policy, input, chunks
            })
            (fun (policy, input, chunks) ->
                let whole = handshake policy exports [ input ]
                let pieces = handshake policy exports chunks
                Expect.equal pieces.Sent whole.Sent "sent"
                Expect.equal (endOf pieces) (endOf whole) "end"

                if not (isClosed whole) then
                    Expect.equal pieces.Unread whole.Unread "unread")

        testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 300 } "garbage neither throws nor loops"
        <| fun (garbage: byte[]) (clientFlags: bool) ->
            let prefix =
                if clientFlags then
                    Array.append flags3 (text "IHAVEOPT")
                else
                    [||]
            handshake NoTls exports [ Array.append prefix garbage ] |> ignore

        testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 300 } "replies are well formed"
        <| forAll handshakeInput (fun input ->
            let run = handshake NoTls exports [ input ]

            match run.End with
            | Entered _ -> ()
            | _ -> optionReplies run.Sent |> ignore)

        testCase "a refused payload is dropped, not kept, and the refusal comes after it"
        <| fun () ->
            let header = Array.concat [ flags3; text "IHAVEOPT"; u32 99u; u32 33554432u ]
            let block = Array.zeroCreate<byte> 65536
            let mutable run = handshake NoTls exports [ header ]
            let before = GC.GetAllocatedBytesForCurrentThread()

            for _ in 1..511 do
                let struct (_, state, _) = Handshake.feed exports run.State (ReadOnlySpan<byte> block)
                run <- { run with State = state }

            let allocated = GC.GetAllocatedBytesForCurrentThread() - before
            Expect.isLessThan allocated 1_000_000L "allocated for 32 MiB"
            Expect.equal run.Sent [||] "nothing sent yet"
            run <- continueWith exports run [ block ]
            Expect.equal (lastReply run) (NBD_REP_ERR_UNSUP, "Unsupported option 99 (<unknown>)") "refusal"

        testCase "a million queries are answered"
        <| fun () ->
            let queries = Array.concat (Array.replicate 1_000_000 (u32 0u))
            let payload = Array.concat [ u32 1u; text "q"; u32 1_000_000u; queries ]
            let run = after [ option NBD_OPT_LIST_META_CONTEXT payload ]
            Expect.equal (lastReply run) (NBD_REP_ACK, "") "answer"

        testCase "bytes after the last query are refused"
        <| fun () ->
            let payload = Array.append (metaPayload "q" [ "base:" ]) (text "IHAVEOPT")
            let run = after [ option NBD_OPT_LIST_META_CONTEXT payload; option NBD_OPT_LIST [||] ]
            let first = List.head (optionReplies run.Sent)
            Expect.equal first.Type NBD_REP_ERR_INVALID "refusal"
            Expect.equal (lastReply run) (NBD_REP_ACK, "") "the next option is served"
    ]

[<Tests>]
let tests = testList "NBD handshake" [ golden; closes; entering; tls; chunking ]
