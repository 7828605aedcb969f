namespace StorageDaemon.Core.Observe

open System
open StorageDaemon.Core
open StorageDaemon.Core.Options

/// The value of a --trace option. Done in the order of the fields: the pattern, the events file, the log file.
type TraceOptions = {
    /// A pattern, or a request for the list of events: see `TracePattern.isListRequest`.
    Enable: string option
    /// A file with a pattern in each line.
    EventsFile: string option
    /// Where to log to instead of standard error.
    LogFile: string option
}

[<RequireQualifiedAccess>]
type TraceRequest =
    | Apply of TraceOptions
    /// Print `TracePattern.optionHelpText` and exit with status 1.
    | ListOptions

/// What became of a sequence of patterns.
type TraceSelection = {
    /// The names of the events that are on.
    Enabled: Set<string>
    /// In order, each with its place.
    Warnings: (Location * Warning) list
    /// A line of the events file asked for the list of events: print it and exit with status 0. Nothing behind that
    /// line counts.
    ListEvents: bool
}

/// Which events are logged.
module TracePattern =
    let private group = {
        Name = "trace"
        ImpliedKey = "enable"
        Types =
            Map.ofList [
                "enable", OptionType.Text
                "events", OptionType.Text
                "file", OptionType.Text
            ]
    }

    /// What `--trace PATTERN,help` prints.
    let optionHelpText = QemuOpts.helpText group

    /// Reads the value of a --trace option.
    let parse (text: string) : struct (Warning list * Result<TraceRequest, QapiError>) =
        let struct (warnings, outcome) = QemuOpts.parse group text

        let request =
            match outcome with
            | Error error -> Error error
            | Ok OptionsOutcome.Help -> Ok TraceRequest.ListOptions
            | Ok(OptionsOutcome.Options options) ->
                Ok(
                    TraceRequest.Apply {
                        Enable = QemuOpts.text "enable" options
                        EventsFile = QemuOpts.text "events" options
                        LogFile = QemuOpts.text "file" options
                    }
                )

        struct (warnings, request)

    /// Whether a pattern is none but asks for the list of events, which ends the program with status 0.
    let isListRequest pattern = pattern = "help" || pattern = "?"

    /// Enables every event of `known` that `pattern` matches; a leading '-' disables them. A pattern that matches
    /// nothing is worth a warning unless it has a '*'.
    let apply (known: string list) (enabled: Set<string>) (pattern: string) : struct (Set<string> * Warning voption) =
        let negative = pattern.StartsWith '-'
        let glob = if negative then pattern.Substring 1 else pattern
        let change = if negative then Set.remove else Set.add

        match List.filter (Glob.isMatch glob) known with
        | [] when glob.Contains '*' -> struct (enabled, ValueNone)
        | [] ->
            let text = "trace event '" + glob + "' does not exist"
            struct (enabled, ValueSome { Text = text; Hint = None })
        | matching -> struct (List.fold (fun enabled name -> change name enabled) enabled matching, ValueNone)

    let private step known (selection: TraceSelection) location pattern =
        let struct (enabled, warning) = apply known selection.Enabled pattern

        let warnings =
            match warning with
            | ValueSome warning -> (location, warning) :: selection.Warnings
            | ValueNone -> selection.Warnings

        { selection with Enabled = enabled; Warnings = warnings }

    /// Applies the lines of the events file `path` in order. Empty lines and those that begin with '#' are skipped;
    /// blanks count, as part of the name.
    let applyFile (known: string list) (enabled: Set<string>) (path: string) (lines: string list) : TraceSelection =
        let rec go selection number lines =
            match lines with
            | [] -> selection
            | line: string :: _ when isListRequest line -> { selection with ListEvents = true }
            | line :: rest when line = "" || line.StartsWith '#' -> go selection (number + 1) rest
            | line :: rest -> go (step known selection (FileLine(path, number)) line) (number + 1) rest

        let selection = go { Enabled = enabled; Warnings = []; ListEvents = false } 1 lines
        { selection with Warnings = List.rev selection.Warnings }

    /// What `--trace help` prints.
    let eventListText (known: string list) =
        String.Concat(known |> List.map (fun name -> name + "\n"))
