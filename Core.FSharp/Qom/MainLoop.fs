namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Qapi

/// The `main-loop` object: settings of the daemon's main loop. It serves no requests here, so they only are kept.
module MainLoop =
    let class': ObjectClass<EventLoop> = {
        Name = "main-loop"
        Parent = EventLoop.TypeName
        Interfaces = []
        Inherited = EventLoop.properties
        Own = []
    }

    /// `EventLoop.checkPool` is still to come, after the object has found its place in the tree.
    let create (given: MainLoopProperties) : Result<EventLoop, QapiError> =
        [
            "aio-max-batch", given.AioMaxBatch
            "thread-pool-min", given.ThreadPoolMin
            "thread-pool-max", given.ThreadPoolMax
        ]
        |> EventLoop.inCreationOrder
        |> List.fold (fun state (name, value) -> Result.bind (EventLoop.put name value) state) (Ok EventLoop.defaults)
