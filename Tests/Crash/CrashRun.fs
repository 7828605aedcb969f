/// As many crash states as wanted, of all shapes and loads and of repairs, with fresh seeds: what takes minutes or hours.
module StorageDaemon.Tests.Crash.CrashRun

open System
open System.Diagnostics
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir

let private usage =
    """usage: dotnet run -c Release --project Tests -- crash [options]
  --states N      ends when so many states have been checked (1000000)
  --seed N        the first seed (any); with --states 1 it runs that seed alone, and so again what failed
  --real N        shows one state in N to the real qemu-img check as well, 0 for none (2000)"""

[<NoComparison>]
type private Options = { States: int64; Seed: int; RealEvery: int }

let rec private parse (options: Options) (arguments: string list) : Options =
    match arguments with
    | [] -> options
    | "--states" :: value :: rest -> parse { options with States = int64 value } rest
    | "--seed" :: value :: rest -> parse { options with Seed = int value } rest
    | "--real" :: value :: rest -> parse { options with RealEvery = int value } rest
    | _ ->
        Console.Error.WriteLine usage
        exit 2

/// One state in so many is shown to our own check, too.
[<Literal>]
let private OwnCheckEvery = 50

/// Then there is nothing more to learn.
[<Literal>]
let private MaxViolations = 20

/// What a seed stands for: a load, with or without failures of the disk, or a repair; how many states there were.
let private runSeed (inspect: byte[] -> unit) (seed: int) : int =
    match seed % 8 with
    | 6 -> Qcow2OpeningTests.interrupt seed false
    | 7 -> Qcow2OpeningTests.interrupt seed true
    | kind -> Qcow2CrashTests.run inspect seed 60 2 (kind % 2 = 1)

/// The exit code: 0 if every state was sound.
let main (arguments: string list) : int =
    let options =
        parse
            {
                States = 1_000_000L
                Seed = Qcow2CrashTests.firstSeed ()
                RealEvery = 2000
            }
            arguments

    let qemuImg =
        if options.RealEvery = 0 then
            None
        else
            ChildProcess.find "qemu-img"

    if options.RealEvery > 0 && qemuImg.IsNone then
        eprintfn "without qemu-img: the real check is left out"

    use directory = new TempDir()
    let clock = Stopwatch.StartNew()
    let mutable states = 0L
    let mutable violations = 0
    let mutable seed = options.Seed
    let mutable reportSeconds = 10.0
    let realChecks = ref 0

    let report () =
        Console.Out.WriteLine
            $"{states} states, {int (float states / clock.Elapsed.TotalSeconds)} a second, {realChecks.Value} real checks, {violations} violations, seeds {options.Seed} to {seed - 1}"

    while states < options.States && violations < MaxViolations do
        let where = $"seed {seed}"
        let sample = Random seed

        let inspect (after: byte[]) =
            if sample.Next OwnCheckEvery = 0 then
                Qcow2RealChecks.expectNoCorruption where after

            match qemuImg with
            | Some tool when sample.Next options.RealEvery = 0 ->
                realChecks.Value <- realChecks.Value + 1
                Qcow2RealChecks.expectRealAgrees directory tool where after
            | _ -> ()

        try
            states <- states + int64 (runSeed inspect seed)
        with error ->
            violations <- violations + 1
            Console.Out.WriteLine $"VIOLATION, again with --seed {seed} --states 1: {error.Message}"

        seed <- seed + 1

        if clock.Elapsed.TotalSeconds > reportSeconds then
            report ()
            reportSeconds <- reportSeconds * 1.5

    report ()
    if violations = 0 then 0 else 1
