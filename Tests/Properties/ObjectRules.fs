/// The pure rules of objects: secrets, authorisation, lists of processors, the protocol of qemu-pr-helper.
module StorageDaemon.Tests.Properties.ObjectRules

open System
open System.Text
open Expecto
open FsCheck
open StorageDaemon.Core
open StorageDaemon.Core.PrHelper
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qom
open StorageDaemon.Tests.Reference

let private desc result =
    match result with
    | Ok _ -> ""
    | Error(error: QapiError) -> error.Desc

let private ascii (text: string) = Encoding.ASCII.GetBytes text

let private order format master iv : SecretOrder = {
    Source = SecretSource.Data ""
    Format = format
    Master = master
    Iv = iv
}

let private base64 =
    testList "base64" [
        testProperty "what others encode is decoded, with line feeds anywhere"
        <| fun (bytes: byte[]) (breaks: byte list) ->
            let text = StringBuilder(Convert.ToBase64String bytes)

            for place in breaks do
                text.Insert(int place % (text.Length + 1), '\n') |> ignore

            Expect.equal (Base64.decode (ascii (text.ToString()))) (Ok bytes) "bytes"

        testProperty "any bytes are decoded or refused"
        <| fun (text: byte[]) ->
            match Base64.decode text with
            | Ok bytes -> Expect.isLessThanOrEqual (bytes.Length * 4) (text.Length * 3) "length"
            | Error error -> Expect.equal error.Desc "Base64 data contains invalid characters" "text"

        test "sloppy endings, as the real daemon takes them" {
            let decode text =
                Base64.decode (ascii text) |> Result.map Convert.ToHexString

            Expect.equal (decode "aGVsbG8") (Ok "68656C") "the last group is not whole"
            Expect.equal (decode "A") (Ok "") "nor is this"
            Expect.equal (decode "A=A=") (Ok "0000") "padding within a group"
            Expect.equal (decode "AA==AA==") (Ok "0000") "groups behind padding"
            Expect.isError (decode "AA AA") "blanks"
        }
    ]

let private secrets =
    testList "secrets" [
        testProperty "plain bytes stay what they are"
        <| fun (raw: byte[]) ->
            match Secret.understand (order SecretFormat.Raw None (Some "ignored!")) raw [||] with
            | Ok(SecretText.Plain bytes) -> Expect.equal bytes raw "bytes"
            | _ -> failtest "plain"

        testProperty "encrypted text comes in whole blocks, with a key and a vector of the right size"
        <| fun (raw: byte[]) (key: byte[]) (iv: byte[]) ->
            let key =
                if key.Length % 2 = 0 then
                    Array.zeroCreate Secret.KeyLength
                else
                    key

            let iv =
                if iv.Length % 2 = 0 then
                    Array.zeroCreate Secret.BlockLength
                else
                    iv

            let raw = Array.truncate (raw.Length / Secret.BlockLength * Secret.BlockLength) raw
            let order = order SecretFormat.Raw (Some(Ok "k")) (Some(Convert.ToBase64String iv))

            match Secret.understand order raw key with
            | Ok(SecretText.Encrypted(k, v, text)) ->
                Expect.equal (k, v, text) (key, iv, raw) "all as given"
                Expect.equal (k.Length, v.Length) (Secret.KeyLength, Secret.BlockLength) "sizes"
            | Ok(SecretText.Plain bytes) -> Expect.isEmpty bytes "nothing to decrypt"
            | Error _ -> Expect.isTrue (key.Length <> Secret.KeyLength || iv.Length <> Secret.BlockLength) "sizes"

        test "errors in the order of the real daemon" {
            let key: byte[] = Array.zeroCreate Secret.KeyLength
            let iv = Convert.ToBase64String(Array.zeroCreate Secret.BlockLength)

            let error master iv key text =
                Secret.understand (order SecretFormat.Base64 master iv) (ascii text) key |> desc

            Expect.equal (error (Some(QapiError.fail "no key")) None [||] "&") "no key" "the key's object"
            let mine = Some(Ok "k")
            Expect.equal (error mine None [| 1uy |] "&") "Key should be 32 bytes in length" "the key"
            Expect.equal (error mine None key "&") "IV is required to decrypt secret" "no vector"
            Expect.equal (error mine (Some "&") key "&") "Base64 data contains invalid characters" "vector's text"
            Expect.equal (error mine (Some "AAAA") key "&") "IV should be 16 bytes in length not 3" "vector's length"
            Expect.equal (error mine (Some iv) key "&") "Base64 data contains invalid characters" "text"

            Expect.equal
                (error mine (Some iv) key "AAAA")
                "Length 3 must be a multiple of block size 16"
                "the text's length"
        }

        testProperty "padding is taken off by its length"
        <| fun (plain: byte[]) ->
            let padding = Secret.BlockLength - plain.Length % Secret.BlockLength
            let blocks = Array.append plain (Array.create padding (byte padding))
            Expect.equal (Secret.unpad blocks) (Ok plain) "plain text"

        test "padding of more than a block" {
            Expect.equal
                (Secret.unpad (Array.create 16 17uy) |> desc)
                "Incorrect number of padding bytes (17) found on decrypted data"
                "17"
        }

        test "what an object shows cannot be the secret" {
            let given: SecretProperties = {
                Common = { Format = None; KeyId = None; Iv = None }
                Data = Some "hidden"
                File = None
            }

            match UserObject.create (ObjectBranch.Secret given) with
            | Ok object ->
                for name, _ in TypeTable.properties "secret" do
                    match UserObject.tryGet name object with
                    | Some value -> Expect.isFalse ((string value).Contains "hidden") name
                    | None -> Expect.contains [ "data"; "type" ] name "all others can be read"
            | Error error -> failtest error.Desc
        }
    ]

