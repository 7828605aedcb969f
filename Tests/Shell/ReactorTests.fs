module StorageDaemon.Tests.Shell.ReactorTests

open System
open System.Collections.Generic
open System.Threading
open Expecto
open StorageDaemon.Shell.Control
open StorageDaemon.Shell.Exports.Nbd
open StorageDaemon.Shell.Native
open StorageDaemon.Tests.Shell.ShellSupport

let private pipe () =
    let ends = NativeInterop.NativePtr.stackalloc<int> 2
    Expect.equal (Libc.Pipe2(ends, Libc.O_CLOEXEC)) 0 "pipe"
    struct (NativeInterop.NativePtr.get ends 0, NativeInterop.NativePtr.get ends 1)

let private writeByte fd =
    let mutable b = 1uy
    let count = Libc.Write(fd, NativeInterop.NativePtr.toVoidPtr &&b, 1un)
    Expect.equal (int count) 1 "written"

[<Tests>]
let tests =
    testSequenced
    <| testList "Shell.Reactor" [
        test "timers run in order of due time, equal times in order of arrival" {
            withReactor (fun reactor ->
                let seen = List<int>()
                reactor.AfterMs(30L, (fun () -> seen.Add 3)) |> ignore
                reactor.AfterMs(0L, (fun () -> seen.Add 1)) |> ignore
                reactor.AfterMs(0L, (fun () -> seen.Add 2)) |> ignore
                pumpUntil reactor "three timers ran" (fun () -> seen.Count = 3)
                Expect.sequenceEqual seen [ 1; 2; 3 ] "order")
        }

        test "a cancelled timer does not run, and a crowd of cancelled ones does not hide a live one" {
            withReactor (fun reactor ->
                let mutable ran = 0
                let live = reactor.AfterMs(20L, (fun () -> ran <- ran + 1))

                for _ in 1..500 do
                    reactor.AfterMs(10L, (fun () -> ran <- ran + 1000)).Cancel()

                pumpFor reactor 60L
                Expect.equal ran 1 "only the live one"
                live.Cancel())
        }

        test "a timer that starts a timer for now does not starve the loop" {
            withReactor (fun reactor ->
                let mutable rounds = 0

                let rec again () =
                    rounds <- rounds + 1
                    reactor.AfterMs(0L, again) |> ignore

                again ()
                reactor.RunOnce 0
                Expect.isLessThan rounds 4 "one round a batch")
        }

        test "work posted by another thread wakes the loop" {
            withReactor (fun reactor ->
                let mutable thread = 0

                let poster =
                    Thread(fun () ->
                        sleepMs 20
                        reactor.Post(fun () -> thread <- Environment.CurrentManagedThreadId))

                poster.Start()
                reactor.RunOnce 3000
                pumpUntil reactor "the post ran" (fun () -> thread <> 0)
                Expect.equal thread Environment.CurrentManagedThreadId "on the loop's thread"
                poster.Join())
        }

        test "deferred work runs after the batch, and what it defers in the next" {
            withReactor (fun reactor ->
                let seen = List<string>()

                reactor.Post(fun () ->
                    reactor.Defer(fun () ->
                        seen.Add "deferred"
                        reactor.Defer(fun () -> seen.Add "again"))

                    seen.Add "posted")

                reactor.RunOnce 100
                Expect.sequenceEqual seen [ "posted"; "deferred" ] "first batch"
                reactor.RunOnce 100
                Expect.sequenceEqual seen [ "posted"; "deferred"; "again" ] "second batch")
        }

        test "a registration dropped by a handler hears nothing of the same batch, nor does its slot's next owner" {
            withReactor (fun reactor ->
                let struct (firstRead, firstWrite) = pipe ()
                let struct (secondRead, secondWrite) = pipe ()
                let struct (idleRead, idleWrite) = pipe ()
                writeByte firstWrite
                writeByte secondWrite
                let registrations = Dictionary<int, Reactor.Registration>()
                let mutable calls = 0
                let mutable idleCalls = 0

                let dropTheOther other _ =
                    calls <- calls + 1
                    registrations[other].Dispose()

                    registrations[other] <-
                        reactor.Register(idleRead, Libc.EPOLLIN, (fun _ -> idleCalls <- idleCalls + 1))

                registrations[firstRead] <- reactor.Register(firstRead, Libc.EPOLLIN, dropTheOther secondRead)
                registrations[secondRead] <- reactor.Register(secondRead, Libc.EPOLLIN, dropTheOther firstRead)
                reactor.RunOnce 100
                Expect.equal calls 1 "only the first of the two"
                Expect.equal idleCalls 0 "the new owner of the slot"

                for KeyValue(_, registration) in registrations do
                    registration.Dispose()

                for fd in [ firstRead; firstWrite; secondRead; secondWrite; idleRead; idleWrite ] do
                    Libc.Close fd |> ignore)
        }

        test "Modify changes what is heard" {
            withReactor (fun reactor ->
                let struct (readEnd, writeEnd) = pipe ()
                let mutable calls = 0
                use registration = reactor.Register(readEnd, Libc.EPOLLIN, (fun _ -> calls <- calls + 1))
                registration.Modify 0u
                writeByte writeEnd
                pumpFor reactor 20L
                Expect.equal calls 0 "deaf"
                registration.Modify Libc.EPOLLIN
                reactor.RunOnce 100
                Expect.equal calls 1 "hears again"
                registration.Dispose()
                Libc.Close readEnd |> ignore
                Libc.Close writeEnd |> ignore)
        }

        test "what epoll refuses counts as ready" {
            withReactor (fun reactor ->
                let fd = Libc.Open("/dev/null", Libc.O_RDWR ||| Libc.O_CLOEXEC, 0u)
                let mutable events = 0u
                use registration = reactor.Register(fd, Libc.EPOLLIN ||| Libc.EPOLLOUT, (fun e -> events <- e))
                reactor.RunOnce 100
                Expect.equal events (Libc.EPOLLIN ||| Libc.EPOLLOUT) "both"
                registration.Dispose()
                Libc.Close fd |> ignore)
        }

        test "Stop ends Run, and Run can be entered again" {
            withReactor (fun reactor ->
                for _ in 1..2 do
                    reactor.AfterMs(5L, (fun () -> reactor.Stop())) |> ignore
                    reactor.Run())
        }

        test "waiting for a descriptor gives way to the interrupting one" {
            withReactor (fun reactor ->
                let struct (readEnd, writeEnd) = pipe ()
                let struct (signalEnd, raiseEnd) = pipe ()
                reactor.InterruptFd <- signalEnd
                writeByte writeEnd
                Expect.equal (reactor.WaitForAny(ReadOnlySpan [| signalEnd; readEnd |], Libc.EPOLLIN)) 1 "ready"
                writeByte raiseEnd
                Expect.equal (reactor.WaitForAny(ReadOnlySpan [| readEnd |], Libc.EPOLLIN)) -1 "interrupted"

                for fd in [ readEnd; writeEnd; signalEnd; raiseEnd ] do
                    Libc.Close fd |> ignore)
        }

        test "a handshake whose descriptor the kernel does not watch ends, and nothing else does" {
            withReactor (fun reactor ->
                let mutable ends = 0
                let exports = Func<_>(fun () -> List.empty<StorageDaemon.Core.Nbd.ExportInfo>)
                let ended = Action<_, _, _>(fun _ _ _ -> ends <- ends + 1)
                let handshake = NbdHandshake(reactor, -1, Array.zeroCreate 64, exports, ended)
                handshake.Start 10u
                Expect.equal ends 1 "told"
                handshake.Abort()
                pumpFor reactor 20L
                Expect.equal ends 1 "once")
        }

        test "a reactor leaves no descriptor behind" {
            leavesNoDescriptors (fun () -> withReactor (fun reactor -> reactor.RunOnce 0))
        }
    ]
