namespace StorageDaemon.Core.Options

open System
open StorageDaemon.Core

/// One step of starting up, with the value of its option.
[<RequireQualifiedAccess>]
type StartupStep =
    | Blockdev of string
    | Chardev of string
    /// The name of a file with further steps, see `ConfigFile`.
    | Config of string
    | Export of string
    | Metrics of string
    | Monitor of string
    | NbdServer of string
    | Object of string
    | Trace of string
    /// A word that belongs to no option: an error, but only when its turn comes.
    | Stray

/// A step and what stands before its messages.
type StartupItem = { Location: Location; Step: StartupStep }

type Startup = {
    Daemonize: bool
    /// The last one given.
    PidFile: string option
    /// In the order of the command line, in which they take effect.
    Items: StartupItem list
}

/// What the command line asks for. Help, version and malformed options are decided before any step is taken, by the
/// one that stands first; everything else fails in its turn.
[<RequireQualifiedAccess>]
type CommandLineRequest =
    | Help
    | Version
    | Start of Startup
    /// For standard error, complete.
    | UsageError of string

/// The daemon's own options.
module CommandLine =
    let private known =
        OptionDescriptions.all
        |> List.map (fun option -> {
            Long = option.Long
            Short = option.Short
            TakesArgument = option.TakesArgument
            InFull = option.IsOwn
        })

    /// The name in front of messages: what follows the last '/' of the word the program was started as.
    let programName (argv0: string) =
        argv0.Substring(argv0.LastIndexOf '/' + 1)

    let private stepOf long argument =
        match long with
        | "blockdev" -> Some(StartupStep.Blockdev argument)
        | "chardev" -> Some(StartupStep.Chardev argument)
        | "config" -> Some(StartupStep.Config argument)
        | "export" -> Some(StartupStep.Export argument)
        | "metrics" -> Some(StartupStep.Metrics argument)
        | "monitor" -> Some(StartupStep.Monitor argument)
        | "nbd-server" -> Some(StartupStep.NbdServer argument)
        | "object" -> Some(StartupStep.Object argument)
        | "trace" -> Some(StartupStep.Trace argument)
        | _ -> None

    /// `items` are collected in reverse.
    let rec private collect argv0 startup found =
        match found with
        | [] -> CommandLineRequest.Start { startup with Items = List.rev startup.Items }
        // The C library puts the whole of argv[0] before its texts, not the base name.
        | Found.Fault text :: _ -> CommandLineRequest.UsageError(argv0 + ": " + text + "\n")
        | Found.Option("help", _, _) :: _ -> CommandLineRequest.Help
        | Found.Option("version", _, _) :: _ -> CommandLineRequest.Version
        | Found.Option("daemonize", _, _) :: rest -> collect argv0 { startup with Daemonize = true } rest
        | Found.Option("pidfile", path, _) :: rest -> collect argv0 { startup with PidFile = Some path } rest
        | Found.Stray word :: rest -> add argv0 startup word StartupStep.Stray rest
        | Found.Option(long, argument, text) :: rest ->
            match stepOf long argument with
            | Some step -> add argv0 startup text step rest
            | None -> collect argv0 startup rest

    and private add argv0 startup text step rest =
        let item = { Location = Arguments text; Step = step }
        collect argv0 { startup with Items = item :: startup.Items } rest

    /// `argv0` is the word the program was started as, `arguments` the words behind it.
    let parse (argv0: string) (arguments: string list) : CommandLineRequest =
        GetOpt.scan known arguments
        |> collect argv0 { Daemonize = false; PidFile = None; Items = [] }

    /// The error of a `Stray` step.
    let strayError = QapiError.generic "Unexpected argument"

    /// What --version prints: the version that this program stands in for, and its own in `packageText`.
    let versionText (programName: string) (packageText: string) =
        programName + " version 10.0.2 (" + packageText + ")\n"

    /// The column at which the texts of --help begin.
    let private textColumn = 25

    let private helpLinesOf (form: OptionForm) : string list =
        let texts = form.Help |> List.map (fun line -> String(' ', textColumn) + line)

        match form.Usage, form.Help with
        | [ usage ], first :: _ when usage.Length + 2 < textColumn ->
            ("  " + usage).PadRight textColumn + first :: List.tail texts
        | usage, _ -> (usage |> List.map (fun line -> "  " + line)) @ texts

    let private helpLines =
        let short, long = OptionDescriptions.all |> List.partition _.Short.IsSome

        let linesOf = List.collect (fun option -> List.collect helpLinesOf option.Forms)

        List.concat [
            [ "Serves block devices to other programs, controlled over QMP."; "" ]
            linesOf short
            [ "" ]
            long |> List.collect (fun option -> linesOf [ option ] @ [ "" ])
            [
                "Options take effect in their order. --blockdev, --export, --metrics, --monitor,"
                "--nbd-server and --object also take a JSON object."
            ]
        ]

    /// What --help prints.
    let helpText (programName: string) =
        "Usage: " + programName + " [options]\n" + String.Join("\n", helpLines) + "\n"
