namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Observe
open StorageDaemon.Core.Options
open StorageDaemon.Core.Chardev
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qom

/// What a step of the command line comes to.
[<NoComparison; NoEquality>]
type Begun =
    /// Do it, like a command; a waiting transition goes on through `Step.resume`.
    | Run of Transition
    /// Print a text to standard output and exit.
    | Print of text: string * status: int
    | SetTrace of TraceOptions
    /// Read a file and go on with `ConfigFile.steps` of it.
    | ReadConfig of path: string
    /// Listen for clients that ask for metrics.
    | ServeMetrics of SocketAddress

/// The options of the command line, which do what QMP commands do, in another syntax.
module Startup =
    /// Reads an option's value in either syntax.
    let private decode impliedKey (codec: StructCodec<'T>) (text: string) : Result<'T, QapiError> =
        result {
            match! OptionArgument.parseWithoutHelp impliedKey text with
            | OptionArgument.JsonText json ->
                match! JsonParser.parse json with
                | Object members -> return! StructCodec.decode Dialect.Json codec members
                | _ -> return! QapiError.fail "Expecting a JSON object"
            | OptionArgument.KeyValues { Tree = Object members } ->
                return! StructCodec.decode Dialect.KeyVal codec members
            | OptionArgument.KeyValues _ -> return! QapiError.fail "Expecting key=value pairs"
        }

    let private run state (decoded: Result<'T, QapiError>) (handle: State -> 'T -> Transition) : Begun =
        Run(Transition.bind state decoded (handle state))

    /// `--object help` and `--object TYPE,help`.
    let private objectHelp (members: (string * Json) list) : Begun =
        let properties =
            members
            |> List.tryPick (function
                | "qom-type", String name -> ObjectHelp.properties name
                | _ -> None)

        Print(defaultArg properties ObjectHelp.types, 0)

    let private object' (state: State) (text: string) : Begun =
        match OptionArgument.parse (Some "qom-type") text with
        | Ok(OptionArgument.KeyValues { Tree = Object members; Help = true }) -> objectHelp members
        | Error error -> Run(Transition.fail state error)
        | Ok _ -> run state (decode (Some "qom-type") ObjectCodecs.objectOptions text) Objects.add

    let private chardev (state: State) (text: string) : struct (Warning list * Begun) =
        let struct (warnings, request) = ChardevOptions.parse text

        let begun =
            match request with
            | Error error -> Run(Transition.fail state error)
            | Ok ChardevRequest.ListTypes -> Print(ChardevOptions.typeHelpText, 0)
            | Ok ChardevRequest.ListOptions -> Print(ChardevOptions.optionHelpText, 1)
            | Ok(ChardevRequest.Create(chardev, shared)) -> Run(Chardevs.addFromOption state chardev shared)

        struct (warnings, begun)

    let private trace (state: State) (text: string) : struct (Warning list * Begun) =
        let struct (warnings, request) = TracePattern.parse text

        let begun =
            match request with
            | Error error -> Run(Transition.fail state error)
            | Ok TraceRequest.ListOptions -> Print(TracePattern.optionHelpText, 1)
            | Ok(TraceRequest.Apply options) -> SetTrace options

        struct (warnings, begun)

    /// Takes one step of the command line.
    let step (state: State) (step: StartupStep) : struct (Warning list * Begun) =
        match step with
        | StartupStep.Blockdev text ->
            struct ([], run state (decode (Some "driver") BlockCodecs.blockdevOptions text) Nodes.add)
        | StartupStep.Chardev text -> chardev state text
        | StartupStep.Config path -> struct ([], ReadConfig path)
        | StartupStep.Metrics text ->
            match decode None MiscCodecs.metricsOptions text with
            | Ok address -> struct ([], ServeMetrics address)
            | Error error -> struct ([], Run(Transition.fail state error))
        | StartupStep.Export text ->
            struct ([], run state (decode (Some "type") ExportCodecs.blockExportOptions text) Exports.add)
        | StartupStep.Monitor text ->
            struct ([], run state (decode (Some "chardev") MiscCodecs.monitorOptions text) Chardevs.startMonitor)
        | StartupStep.NbdServer text ->
            struct ([], run state (decode None ExportCodecs.nbdServerOptions text) NbdServer.start)
        | StartupStep.Object text -> struct ([], object' state text)
        | StartupStep.Trace text -> trace state text
        | StartupStep.Stray -> struct ([], Run(Transition.fail state CommandLine.strayError))
