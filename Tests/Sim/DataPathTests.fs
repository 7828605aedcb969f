/// The data path from the socket to the disk and back, on a real IOThread: contents against a model, errors,
/// connections that end at a bad moment, limits.
module StorageDaemon.Tests.Sim.DataPathTests

open System
open System.IO
open System.Threading
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Shell.Drivers
open StorageDaemon.Shell.Exports.Nbd
open StorageDaemon.Shell.Native
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Shell.ShellSupport
open StorageDaemon.Tests.Sim.NbdPeer
open StorageDaemon.Tests.Sim.Rig
open StorageDaemon.Tests.Sim.SimulatedRing
open StorageDaemon.Tests.Sim.Workload

let private modes = [| ReplyMode.Simple; ReplyMode.Structured; ReplyMode.Extended |]

/// Runs a test with seeds of its own each time, or with the one in the environment, and tells which it failed with.
let private withSeeds (count: int) (body: Random -> unit) =
    let given = Environment.GetEnvironmentVariable "DATA_PATH_SEED"

    let seeds =
        if String.IsNullOrEmpty given then
            List.init count (fun _ -> Random.Shared.Next())
        else
            [ int given ]

    for seed in seeds do
        try
            body (Random seed)
        with error ->
            failtest ("DATA_PATH_SEED=" + string seed + ": " + error.ToString())

let private size = 512 <<< 10

let private randomContent (rng: Random) =
    let content = Array.zeroCreate<byte>(size + int baseOffset)
    rng.NextBytes content
    content

let private exportOf (content: byte[]) = content[int baseOffset ..]

let private clientsFor (rng: Random) (rig: Rig) (model: Model) (count: int) (maxLength: int) = [
    for i in 0 .. count - 1 do
        let peer, _ = rig.Connect modes[rng.Next 3]
        let region = model.Content.Length / count
        Client(Random(rng.Next()), peer, model, i * region, (i + 1) * region, maxLength, 1 + rng.Next 24)
]

let private hangUp (rig: Rig) (clients: Client list) =
    clients |> List.iter (fun client -> client.Peer.Close())
    rig.ExpectIdle()

let private randomFaults (rng: Random) = {
    noFaults with
        DisturbedPercent = rng.Next 40
        MaxDelay = rng.Next 12
        Unsupported =
            [ FileOp.PunchHole; FileOp.ZeroRange; FileOp.Allocate; FileOp.WriteDsync ]
            |> List.filter (fun _ -> rng.Next 3 = 0)
}

let private simulate (rng: Random) =
    let content = randomContent rng
    let faults = randomFaults rng
    let traits = if rng.Next 2 = 0 then FileTraits.Unmap else FileTraits.None
    let before = exportOf content

    withSimulation content faults traits plenty (rng.Next()) (1 + rng.Next 40) (fun rig disk _ ->
        let model = {
            newModel before with
                Durable = disk.Durable
                DurableOffset = int baseOffset
                TrimsZero =
                    traits = FileTraits.Unmap
                    && not (List.contains FileOp.PunchHole faults.Unsupported)
        }

        let clients = clientsFor rng rig model (1 + rng.Next 3) (100 <<< 10)
        run clients 150
        hangUp rig clients
        expectContent model "on the disk" 0 (ReadOnlySpan(disk.Content, int baseOffset, size)))

