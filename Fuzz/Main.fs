module StorageDaemon.Fuzz.Main

open System
open System.Diagnostics
open System.IO
open System.Security.Cryptography
open SharpFuzz
open StorageDaemon.Fuzz.Targets

let private targets: Target list = [
    { Name = "options"; Run = OptionsFuzz.run }
    { Name = "qmp"; Run = QmpFuzz.run }
    { Name = "nbd-handshake"; Run = NbdHandshakeFuzz.run }
    { Name = "nbd-transmission"; Run = NbdTransmissionFuzz.run }
    { Name = "fuse"; Run = FuseFuzz.run }
    { Name = "qcow2"; Run = Qcow2Fuzz.run }
    { Name = "virtio-ring"; Run = VirtioRingFuzz.run }
    { Name = "vhost-user"; Run = VhostUserFuzz.run }
]

let private usage =
    "usage: Fuzz TARGET [--seconds N] [--seed S]   mutate the corpus; a failing input goes to Regressions/TARGET/\n"
    + "       Fuzz --all [--seconds N] [--seed S]    each target for N seconds\n"
    + "       Fuzz TARGET FILE                       replay one input\n"
    + "       Fuzz TARGET --afl                      serve afl-fuzz\n"
    + "targets: "
    + String.Join(" ", targets |> List.map _.Name)

/// The project's folder: the corpora are there, not next to the program.
let private home =
    let rec find (folder: DirectoryInfo) =
        if isNull folder then
            Directory.GetCurrentDirectory()
        elif File.Exists(Path.Combine(folder.FullName, "Fuzz.fsproj")) then
            folder.FullName
        else
            find folder.Parent

    find (DirectoryInfo AppContext.BaseDirectory)

let private readFolder (name: string) (target: Target) : byte[][] =
    let folder = Path.Combine(home, name, target.Name)

    if Directory.Exists folder then
        Directory.GetFiles folder |> Array.sort |> Array.map File.ReadAllBytes
    else
        [||]

/// Runs one input; true if the target kept its promises.
let private survives (target: Target) (input: byte[]) =
    try
        target.Run input
        true
    with error ->
        eprintfn "%s: %O" target.Name error
        false

let private save (target: Target) (input: byte[]) =
    let folder = Path.Combine(home, "Regressions", target.Name)
    Directory.CreateDirectory folder |> ignore
    let name = Convert.ToHexStringLower(SHA256.HashData input).Substring(0, 16)
    let path = Path.Combine(folder, name)
    File.WriteAllBytes(path, input)
    path

/// Runs the corpus and past failures, then mutations of them until the time is over or one fails: the exit code.
let private fuzz (seconds: float) (seed: int) (target: Target) =
    printfn "%s: seed %d" target.Name seed
    let random = Random seed
    let known = Array.append (readFolder "Corpora" target) (readFolder "Regressions" target)
    let corpus = if known.Length = 0 then [| [||] |] else known
    let clock = Stopwatch.StartNew()
    let mutable runs = 0
    let mutable failed = Array.exists (survives target >> not) corpus

    while not failed && clock.Elapsed.TotalSeconds < seconds do
        let input = Mutation.mutate random corpus
        runs <- runs + 1

        if not (survives target input) then
            failed <- true
            printfn "%s: run %d failed: %s" target.Name runs (save target input)

    printfn "%s: %d runs%s" target.Name runs (if failed then ", FAILED" else "")
    if failed then 1 else 0

let private serveAfl (target: Target) =
    Fuzzer.OutOfProcess.Run(fun (stream: Stream) ->
        use copy = new MemoryStream()
        stream.CopyTo copy
        target.Run(copy.ToArray()))

    0

/// The value after `name`, or `fallback`.
let rec private option name fallback (arguments: string list) =
    match arguments with
    | key :: value :: _ when key = name -> int value
    | _ :: rest -> option name fallback rest
    | [] -> fallback

[<EntryPoint>]
let main arguments =
    let arguments = List.ofArray arguments
    let seconds = float (option "--seconds" 10 arguments)
    let seed = option "--seed" Environment.TickCount arguments

    let find name =
        targets |> List.tryFind (fun target -> target.Name = name)

    match arguments with
    | "--all" :: _ -> targets |> List.map (fuzz seconds seed) |> List.max
    | name :: rest when (find name).IsSome ->
        let target = (find name).Value

        match rest with
        | [ "--afl" ] -> serveAfl target
        | [ file ] when not (file.StartsWith "--") -> if survives target (File.ReadAllBytes file) then 0 else 1
        | _ -> fuzz seconds seed target
    | _ ->
        eprintfn "%s" usage
        2
