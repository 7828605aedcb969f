/// The data path takes nothing from the collector once it is warm.
module StorageDaemon.Tests.Shell.ZeroAllocationTests

open System
open System.Threading
open Expecto
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Shell.Drivers
open StorageDaemon.Shell.Filters
open StorageDaemon.Tests.Sim
open StorageDaemon.Tests.Sim.NbdPeer
open StorageDaemon.Tests.Sim.Rig

/// One kind of request and how it reaches the file.
[<NoComparison; NoEquality>]
type private Kind = {
    Name: string
    Command: uint16
    Flags: uint16
    Length: int
    Engine: AioEngine
    /// Keeps the inline paths out.
    ThroughRing: bool
    /// What stands between the export and the file.
    Wrap: NodePath -> NodePath
    Count: int
    /// What the file holds.
    Content: byte[]
}

let private kind name command length throughRing = {
    Name = name
    Command = command
    Flags = 0us
    Length = length
    Engine = AioEngine.IoUring
    ThroughRing = throughRing
    Wrap = id
    Count = 2000
    Content = Array.create ((4 <<< 20) + int baseOffset) 3uy
}

let private noLimit: ThrottleBucket = { Average = 0.0; Max = 0.0; BurstSeconds = 1.0 }

/// A throttle group that counts every request and is never full.
let private throttled (path: NodePath) : NodePath =
    let group =
        ThrottleGroup {
            BytesTotal = { noLimit with Average = 1e14 }
            BytesRead = noLimit
            BytesWrite = noLimit
            RequestsTotal = { noLimit with Average = 1e14 }
            RequestsRead = noLimit
            RequestsWrite = noLimit
            RequestBytes = 0UL
        }

    layerOver (ThrottleLayer()) (group.Join()) path

let private kinds = [
    kind "4 KiB read inline" NBD_CMD_READ 4096 false
    kind "4 KiB write inline" NBD_CMD_WRITE 4096 false
    kind "4 KiB read through the ring" NBD_CMD_READ 4096 true
    kind "4 KiB write through the ring" NBD_CMD_WRITE 4096 true
    {
        kind "4 KiB read through worker threads" NBD_CMD_READ 4096 true with
            Engine = AioEngine.Threads
    }
    {
        kind "4 KiB write with FUA" NBD_CMD_WRITE 4096 true with
            Flags = NBD_CMD_FLAG_FUA
            Count = 300
    }
    {
        kind "4 KiB read through a throttle group" NBD_CMD_READ 4096 false with
            Wrap = throttled
    }
    {
        kind "4 KiB write through two throttle groups" NBD_CMD_WRITE 4096 false with
            Wrap = throttled >> throttled
    }
    { kind "flush" NBD_CMD_FLUSH 0 false with Count = 300 }
    kind "write zeroes" NBD_CMD_WRITE_ZEROES 4096 false
    kind "block status" NBD_CMD_BLOCK_STATUS 4096 false
    {
        kind "block status through a throttle group" NBD_CMD_BLOCK_STATUS 4096 false with
            Wrap = throttled
    }
    {
        kind "block status through three images" NBD_CMD_BLOCK_STATUS 65536 false with
            Wrap = StatusTests.chain 2
            Content = StatusTests.fileContent
    }
    {
        kind "4 KiB read through three images" NBD_CMD_READ 4096 false with
            Wrap = StatusTests.chain 2
            Content = StatusTests.fileContent
    }
    {
        kind "4 KiB read past three images" NBD_CMD_READ 4096 false with
            Wrap = StatusTests.readOnlyChain 2
            Content = StatusTests.fileContent
    }
    {
        kind "1 MiB read through sendfile" NBD_CMD_READ (1 <<< 20) false with
            Count = 100
    }
]

let private modeOf (kind: Kind) =
    if kind.Command = NBD_CMD_BLOCK_STATUS then
        ReplyMode.Structured
    else
        ReplyMode.Simple

/// Bytes that the IOThread has allocated so far, with what asking costs.
let private allocatedOn (rig: Rig) =
    let bytes = [| -1L |]
    rig.Thread.Post(fun () -> Volatile.Write(&bytes[0], GC.GetAllocatedBytesForCurrentThread()))

    while Volatile.Read &bytes[0] < 0L do
        Thread.Sleep 0

    bytes[0]

let private sendMany (peer: NbdPeer) (kind: Kind) (count: int) =
    let payload =
        if kind.Command = NBD_CMD_WRITE then
            Array.create kind.Length 5uy
        else
            [||]
    let mutable left = count

    while left > 0 do
        // Some at once, so that several are in flight.
        let batch = min left 8

        for i in 0 .. batch - 1 do
            let offset = int64 (i % 4 * kind.Length)
            peer.Send(kind.Command, kind.Flags, (if kind.Length = 0 then 0L else offset), kind.Length, payload)
            |> ignore

        for answer in allAnswers peer do
            Expect.equal answer.Error 0u "success"

        left <- left - batch

let private allocatesNothing (kind: Kind) =
    test kind.Name {
        withFileOver kind.Wrap kind.Content kind.Engine kind.ThroughRing plenty (fun rig _ ->
            // Starting a worker allocates: the warm-up starts them all.
            rig.Thread.MaxWorkers <- 2
            let peer, _ = rig.Connect(modeOf kind)
            sendMany peer kind (min kind.Count 400)
            // A slow inline write sends the next ones through the ring, so that must be there.
            sendMany
                peer
                {
                    kind with
                        Command = NBD_CMD_FLUSH
                        Flags = 0us
                        Length = 0
                }
                16
            allocatedOn rig |> ignore

            let measure () =
                let idle = allocatedOn rig
                let before = allocatedOn rig
                sendMany peer kind kind.Count
                let after = allocatedOn rig
                (after - before) - (before - idle)

            // A collection during a run (this side of the socket allocates) may leave the unused rest of
            // the thread's allocation context in its count. What a request allocates is there every time.
            let runs = Seq.init 4 (fun _ -> measure ())
            let least = runs |> Seq.tryFind ((=) 0L) |> Option.defaultWith measure
            Expect.equal least 0L "bytes beyond what asking costs"
            peer.Close()
            rig.ExpectIdle())
    }

[<Tests>]
let tests =
    testSequenced
    <| testList "Shell.ZeroAllocation" [
        for kind in kinds do
            allocatesNothing kind

        test "an allocation would be seen" {
            withNullDevice 4096L (fun rig ->
                allocatedOn rig |> ignore
                let idle = allocatedOn rig
                let before = allocatedOn rig
                rig.OnThread(fun () -> GC.KeepAlive(Array.zeroCreate<byte> 100))
                let after = allocatedOn rig
                Expect.isGreaterThan (after - before) (before - idle + 99L) "more than asking costs")
        }
    ]
