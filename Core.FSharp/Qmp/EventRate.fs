namespace StorageDaemon.Core.Qmp

open StorageDaemon.Core.Json

/// One event for monitors.
[<NoComparison>]
type QmpEvent = { Name: string; Data: (string * Json) list }

/// Events that may happen without end, such as errors of a disk: after one has been told, the next of its kind waits
/// until a period is over, and only the last of those that came meanwhile is told then. Times are in nanoseconds of any
/// clock that does not go back.
[<NoComparison; NoEquality>]
type EventRate = private {
    /// By kind: when the next may be told, and the one that waits for it.
    Kinds: Map<string * string, struct (int64 * QmpEvent option)>
}

module EventRate =
    /// A second.
    [<Literal>]
    let PeriodNs = 1_000_000_000L

    let empty: EventRate = { Kinds = Map.empty }

    /// The member that tells kinds of a limited event apart; nothing for events without limit.
    let private limited (name: string) : string option voption =
        match name with
        | "QUORUM_FAILURE" -> ValueSome None
        | "QUORUM_REPORT_BAD" -> ValueSome(Some "node-name")
        | _ -> ValueNone

    let private kind (event: QmpEvent) (key: string option) : string * string =
        let value =
            match key with
            | None -> ""
            | Some key ->
                match event.Data |> List.tryFind (fun (name, _) -> name = key) with
                | Some(_, String text) -> text
                | _ -> ""

        event.Name, value

    /// An event happens: whether to tell it now.
    let offer (nowNs: int64) (event: QmpEvent) (rate: EventRate) : struct (bool * EventRate) =
        match limited event.Name with
        | ValueNone -> struct (true, rate)
        | ValueSome key ->
            let kind = kind event key

            match rate.Kinds.TryFind kind with
            | Some struct (dueNs, _) when nowNs < dueNs ->
                struct (false, { Kinds = rate.Kinds.Add(kind, struct (dueNs, Some event)) })
            | _ ->
                struct (true,
                        {
                            Kinds = rate.Kinds.Add(kind, struct (nowNs + PeriodNs, None))
                        })

    /// Events whose time has come, and kinds that are forgotten because nothing happened in their period.
    let expire (nowNs: int64) (rate: EventRate) : struct (QmpEvent list * EventRate) =
        rate.Kinds
        |> Map.fold
            (fun struct (events, rate) kind struct (dueNs, waiting) ->
                match waiting with
                | _ when nowNs < dueNs -> struct (events, rate)
                | Some event ->
                    struct (events @ [ event ],
                            {
                                Kinds = rate.Kinds.Add(kind, struct (nowNs + PeriodNs, None))
                            })
                | None -> struct (events, { Kinds = rate.Kinds.Remove kind }))
            (struct ([], rate))

    /// When to call `expire` next; nothing where nothing waits.
    let nextNs (rate: EventRate) : int64 option =
        if rate.Kinds.IsEmpty then
            None
        else
            rate.Kinds
            |> Map.toSeq
            |> Seq.map (fun (_, struct (dueNs, _)) -> dueNs)
            |> Seq.min
            |> Some
