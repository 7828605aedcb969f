module StorageDaemon.Tests.Properties.NbdWire

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Tests.Generators.NbdGen
open StorageDaemon.Tests.Reference

let private forAll gen check = Prop.forAll (Arb.fromGen gen) check

[<Tests>]
let tests =
    testList "NBD wire" [
        testCase "the greeting is the real daemon's"
        <| fun () -> Expect.equal (greeting ()) (NbdNaiveClient.text "NBDMAGICIHAVEOPT\000\003") "greeting"

        testProperty "option replies round trip"
        <| fun (option: uint32) (replyType: uint32) (payload: byte[]) ->
            let bytes = optionReply option replyType (ReadOnlySpan<byte> payload)
            let expected: NbdNaiveClient.OptionReply = { Option = option; Type = replyType; Data = payload }
            Expect.equal (NbdNaiveClient.optionReplies bytes) [ expected ] "reply"

        testCase "error texts are cut to the longest string"
        <| fun () ->
            let long = Array.create 5000 (byte 'x')
            let bytes = optionError 7u NBD_REP_ERR_UNKNOWN (ReadOnlySpan<byte> long)
            Expect.equal bytes.Length (OptionReplyHeaderLength + NBD_MAX_STRING_SIZE) "length"

        testProperty "request headers are written as the client writes them"
        <| forAll header (fun header ->
            let compact = Array.zeroCreate<byte> RequestHeaderLength
            let wide = Array.zeroCreate<byte> ExtendedRequestHeaderLength
            let {
                    Flags = flags
                    Command = command
                    Cookie = cookie
                    Offset = offset
                    Length = length
                } =
                header
            let n = writeRequest (Span<byte> compact) flags command cookie offset (uint32 length)
            let m = writeExtendedRequest (Span<byte> wide) flags command cookie offset length
            Expect.equal (n, m) (compact.Length, wide.Length) "lengths"
            Expect.equal compact (encodeHeader ReplyMode.Structured header) "compact"
            Expect.equal wide (encodeHeader ReplyMode.Extended header) "extended")

        testProperty "isUtf8Of accepts exactly the text's bytes"
        <| fun (NonNull(text: string)) (other: byte[]) ->
            // FsCheck's strings may hold lone surrogates, which have no UTF-8 form.
            let text = String.filter (fun c -> not (Char.IsSurrogate c)) text
            let bytes = NbdNaiveClient.text text
            Expect.isTrue (isUtf8Of text (ReadOnlySpan<byte> bytes)) "its own bytes"
            Expect.equal (isUtf8Of text (ReadOnlySpan<byte> other)) (other = bytes) "other bytes"
    ]
