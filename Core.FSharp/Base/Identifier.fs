namespace StorageDaemon.Core

open System

/// Identifiers of objects, devices and options.
module Identifier =
    /// Letters, digits, '-', '.', '_', starting with a letter; ASCII only.
    let isWellFormed (id: string) =
        let isRest c =
            Char.IsAsciiLetterOrDigit c || c = '-' || c = '.' || c = '_'
        id.Length > 0 && Char.IsAsciiLetter id[0] && Seq.forall isRest id

    /// The refusal of an ill-formed identifier given as the parameter `name`.
    let error (name: string) =
        QapiError.generic ("Parameter '" + name + "' expects an identifier")
        |> QapiError.withHint "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter."
