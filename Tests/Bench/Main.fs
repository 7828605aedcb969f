module StorageDaemon.Bench.Main

[<EntryPoint>]
let main _ = 0
