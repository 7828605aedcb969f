/// Carries scripts out on a file in memory, and remembers what they wrote.
module StorageDaemon.Tests.Reference.ScriptRunner

open System
open StorageDaemon.Core.Io

/// A write of a script, or the end of a wave of them.
type Step =
    | Wrote of offset: int64 * data: byte[]
    | Flushed

/// Writes into a copy of the file, which grows as files do.
let apply (file: byte[]) (offset: int64) (data: byte[]) : byte[] =
    let bytes: byte[] = Array.zeroCreate (max file.Length (int offset + data.Length))
    Array.blit file 0 bytes 0 file.Length
    Array.blit data 0 bytes (int offset) data.Length
    bytes

/// Runs a script on child 0. Reads have to stay inside the file, as nobody else fills in what is missing.
let run (file: byte[]) (script: IoScript<'T>) : 'T * byte[] * Step list =
    let rec go (file: byte[]) (steps: Step list) (script: IoScript<'T>) =
        match script with
        | Finished value -> value, file, List.rev steps
        | ReadChild(0, offset, length, next) when offset >= 0L && offset + int64 length <= file.LongLength ->
            go file steps (next (Ok(Array.sub file (int offset) length)))
        | WriteChild(0, offset, data, next) -> go (apply file offset data) (Wrote(offset, data) :: steps) (next (Ok()))
        | FlushChild(0, next) -> go file (Flushed :: steps) (next (Ok()))
        | MeasureChild(0, next) -> go file steps (next file.LongLength)
        | ResizeChild(0, bytes, _, next) ->
            let resized: byte[] = Array.zeroCreate (int bytes)
            Array.blit file 0 resized 0 (min file.Length resized.Length)
            go resized steps (next (Ok()))
        | DiscardChild(0, _, _, next) -> go file steps (next (Ok()))
        | Report(_, _, next) -> go file steps (next ())
        | ReadChild(child, offset, length, _) -> invalidOp $"read of {length} bytes at {offset} of child {child}"
        | WriteChild(child, _, _, _)
        | ResizeChild(child, _, _, _)
        | MeasureChild(child, _)
        | DiscardChild(child, _, _, _)
        | FlushChild(child, _) -> invalidOp $"child {child}"

    go file [] script
