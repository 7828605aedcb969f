namespace StorageDaemon.Core

/// QAPI error classes (QEMU docs/interop/qmp-spec, "Error"). The class is part of the protocol; the text is for people.
type ErrorClass =
    | GenericError
    | CommandNotFound
    | DeviceNotActive
    | DeviceNotFound
    | KVMMissingCap

/// An error as a QMP client or the person at the command line sees it.
type QapiError = {
    Class: ErrorClass
    /// One sentence without a final full stop, the same as the real daemon's.
    Desc: string
    /// A second line that only the command line prints ("Is another process using the image [..]?").
    Hint: string option
    /// The Linux error number for those who can be told no more.
    Errno: int
}

module QapiError =
    let ofClass cls desc = { Class = cls; Desc = desc; Hint = None; Errno = Errno.EIO }

    let generic desc = ofClass GenericError desc
    let withHint hint error = { error with Hint = Some hint }
    let withErrno errno error = { error with Errno = errno }
    /// Puts a text before the description, as each layer of the real daemon does with its own context.
    let prepend prefix error = { error with Desc = prefix + error.Desc }
    let fail desc : Result<'T, QapiError> = Error(generic desc)

    /// The spelling of the class on the wire.
    let className error =
        match error.Class with
        | GenericError -> "GenericError"
        | CommandNotFound -> "CommandNotFound"
        | DeviceNotActive -> "DeviceNotActive"
        | DeviceNotFound -> "DeviceNotFound"
        | KVMMissingCap -> "KVMMissingCap"

/// `result { let! x = ... }` for chains of checks in the control plane.
[<AutoOpen>]
module ResultBuilder =
    type ResultBuilder() =
        member inline _.Bind(m: Result<'A, 'E>, [<InlineIfLambda>] f: 'A -> Result<'B, 'E>) : Result<'B, 'E> =
            match m with
            | Ok x -> f x
            | Error e -> Error e

        member inline _.Return(x: 'A) : Result<'A, 'E> = Ok x
        member inline _.ReturnFrom(m: Result<'A, 'E>) = m
        member inline _.Zero() : Result<unit, 'E> = Ok()
        member inline _.Delay([<InlineIfLambda>] f: unit -> Result<'A, 'E>) = f
        member inline _.Run([<InlineIfLambda>] f: unit -> Result<'A, 'E>) = f ()

        member inline _.Combine(m: Result<unit, 'E>, [<InlineIfLambda>] f: unit -> Result<'A, 'E>) =
            match m with
            | Ok() -> f ()
            | Error e -> Error e

    let result = ResultBuilder()
