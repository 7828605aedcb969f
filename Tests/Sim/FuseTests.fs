/// The channel of a FUSE mount on a real IOThread; the test plays the kernel, over a socket that keeps messages apart.
module StorageDaemon.Tests.Sim.FuseTests

#nowarn "9"

open System
open System.Threading
open FSharp.NativeInterop
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Fuse
open StorageDaemon.Core.Fuse.Wire
open StorageDaemon.Core.Io
open StorageDaemon.Shell.Drivers
open StorageDaemon.Shell.Exports.Fuse
open StorageDaemon.Shell.IOThreads
open StorageDaemon.Shell.Native
open StorageDaemon.Tests.Generators.FuseGen
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Sim.Rig

[<Literal>]
let private SOCK_SEQPACKET = 5

let private writable = Session.create true true true 0u 0u
let private noResize = ResizeRequest(fun _ _ answer -> answer.Invoke Errno.EBUSY)

/// A reply, valid until the next one.
[<Struct; NoEquality; NoComparison>]
type private Answer(buffer: byte[], length: int) =
    member _.Length = length
    member _.U32(offset: int) =
        int (readU32 (ReadOnlySpan<byte>(buffer, 0, length)) offset)
    member _.Unique = int (readU64 (ReadOnlySpan<byte>(buffer, 0, length)) 8)
    member _.Data = buffer[OutHeaderLength .. length - 1]

/// The kernel's end: blocking, a message at a time.
type private Kernel(fd: int) =
    let buffer = Array.zeroCreate<byte>(256 <<< 10)

    member _.Send(message: byte[]) =
        use bytes = fixed message
        let sent = Libc.Write(fd, NativePtr.toVoidPtr bytes, unativeint message.Length)
        Expect.equal (int sent) message.Length "sent"

    /// The next reply.
    member _.Receive() : Answer =
        use bytes = fixed buffer
        let count = Libc.Read(fd, NativePtr.toVoidPtr bytes, unativeint buffer.Length)
        Expect.isGreaterThanOrEqual (int count) OutHeaderLength "a reply"
        Answer(buffer, int count)

    member _.Close() = Libc.Close fd |> ignore

let private connect (rig: Rig) (file: FuseFile) (resize: ResizeRequest) : Kernel * FuseChannel =
    let pair = NativePtr.stackalloc<int> 2

    if Libc.SocketPair(Libc.AF_UNIX, SOCK_SEQPACKET ||| Libc.SOCK_CLOEXEC, 0, pair) < 0 then
        failwith "socketpair"

    let served = NativePtr.get pair 0
    Libc.Fcntl(served, Libc.F_SETFL, nativeint Libc.O_NONBLOCK) |> ignore
    Kernel(NativePtr.get pair 1), rig.ServeFuse(served, file, resize)

let private withUnique (unique: uint64) (message: byte[]) =
    writeU64 (Span<byte> message) 8 unique
    message

let private allocated (rig: Rig) =
    let bytes = [| -1L |]
    rig.Thread.Post(fun () -> Volatile.Write(&bytes[0], GC.GetAllocatedBytesForCurrentThread()))

    while Volatile.Read &bytes[0] < 0L do
        Thread.Sleep 0

    bytes[0]

let private content = Array.create (int sizeBytes + int baseOffset) 3uy

let private allocatesNothing (name: string) (throughRing: bool) (message: byte[]) =
    test (name + (if throughRing then ", through the ring" else "")) {
        withFile content AioEngine.IoUring throughRing plenty (fun rig _ ->
            let kernel, _ = connect rig writable noResize

            let ask count =
                for _ in 1 .. count / 8 do
                    for _ in 1..8 do
                        kernel.Send message

                    for _ in 1..8 do
                        let answer = kernel.Receive()
                        Expect.equal (answer.U32 4) 0 "success"

            ask 400
            allocated rig |> ignore

            let measure () =
                let idle = allocated rig
                let before = allocated rig
                ask 1600
                let after = allocated rig
                (after - before) - (before - idle)

            let runs = Seq.init 4 (fun _ -> measure ())
            let least = runs |> Seq.tryFind ((=) 0L) |> Option.defaultWith measure
            Expect.equal least 0L "bytes beyond what asking costs"
            kernel.Close()
            rig.ExpectIdle())
    }

