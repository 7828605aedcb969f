module StorageDaemon.Tests.Properties.JsonStreamTests

open System
open System.Text
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Tests.Generators
open StorageDaemon.Tests.Reference

/// What the stream answers to these pieces, as text, and the state after them.
let private read (pieces: byte[] list) : string list * JsonStream.State =
    let mutable state = JsonStream.initial
    let found = ResizeArray<string>()

    for piece in pieces do
        let mutable position = 0

        while position < piece.Length do
            let struct (taken, next, output) =
                JsonStream.feed state (ReadOnlySpan(piece, position, piece.Length - position))

            match output with
            | JsonStream.Value value -> found.Add(JsonPrinter.toString value)
            | JsonStream.Failed error -> found.Add error.Desc
            | JsonStream.More -> Expect.equal taken (piece.Length - position) "More leaves nothing"

            position <- position + taken
            state <- next

    List.ofSeq found, state

let private readText (text: string) =
    read [ Encoding.UTF8.GetBytes text ] |> fst

let private forAll gen property = Prop.forAll (Arb.fromGen gen) property

let private parsed text =
    match JsonParser.parse text with
    | Ok value -> Some value
    | Error _ -> None

let private errorOf text =
    match JsonParser.parse text with
    | Ok value -> "a value: " + JsonPrinter.toString value
    | Error error -> error.Desc

let private repeated count (text: string) = String.replicate count text

let private limits =
    testList "limits" [
        test "nesting" {
            Expect.equal (readText (repeated 1024 "[" + repeated 1024 "]")).Length 1 "1024 levels are allowed"

            let tooDeep = readText (repeated 1025 "[" + "1 ")
            Expect.equal tooDeep [ "JSON nesting depth limit exceeded"; "1" ] "1025 levels are not"

            let mixed = repeated 512 "{\"a\":["
            Expect.equal (readText (mixed + " 1 ")) [] "braces and brackets"
            Expect.equal (readText (mixed + "{")) [ "JSON nesting depth limit exceeded" ] "count together"
        }

        test "tokens" {
            // A list of n numbers is 2n + 1 tokens.
            let numbers count = "[" + repeated (count - 1) "1," + "1]"
            let answers = readText (numbers (1 <<< 20))
            Expect.equal answers [ "JSON token count limit exceeded" ] "2 Mi + 1 tokens are refused"
            let answers = readText (numbers ((1 <<< 20) - 1))
            Expect.equal answers.Length 1 "one answer"
            Expect.stringStarts answers[0] "[1, 1" "2 Mi - 1 tokens are allowed"
        }

        test "one token" {
            let quoted = Array.create ((1 <<< 26) + 100) 'a'B
            quoted[0] <- '"'B
            let answers, _ = read [ quoted; "b "B ]
            let keyword = "JSON parse error, invalid keyword '" + repeated 99 "a" + "b'"
            Expect.equal answers [ "JSON token size limit exceeded"; keyword ] "cut after 64 MiB + 1"
        }

        test "all tokens of a value" {
            let megabyte = Encoding.ASCII.GetBytes("\"" + repeated ((1 <<< 20) - 2) "a" + "\",")
            let pieces = "["B :: List.replicate 64 megabyte
            let answers, _ = read pieces
            Expect.equal answers.Head "JSON token size limit exceeded" "64 MiB and some brackets"
        }

        test "text quoted in an error" {
            let answers = readText (repeated 100000 "a" + " ")
            Expect.isLessThan answers.Head.Length 5000 "an error does not repeat all of a long token"
        }
    ]

