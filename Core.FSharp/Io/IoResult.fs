namespace StorageDaemon.Core.Io

/// How scripts are put together. No part of it recurses deeper than scripts are nested, however long they are.
[<RequireQualifiedAccess>]
module IoScript =
    /// Lets something else follow the request that an unfinished script begins with.
    let inline private onward
        ([<InlineIfLambda>] follow: IoScript<'A> -> IoScript<'B>)
        (script: IoScript<'A>)
        : IoScript<'B> =
        match script with
        | Finished _ -> invalidOp "The script has no next request."
        | ReadChild(child, offset, length, resume) ->
            ReadChild(child, offset, length, (fun result -> follow (resume result)))
        | WriteChild(child, offset, data, resume) ->
            WriteChild(child, offset, data, (fun result -> follow (resume result)))
        | FlushChild(child, resume) -> FlushChild(child, (fun result -> follow (resume result)))
        | MeasureChild(child, resume) -> MeasureChild(child, (fun bytes -> follow (resume bytes)))
        | ResizeChild(child, bytes, mode, resume) ->
            ResizeChild(child, bytes, mode, (fun result -> follow (resume result)))
        | Report(current, total, resume) -> Report(current, total, (fun () -> follow (resume ())))
        | DiscardChild(child, offset, length, resume) ->
            DiscardChild(child, offset, length, (fun result -> follow (resume result)))

    let rec bind (next: 'A -> IoScript<'B>) (script: IoScript<'A>) : IoScript<'B> =
        match script with
        | Finished value -> next value
        | _ -> onward (fun rest -> bind next rest) script

    /// Goes on with `script`, the visit before `index`, and then visits `index` to `last`.
    let rec private visitFrom
        (index: int64)
        (last: int64)
        (visit: int64 -> IoScript<Result<unit, 'E>>)
        (script: IoScript<Result<unit, 'E>>)
        : IoScript<Result<unit, 'E>> =
        let mutable index = index
        let mutable script = script
        let mutable isAtEnd = false

        // Visits without I/O come one after the other here, not one inside the other.
        while not isAtEnd do
            match script with
            | Finished(Ok()) when index <= last ->
                script <- visit index
                index <- index + 1L
            | _ -> isAtEnd <- true

        let next = index

        match script with
        | Finished _ -> script
        | _ -> onward (fun rest -> visitFrom next last visit rest) script

    /// Visits the numbers from `first` to `last` until one visit fails.
    let forAll (first: int64) (last: int64) (visit: int64 -> IoScript<Result<unit, 'E>>) : IoScript<Result<unit, 'E>> =
        visitFrom first last visit (Finished(Ok()))

    let mapError (convert: 'E -> 'F) (script: IoScript<Result<'T, 'E>>) : IoScript<Result<'T, 'F>> =
        bind (Result.mapError convert >> Finished) script

    let ofResult (result: Result<'T, 'E>) : IoScript<Result<'T, 'E>> = Finished result

    let write (child: int) (offset: int64) (data: byte[]) : IoScript<Result<unit, int>> =
        WriteChild(child, offset, data, Finished)

    let flush (child: int) : IoScript<Result<unit, int>> = FlushChild(child, Finished)

    let resize (child: int) (bytes: int64) (mode: GrowthMode) : IoScript<Result<unit, string>> =
        ResizeChild(child, bytes, mode, Finished)

/// `ioResult { let! bytes = … }` for scripts whose steps may fail.
[<AutoOpen>]
module IoResultBuilder =
    type IoResultBuilder() =
        member _.Bind
            (script: IoScript<Result<'A, 'E>>, next: 'A -> IoScript<Result<'B, 'E>>)
            : IoScript<Result<'B, 'E>> =
            script
            |> IoScript.bind (function
                | Ok value -> next value
                | Error error -> Finished(Error error))

        member _.Return(value: 'A) : IoScript<Result<'A, 'E>> = Finished(Ok value)
        member _.ReturnFrom(script: IoScript<Result<'A, 'E>>) = script
        member _.Zero() : IoScript<Result<unit, 'E>> = Finished(Ok())
        member _.Delay(step: unit -> IoScript<Result<'A, 'E>>) = step
        member _.Run(step: unit -> IoScript<Result<'A, 'E>>) = step ()

        member this.Combine(script: IoScript<Result<unit, 'E>>, next: unit -> IoScript<Result<'A, 'E>>) =
            this.Bind(script, next)

    let ioResult = IoResultBuilder()