/// Rules over few letters, so that they often fit.
let private rulesOf (picks: (byte * byte) list) : AuthzRule list =
    let patterns = [ "a"; "b"; "ab"; "*"; "a*"; "?"; "*b"; "a?" ]

    picks
    |> List.map (fun (pattern, kind) -> {
        Match = patterns[int pattern % patterns.Length]
        Policy =
            if kind % 2uy = 0uy then
                AuthzPolicy.Allow
            else
                AuthzPolicy.Deny
        Format =
            match kind / 2uy % 3uy with
            | 0uy -> None
            | 1uy -> Some AuthzFormat.Exact
            | _ -> Some AuthzFormat.Glob
    })

let private identities = [ ""; "a"; "b"; "ab"; "ba"; "a*"; "*" ]

let private authz =
    testList "authz" [
        testProperty "the first rule that fits decides, else the policy"
        <| fun (picks: (byte * byte) list) (allows: bool) ->
            let rules = rulesOf picks

            let list = {
                Policy = if allows then AuthzPolicy.Allow else AuthzPolicy.Deny
                Rules = rules
            }

            let rec naive identity (rules: AuthzRule list) =
                match rules with
                | [] -> allows
                | { Format = Some AuthzFormat.Glob } as rule :: _ when NaiveGlob.isMatch rule.Match identity ->
                    rule.Policy = AuthzPolicy.Allow
                | rule :: _ when rule.Format <> Some AuthzFormat.Glob && rule.Match = identity ->
                    rule.Policy = AuthzPolicy.Allow
                | _ :: rest -> naive identity rest

            for identity in identities do
                let expected = naive identity rules
                Expect.equal (Authz.isAllowed (UserObject.AuthzList list) identity) expected identity

                let file = { Filename = "f"; Refresh = true; List = Some list }

                Expect.equal (Authz.isAllowed (UserObject.AuthzListFile file) identity) expected "the same from a file"

        testProperty "one identity"
        <| fun (mine: byte) (other: byte) ->
            let identity n = identities[int n % identities.Length]
            let simple = UserObject.AuthzSimple { Identity = identity mine }
            Expect.equal (Authz.isAllowed simple (identity other)) (identity mine = identity other) "the same"

        test "nobody is let in without an answer" {
            let file = { Filename = "f"; Refresh = true; List = None }

            Expect.isFalse (Authz.isAllowed (UserObject.AuthzListFile file) "a") "a file that was not understood"
            Expect.isFalse (Authz.isAllowed (UserObject.Iothread Iothread.defaults) "a") "no such object"
        }

        test "files" {
            let parse (text: string) =
                AuthzListFile.parse "f" (Encoding.UTF8.GetBytes text)

            let rule: AuthzRule = {
                Match = "a*"
                Policy = AuthzPolicy.Allow
                Format = Some AuthzFormat.Glob
            }

            Expect.equal (parse "{}") (Ok { Policy = AuthzPolicy.Deny; Rules = [] }) "nothing is given"

            Expect.equal
                (parse """{"policy": "allow", "rules": [{"match": "a*", "policy": "allow", "format": "glob"}]}""")
                (Ok { Policy = AuthzPolicy.Allow; Rules = [ rule ] })
                "all is given"

            for text in
                [
                    ""
                    "["
                    "[]"
                    "{} {}"
                    """{"policy": "x"}"""
                    """{"rule": []}"""
                    """{"rules": {}}"""
                ] do
                Expect.stringStarts (parse text |> desc) "Unable to parse 'f': " text

            Expect.equal
                (AuthzListFile.parse "f" (Array.create (AuthzListFile.MaxBytes + 1) 32uy) |> desc)
                "Unable to parse 'f': the file is too long"
                "a limit"
        }
    ]

