namespace StorageDaemon.Core

/// Names that users give: objects, exports, chardevs, monitors.
module Identifier =
    let private isLetter c =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')

    let private isDigit c = c >= '0' && c <= '9'

    let private isRest c =
        isLetter c || isDigit c || c = '-' || c = '.' || c = '_'

    /// An ASCII letter, then letters, digits, '-', '.' and '_'.
    let isWellFormed (name: string) =
        name.Length > 0 && isLetter name[0] && String.forall isRest name

    /// What the command line prints under an error about an identifier.
    [<Literal>]
    let Hint =
        "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter."
