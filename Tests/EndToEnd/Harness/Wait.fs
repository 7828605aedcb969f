/// Waiting with a limit: nothing in the end-to-end tests may wait for ever.
module StorageDaemon.Tests.Harness.Wait

open System
open System.Diagnostics
open System.Threading

/// The patience for things that take milliseconds on an idle machine.
let defaultTimeout = TimeSpan.FromSeconds 20.0

/// Polls until the condition holds; false when it did not within the limit.
let until (limit: TimeSpan) (condition: unit -> bool) : bool =
    let clock = Stopwatch.StartNew()

    let rec poll (delayMs: int) =
        if condition () then
            true
        elif clock.Elapsed > limit then
            false
        else
            Thread.Sleep delayMs
            poll (min 20 (delayMs + 1))

    poll 1

/// Polls until the condition holds, and fails the test with `what` when it did not.
let orFail (limit: TimeSpan) (what: string) (condition: unit -> bool) : unit =
    if not (until limit condition) then
        failwith $"waited {limit.TotalSeconds:F0} s in vain: {what}"
