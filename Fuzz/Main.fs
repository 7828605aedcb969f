module StorageDaemon.Fuzz.Main

[<EntryPoint>]
let main _ = 0
