module StorageDaemon.Tests.Properties.KeyVal

open System
open Expecto
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Options
open StorageDaemon.Tests.Golden
open StorageDaemon.Tests.Reference

/// Texts that come close to the syntax: pieces of it in any order.
let private texts =
    Gen.elements [
        "a"
        "b"
        "a.b"
        "a.0"
        "a.1"
        "a.00"
        "0"
        "1"
        "."
        "."
        ","
        ","
        ",,"
        "="
        "="
        "=x"
        "=x,"
        "a=1,"
        "help"
        "?"
        ",help,"
        "__r.f_n"
        "__"
        "_"
        "-"
        "é"
        "\r"
        "\r\n"
        "\uffff"
        "driver"
        "99999999999"
        String.replicate 128 "k"
    ]
    |> Gen.listOf
    |> Gen.map (fun pieces -> String.Join("", pieces))

/// Trees that key-value syntax can say.
let private trees =
    let names = Gen.elements [ "a"; "b-c"; "d_e"; "x0"; "__org.example_f" ]
    let scalars =
        ArbMap.defaults
        |> ArbMap.generate<string>
        |> Gen.map (fun s -> String(if isNull s then "" else s))

    let rec value depth =
        if depth = 0 then
            scalars
        else
            let below = value (depth - 1)
            Gen.frequency [ 3, scalars; 1, objectOf below; 1, Gen.nonEmptyListOf below |> Gen.map List ]

    and objectOf below =
        Gen.nonEmptyListOf (Gen.zip names below)
        |> Gen.map (List.distinctBy fst >> Object)

    Gen.sized (fun size -> Gen.resize (min size 6) (objectOf (value 3)))

let private outcome impliedKey text =
    match KeyVal.parse impliedKey text with
    | Ok { Help = true } -> Error "help"
    | Ok { Tree = tree } -> Ok tree
    | Error error -> Error error.Desc

let private depthOf key =
    match KeyVal.parse None (key + "=1") with
    | Ok _ -> "accepted"
    | Error error -> error.Desc

[<Tests>]
let tests =
    testList "KeyVal" [
        for text, expected in OptionTexts.keyVal do
            testCase ("as the real daemon: " + text)
            <| fun () ->
                let actual =
                    match OptionArgument.parseWithoutHelp (Some "driver") text with
                    | Ok _ -> None
                    | Error error -> Some error.Desc

                Expect.equal actual expected text

        testCase "a tree"
        <| fun () ->
            let expected =
                Object [
                    "driver", String "qcow2"
                    "file", Object [ "driver", String "file"; "filename", String "a,b" ]
                    "bitmaps", List [ String "x"; Object [ "node", String "n" ] ]
                ]

            let text = "qcow2,file.driver=nbd,file.filename=a,,b,bitmaps.1.node=n,bitmaps.0=x,file.driver=file"

            Expect.equal (outcome (Some "driver") text) (Ok expected) "tree"

        testCase "of two spellings of an index the later wins"
        <| fun () -> Expect.equal (outcome None "a.0=x,a.00=y") (Ok(Object [ "a", List [ String "y" ] ])) "list"

        testCase "JSON is told by its first character"
        <| fun () ->
            Expect.equal (OptionArgument.parse None "{ x") (Ok(OptionArgument.JsonText "{ x")) "brace"

            Expect.equal
                (OptionArgument.parse (Some "driver") " {")
                (Ok(OptionArgument.KeyValues { Tree = Object [ "driver", String " {" ]; Help = false }))
                "blank"

        testCase "depth is bounded"
        <| fun () ->
            let key fragments =
                String.Join('.', List.replicate fragments "a")
            Expect.equal (depthOf (key KeyVal.maxDepth)) "accepted" "deepest"
            Expect.stringContains (depthOf (key (KeyVal.maxDepth + 1))) "nested too deeply" "one more"
            Expect.stringContains (depthOf (key 1_000_000)) "nested too deeply" "a million"

        testCase "a hundred thousand members take no quadratic time"
        <| fun () ->
            let text = String.Join(',', Seq.init 100_000 (fun i -> "a." + string<int> i + "=x"))

            match outcome None text with
            | Ok(Object [ "a", List elements ]) -> Expect.hasLength elements 100_000 "elements"
            | _ -> failtest "no list"

        testProperty "the same as the naive reference"
        <| Prop.forAll (Arb.fromGen texts) (fun text ->
            Expect.equal (outcome (Some "driver") text) (NaiveKeyVal.parse (Some "driver") text) text
            Expect.equal (outcome None text) (NaiveKeyVal.parse None text) text)

        testProperty "printing and reading again gives the same tree"
        <| Prop.forAll (Arb.fromGen trees) (fun tree ->
            Expect.equal (outcome None (NaiveKeyVal.print tree)) (Ok tree) "tree")

        testProperty "no text throws"
        <| fun (text: string) -> outcome (Some "driver") (if isNull text then "" else text) |> ignore
    ]