[<Tests>]
let tests =
    testSequenced
    <| testList "Sim.FUSE" [
        for throughRing in [ false; true ] do
            allocatesNothing "4 KiB reads allocate nothing" throughRing (read 8192UL 4096UL)
            allocatesNothing "4 KiB writes allocate nothing" throughRing (write 8192UL 4096)

        allocatesNothing "questions about holes allocate nothing" false (seek 4UL 0UL)
        allocatesNothing "attributes allocate nothing" false (message FUSE_GETATTR (Array.zeroCreate 16))

        test "many at once, in pauses and without" {
            withFile content AioEngine.IoUring true plenty (fun rig path ->
                let kernel, channel = connect rig writable noResize
                let random = Random 7
                let expected = Array.create (int sizeBytes) 3uy

                for round in 0..20 do
                    let sizes = Array.init 12 (fun _ -> 1 + random.Next 60000)

                    sizes
                    |> Array.iteri (fun i length ->
                        let offset = i * 65536 + random.Next 4096
                        let bytes = Array.init length (fun k -> byte (round + i + k))
                        bytes.CopyTo(expected, offset)
                        let message = write (uint64 offset) length |> withUnique (uint64 i)
                        bytes.CopyTo(message, WriteDataOffset)
                        kernel.Send message)

                    if round % 2 = 0 then
                        let drain = Drain()
                        drain.Expect()
                        rig.Thread.Post(fun () -> channel.Pause drain)
                        drain.Wait()
                        rig.Thread.Post(Action channel.Resume)

                    let answered =
                        Array.init sizes.Length (fun _ ->
                            let answer = kernel.Receive()
                            Expect.equal (answer.U32 4) 0 "success"
                            answer.Unique, answer.U32 16)

                    Expect.equal (Array.sort answered) (Array.indexed sizes) "each is answered once, in full"

                // No more than the socket holds: the channel does not wait for the kernel to take a reply.
                for pair in 0..7 do
                    for i in 2 * pair .. 2 * pair + 1 do
                        kernel.Send(read (uint64 (i * 65536)) 65536UL |> withUnique (uint64 i))

                    for _ in 0..1 do
                        let answer = kernel.Receive()
                        let at = answer.Unique * 65536
                        let wanted = ReadOnlySpan<byte>(expected, at, 65536).ToArray()
                        Expect.isTrue (answer.Data = wanted) "the data"

                kernel.Close()
                rig.ExpectIdle()

                Expect.isTrue ((IO.File.ReadAllBytes path)[int baseOffset ..] = expected) "the file")
        }

        testPropertyWithConfig
            { FsCheckConfig.defaultConfig with maxTest = 30 }
            "any messages are answered, and all memory comes back"
        <| Prop.forAll (Arb.fromGen (Gen.listOfLength 40 hostile)) (fun messages ->
            withFile content AioEngine.IoUring false plenty (fun rig _ ->
                let kernel, _ = connect rig writable noResize
                let mutable facts = NodeFacts()
                facts.SizeBytes <- rig.SizeBytes

                for bytes in messages do
                    if bytes.Length > 0 then
                        let mutable request = FuseRequest()
                        Session.start writable &facts (ReadOnlySpan<byte> bytes) &request
                        kernel.Send bytes

                        if request.Step <> FuseStep.NoReply then
                            let answer = kernel.Receive()
                            Expect.equal (answer.U32 0) answer.Length "as long as it says"

                kernel.Close()
                rig.ExpectIdle()))

        test "requests that wait for another length do not hold up a drain or the end" {
            withFile content AioEngine.IoUring false plenty (fun rig _ ->
                let answers: Action<int>[] = [| null |]
                let resize = ResizeRequest(fun _ _ later -> Volatile.Write(&answers[0], later))
                let kernel, channel = connect rig writable resize
                kernel.Send(write (uint64 rig.SizeBytes) 512)
                Wait.orFail (TimeSpan.FromSeconds 10.0) "it asks" (fun () -> not (isNull (Volatile.Read &answers[0])))
                let drain = Drain()
                drain.Expect()
                rig.Thread.Post(fun () -> channel.Pause drain)
                drain.Wait()
                rig.Thread.Post(Action channel.Resume)
                answers[0].Invoke Errno.ENOSPC
                let reply = kernel.Receive()
                Expect.equal (reply.U32 4) -Errno.ENOSPC "the control plane's answer"
                answers[0] <- null
                kernel.Send(write (uint64 rig.SizeBytes) 512)
                Wait.orFail (TimeSpan.FromSeconds 10.0) "it asks" (fun () -> not (isNull (Volatile.Read &answers[0])))
                kernel.Close()
                rig.ExpectIdle()
                answers[0].Invoke 0)
        }
    ]
