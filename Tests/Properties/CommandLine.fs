module StorageDaemon.Tests.Properties.CommandLine

open System
open Expecto
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Options
open StorageDaemon.Tests.Golden

let private split (line: string) = line.Split ' ' |> List.ofArray

let private start arguments =
    match CommandLine.parse "qsd" arguments with
    | CommandLineRequest.Start startup -> startup
    | _ -> failtest ("not started: " + String.Join(' ', arguments))

let private spellings: (string * (string -> StartupStep)) list = [
    "blockdev", StartupStep.Blockdev
    "chardev", StartupStep.Chardev
    "export", StartupStep.Export
    "monitor", StartupStep.Monitor
    "nbd-server", StartupStep.NbdServer
    "object", StartupStep.Object
    "trace", StartupStep.Trace
]

/// An item, and one of the ways to write it: the name shortened or not, the value in the same word or the next.
let private items =
    gen {
        let! name, make = Gen.elements spellings
        let! length = Gen.choose (1, name.Length)
        let! value = Gen.elements [ ""; "x"; "-h"; "--"; "--foo"; "a=b,c"; "a b"; "=" ]
        let option = "--" + name.Substring(0, length)
        let! joined = Gen.elements [ true; false ]
        let words =
            if joined then
                [ option + "=" + value ]
            else
                [ option; value ]
        return
            words,
            {
                Location = Arguments(String.Join(' ', words))
                Step = make value
            }
    }

let private words =
    Gen.elements [
        "--"
        "-"
        ""
        "-h"
        "-T"
        "-Tx"
        "-hV"
        "-zz"
        "--b"
        "--blockdev"
        "--blockdev=x"
        "--help=x"
        "--=x"
        "--foo"
        "foo"
        "--pidfile"
        "-é"
        "-\ud800"
        "--\ud800"
        "-:"
        "--daemonize"
    ]
    |> Gen.listOf

[<Tests>]
let tests =
    testList "CommandLine" [
        for line, expected in OptionTexts.firstPass do
            testCase ("as the real daemon: " + line)
            <| fun () ->
                let actual =
                    match CommandLine.parse "qemu-storage-daemon" (split line) with
                    | CommandLineRequest.Help -> "HELP"
                    | CommandLineRequest.Version -> "VERSION"
                    | CommandLineRequest.UsageError text -> text
                    | CommandLineRequest.Start _ -> "START"

                Expect.equal actual expected line

        for line, expected in OptionTexts.locations do
            testCase ("location as the real daemon: " + line)
            <| fun () ->
                match (start (split line)).Items with
                | first :: _ -> Expect.equal first.Location (Arguments expected) line
                | [] -> failtest "no items"

        testCase "a stray word is an error in its turn"
        <| fun () ->
            match (start [ "--monitor"; "m"; "foo"; "--object"; "x" ]).Items with
            | [ _; stray; _ ] ->
                Expect.equal stray.Step StartupStep.Stray "step"
                let text = Location.errorText "qsd" stray.Location CommandLine.strayError
                Expect.equal text "qsd: foo: Unexpected argument\n" "text"
            | _ -> failtest "three items expected"

        testCase "the last pidfile counts, and what follows -- does not"
        <| fun () ->
            let startup = start [ "--pidfile"; "a"; "--daem"; "--pid=b"; "--"; "--pidfile"; "c"; "x" ]
            Expect.equal startup { Daemonize = true; PidFile = Some "b"; Items = [] } "startup"

        testCase "errors of the C library come with the whole of argv[0], others with the base name"
        <| fun () ->
            let request = CommandLine.parse "/usr/bin/qsd" [ "--foo" ]
            let expected = CommandLineRequest.UsageError "/usr/bin/qsd: unrecognized option '--foo'\n"
            Expect.equal request expected "argv[0]"
            Expect.equal (CommandLine.programName "/usr/bin/qsd") "qsd" "base name"
            Expect.equal (CommandLine.programName "qsd") "qsd" "no directory"
            Expect.equal (CommandLine.programName "x/") "" "nothing behind the slash"

        testCase "texts"
        <| fun () ->
            Expect.stringStarts (CommandLine.helpText "qsd") "Usage: qsd [options]\n" "help"

            for name, _ in spellings do
                Expect.stringContains (CommandLine.helpText "qsd") ("--" + name) "every option is in the help"

            let version = CommandLine.versionText "storage-daemon" "storage-daemon 0.1.0"
            Expect.equal version "storage-daemon version 10.0.2 (storage-daemon 0.1.0)\n" "version"

        testCase "messages"
        <| fun () ->
            let error = QapiError.generic "e" |> QapiError.withHint "h"
            Expect.equal (Location.errorText "p" Nowhere error) "p: e\nh\n" "nowhere"
            let warning = { Text = "w"; Hint = None }
            Expect.equal (Location.warningText "p" (FileLine("f", 3)) warning) "p:f:3: warning: w\n" "line"
            Expect.equal (Location.errorText "p" (FileLine("f", 0)) (QapiError.generic "e")) "p:f: e\n" "file"

        testProperty "items keep their order and their spelling"
        <| Prop.forAll (Arb.fromGen (Gen.listOf items)) (fun items ->
            Expect.equal (start (List.collect fst items)).Items (List.map snd items) "items")

        testProperty "no words throw"
        <| Prop.forAll (Arb.fromGen words) (fun words -> CommandLine.parse "qsd" words |> ignore)
    ]