/// Cuts requests into pieces that may end in any order, sleeps before some, and reads into buffers of its own.
[<Sealed>]
type private Splitter(pieceBytes: int64, seed: int) =
    inherit Layer()
    let random = Random seed

    override _.IsStateful = true

    member private _.Emit(frame: byref<Frame>, sink: ChildRequests) =
        let isRead = frame.Kind = RequestKind.Read
        frame.Op <- FrameOp.Wait
        let mutable offset = 0L

        while offset < frame.Length do
            let length = min pieceBytes (frame.Length - offset)
            frame.Counter <- frame.Counter + 1

            sink.Add {
                Child = 0
                Tag = frame.Counter % 1000
                Kind = frame.Kind
                Flags = frame.Flags
                Offset = frame.Offset + offset
                Length = length
                Buffer =
                    (if isRead then 0
                     elif frame.Kind = RequestKind.Write then int FrameBuffer.Own
                     else int FrameBuffer.None)
                BufferOffset = offset
            }

            offset <- offset + length

    override _.Prepare(_, frame) =
        if frame.Kind = RequestKind.Read then
            frame.ScratchCount <- 1

    override this.Start(now, _, frame, sink) =
        if frame.Kind = RequestKind.Flush then
            Frame.pass 0 &frame sink
            frame.Counter <- 1
        elif random.Next 4 = 0 then
            frame.Op <- FrameOp.Sleep
            frame.WakeNs <- now + int64 (random.Next 200000)
        else
            this.Emit(&frame, sink)

    override this.Resume(_, _, frame, sink) = this.Emit(&frame, sink)

    override _.ChildDone(_, memory, frame, _, error, _) =
        frame.Counter <- frame.Counter - 1

        if frame.Error = 0 then
            frame.Error <- error

        if frame.Counter = 0 then
            if frame.Kind = RequestKind.Read && frame.Error = 0 then
                let length = int frame.Length
                memory.Span(0, 0L, length).CopyTo(memory.Span(int FrameBuffer.Own, 0L, length))

            frame.Op <- FrameOp.Done

/// Two layers over a simulated disk, each of which cuts requests.
let private layered (rng: Random) =
    let content = randomContent rng
    let faults = randomFaults rng
    let before = exportOf content

    let wrap path =
        path
        |> layerOver (Splitter(512L * int64 (1 + rng.Next 40), rng.Next())) null
        |> layerOver (Splitter(int64 (700 + rng.Next 50000), rng.Next())) null

    withSimulationOver wrap content faults FileTraits.Unmap plenty (rng.Next()) (1 + rng.Next 40) (fun rig disk _ ->
        let model = {
            newModel before with
                Durable = disk.Durable
                DurableOffset = int baseOffset
                TrimsZero = not (List.contains FileOp.PunchHole faults.Unsupported)
        }

        let clients = clientsFor rng rig model (1 + rng.Next 3) (100 <<< 10)
        run clients 150
        hangUp rig clients
        expectContent model "on the disk" 0 (ReadOnlySpan(disk.Content, int baseOffset, size)))

let private overFile (rng: Random) (engine: AioEngine) (direct: bool) =
    let content = randomContent rng

    withFile content engine direct plenty (fun rig path ->
        let model = newModel (exportOf content)
        let clients = clientsFor rng rig model (1 + rng.Next 3) (150 <<< 10)
        run clients 150
        hangUp rig clients
        expectContent model "in the file" 0 (ReadOnlySpan(exportOf (File.ReadAllBytes path))))

let private badErrors = [
    Errno.EIO, NBD_EIO
    Errno.ENOSPC, NBD_ENOSPC
    Errno.EROFS, NBD_EPERM
    116, NBD_EINVAL
]

let private simulateErrors (rng: Random) =
    let content = randomContent rng

    let bad = [
        for errno, error in badErrors do
            let start = int64 (rng.Next(size - 2000))
            start, start + 1L + int64 (rng.Next 2000), errno, error
    ]

    let faults = {
        randomFaults rng with
            BadRanges = [
                for start, stop, errno, _ in bad -> start + baseOffset, stop + baseOffset, errno
            ]
    }

    withSimulation content faults FileTraits.Unmap plenty (rng.Next()) 64 (fun rig _ _ ->
        let model = {
            newModel (exportOf content) with
                BadRanges = [ for start, stop, _, error in bad -> start, stop, error ]
                TrimsZero = not (List.contains FileOp.PunchHole faults.Unsupported)
        }

        let clients = clientsFor rng rig model 2 (100 <<< 10)
        run clients 150

        for client in clients do
            let answer = ask client.Peer NBD_CMD_FLUSH 0us 0L 0 [||]
            Expect.equal answer.Error 0u "the connection still works"

        hangUp rig clients)

