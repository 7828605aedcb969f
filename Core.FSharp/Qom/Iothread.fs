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

/// The iothread object: a thread that serves exports.
module Iothread =
    let defaults = {
        Loop = EventLoop.defaults
        PollMaxNs = 32768L
        PollGrow = 0L
        PollShrink = 0L
    }

    let check (iothread: Iothread) : Result<Iothread, QapiError> =
        EventLoop.checkPool iothread.Loop |> Result.map (fun _ -> iothread)

    let private inherited =
        EventLoop.settings
        |> List.map (EventLoop.within _.Loop (fun loop iothread -> { iothread with Loop = loop }))

    let private own = [
        EventLoop.setting "poll-max-ns" _.PollMaxNs (fun value iothread -> { iothread with PollMaxNs = value })
        EventLoop.setting "poll-grow" _.PollGrow (fun value iothread -> { iothread with PollGrow = value })
        EventLoop.setting "poll-shrink" _.PollShrink (fun value iothread -> { iothread with PollShrink = value })
    ]

    let class': ObjectClass<Iothread> = {
        Name = "iothread"
        Parent = EventLoop.TypeName
        Interfaces = []
        Inherited = List.map (EventLoop.property check) inherited
        Own = List.map (EventLoop.property check) own
    }

    /// A new object; `check` is still to come.
    let create (given: IothreadProperties) : Result<Iothread, QapiError> =
        EventLoop.given given.Loop
        @ [
            "poll-max-ns", given.PollMaxNs
            "poll-grow", given.PollGrow
            "poll-shrink", given.PollShrink
        ]
        |> EventLoop.create (inherited @ own) defaults
