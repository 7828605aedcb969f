namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Qapi

/// The settings of an `iothread` object (qapi/qom.json, IothreadProperties), all settled.
type Iothread = {
    Loop: EventLoop
    PollMaxNs: int64
    PollGrow: int64
    PollShrink: int64
}

/// Checks and defaults of the iothread object, one property at a time, as they are set.
module Iothread =
    let defaults = {
        Loop = EventLoop.defaults
        PollMaxNs = 32768L
        PollGrow = 0L
        PollShrink = 0L
    }

    let class': ObjectClass<Iothread> = {
        Name = "iothread"
        Parent = EventLoop.TypeName
        Interfaces = []
        Inherited =
            EventLoop.properties
            |> List.map (Property.within _.Loop (fun loop iothread -> { iothread with Loop = loop }))
        Own = [
            EventLoop.integer "poll-max-ns" _.PollMaxNs (fun value iothread -> Ok { iothread with PollMaxNs = value })
            EventLoop.integer "poll-grow" _.PollGrow (fun value iothread -> Ok { iothread with PollGrow = value })
            EventLoop.integer "poll-shrink" _.PollShrink (fun value iothread -> Ok { iothread with PollShrink = value })
        ]
    }

    let private put (name: string) (value: int64) (iothread: Iothread) : Result<Iothread, QapiError> =
        EventLoop.put name value iothread.Loop
        |> Result.map (fun loop ->
            match name with
            | "poll-max-ns" -> { iothread with PollMaxNs = value }
            | "poll-grow" -> { iothread with PollGrow = value }
            | "poll-shrink" -> { iothread with PollShrink = value }
            | _ -> { iothread with Loop = loop })

    /// Makes an object from the properties given at its creation. `check` is still to come, after the object has found
    /// its place in the tree.
    let create (given: IothreadProperties) : Result<Iothread, QapiError> =
        [
            "aio-max-batch", given.AioMaxBatch
            "thread-pool-min", given.ThreadPoolMin
            "thread-pool-max", given.ThreadPoolMax
            "poll-max-ns", given.PollMaxNs
            "poll-grow", given.PollGrow
            "poll-shrink", given.PollShrink
        ]
        |> EventLoop.inCreationOrder
        |> List.fold (fun state (name, value) -> Result.bind (put name value) state) (Ok defaults)

    let check (iothread: Iothread) : Result<Iothread, QapiError> =
        EventLoop.checkPool iothread.Loop |> Result.map (fun _ -> iothread)
