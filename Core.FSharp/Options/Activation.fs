namespace StorageDaemon.Core.Options

open System
open StorageDaemon.Core

/// Descriptors that a supervisor passes at the start of the process, with their names (sd_listen_fds(3)).
module Activation =
    /// The number of the first one.
    [<Literal>]
    let FirstDescriptor = 3

    /// More than any supervisor passes.
    [<Literal>]
    let MaxDescriptors = 4096

    /// Names and numbers, in the order of the numbers. A name may stand several times.
    type Passed = (string * int) list

    let none: Passed = []

    let private tryCount (text: string) : int voption =
        match Int32.TryParse text with
        | true, count when count >= 0 && count <= MaxDescriptors && Seq.forall Char.IsAsciiDigit text -> ValueSome count
        | _ -> ValueNone

    /// Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES (null where unset). Nothing was passed to us unless the first is
    /// `processId`. Descriptors without a name are called "unknown", as sd_listen_fds_with_names has it.
    let decode (processId: int) (listenPid: string) (listenFds: string) (listenFdNames: string) : Passed =
        if isNull listenPid || isNull listenFds || listenPid <> string<int> processId then
            none
        else
            match tryCount listenFds with
            | ValueNone -> none
            | ValueSome count ->
                let names =
                    if String.IsNullOrEmpty listenFdNames then
                        [||]
                    else
                        listenFdNames.Split ':'

                let nameOf index =
                    if index < names.Length && names[index] <> "" then
                        names[index]
                    else
                        "unknown"

                [ for index in 0 .. count - 1 -> nameOf index, FirstDescriptor + index ]

    /// Whether a text where a descriptor is expected can only be a name: numbers begin with a digit, a sign or a blank.
    let isName (text: string) =
        text.Length > 0
        && not (
            Char.IsAsciiDigit text[0]
            || Char.IsWhiteSpace text[0]
            || text[0] = '-'
            || text[0] = '+'
        )

    /// The descriptor of a name.
    let find (name: string) (passed: Passed) : Result<int, QapiError> =
        match passed |> List.filter (fun (known, _) -> known = name) with
        | [ _, fd ] -> Ok fd
        | [] ->
            let known = passed |> List.map fst |> List.distinct

            QapiError.fail (
                "No descriptor was passed under the name '"
                + name
                + "'; LISTEN_FDNAMES has: "
                + String.Join(", ", known)
            )
        | several ->
            QapiError.fail (
                string several.Length
                + " descriptors were passed under the name '"
                + name
                + "'; give the number or FileDescriptorName="
            )
