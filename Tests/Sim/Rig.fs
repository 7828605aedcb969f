/// A real IOThread with real connections over a simulated disk or a file.
module internal StorageDaemon.Tests.Sim.Rig

open System
open System.IO
open System.Threading
open StorageDaemon.Core.Io
open StorageDaemon.Core.Fuse
open StorageDaemon.Core.Nbd
open StorageDaemon.Shell.Drivers
open StorageDaemon.Shell.Exports
open StorageDaemon.Shell.Exports.Fuse
open StorageDaemon.Shell.Exports.Nbd
open StorageDaemon.Shell.Filters
open StorageDaemon.Shell.IOThreads
open StorageDaemon.Shell.Native
open StorageDaemon.Shell.Ring
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Sim.NbdPeer
open StorageDaemon.Tests.Sim.SimulatedRing

/// Where the export begins in the file: not at zero, so that offsets that are mixed up show.
let baseOffset = 4096L

let private openFile (path: string) (engine: AioEngine) (traits: FileTraits) =
    let fd = FileOpener.Open(path, true, false, false)

    if fd < 0 then
        failwith ("open: " + string -fd)

    new OpenFile(fd, engine, traits, 1)

[<Sealed>]
type Rig
    (
        file: OpenFile,
        pathTraits: FileTraits,
        sizeBytes: int64,
        budgetBytes: int64,
        makeRing: Func<string, int, IRing>,
        wrap: NodePath -> NodePath
    ) =
    let budget = MemoryBudget budgetBytes
    let thread = new IOThread("sim", 0, budget, makeRing)
    let mutable closed = 0
    let mutable attached = 0

    let path =
        NodePath(
            1,
            File = file,
            ExtentsFile = file,
            ExtentsOffset = baseOffset,
            BaseOffset = baseOffset,
            SizeBytes = sizeBytes,
            Traits = pathTraits,
            DetectZeroes = DetectZeroes.Off,
            Nodes = [||]
        )
        |> wrap

    let export = SharedExport(path, false, [| thread |], [||])

    do
        budget.SetThreads [| thread |]
        thread.Start()

    member _.Thread = thread
    member _.Budget = budget
    member _.Path = path
    member _.File = file
    member _.SizeBytes = sizeBytes
    /// Connections whose end was told.
    member _.Closed = Volatile.Read &closed
    member _.Attached = attached

    /// Serves an end of a socket.
    member _.Serve(fd: int, mode: ReplyMode) : NbdConnection =
        let contexts: ContextInfo[] =
            if mode = ReplyMode.Simple then
                [||]
            else
                [| { Id = 0u; Name = "base:allocation" } |]

        let session = StorageDaemon.Core.Nbd.Session(mode, false, uint64 sizeBytes, 1, contexts)
        let ended = Action<NbdConnection>(fun _ -> Interlocked.Increment &closed |> ignore)
        let connection = NbdConnection(thread, export, fd, &session, ReadOnlySpan<byte>.Empty, ended)
        attached <- attached + 1
        thread.Post(Action connection.Attach)
        connection

    /// Serves an end of a socket of messages, at whose other end somebody plays the kernel.
    member _.ServeFuse(fd: int, file: FuseFile, resize: ResizeRequest) : FuseChannel =
        let ended = Action<IExportClient>(fun _ -> Interlocked.Increment &closed |> ignore)
        let channel = FuseChannel(new FuseExport(export, null, file, resize), thread, fd, ended)
        attached <- attached + 1
        thread.Post(Action channel.Attach)
        channel

    /// A new connection, and a peer at its other end.
    member this.Connect(mode: ReplyMode) : NbdPeer * NbdConnection =
        let struct (server, client) = socketPair ()
        let connection = this.Serve(server, mode)
        new NbdPeer(client, mode), connection

    /// Runs an action on the IOThread and waits for it.
    member _.OnThread(action: unit -> unit) =
        use ran = new ManualResetEventSlim()

        thread.Post(fun () ->
            action ()
            ran.Set())

        if not (ran.Wait 10000) then
            failwith "the IOThread does not answer"

    /// All connections have ended, and no request holds memory.
    member this.ExpectIdle() =
        Wait.orFail (TimeSpan.FromSeconds 10.0) "connections end" (fun () -> this.Closed = attached)
        Wait.orFail (TimeSpan.FromSeconds 10.0) "all memory comes back" (fun () -> budget.UsedBytes = 0L)

    interface IDisposable with
        member _.Dispose() =
            thread.Dispose()

            if not (isNull file) then
                file.Dispose()

/// Memory that is as good as no limit.
let plenty = 256L <<< 20

/// A path that ends in a layer over another path.
let layerOver (machine: Layer) (throttle: ThrottleMember) (below: NodePath) : NodePath =
    NodePath(
        1,
        File = null,
        Layer = PathLayer(Node = 1L, Machine = machine, Children = [| below |], Throttle = throttle),
        BaseOffset = 0L,
        SizeBytes = below.SizeBytes,
        ReadOnly = false,
        Traits = below.Traits,
        DetectZeroes = DetectZeroes.Off,
        ExtentsFile = below.ExtentsFile,
        ExtentsOffset = below.ExtentsOffset,
        Nodes = [||]
    )

/// Runs a body with an export of a simulated disk. The descriptor below is of a file without holes: block status and
/// reads look holes up there.
let withSimulationOver
    (wrap: NodePath -> NodePath)
    (content: byte[])
    (faults: Faults)
    (traits: FileTraits)
    (budgetBytes: int64)
    (seed: int)
    (capacity: int)
    (body: Rig -> SimulatedDisk -> SimulatedRing -> unit)
    =
    use folder = new TempDir.TempDir()
    let path = folder.File "backing"
    File.WriteAllBytes(path, Array.create content.Length 1uy)
    let disk = SimulatedDisk(content, faults)
    let ring = new SimulatedRing(disk, seed, capacity)
    let file = openFile path AioEngine.IoUring FileTraits.Direct
    let size = int64 content.Length - baseOffset
    use rig = new Rig(file, traits, size, budgetBytes, Func<_, _, _>(fun _ _ -> ring :> IRing), wrap)
    body rig disk ring

/// The same without a layer.
let withSimulation content faults traits budgetBytes seed capacity body =
    withSimulationOver id content faults traits budgetBytes seed capacity body

/// The ring that a file of an engine gets: the kernel's if there is one.
let private realRing =
    Func<string, int, IRing>(fun _ batch ->
        let mutable errno = 0
        UringRing.TryCreate(256u, uint32 batch, &errno) :> IRing)

/// Runs a body with an export of a real file; `direct` keeps the inline paths out.
let withFileOver
    (wrap: NodePath -> NodePath)
    (content: byte[])
    (engine: AioEngine)
    (direct: bool)
    (budgetBytes: int64)
    (body: Rig -> string -> unit)
    =
    use folder = new TempDir.TempDir()
    let path = folder.File "image"
    File.WriteAllBytes(path, content)
    let file = openFile path engine (if direct then FileTraits.Direct else FileTraits.None)
    let size = int64 content.Length - baseOffset
    use rig = new Rig(file, FileTraits.Unmap, size, budgetBytes, realRing, wrap)
    body rig path

/// The same without a layer.
let withFile content engine direct budgetBytes body =
    withFileOver id content engine direct budgetBytes body

/// Runs a body with an export of a null device.
let withNullDevice (sizeBytes: int64) (body: Rig -> unit) =
    use rig = new Rig(null, FileTraits.None, sizeBytes, plenty, realRing, id)
    body rig
