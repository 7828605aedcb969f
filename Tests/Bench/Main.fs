/// Runs this daemon and its rivals by turns, so that a slow minute of the machine hits all of them, and compares.
module StorageDaemon.Bench.Main

open System
open System.Collections.Generic
open System.IO
open StorageDaemon.Bench.Cases
open StorageDaemon.Bench.Contestants
open StorageDaemon.Bench.Report
open StorageDaemon.Tests.Harness

type private Options = {
    Rounds: int
    Seconds: int
    Only: string list
    Ours: string option
    Json: string option
    Directory: string option
}

let private usage =
    """usage: dotnet run -c Release --project Tests/Bench -- [options]
  --rounds N      rounds, each with every contestant once (7)
  --seconds N     length of one measurement (2)
  --only TEXT     only cases whose name begins with TEXT; may be repeated
  --ours FILE     the daemon to judge (artifacts/storage-daemon, published when it is missing or old)
  --json FILE     all figures as JSON
  --dir DIR       where the image of 1 GiB is put (a temporary directory)
  --list          the names of the cases
       dotnet run -c Release --project Tests/Bench -- endure [--help]"""

let rec private parse (options: Options) (arguments: string list) : Options =
    match arguments with
    | [] -> options
    | "--rounds" :: value :: rest -> parse { options with Rounds = int value } rest
    | "--seconds" :: value :: rest -> parse { options with Seconds = int value } rest
    | "--only" :: value :: rest -> parse { options with Only = options.Only @ [ value ] } rest
    | "--ours" :: value :: rest -> parse { options with Ours = Some value } rest
    | "--json" :: value :: rest -> parse { options with Json = Some value } rest
    | "--dir" :: value :: rest -> parse { options with Directory = Some value } rest
    | "--list" :: _ ->
        Cases.all |> List.iter (fun case -> Console.WriteLine case.Name)
        exit 0
    | other ->
        eprintfn "%s" usage

        if other = [ "--help" ] then
            exit 0

        eprintfn "unknown: %s" (String.concat " " other)
        exit 2

/// Fills a file with data that is neither zero nor regular, and leaves it in the page cache.
let private createImage (path: string) (length: int64) : unit =
    let chunk = Array.zeroCreate<byte>(1 <<< 20)
    Random(1).NextBytes chunk
    use file = File.Create path

    for i in 0L .. length / int64 chunk.Length - 1L do
        BitConverter.TryWriteBytes(Span chunk, i) |> ignore
        file.Write chunk

/// Reads a file, so that all of it is in the page cache: some machines take pages back that were not used for a
/// while, and then the disk would be measured.
let private warm (path: string) : unit =
    let chunk = Array.zeroCreate<byte>(1 <<< 20)
    use file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 0)

    while file.Read chunk > 0 do
        ()

/// One measurement with the server's CPU time around it.
let private measure
    (settings: Settings)
    (servers: IReadOnlyDictionary<string, Running>)
    (case: Case)
    (contestant: Contestant)
    (serving: Serving)
    =
    match case.Subject with
    | Started run -> run contestant serving, None
    | Running run ->
        let server = servers[contestant.Name]
        let before = Native.processCpuNs server.Pid
        let measurement = run settings server
        let used = Native.processCpuNs server.Pid - before
        measurement, Some(float used / 1000.0 / measurement.Operations)

/// All rounds of the cases that share a way of serving. Servers run from the first round to the last.
let private runGroup
    (options: Options)
    (settings: Settings)
    (contestants: Contestant list)
    (image: string)
    (front: Front)
    (direct: bool)
    (cases: Case list)
    =
    let serving = { Image = image; Front = front; Direct = direct }
    let able = contestants |> List.filter (fun contestant -> contestant.Can serving)
    let servers = Dictionary<string, Running>()
    let results = List<struct (string * string * Measurement * float option)>()

    try
        if cases |> List.exists (fun case -> case.Subject.IsRunning) then
            for contestant in able do
                let server = new Running(contestant, serving)
                servers[contestant.Name] <- server
                use _ = QmpClient.connectUnix server.Socket
                ()

        for round in 1 .. options.Rounds do
            for case in cases do
                let entrants = able |> List.filter (fun one -> one.IsDefault || not case.DaemonsOnly)
                // Who runs first changes, so that nobody always follows the same rival.
                let turn = round % entrants.Length

                for contestant in List.skip turn entrants @ List.take turn entrants do
                    if not direct then
                        warm image

                    let measurement, cpu = measure settings servers case contestant serving
                    results.Add(struct (case.Name, contestant.Name, measurement, cpu))

            eprintfn $"round {round} of {options.Rounds}"
    finally
        servers.Values |> Seq.iter (fun server -> (server :> IDisposable).Dispose())

    cases
    |> List.map (fun case ->
        case,
        able
        |> List.filter (fun one -> one.IsDefault || not case.DaemonsOnly)
        |> List.map (fun contestant ->
            let mine =
                results
                |> Seq.filter (fun struct (name, who, _, _) -> name = case.Name && who = contestant.Name)
                |> List.ofSeq

            {
                Contestant = contestant.Name
                Rates = mine |> List.map (fun struct (_, _, measurement, _) -> measurement.Rate)
                CpuUs = mine |> List.choose (fun struct (_, _, _, cpu) -> cpu)
            }))

let private run (options: Options) (directory: string) : unit =
    let settings = { Seconds = options.Seconds; ImageBytes = 1L <<< 30 }

    let ours =
        options.Ours
        |> Option.map Path.GetFullPath
        |> Option.defaultWith Binaries.daemon.Force

    let contestants = Contestants.all ours Binaries.realDaemon

    /// A name means that case, anything else all cases whose names begin with it.
    let isWanted (case: Case) =
        options.Only.IsEmpty
        || options.Only
           |> List.exists (fun only ->
               if Cases.all |> List.exists (fun other -> other.Name = only) then
                   case.Name = only
               else
                   case.Name.StartsWith(only, StringComparison.Ordinal))

    let cases = Cases.all |> List.filter isWanted
    let image = Path.Combine(directory, "image")
    createImage image settings.ImageBytes
    createImage (image + ".source") settings.ImageBytes

    Console.WriteLine
        $"{options.Rounds} rounds of {options.Seconds} s, {Environment.ProcessorCount} processors, ours: {ours}"

    let results =
        [ Nbd, false; Nbd, true; VhostUser, false ]
        |> List.collect (fun (front, direct) ->
            match cases |> List.filter (fun case -> case.Front = front && case.Direct = direct) with
            | [] -> []
            | group ->
                let results = runGroup options settings contestants image front direct group
                results |> List.iter (fun (case, series) -> print case series)
                results)

    options.Json |> Option.iter (fun path -> writeJson path results)

let private compare (arguments: string list) : int =
    let options =
        parse
            {
                Rounds = 7
                Seconds = 2
                Only = []
                Ours = None
                Json = None
                Directory = None
            }
            arguments

    match options.Directory with
    | Some directory -> run options directory
    | None ->
        use directory = new TempDir.TempDir()
        run options directory.Path

    0

[<EntryPoint>]
let main argv =
    match List.ofArray argv with
    | "endure" :: rest -> Endurance.main rest
    | arguments -> compare arguments
