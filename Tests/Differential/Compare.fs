/// Runs one script against both daemons and compares what was written down.
module StorageDaemon.Tests.Differential.Compare

open System
open System.Collections.Generic
open System.IO
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir

/// One of the two daemons while it goes through a script, in an empty directory of its own.
type Subject(binary: string, directory: TempDir) =
    let names = Normalise.AutoNames()
    let lines = List<string>()
    member _.Binary = binary
    member _.Directory = directory
    member _.Path = directory.Path
    /// Writes down a line of what is to be the same.
    member _.Note(line: string) : unit = lines.Add(names.Replace line)
    member _.Transcript = List.ofSeq lines

let private transcript (binary: string) (script: Subject -> unit) : string list =
    use directory = new TempDir()
    let subject = Subject(binary, directory)

    try
        script subject
    with error ->
        subject.Note $"the script broke off: {error.Message}"

    subject.Transcript

let private shorten (line: string) : string =
    if line.Length <= 1500 then
        line
    else
        line.Substring(0, 1500) + "…"

/// The lines that differ without being known to, as text for a failure; empty when all is well.
let differences (test: string) (real: string list) (ours: string list) : string list =
    let length = max real.Length ours.Length

    let pad (lines: string list) =
        lines @ List.replicate (length - lines.Length) "(nothing)"

    List.zip3 [ 1..length ] (pad real) (pad ours)
    |> List.filter (fun (_, expected, actual) ->
        expected <> actual && (KnownDifferences.reason test expected actual).IsNone)
    |> List.map (fun (number, expected, actual) ->
        $"line {number}\n  real: {shorten expected}\n  ours: {shorten actual}")

/// With DIFFERENTIAL_TRANSCRIPTS=DIRECTORY the transcripts are kept for reading.
let private keep (test: string) (side: string) (transcript: string list) : unit =
    match Environment.GetEnvironmentVariable "DIFFERENTIAL_TRANSCRIPTS" with
    | null
    | "" -> ()
    | directory ->
        let name = String.map (fun c -> if Char.IsLetterOrDigit c then c else '-') test
        let name = name.Substring(0, min 100 name.Length)
        File.WriteAllLines(Path.Combine(directory, $"{name}.{side}"), transcript)

/// A test that the script gives the same transcript with both daemons.
let differential (name: string) (script: Subject -> unit) : Test =
    testCase name (fun () ->
        let real = transcript (Requires.realDaemon ()) script
        let ours = transcript Binaries.daemon.Value script

        keep name "real" real
        keep name "ours" ours

        match differences name real ours with
        | [] ->
            match real |> List.tryFind (fun line -> line.StartsWith "the script broke off") with
            | Some line -> failtest $"both daemons, so the script is wrong: {line}"
            | None -> ()
        | found -> failtest (String.Join("\n", List.truncate 12 found)))
