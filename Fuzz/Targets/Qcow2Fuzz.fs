/// Any bytes as a qcow2 image: opened, checked and repaired.
module StorageDaemon.Fuzz.Targets.Qcow2Fuzz

open System
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2

/// A repair puts new tables behind everything else; a disk of the fuzzer's ends here, with ENOSPC.
let private diskBytes = 1L <<< 24

let private limits = {
    MemoryBytes = 1L <<< 24
    ReadBytes = 1L <<< 22
    Findings = 10
}

/// Carries a check out on a file in memory, which is returned as the check leaves it.
let private carryOut (fix: CheckFix) (image: byte[]) : Result<CheckReport, CheckError> * byte[] =
    let mutable file = Array.copy image
    let mutable script = Check.run limits fix 0 file.LongLength
    let mutable outcome = ValueNone

    while outcome.IsNone do
        match script with
        | Finished result -> outcome <- ValueSome result
        | ReadChild(_, offset, length, next) -> script <- next (Ok(Array.sub file (int offset) length))
        | WriteChild(_, offset, data, next) when offset + data.LongLength > diskBytes -> script <- next (Error 28)
        | WriteChild(_, offset, data, next) ->
            let last = int offset + data.Length

            if last > file.Length then
                Array.Resize(&file, last)

            Array.blit data 0 file (int offset) data.Length
            script <- next (Ok())
        | FlushChild(_, next)
        | DiscardChild(_, _, _, next) -> script <- next (Ok())
        | MeasureChild(_, next) -> script <- next file.LongLength
        | ResizeChild(_, _, _, next) -> script <- next (Ok())
        | Report(_, _, next) -> script <- next ()

    outcome.Value, file

/// One input of the fuzzer; an exception is a finding.
let run (input: byte[]) =
    Snapshots.decode 0 (ReadOnlySpan input) |> ignore
    BitmapDirectory.decode 512 1048576L 1u (ReadOnlySpan input) |> ignore

    match carryOut CheckFix.Nothing input with
    | _, file when not (ReadOnlySpan(file).SequenceEqual(ReadOnlySpan input)) -> invalidOp "a check has written"
    | _ -> ()

    match carryOut CheckFix.All input with
    | Ok { Corruptions = 0L; CheckErrors = 0L }, file ->
        match carryOut CheckFix.Nothing file with
        | Ok { Corruptions = 0L; CheckErrors = 0L; Leaks = 0L }, _ -> ()
        | Error TooMuch, _ -> ()
        | result, _ -> invalidOp ("a repaired image is not whole: " + string result)
    | _ -> ()