/// A quiet simulated disk.
let private withQuiet (budgetBytes: int64) (body: Rig -> SimulatedRing -> unit) =
    withSimulation (randomContent (Random 1)) noFaults FileTraits.Unmap budgetBytes 1 256 (fun rig _ ring ->
        body rig ring)

/// A quiet simulated disk with plenty of memory.
let private withQuietDisk (body: Rig -> SimulatedRing -> unit) = withQuiet plenty body

let private hold (rig: Rig) (ring: SimulatedRing) = rig.OnThread(fun () -> ring.Hold true)
let private letGo (rig: Rig) (ring: SimulatedRing) = rig.OnThread(fun () -> ring.Hold false)

/// How many operations are in flight, as the IOThread sees it.
let private inFlight (rig: Rig) (ring: SimulatedRing) =
    let count = ref 0
    rig.OnThread(fun () -> count.Value <- ring.InFlightNow)
    count.Value

let private untilInFlight (rig: Rig) (ring: SimulatedRing) (wanted: int) =
    Wait.orFail (TimeSpan.FromSeconds 5.0) (string wanted + " operations in flight") (fun () ->
        inFlight rig ring = wanted)

let private expectWorks (peer: NbdPeer) =
    Expect.equal (ask peer NBD_CMD_READ 0us 0L 4096 [||]).Error 0u "another connection works"

let private sendReads (peer: NbdPeer) (count: int) (length: int) =
    for i in 0 .. count - 1 do
        peer.Send(NBD_CMD_READ, 0us, int64 (i % 4 * length), length, [||]) |> ignore

    while peer.HasUnsent && not (peer.PumpOut()) do
        Thread.Sleep 1

let private endings = [
    "a disconnect in the middle of a payload leaks nothing",
    fun (rig: Rig) (_: SimulatedRing) ->
        let peer, _ = rig.Connect ReplyMode.Simple
        peer.Send(NBD_CMD_WRITE, 0us, 0L, 100000, Array.create 60000 7uy) |> ignore

        while peer.HasUnsent do
            peer.Pump() |> ignore

        Wait.orFail (TimeSpan.FromSeconds 5.0) "the payload has a buffer" (fun () -> rig.Budget.UsedBytes > 0L)
        peer.Close()

    "a disconnect with requests in flight leaks nothing",
    fun rig ring ->
        let peer, _ = rig.Connect ReplyMode.Structured
        hold rig ring
        sendReads peer 10 4096
        untilInFlight rig ring 10
        peer.Close()
        Thread.Sleep 5
        letGo rig ring

    "a client that never reads leaks nothing when it goes",
    fun rig _ ->
        let peer, _ = rig.Connect ReplyMode.Extended
        sendReads peer 40 (100 <<< 10)
        Wait.orFail (TimeSpan.FromSeconds 5.0) "replies wait" (fun () -> rig.Budget.UsedBytes > 0L)
        Thread.Sleep 5
        let other, _ = rig.Connect ReplyMode.Simple
        expectWorks other
        other.Close()
        peer.Close()

    "an abort with requests in flight waits for them and leaks nothing",
    fun rig ring ->
        let peer, connection = rig.Connect ReplyMode.Simple
        hold rig ring
        sendReads peer 16 4096
        untilInFlight rig ring 16
        let before = rig.Closed
        rig.OnThread connection.Abort
        Expect.equal rig.Closed before "not before the requests have ended"
        Expect.isGreaterThan rig.Budget.UsedBytes 0L "their buffers stay"
        letGo rig ring
        Wait.orFail (TimeSpan.FromSeconds 5.0) "closed" (fun () -> rig.Closed > before)
        peer.Close()
]

let private endingTests = [
    for name, ending in endings do
        test name {
            withQuietDisk (fun rig ring ->
                let steady, _ = rig.Connect ReplyMode.Simple

                leavesNoDescriptors (fun () ->
                    ending rig ring

                    Wait.orFail (TimeSpan.FromSeconds 5.0) "only the steady connection is left" (fun () ->
                        rig.Closed = rig.Attached - 1 && rig.Budget.UsedBytes = 0L)

                    expectWorks steady)

                steady.Close()
                rig.ExpectIdle())
        }
]

