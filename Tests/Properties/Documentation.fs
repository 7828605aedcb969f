/// The interface documents itself: nothing is without a text, and the pages that are made of the texts are well formed.
module StorageDaemon.Tests.Properties.Documentation

open System
open Expecto
open FsCheck.FSharp
open StorageDaemon.Core.Docs
open StorageDaemon.Core.Options
open StorageDaemon.Core.Qapi

/// Lines of a page that are requests or start with something that could be taken for one.
let private requests (page: string) =
    page.Split '\n'
    |> Array.filter (fun line -> line.StartsWith '.' || line.StartsWith '\'')
    |> Array.map (fun line -> line.Split(' ')[0])
    |> Array.distinct
    |> Array.sort

[<Tests>]
let tests =
    testList "Documentation" [
        testCase "every command, event, type, member and value has a text" (fun () ->
            Expect.equal (Reference.undocumented Reference.whole) [] "without a text")

        testCase "the search for what has no text finds it" (fun () ->
            let bare = Command.action "bare" (Describe.object "Bare" { return fun _ -> () })
            let reference = Reference.build [ Command.schema bare ] [] []
            Expect.equal (Reference.undocumented reference) [ "command bare"; "Bare" ] "without a text")

        testCase "every option has a form and a text" (fun () ->
            for option in OptionDescriptions.all do
                Expect.isFalse option.Forms.IsEmpty option.Long

                for form in option.Forms do
                    Expect.isFalse form.Usage.IsEmpty option.Long
                    Expect.isFalse form.Help.IsEmpty option.Long

                    for line in form.Help do
                        Expect.isLessThanOrEqual (25 + line.Length) 80 line)

        testCase "the pages use the macros that they are meant to, and name everything" (fun () ->
            let known = [|
                ".IP"
                ".PP"
                ".RE"
                ".RS"
                ".SH"
                ".SS"
                ".TH"
                ".TP"
                ".br"
                ".fi"
                ".nf"
            |]
            let manual = ManualPage.text "x 1"
            let reference = QmpReference.text "x 1"
            Expect.equal (Array.except known (requests manual)) [||] "macros of the manual page"
            Expect.equal (Array.except known (requests reference)) [||] "macros of the reference"

            for option in OptionDescriptions.all do
                Expect.stringContains manual ("\\-\\-" + option.Long.Replace("-", "\\-")) option.Long

            for command in Commands.schemas do
                Expect.stringContains reference (".SS \"" + command.Name.Replace("-", "\\-")) command.Name)

        testCase "completions name all options" (fun () ->
            for text in [ Completions.bash (); Completions.zsh () ] do
                for option in OptionDescriptions.all do
                    Expect.stringContains text ("--" + option.Long) option.Long

            for option in OptionDescriptions.all do
                Expect.stringContains (Completions.fish ()) ("-l " + option.Long) option.Long)

        testProperty "escaped text begins no request"
        <| Prop.forAll
            (Arb.fromGen (Gen.listOf (Gen.elements [ '.'; '\''; '\\'; '-'; 'a'; ' '; '"' ])))
            (fun characters ->
                let text = String(Array.ofList characters)
                let escaped = Roff.escape text
                Expect.isFalse (escaped.StartsWith '.' || escaped.StartsWith '\'') "a request"
                let back = escaped.Replace("\\&", "").Replace("\\(aq", "'").Replace("\\-", "-").Replace("\\e", "\\")
                Expect.equal back text "nothing is lost")
    ]