let private kernelLists =
    testProperty "lists of processors are read as the kernel writes them"
    <| fun (picks: byte list) ->
        let cpus = picks |> List.map (fun n -> int n % 64) |> List.distinct |> List.sort

        /// Runs of numbers, first and last.
        let runs =
            List.foldBack
                (fun cpu runs ->
                    match runs with
                    | (first, last) :: rest when first = cpu + 1 -> (cpu, last) :: rest
                    | _ -> (cpu, cpu) :: runs)
                cpus
                []

        let text =
            runs
            |> List.map (fun (first, last) ->
                if first = last then
                    string first
                else
                    string first + "-" + string last)
            |> String.concat ","

        Expect.equal (ThreadContext.ofKernelList (text + "\n")) cpus "numbers"

let private prHelper =
    testList "protocol of the helper" [
        testProperty "a command is sent as it is, padded, with its parameters"
        <| fun (isOut: bool) (length: uint16) (fill: byte) ->
            let length = int length % 10000
            let cdb: byte[] = Array.zeroCreate 10
            cdb[0] <-
                if isOut then
                    Wire.PersistentReserveOut
                else
                    Wire.PersistentReserveIn
            cdb[7] <- byte (length >>> 8)
            cdb[8] <- byte length
            let parameters = if isOut then Array.create length fill else [||]

            match Wire.encodeRequest cdb parameters with
            | Some bytes ->
                Expect.equal bytes (Array.concat [ cdb; Array.zeroCreate 6; parameters ]) "bytes"
                Expect.isLessThanOrEqual length Wire.MaxDataBytes "length"
                Expect.isNone (Wire.encodeRequest cdb (Array.append parameters [| 0uy |])) "another length"
            | None -> Expect.isGreaterThan length Wire.MaxDataBytes "too long"

        testProperty "no other command goes to the helper"
        <| fun (cdb: byte[]) ->
            match Wire.dataLength cdb with
            | Some length ->
                Expect.contains [ 0x5Euy; 0x5Fuy ] cdb[0] "command"
                Expect.isLessThanOrEqual length Wire.MaxDataBytes "length"
            | None -> ()

        testProperty "a reply has no more payload than was asked for, and only with success of IN"
        <| fun (isOut: bool) (status: byte) (asked: byte) (payload: byte) ->
            let cdb: byte[] = Array.zeroCreate 10
            cdb[0] <-
                if isOut then
                    Wire.PersistentReserveOut
                else
                    Wire.PersistentReserveIn
            cdb[8] <- asked
            let status = status % 3uy
            let reply = Array.init Wire.ReplyLength byte
            Array.blit [| 0uy; 0uy; 0uy; status; 0uy; 0uy; 0uy; payload |] 0 reply 0 8
            let mayPay = not isOut && status = 0uy

            match Wire.decodeReply cdb reply with
            | Some decoded ->
                Expect.equal decoded.Status (int status) "status"
                Expect.equal decoded.PayloadLength (int payload) "length"
                Expect.equal decoded.Sense (Array.init Wire.SenseLength (fun n -> byte (n + 8))) "sense data"
                Expect.isTrue (payload = 0uy || (mayPay && payload <= asked)) "allowed"
            | None -> Expect.isTrue (payload > 0uy && (not mayPay || payload > asked)) "refused"
    ]

[<Tests>]
let tests = testList "Object rules" [ base64; secrets; authz; kernelLists; prHelper ]
