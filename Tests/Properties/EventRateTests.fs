/// Events that come too often, against a list of when which was told.
module StorageDaemon.Tests.Properties.EventRateTests

open Expecto
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qmp

let private bad (node: byte) (number: int) : QmpEvent = {
    Name = "QUORUM_REPORT_BAD"
    Data = [
        "node-name", String("n" + string (node % 2uy))
        "sector-num", Int(int64 number)
    ]
}

[<Tests>]
let tests =
    testList "event rate" [
        testProperty "each kind is told at once, then at most once in a period, and its last event always"
        <| fun (steps: (byte * uint16) list) ->
            let mutable rate = EventRate.empty
            let mutable now = 1L
            let mutable told: (int64 * QmpEvent) list = []

            let advance until =
                let mutable go = true

                while go do
                    match EventRate.nextNs rate with
                    | Some due when due <= until ->
                        now <- max now due
                        let struct (events, next) = EventRate.expire now rate
                        rate <- next
                        told <- (events |> List.map (fun event -> now, event)) @ told
                    | _ -> go <- false

                now <- max now until

            let offered =
                steps
                |> List.mapi (fun number (node, wait) ->
                    advance (now + int64 wait * 100_000L)
                    let event = bad node number
                    let struct (atOnce, next) = EventRate.offer now event rate
                    rate <- next

                    if atOnce then
                        told <- (now, event) :: told

                    event)

            advance (now + 10L * EventRate.PeriodNs)
            Expect.isNone (EventRate.nextNs rate) "nothing waits in the end"

            for node in [ "n0"; "n1" ] do
                let ofNode (event: QmpEvent) =
                    List.contains ("node-name", String node) event.Data

                let times = told |> List.filter (snd >> ofNode) |> List.rev
                let all = offered |> List.filter ofNode

                for (before, _), (after, _) in List.pairwise times do
                    Expect.isGreaterThanOrEqual (after - before) EventRate.PeriodNs "a period lies between"

                match all, times with
                | [], told -> Expect.isEmpty told "nothing happened"
                | all, told ->
                    Expect.equal (snd told.Head).Data all.Head.Data "the first is told at once"
                    Expect.equal (snd (List.last told)).Data (List.last all).Data "the last is told"

        testCase "other events have no limit"
        <| fun () ->
            let event = {
                Name = "BLOCK_EXPORT_DELETED"
                Data = [ "id", String "e" ]
            }

            let struct (first, rate) = EventRate.offer 1L event EventRate.empty
            let struct (second, _) = EventRate.offer 1L event rate
            Expect.isTrue (first && second) "both are told"
    ]
