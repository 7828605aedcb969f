namespace StorageDaemon.Core.Options

open StorageDaemon.Core

/// Where a message on standard error comes from; it stands between the program's name and the text.
type Location =
    | Nowhere
    /// The option and its value as they were typed: "--blockdev driver=file".
    | Arguments of string
    /// A file and a line counted from 1, or 0 for the file as a whole.
    | FileLine of path: string * line: int

/// A message that does not stop the daemon.
type Warning = {
    Text: string
    /// A further line, printed without a prefix.
    Hint: string option
}

module Location =
    let private prefix (programName: string) location =
        match location with
        | Nowhere -> programName + ": "
        | Arguments text -> programName + ": " + text + ": "
        | FileLine(path, 0) -> programName + ":" + path + ": "
        | FileLine(path, line) -> programName + ":" + path + ":" + string<int> line + ": "

    let private lines first hint =
        match hint with
        | None -> first + "\n"
        | Some hint -> first + "\n" + hint + "\n"

    /// What standard error shows for an error: one or two lines, each ended.
    let errorText programName location (error: QapiError) =
        lines (prefix programName location + error.Desc) error.Hint

    /// What standard error shows for a warning: one or two lines, each ended.
    let warningText programName location (warning: Warning) =
        lines (prefix programName location + "warning: " + warning.Text) warning.Hint
