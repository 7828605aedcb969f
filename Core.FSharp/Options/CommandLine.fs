namespace StorageDaemon.Core.Options

open System
open StorageDaemon.Core

/// One step of starting up, with the value of its option.
[<RequireQualifiedAccess>]
type StartupStep =
    | Blockdev of string
    | Chardev of string
    | Export of string
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
        let withArgument name = { Long = name; Short = ValueNone; TakesArgument = true }

        [
            withArgument "blockdev"
            withArgument "chardev"
            {
                Long = "daemonize"
                Short = ValueNone
                TakesArgument = false
            }
            withArgument "export"
            {
                Long = "help"
                Short = ValueSome 'h'
                TakesArgument = false
            }
            withArgument "monitor"
            withArgument "nbd-server"
            withArgument "object"
            withArgument "pidfile"
            {
                Long = "trace"
                Short = ValueSome 'T'
                TakesArgument = true
            }
            {
                Long = "version"
                Short = ValueSome 'V'
                TakesArgument = false
            }
        ]

    /// The name in front of messages: what follows the last '/' of the word the program was started as.
    let programName (argv0: string) =
        argv0.Substring(argv0.LastIndexOf '/' + 1)

    let private stepOf long argument =
        match long with
        | "blockdev" -> Some(StartupStep.Blockdev argument)
        | "chardev" -> Some(StartupStep.Chardev argument)
        | "export" -> Some(StartupStep.Export argument)
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

    let private helpLines = [
        "Serves block devices to other programs, controlled over QMP."
        ""
        "  -h, --help             print this text and exit"
        "  -T, --trace [[enable=]<pattern>][,events=<file>][,file=<file>]"
        "                         choose the events to log, and where to"
        "  -V, --version          print the version and exit"
        ""
        "  --blockdev [driver=]<driver>[,node-name=<name>][,discard=ignore|unmap]"
        "             [,cache.direct=on|off][,cache.no-flush=on|off]"
        "             [,read-only=on|off][,auto-read-only=on|off]"
        "             [,force-share=on|off][,detect-zeroes=on|off|unmap]"
        "             [,<option of the driver>=<value>...]"
        "                         add a block node"
        ""
        "  --chardev <type>,id=<id>[,<option of the type>=<value>...]"
        "                         add a character device; '--chardev help' lists the"
        "                         types, '--chardev <type>,help' the options"
        ""
        "  --daemonize            go on in the background; the command returns when"
        "                         everything has been set up"
        ""
        "  --export [type=]nbd,id=<id>,node-name=<node>[,name=<export>]"
        "           [,writable=on|off][,description=<text>]"
        "                         offer a block node to NBD clients"
        "                         (after --nbd-server)"
        ""
        "  --monitor [chardev=]<id>[,mode=control][,pretty=on|off]"
        "                         speak QMP on a character device"
        ""
        "  --nbd-server addr.type=inet,addr.host=<host>,addr.port=<port>"
        "               [,max-connections=<n>][,handshake-max-seconds=<n>]"
        "  --nbd-server addr.type=unix,addr.path=<path>"
        "               [,max-connections=<n>][,handshake-max-seconds=<n>]"
        "                         start the NBD server"
        ""
        "  --object help          list the types of objects"
        "  --object <type>,help   list the properties of a type"
        "  --object <type>,id=<id>[,<property>=<value>...]"
        "                         add an object"
        ""
        "  --pidfile <path>       write the process id to a file once set up"
        ""
        "Options take effect in their order. --blockdev, --export, --monitor, --nbd-server"
        "and --object also take a JSON object."
    ]

    /// What --help prints.
    let helpText (programName: string) =
        "Usage: " + programName + " [options]\n" + String.Join("\n", helpLines) + "\n"
