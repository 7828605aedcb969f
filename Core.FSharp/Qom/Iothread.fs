namespace StorageDaemon.Core.Qom

open StorageDaemon.Core

/// The settings of an `iothread` object (qapi/qom.json, IothreadProperties), all settled.
type Iothread = {
    AioMaxBatch: int64
    ThreadPoolMin: int64
    ThreadPoolMax: int64
    PollMaxNs: int64
    PollGrow: int64
    PollShrink: int64
}

/// Checks and defaults of the iothread object, one property at a time, as they are set.
module Iothread =
    let defaults = {
        AioMaxBatch = 0L
        ThreadPoolMin = 0L
        ThreadPoolMax = 64L
        PollMaxNs = 32768L
        PollGrow = 0L
        PollShrink = 0L
    }

    /// Property names in the order in which `qom-list` shows them.
    let properties = [
        "thread-pool-min"
        "aio-max-batch"
        "thread-pool-max"
        "poll-max-ns"
        "poll-grow"
        "poll-shrink"
    ]

    let tryGet (name: string) (iothread: Iothread) : int64 option =
        match name with
        | "thread-pool-min" -> Some iothread.ThreadPoolMin
        | "aio-max-batch" -> Some iothread.AioMaxBatch
        | "thread-pool-max" -> Some iothread.ThreadPoolMax
        | "poll-max-ns" -> Some iothread.PollMaxNs
        | "poll-grow" -> Some iothread.PollGrow
        | "poll-shrink" -> Some iothread.PollShrink
        | _ -> None

    let private checkRange name value =
        if value < 0L then
            QapiError.fail (name + " value must be in range [0, 9223372036854775807]")
        else
            Ok()

    /// The pool's bounds belong together: at least one thread, no minimum above the maximum, and both are C ints.
    let checkPool (iothread: Iothread) =
        if
            iothread.ThreadPoolMax = 0L
            || iothread.ThreadPoolMin > iothread.ThreadPoolMax
            || iothread.ThreadPoolMax > 2147483647L
        then
            QapiError.fail "bad thread-pool-min/thread-pool-max values"
        else
            Ok iothread

    /// Sets one property without looking at the others; an unknown name changes nothing.
    let put (name: string) (value: int64) (iothread: Iothread) : Result<Iothread, QapiError> =
        checkRange name value
        |> Result.map (fun () ->
            match name with
            | "thread-pool-min" -> { iothread with ThreadPoolMin = value }
            | "aio-max-batch" -> { iothread with AioMaxBatch = value }
            | "thread-pool-max" -> { iothread with ThreadPoolMax = value }
            | "poll-max-ns" -> { iothread with PollMaxNs = value }
            | "poll-grow" -> { iothread with PollGrow = value }
            | "poll-shrink" -> { iothread with PollShrink = value }
            | _ -> iothread)

    /// Sets a property of an object that is in use.
    let set name value iothread =
        put name value iothread |> Result.bind checkPool

    /// In this order the properties of a new object are set, and their mistakes reported.
    let private creationOrder = [
        "poll-shrink"
        "aio-max-batch"
        "poll-grow"
        "thread-pool-max"
        "thread-pool-min"
        "poll-max-ns"
    ]

    /// Makes an object from the properties given at its creation, each by its name and at most once. `checkPool` is
    /// still to come, after the object has found its place in the tree.
    let create (given: (string * int64) list) : Result<Iothread, QapiError> =
        creationOrder
        |> List.collect (fun name -> given |> List.filter (fun (other, _) -> other = name))
        |> List.fold (fun state (name, value) -> Result.bind (put name value) state) (Ok defaults)
