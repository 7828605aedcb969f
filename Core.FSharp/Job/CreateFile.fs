namespace StorageDaemon.Core.Job

open System
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi

/// A host file to be made.
type FileCreation = {
    Filename: string
    /// A size above 2^63 is negative here, and refused by the kernel.
    SizeBytes: int64
    Preallocation: PreallocMode
    WriteInPlace: bool
    /// None for the default, whose failure is nobody's business.
    ExtentSizeHint: uint64 option
}

/// How a host file is made: opened or created, locked, emptied, and brought to its length.
module CreateFile =
    [<Literal>]
    let private DefaultExtentSizeBytes = 0x100000u

    let ofOptions (options: BlockdevCreateOptionsFile) : FileCreation = {
        Filename = options.Filename
        SizeBytes = int64 options.Size
        Preallocation = defaultArg options.Preallocation PreallocMode.Off
        WriteInPlace = options.Nocow = Some true
        ExtentSizeHint = options.ExtentSizeHint
    }

    /// What can be said before the file is touched.
    let check (creation: FileCreation) : Result<unit, string> =
        match creation.ExtentSizeHint with
        | Some hint when hint > uint64 UInt32.MaxValue -> Error "Extent size hint is too large"
        // Sets of descriptors, which a storage daemon has no commands for.
        | _ when creation.Filename.StartsWith("/dev/fdset/", StringComparison.Ordinal) ->
            Error "Function not implemented"
        | _ -> Ok()

    /// The file is written and resized meanwhile, and nobody else may resize it.
    let locks: LockChange =
        Locks.change false { Used = Perm.None; Shared = Perm.All } {
            Used = Perm.Write ||| Perm.Resize
            Shared = Perm.without Perm.Resize Perm.All
        }

    let openFailure (filename: string) (reason: string) : string =
        "Could not create '" + filename + "': " + reason

    let private extentSize (creation: FileCreation) =
        match creation.ExtentSizeHint with
        | Some hint -> ExtendBy(uint32 hint), Warned "Failed to set extent size hint"
        | None -> ExtendBy DefaultExtentSizeBytes, Ignored

    /// The steps on the file once it is open and locked. `check` has passed.
    let task (creation: FileCreation) : FileTask =
        let struct (steps, verdict) = GrowFile.steps 0L creation.SizeBytes creation.Preallocation

        {
            Steps = [
                // Old contents go first: what is to be allocated must not be taken for allocated already.
                GrowFile.setLength 0L
                // Only an empty file can be told how it is to be stored.
                if creation.WriteInPlace then
                    FileStep.WriteInPlace, Ignored
                extentSize creation
                yield! steps
            ]
            Verdict = verdict
            LengthOnFailureBytes = 0L
        }
