namespace StorageDaemon.Core.Graph

open StorageDaemon.Core

/// One action on an image file, with an open-file-description lock of one byte.
[<Struct; NoComparison; NoEquality>]
type LockStep =
    /// Take a shared lock (F_OFD_SETLK, F_RDLCK). Fails when a stranger holds the byte exclusively.
    | Take of takenByte: int64
    /// Ask whether an exclusive lock would be granted (F_OFD_GETLK, F_WRLCK). Somebody else's lock is a conflict.
    /// `hinted` is whether the error names the image: the real daemon loses that line on some of its ways.
    | Probe of probedByte: int64 * hinted: bool

/// The change of one image's locks, to be run on the descriptor that is open now. When a step fails, everything
/// taken by this change is released again and the whole graph change is given up. `Release` runs after all images
/// of the graph change have been locked; its errors are ignored.
[<NoComparison; NoEquality>]
type LockChange = {
    Steps: LockStep list
    Release: int64 list
    /// All bytes held afterwards: a descriptor opened anew takes these without probing.
    Held: int64 list
}

/// Image locks: byte 100+i says "permission i is used", byte 200+i "permission i is not shared"; all shared locks, so
/// that any number of users may hold them and a conflict shows only in the probe.
module Locks =
    [<Literal>]
    let UsedBase = 100L

    [<Literal>]
    let UnsharedBase = 200L

    let private bytesFrom (first: int64) (set: Perm) = [
        for i in 0 .. Perm.Count - 1 do
            if Perm.has (Perm.ofIndex i) set then
                first + int64 i
    ]

    /// The bytes that hold `perms`, those of the used permissions first.
    let held (perms: PermPair) : int64 list =
        bytesFrom UsedBase perms.Used
        @ bytesFrom UnsharedBase (Perm.complement perms.Shared)

    /// The change from `old` to `next`: new bytes are taken first, then every permission of `next` is probed against
    /// the opposite byte, because it is the pair of both that makes two processes see each other.
    let change (hinted: bool) (old: PermPair) (next: PermPair) : LockChange =
        let oldUnshared = Perm.complement old.Shared
        let nextUnshared = Perm.complement next.Shared
        let grown = Perm.without old.Used next.Used
        let narrowed = Perm.without oldUnshared nextUnshared
        let probe byte = Probe(byte, hinted)

        let steps =
            if grown = Perm.None && narrowed = Perm.None then
                []
            else
                [
                    yield! bytesFrom UsedBase grown |> List.map Take
                    yield! bytesFrom UnsharedBase narrowed |> List.map Take
                    yield! bytesFrom UnsharedBase next.Used |> List.map probe
                    yield! bytesFrom UsedBase nextUnshared |> List.map probe
                ]

        {
            Steps = steps
            Release =
                bytesFrom UsedBase (Perm.without next.Used old.Used)
                @ bytesFrom UnsharedBase (Perm.without nextUnshared oldUnshared)
            Held = held next
        }

    /// For images that are not locked.
    let none: LockChange = { Steps = []; Release = []; Held = [] }

    /// Two changes of one image, one after the other, as one.
    let append (first: LockChange) (second: LockChange) : LockChange = {
        Steps = first.Steps @ second.Steps
        Release = first.Release @ second.Release
        Held = second.Held
    }

    /// Whether a change asks for nothing.
    let isEmpty (change: LockChange) =
        change.Steps.IsEmpty && change.Release.IsEmpty

    /// The bytes to release when the step number `failed` (from 0) of a change did not succeed.
    let rollback (change: LockChange) (failed: int) : int64 list =
        change.Steps
        |> List.truncate failed
        |> List.choose (function
            | Take byte -> Some byte
            | Probe _ -> None)

    /// The error of a step that failed on the image `filename`.
    let failure (filename: string) (step: LockStep) : QapiError =
        match step with
        | Take byte -> QapiError.generic ("Failed to lock byte " + string byte)
        | Probe(byte, hinted) ->
            let text =
                if byte >= UnsharedBase then
                    "Failed to get \"" + Perm.name (int (byte - UnsharedBase)) + "\" lock"
                else
                    "Failed to get shared \"" + Perm.name (int (byte - UsedBase)) + "\" lock"

            let error = QapiError.generic text

            if hinted then
                error
                |> QapiError.withHint ("Is another process using the image [" + filename + "]?")
            else
                error