let private limitTests = [
    test "requests beyond sixteen are not taken before others end" {
        withQuietDisk (fun rig ring ->
            let peer, _ = rig.Connect ReplyMode.Structured
            hold rig ring
            sendReads peer 40 512
            untilInFlight rig ring 16
            Thread.Sleep 20
            Expect.equal (inFlight rig ring) 16 "no more"
            letGo rig ring
            Expect.hasLength (allAnswers peer) 40 "all are answered"
            Expect.equal ring.MostInFlight 16 "never more"
            peer.Close()
            rig.ExpectIdle())
    }

    test "without memory requests wait, and all complete" {
        withSeeds 3 (fun rng ->
            let content = randomContent rng
            let faults = { randomFaults rng with Unsupported = [] }

            withSimulation content faults FileTraits.Unmap (64L <<< 10) (rng.Next()) 64 (fun rig disk _ ->
                let model = newModel (exportOf content)
                let clients = clientsFor rng rig model 3 (100 <<< 10)
                run clients 80
                hangUp rig clients
                expectContent model "on the disk" 0 (ReadOnlySpan(disk.Content, int baseOffset, size))))
    }

    test "with hardly any memory contents equal the model's" {
        withSeeds 6 (fun rng ->
            let content = randomContent rng
            let before = exportOf content
            let faults = { randomFaults rng with Unsupported = [] }

            withSimulation
                content
                faults
                FileTraits.Unmap
                (int64 (rng.Next(200 <<< 10)))
                (rng.Next())
                64
                (fun rig disk _ ->
                    let model = {
                        newModel before with
                            Durable = disk.Durable
                            DurableOffset = int baseOffset
                    }

                    let clients = clientsFor rng rig model (1 + rng.Next 2) (250 <<< 10)
                    run clients 60
                    hangUp rig clients
                    expectContent model "on the disk" 0 (ReadOnlySpan(disk.Content, int baseOffset, size))))
    }

    test "clients that do not read get no more than their share once memory is used up" {
        withQuiet (128L <<< 10) (fun rig _ ->
            let peers = [ for i in 0..19 -> fst (rig.Connect modes[i % 3]) ]
            let most = (128L <<< 10) + 20L * NbdConnection.ShareLength
            let mutable highest = 0L

            for peer in peers do
                sendReads peer 2 (150 <<< 10)

            for _ in 1..50 do
                highest <- max highest rig.Budget.UsedBytes
                Thread.Sleep 1

            Expect.isLessThanOrEqual highest most "held"

            for peer in peers do
                Expect.all (allAnswers peer) (fun answer -> answer.Error = 0u) "all are answered in the end"
                peer.Close()

            rig.ExpectIdle())
    }

    test "a bad range in the middle of a request that is worked off in pieces" {
        let faults = {
            noFaults with
                BadRanges = [ 200000L + baseOffset, 200001L + baseOffset, Errno.EIO ]
        }

        let content = randomContent (Random 1)

        withSimulation content faults FileTraits.None 0L 1 64 (fun rig _ _ ->
            for mode, flags in [ ReplyMode.Structured, 0us; ReplyMode.Extended, 0us ] do
                let peer, _ = rig.Connect mode
                Expect.equal (ask peer NBD_CMD_READ flags 0L 300000 [||]).Error NBD_EIO "read"
                Expect.equal (ask peer NBD_CMD_WRITE 0us 0L 300000 (Array.zeroCreate 300000)).Error NBD_EIO "write"
                expectWorks peer
                peer.Close()

            // The reply's only header is out.
            for mode, flags in [ ReplyMode.Simple, 0us; ReplyMode.Structured, NBD_CMD_FLAG_DF ] do
                let peer, _ = rig.Connect mode
                peer.Send(NBD_CMD_READ, flags, 0L, 300000, [||]) |> ignore
                Wait.orFail (TimeSpan.FromSeconds 5.0) "the connection ends" (fun () ->
                    peer.Pump() |> ignore
                    peer.IsClosed)
                peer.Close()

            rig.ExpectIdle())
    }

    test "after a failed flush of an O_DIRECT file the next may succeed" {
        let content = randomContent (Random 1)

        withSimulation content noFaults FileTraits.None plenty 1 64 (fun rig disk _ ->
            let peer, _ = rig.Connect ReplyMode.Structured
            let flush () =
                (ask peer NBD_CMD_FLUSH 0us 0L 0 [||]).Error
            Expect.equal (flush ()) 0u "before"
            disk.Faults <- { noFaults with FlushError = Errno.EIO }
            Expect.equal (flush ()) NBD_EIO "fails"
            disk.Faults <- noFaults
            // There are no dirty pages that the kernel may have dropped.
            Expect.equal (flush ()) 0u "recovers"
            peer.Close()
            rig.ExpectIdle())
    }
]