/// Texts, and how the real daemon refuses them (but for infinities, which it lets pass).
let private refusals = [
    "{\"a\":1} {}", "Expecting at most one JSON value"
    "{\"a\":1}}", "Expecting at most one JSON value"
    "{\"a\":1} x", "Expecting at most one JSON value"
    "{\"a\":1}@", "Expecting at most one JSON value"
    "{} tru", "Expecting at most one JSON value"
    "{} \"", "Expecting at most one JSON value"
    "", "Expecting a JSON value"
    "{", "JSON parse error, premature EOI"
    "{\"a\":1,", "JSON parse error, premature EOI"
    "{\"a\":\"x", "JSON parse error, stray '\"x'"
    "{\"a\":tr", "JSON parse error, invalid keyword 'tr'"
    "{\"a\":1e", "JSON parse error, stray '1e'"
    "{\"a\":4M}", "JSON parse error, stray 'M'"
    "{@}{\"a\":1}", "JSON parse error, stray '@'"
    "{]{}", "JSON parse error, expecting value"
    "{\"a\":[1}", "JSON parse error, expected separator in list"
    "{\"a\":1,\"a\":2}", "JSON parse error, duplicate key"
    "{\"a\":1e400}", "JSON parse error, number out of range"
]

let private optionArguments =
    testList "in an option argument" [
        for text, error in refusals do
            yield test text { Expect.equal (errorOf text) error "error" }

        yield
            test "blanks around the value" { Expect.equal (parsed " {'a':1}\n") (Some(Object [ "a", Int 1L ])) "value" }
    ]

let private manyKeys =
    test "duplicates among many keys" {
        let members = [ for i in 1..100 -> "\"k" + string<int> i + "\":0" ]

        let text extra =
            "{" + String.Join(",", members @ extra) + "}"

        Expect.isSome (parsed (text [])) "distinct"

        for i in [ 1; 8; 9; 10; 100 ] do
            Expect.equal (errorOf (text [ members[i - 1] ])) "JSON parse error, duplicate key" "duplicate"
    }

let private linearTime =
    test "a long string in small pieces" {
        let body = Array.create (16 <<< 20) 'x'B
        let pieces = [ "\""B ] @ List.ofArray (Array.chunkBySize 4096 body) @ [ "\""B ]
        let clock = Diagnostics.Stopwatch.StartNew()
        let answers, _ = read pieces
        clock.Stop()
        Expect.equal answers.Head.Length (body.Length + 2) "all of it"
        Expect.isLessThan clock.ElapsedMilliseconds 2000L "in linear time"
    }

[<Tests>]
let tests =
    testList "JsonStream" [
        testProperty "reads what was spelled"
        <| forAll JsonGen.spelled (fun (value, text) -> parsed text = Some value && NaiveJson.parse text = Some value)

        testProperty "accepts what the naive parser accepts"
        <| forAll JsonGen.nearText (fun text -> parsed text = NaiveJson.parse text)

        testProperty "accepts what the naive parser accepts of damaged text"
        <| forAll JsonGen.damaged (fun text -> parsed text = NaiveJson.parse text)

        testProperty "answers the same however the bytes are cut"
        <| forAll (Gen.zip JsonGen.junk JsonGen.cuts) (fun (bytes, cuts) ->
            let whole = fst (read [ bytes ])

            whole = fst (read (JsonGen.pieces cuts bytes))
            && whole = fst (read (JsonGen.pieces [ 1 ] bytes)))

        testProperty "ends the same however the bytes are cut"
        <| forAll (Gen.zip JsonGen.junk JsonGen.cuts) (fun (bytes, cuts) ->
            let finish pieces = JsonStream.finish (snd (read pieces))
            finish [ bytes ] = finish (JsonGen.pieces cuts bytes))

        testProperty "recovers from anything"
        <| forAll JsonGen.junk (fun bytes ->
            let answers = fst (read [ bytes; [| 0xFFuy |]; "\n[7]"B ])
            List.last answers = "[7]")

        testProperty "concatenated values need no separators"
        <| forAll (Gen.listOf JsonGen.value) (fun values ->
            let objects = values |> List.map (fun value -> Object [ "v", value ])
            let text = objects |> List.map JsonPrinter.toString |> String.Concat
            readText text = List.map JsonPrinter.toString objects)

        limits
        optionArguments
        manyKeys
        linearTime
    ]
