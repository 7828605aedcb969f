namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Qapi

/// What all event loops have to set (qapi/qom.json, EventLoopBaseProperties), all settled.
type EventLoop = {
    AioMaxBatch: int64
    ThreadPoolMin: int64
    ThreadPoolMax: int64
}

/// Checks and defaults of the type `event-loop-base`.
module EventLoop =
    [<Literal>]
    let TypeName = "event-loop-base"

    let defaults = {
        AioMaxBatch = 0L
        ThreadPoolMin = 0L
        ThreadPoolMax = 64L
    }

    /// All values are counts or times, which are not negative.
    let checkRange (name: string) (value: int64) =
        if value < 0L then
            QapiError.fail (name + " value must be in range [0, 9223372036854775807]")
        else
            Ok()

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

    /// A property that is an integer.
    let integer name (get: 'S -> int64) (set: int64 -> 'S -> Result<'S, QapiError>) : Property<'S> =
        Property.make name "int" Codec.int64 get (fun value settings ->
            checkRange name value |> Result.bind (fun () -> set value settings))

    let properties: Property<EventLoop> list = [
        integer "thread-pool-min" _.ThreadPoolMin (fun value loop -> checkPool { loop with ThreadPoolMin = value })
        integer "aio-max-batch" _.AioMaxBatch (fun value loop -> checkPool { loop with AioMaxBatch = value })
        integer "thread-pool-max" _.ThreadPoolMax (fun value loop -> checkPool { loop with ThreadPoolMax = value })
    ]

    /// Sets one property without looking at the others; an unknown name changes nothing.
    let put (name: string) (value: int64) (loop: EventLoop) : Result<EventLoop, QapiError> =
        checkRange name value
        |> Result.map (fun () ->
            match name with
            | "thread-pool-min" -> { loop with ThreadPoolMin = value }
            | "aio-max-batch" -> { loop with AioMaxBatch = value }
            | "thread-pool-max" -> { loop with ThreadPoolMax = value }
            | _ -> loop)

    /// The values that were given, in the order in which the real daemon sets the properties of a new object and
    /// reports their mistakes.
    let inCreationOrder (given: (string * int64 option) list) : (string * int64) list =
        let order = [
            "poll-shrink"
            "aio-max-batch"
            "poll-grow"
            "thread-pool-max"
            "thread-pool-min"
            "poll-max-ns"
        ]

        order
        |> List.collect (fun name -> given |> List.filter (fun (other, _) -> other = name))
        |> List.choose (fun (name, value) -> value |> Option.map (fun value -> name, value))
