module StorageDaemon.Tests.Properties.TracePattern

open System
open Expecto
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Observe
open StorageDaemon.Core.Options
open StorageDaemon.Tests.Golden
open StorageDaemon.Tests.Reference

let private known = [ "job_state_transition"; "job_completed"; "nbd_trip"; "nbd_receive" ]

let private lines (text: string) hint =
    match hint with
    | Some hint -> text + "\n" + hint
    | None -> text

/// Everything that a --trace value makes the daemon say.
let private messages text =
    let struct (warnings, request) = TracePattern.parse text
    let said = warnings |> List.map (fun warning -> lines warning.Text warning.Hint)

    match request with
    | Error error -> said, Some(lines error.Desc error.Hint)
    | Ok(TraceRequest.Apply { Enable = Some pattern }) when not (TracePattern.isListRequest pattern) ->
        match TracePattern.apply known Set.empty pattern with
        | struct (_, ValueSome warning) -> said @ [ warning.Text ], None
        | struct (_, ValueNone) -> said, None
    | Ok _ -> said, None

let private enabledBy patterns =
    let next enabled pattern =
        let struct (enabled, _) = TracePattern.apply known enabled pattern
        enabled

    List.fold next Set.empty patterns |> Set.toList

let private globTexts =
    Gen.elements [ 'a'; 'b'; '*'; '?' ]
    |> Gen.listOf
    |> Gen.map (List.truncate 9 >> List.toArray >> String)

[<Tests>]
let tests =
    testList "TracePattern" [
        for text, warnings, error in OptionTexts.trace do
            testCase ("as the real daemon: " + text)
            <| fun () -> Expect.equal (messages text) (warnings, error) text

        testCase "requests"
        <| fun () ->
            let request text =
                let struct (_, request) = TracePattern.parse text
                request

            let expected = {
                Enable = Some "nbd*"
                EventsFile = Some "e"
                LogFile = Some "f"
            }
            Expect.equal (request "nbd*,file=f,events=e") (Ok(TraceRequest.Apply expected)) "all"
            Expect.equal (request "a,?") (Ok TraceRequest.ListOptions) "help for the options"
            Expect.equal TracePattern.optionHelpText OptionTexts.traceOptions "their text"
            let listing = { Enable = Some "help"; EventsFile = None; LogFile = None }
            Expect.equal (request "help") (Ok(TraceRequest.Apply listing)) "help as a pattern"
            Expect.isTrue (TracePattern.isListRequest "help" && TracePattern.isListRequest "?") "list"
            Expect.isFalse (TracePattern.isListRequest "-help" || TracePattern.isListRequest "help*") "no list"
            Expect.equal (TracePattern.eventListText [ "a"; "b" ]) "a\nb\n" "events"

        testCase "patterns take effect in order"
        <| fun () ->
            Expect.equal (enabledBy [ "nbd_*" ]) [ "nbd_receive"; "nbd_trip" ] "star"
            Expect.equal (enabledBy [ "nbd_*"; "-nbd_t?ip" ]) [ "nbd_receive" ] "off again"
            Expect.equal (enabledBy [ "-nbd_trip"; "nbd_trip" ]) [ "nbd_trip" ] "on again"
            Expect.equal (enabledBy [ "*"; "-*" ]) [] "all off"
            Expect.equal (enabledBy [ "NBD_trip" ]) [] "case matters"

        testCase "an events file"
        <| fun () ->
            let file = [
                "nbd_*"
                "# comment"
                ""
                "-nbd_receive*"
                "nope_x"
                "  sp_x  "
                "#x"
                "no*match"
            ]
            let selection = TracePattern.applyFile known (Set.ofList [ "job_completed" ]) "ev.txt" file
            Expect.equal (Set.toList selection.Enabled) [ "job_completed"; "nbd_trip" ] "enabled"
            let texts =
                selection.Warnings
                |> List.map (fun (place, warning) -> Location.warningText "p" place warning)

            let expected = [
                "p:ev.txt:5: warning: trace event 'nope_x' does not exist\n"
                "p:ev.txt:6: warning: trace event '  sp_x  ' does not exist\n"
            ]

            Expect.equal texts expected "warnings"
            Expect.isFalse selection.ListEvents "no list"

        testCase "help in an events file ends it"
        <| fun () ->
            let selection = TracePattern.applyFile known Set.empty "f" [ "nbd_trip"; "help"; "nope" ]
            Expect.isTrue selection.ListEvents "list"
            Expect.isEmpty selection.Warnings "nothing behind it"

        testProperty "globs match as by plain backtracking"
        <| Prop.forAll (Arb.fromGen (Gen.zip globTexts globTexts)) (fun (pattern, text) ->
            Expect.equal (Glob.isMatch pattern text) (NaiveGlob.isMatch pattern text) (pattern + " on " + text))

        testCase "many stars take no exponential time"
        <| fun () ->
            let pattern = String.replicate 50 "*a" + "b"
            Expect.isFalse (Glob.isMatch pattern (String('a', 5000))) "no match"

        testProperty "identifiers"
        <| fun (text: string) ->
            let text = if isNull text then "" else text
            let allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"

            let expected =
                text <> ""
                && allowed.IndexOf text[0] >= 0
                && allowed.IndexOf text[0] < 52
                && Seq.forall (fun (c: char) -> allowed.Contains c) text

            Expect.equal (Identifier.isWellFormed text) expected text

        testProperty "no text throws"
        <| fun (text: string) ->
            let text = if isNull text then "" else text
            messages text |> ignore
            TracePattern.applyFile known Set.empty "f" [ text; text ] |> ignore
    ]
