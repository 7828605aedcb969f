namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Qapi

/// What all event loops have to set (qapi/qom.json, EventLoopBaseProperties), all settled.
type EventLoop = {
    AioMaxBatch: int64
    ThreadPoolMin: int64
    ThreadPoolMax: int64
}

/// A count or a time among the settings of an event loop.
[<NoComparison; NoEquality>]
type LoopSetting<'S> = { Name: string; Get: 'S -> int64; Put: int64 -> 'S -> 'S }

/// Checks and defaults of the type `event-loop-base`.
module EventLoop =
    [<Literal>]
    let TypeName = "event-loop-base"

    let defaults = {
        AioMaxBatch = 0L
        ThreadPoolMin = 0L
        ThreadPoolMax = 64L
    }

    /// The pool's bounds belong together: at least one thread, no minimum above the maximum, and both are C ints.
    let checkPool (loop: EventLoop) =
        if
            loop.ThreadPoolMax = 0L
            || loop.ThreadPoolMin > loop.ThreadPoolMax
            || loop.ThreadPoolMax > 2147483647L
        then
            QapiError.fail "bad thread-pool-min/thread-pool-max values"
        else
            Ok loop

    let setting name get put : LoopSetting<'S> = { Name = name; Get = get; Put = put }

    /// In the order in which `qom-list` shows them.
    let settings: LoopSetting<EventLoop> list = [
        setting "thread-pool-min" _.ThreadPoolMin (fun value loop -> { loop with ThreadPoolMin = value })
        setting "aio-max-batch" _.AioMaxBatch (fun value loop -> { loop with AioMaxBatch = value })
        setting "thread-pool-max" _.ThreadPoolMax (fun value loop -> { loop with ThreadPoolMax = value })
    ]

    /// The setting of a part of other settings.
    let within (get: 'Outer -> 'Inner) (put: 'Inner -> 'Outer -> 'Outer) (inner: LoopSetting<'Inner>) =
        setting inner.Name (get >> inner.Get) (fun value outer -> put (inner.Put value (get outer)) outer)

    /// Sets a value without looking at the others.
    let private set (setting: LoopSetting<'S>) (value: int64) (settings: 'S) : Result<'S, QapiError> =
        if value < 0L then
            QapiError.fail (setting.Name + " value must be in range [0, 9223372036854775807]")
        else
            Ok(setting.Put value settings)

    /// The property of objects that are in use: `check` looks at all settings together.
    let property (check: 'S -> Result<'S, QapiError>) (setting: LoopSetting<'S>) : Property<'S> =
        Property.make setting.Name "int" Codec.int64 setting.Get (fun value settings ->
            set setting value settings |> Result.bind check)

    /// In this order the real daemon sets the properties of a new object, and reports their mistakes.
    let private creationOrder = [
        "poll-shrink"
        "aio-max-batch"
        "poll-grow"
        "thread-pool-max"
        "thread-pool-min"
        "poll-max-ns"
    ]

    /// Settings from what was given for a new object. To look at all of them together is still to come, after the
    /// object has found its place in the tree.
    let create
        (settings: LoopSetting<'S> list)
        (defaults: 'S)
        (given: (string * int64 option) list)
        : Result<'S, QapiError> =
        let values = Map.ofList given

        creationOrder
        |> List.fold
            (fun state name ->
                match values |> Map.tryFind name |> Option.flatten with
                | Some value ->
                    let setting = settings |> List.find (fun setting -> setting.Name = name)
                    Result.bind (set setting value) state
                | None -> state)
            (Ok defaults)

    /// What was given of the settings of all event loops, by name.
    let given (properties: EventLoopProperties) : (string * int64 option) list = [
        "aio-max-batch", properties.AioMaxBatch
        "thread-pool-min", properties.ThreadPoolMin
        "thread-pool-max", properties.ThreadPoolMax
    ]