/// Reads that the page cache answers.
let private cachedTests = [
    test "a slow reader gets every reply whole and in its place" {
        withSeeds 6 (fun rng ->
            let content = randomContent rng

            withFile content AioEngine.IoUring false plenty (fun rig _ ->
                let peer, _ = rig.Connect modes[rng.Next 3]
                let model = newModel (exportOf content)

                for _ in 1..1000 do
                    let length = 1 + rng.Next 40000
                    peer.Send(NBD_CMD_READ, 0us, int64 (rng.Next(size - length)), length, [||])
                    |> ignore

                while peer.Waiting > 0 do
                    peer.PumpOut() |> ignore

                    if not (peer.PumpIn(1 + rng.Next 30000)) then
                        waitForAny [ peer ]

                    if peer.IsClosed then
                        failwith "the server has closed"

                let mutable answer = Unchecked.defaultof<Answer>

                while peer.TryAnswer &answer do
                    check model answer

                peer.Close()
                rig.ExpectIdle()))
    }

    test "a batch of more than sixteen requests over TCP is answered to its end" {
        // TCP, unlike a unix socket, does not tell of room for output that nobody lacked.
        withNullDevice (1L <<< 20) (fun rig ->
            let struct (server, client) = tcpPair ()
            rig.Serve(server, ReplyMode.Simple) |> ignore
            use peer = new NbdPeer(client, ReplyMode.Simple)
            sendReads peer 100 512
            Expect.hasLength (allAnswers peer) 100 "all are answered"
            peer.Close()
            rig.ExpectIdle())
    }
]

/// CPU time that a thread of this process has used, in clock ticks.
let private cpuTicks (threadId: int) =
    let text = File.ReadAllText("/proc/self/task/" + string threadId + "/stat")
    let fields = text.Substring(text.LastIndexOf ')' + 2).Split ' '
    int fields[11] + int fields[12]

let private idleTests = [
    test "a thread without waiting requests sleeps when memory comes back" {
        withNullDevice (1L <<< 20) (fun rig ->
            rig.OnThread ignore
            rig.Thread.MemoryReturned()
            Thread.Sleep 20
            let before = cpuTicks rig.Thread.ThreadId
            Thread.Sleep 300
            Expect.isLessThan (cpuTicks rig.Thread.ThreadId - before) 5 "it does not spin")
    }
]

[<Tests>]
let tests =
    testSequenced
    <| testList "Sim.DataPath" [
        yield test "contents equal the model's over a simulated disk" { withSeeds 16 simulate }
        yield test "contents equal the model's through layers that cut, delay and buffer" { withSeeds 12 layered }
        yield test "errors come back as NBD errors and leave the connection usable" { withSeeds 8 simulateErrors }

        yield
            test "contents equal the model's over a file through the page cache" {
                withSeeds 6 (fun rng -> overFile rng AioEngine.IoUring false)
            }

        yield
            test "contents equal the model's over a file through the ring" {
                withSeeds 3 (fun rng -> overFile rng AioEngine.IoUring true)
            }

        yield
            test "contents equal the model's over a file through worker threads" {
                withSeeds 3 (fun rng -> overFile rng AioEngine.Threads true)
            }

        yield! endingTests
        yield! limitTests
        yield! cachedTests
        yield! idleTests
    ]
