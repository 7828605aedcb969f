/// Tests that need a tool which is not installed are skipped, and say why.
module StorageDaemon.Tests.Harness.Requires

open Expecto

/// Skips the running test with a printed reason.
let skip (reason: string) : 'a =
    eprintfn "SKIPPED: %s" reason
    skiptest reason

/// The path of a tool, or the test is skipped.
let tool (name: string) : string =
    match ChildProcess.find name with
    | Some path -> path
    | None -> skip $"requires {name}, which is not installed"

/// The path of the real daemon, or the test is skipped.
let realDaemon () : string =
    match Binaries.realDaemon with
    | Some path -> path
    | None -> skip "requires qemu-storage-daemon, which is not installed"

/// Skips the test unless the condition holds.
let that (condition: bool) (reason: string) : unit =
    if not condition then
        skip reason
