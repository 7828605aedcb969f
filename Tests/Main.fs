module StorageDaemon.Tests.Main

open Expecto
open StorageDaemon.Tests.Crash

[<EntryPoint>]
let main argv =
    match List.ofArray argv with
    | "crash" :: rest -> CrashRun.main rest
    | _ -> runTestsInAssemblyWithCLIArgs [] argv
