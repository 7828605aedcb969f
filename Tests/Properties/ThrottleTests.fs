/// The arithmetic of throttle groups: buckets against a naive account of what has been let through.
module StorageDaemon.Tests.Properties.ThrottleTests

open Expecto
open FsCheck
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Qom

let private unlimited: ThrottleBucket = { Average = 0.0; Max = 0.0; BurstSeconds = 1.0 }

let private limitsOf (bucket: ThrottleBucket) : ThrottleLimits = {
    BytesTotal = bucket
    BytesRead = unlimited
    BytesWrite = unlimited
    RequestsTotal = unlimited
    RequestsRead = unlimited
    RequestsWrite = unlimited
    RequestBytes = 0UL
}

/// Sends requests as fast as they are let in; the bytes let through and the time of the last one.
let private drive (limits: ThrottleLimits) (sizes: int64 list) : int64 * int64 =
    let state = ThrottleState 0L

    let step (sent: int64, now: int64) (size: int64) =
        let rec wait now tries =
            Throttle.leak limits now state
            let ns = Throttle.waitNs limits true state

            if ns = 0L then now
            elif tries = 0 then failtest "a request waits for ever"
            else wait (now + ns) (tries - 1)

        let now = wait now 10
        Throttle.account limits true size state
        sent + size, now

    List.fold step (0L, 0L) sizes

[<Tests>]
let tests =
    testList "throttle" [
        testProperty "in the long run the rate is the average"
        <| fun (rate: uint16) (sizes: NonEmptyArray<uint16>) ->
            let rate = float rate * 100.0 + 1000.0
            let bucket = { unlimited with Average = rate }
            let sizes = [
                for _ in 1..200 do
                    for size in sizes.Get -> int64 size + 1L
            ]
            let sent, end' = drive (limitsOf bucket) sizes
            let largest = float (List.max sizes)
            // What may go ahead of the average is the bucket, and the last request.
            let allowed = rate * float end' / 1e9 + rate / 10.0 + 2.0 * largest
            Expect.isLessThanOrEqual (float sent) allowed "no faster"
            let due = rate * float end' / 1e9 - 2.0 * largest - rate / 10.0
            Expect.isGreaterThanOrEqual (float sent) due "no slower"

        testProperty "a burst lasts as long as it may"
        <| fun (seconds: byte) ->
            let seconds = float (seconds % 5uy) + 2.0

            let bucket = { Average = 1000.0; Max = 10000.0; BurstSeconds = seconds }

            let sent, end' = drive (limitsOf bucket) (List.replicate 2000 100L)
            let bound = bucket.Max * seconds + bucket.Average * float end' / 1e9 + 200.0
            Expect.isLessThanOrEqual (float sent) bound "the burst's size is kept"

        testProperty "time never fills a bucket"
        <| fun (steps: (uint32 * uint16) list) ->
            let limits = limitsOf { unlimited with Average = 5000.0 }
            let state = ThrottleState 0L
            let mutable now = 0L

            for pause, size in steps do
                Throttle.account limits true (int64 size) state
                let before = Throttle.waitNs limits true state
                now <- now + int64 pause
                Throttle.leak limits now state
                Expect.isLessThanOrEqual (Throttle.waitNs limits true state) before "waiting only gets shorter"
                Expect.isGreaterThanOrEqual (Throttle.waitNs limits true state) 0L "never negative"

        test "reads and writes have buckets of their own" {
            let limits = {
                limitsOf unlimited with
                    RequestsWrite = { unlimited with Average = 10.0 }
            }

            let state = ThrottleState 0L

            for _ in 1..5 do
                Throttle.account limits true 4096L state

            Expect.isGreaterThan (Throttle.waitNs limits true state) 0L "writes wait"
            Expect.equal (Throttle.waitNs limits false state) 0L "reads do not"
            Expect.isTrue (Throttle.isLimiting limits) "it limits"
            Expect.isFalse (Throttle.isLimiting (limitsOf unlimited)) "it does not"
        }

        test "a long request counts for several" {
            let limits = {
                limitsOf unlimited with
                    RequestsTotal = { unlimited with Average = 100.0 }
                    RequestBytes = 4096UL
            }

            let wait bytes =
                let state = ThrottleState 0L
                Throttle.account limits false bytes state
                Throttle.waitNs limits false state

            Expect.equal (wait 4096L) 0L "one fits"
            Expect.equal (wait 409600L) 900_000_000L "100 requests: ten go at once, the others take 0.9 s"
        }

        testProperty "settings are merged, and bad ones change nothing"
        <| fun (picks: (byte * int64) list) ->
            let given =
                picks
                |> List.map (fun (n, value) -> ThrottleGroup.names[int n % ThrottleGroup.names.Length], value)
                |> Map.ofList

            match ThrottleGroup.merge given ThrottleGroup.defaults with
            | Ok merged ->
                for name in ThrottleGroup.names do
                    let expected = Map.tryFind name given |> Option.defaultValue ThrottleGroup.defaults[name]
                    Expect.equal merged[name] expected name

                Expect.isOk (ThrottleGroup.check merged) "what was merged is valid"
            | Error error -> Expect.isNotEmpty error.Desc "says why"
    ]
