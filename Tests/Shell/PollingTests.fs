/// How long idle threads look for work.
module StorageDaemon.Tests.Shell.PollingTests

open Expecto
open Expecto.Flip
open StorageDaemon.Shell.IOThreads

let private policy () =
    let mutable policy = PollingPolicy(MaxNs = 50_000L, Grow = 2L, Shrink = 2L)
    policy.Waited 10_000L
    policy

[<Tests>]
let tests =
    testList "polling" [
        test "work within reach lets the time grow up to the limit, work out of reach lets it shrink" {
            let mutable policy = policy ()
            let first = policy.CurrentNs 0L
            Expect.isGreaterThan "something" (first, 0L)

            for _ in 1..10 do
                policy.Waited 50_000L

            Expect.equal "the limit" 50_000L (policy.CurrentNs 0L)
            policy.Waited 60_000L
            Expect.equal "half of it" 25_000L (policy.CurrentNs 0L)
        }

        test "a processor that others need is left to them, for longer each time" {
            let mutable policy = policy ()
            let millisecond = 1_000_000L
            Expect.isTrue "nobody took it for long" (policy.Yielded(0L, 20_000L))
            let mutable now = 10_000L * millisecond

            for rest in [ 1L; 2L; 4L; 8L; 16L; 32L; 64L; 128L; 256L; 512L; 512L ] do
                Expect.isFalse "somebody did" (policy.Yielded(now, 3L * millisecond))
                Expect.equal "no polling" 0L (policy.CurrentNs(now + rest * millisecond - 1L))
                now <- now + rest * millisecond
                Expect.isGreaterThan "polling again" (policy.CurrentNs now, 0L)

            now <- now + 10_000L * millisecond
            policy.Yielded(now, 3L * millisecond) |> ignore
            Expect.isGreaterThan "forgotten" (policy.CurrentNs(now + millisecond), 0L)
        }
    ]
