namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Qapi

/// The `main-loop` object: settings of the daemon's main loop. It serves no requests here, so they are only kept.
module MainLoop =
    let class': ObjectClass<EventLoop> = {
        Name = "main-loop"
        Parent = EventLoop.TypeName
        Interfaces = []
        Inherited = List.map (EventLoop.property EventLoop.checkPool) EventLoop.settings
        Own = []
    }

    /// A new object; `EventLoop.checkPool` is still to come.
    let create (given: EventLoopProperties) : Result<EventLoop, QapiError> =
        EventLoop.create EventLoop.settings EventLoop.defaults (EventLoop.given given)
