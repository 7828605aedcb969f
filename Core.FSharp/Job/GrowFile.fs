namespace StorageDaemon.Core.Job

open StorageDaemon.Core.Io
open StorageDaemon.Core.Qapi

/// How a host file gets another length, and what its new part is.
module GrowFile =
    let setLength (bytes: int64) =
        SetLength bytes, Fatal "Could not resize file"

    /// From a length to another, with what may speak against it once the steps are taken.
    let steps
        (current: int64)
        (bytes: int64)
        (mode: PreallocMode)
        : struct ((FileStep * StepFailure) list * Result<unit, string>) =
        let more = bytes - current

        match mode with
        | PreallocMode.Off -> struct ([ setLength bytes ], Ok())
        | PreallocMode.Metadata -> struct ([], Error "Unsupported preallocation mode: metadata")
        | _ when more < 0L -> struct ([], Error "Cannot use preallocation for shrinking files")
        | PreallocMode.Falloc when more = 0L -> struct ([], Ok())
        | PreallocMode.Falloc -> struct ([ Allocate(current, more), Fatal "Could not preallocate new data" ], Ok())
        | PreallocMode.Full ->
            struct ([
                        setLength bytes
                        FillWithZeroes(current, more), Fatal "Could not write zeros for preallocation"
                        FlushToDisk, Fatal "Could not flush file to disk"
                    ],
                    Ok())

    /// What a script asks for, as a task on a file that is that long now.
    let task (current: int64) (bytes: int64) (mode: GrowthMode) : FileTask =
        let mode =
            match mode with
            | Sparse -> PreallocMode.Off
            | Reserved -> PreallocMode.Falloc
            | Zeroed -> PreallocMode.Full

        let struct (steps, verdict) = steps current bytes mode

        {
            Steps = steps
            Verdict = verdict
            LengthOnFailureBytes = current
        }
