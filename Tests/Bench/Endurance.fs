/// Writes, trims, zeroes and reads on the same clusters of a qcow2 image, from four connections at once, for as long as
/// wanted. Every read, and at short intervals every sector, has to show what one of the requests that met may have left.
module StorageDaemon.Bench.Endurance

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Threading
open StorageDaemon.Tests.Crash.SectorModel
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.NbdClient

[<Literal>]
let private SectorBytes = 512

[<Literal>]
let private Connections = 4

/// Requests that a connection has under way at once, and between two looks at the whole disk.
[<Literal>]
let private Depth = 16

[<Literal>]
let private Batches = 25

let private usage =
    """usage: dotnet run -c Release --project Tests/Bench -- endure [options]
  --seconds N       how long (600)
  --daemon FILE     the daemon to try (artifacts/storage-daemon, published when it is missing or old)
  --create OPTIONS  of qemu-img create (cluster_size=4k)
  --blockdev TEXT   options of the image's node (discard=unmap)
  --mib N           length of the disk in MiB (16)
  --seed N          of the requests (any); how they meet is up to the machine"""

type private Options = {
    Seconds: int
    Daemon: string option
    Create: string
    Blockdev: string
    MiB: int
    Seed: int
}

let rec private parse (options: Options) (arguments: string list) : Options =
    match arguments with
    | [] -> options
    | "--seconds" :: value :: rest -> parse { options with Seconds = int value } rest
    | "--daemon" :: value :: rest -> parse { options with Daemon = Some(Path.GetFullPath value) } rest
    | "--create" :: value :: rest -> parse { options with Create = value } rest
    | "--blockdev" :: value :: rest -> parse { options with Blockdev = value } rest
    | "--mib" :: value :: rest -> parse { options with MiB = int value } rest
    | "--seed" :: value :: rest -> parse { options with Seed = int value } rest
    | _ ->
        Console.Error.WriteLine usage
        exit 2

/// The value that all 8-byte words of a sector hold; none if they differ.
let private valueOf (bytes: byte[]) (sector: int) : uint64 voption =
    let span = ReadOnlySpan(bytes, sector * SectorBytes, SectorBytes)

    if span.Slice(8).SequenceEqual(span.Slice(0, SectorBytes - 8)) then
        ValueSome(BitConverter.ToUInt64 span)
    else
        ValueNone

/// What happened so far. Only under the lock of the object.
type private Tally(sectors: int) =
    let counts = Dictionary<string, int64>()
    member val Model = SectorModel(sectors, fun _ -> 0UL)
    member val Corruptions = 0L with get, set
    member val Failures = List<string>()
    member val NextValue = 1UL with get, set

    member _.Count(what: string) =
        counts[what] <- counts.GetValueOrDefault what + 1L

    member this.Corrupt(text: string) =
        this.Corruptions <- this.Corruptions + 1L

        if this.Corruptions <= 20L then
            Console.Out.WriteLine("CORRUPT " + text)

    member _.Operations = Seq.sum counts.Values

    override _.ToString() =
        counts
        |> Seq.sortBy _.Key
        |> Seq.map (fun pair -> $"{pair.Value} {pair.Key}")
        |> String.concat ", "

/// A request under way.
[<NoComparison; NoEquality>]
type private Sent = {
    Name: string
    First: int
    Count: int
    Change: Change
    Since: int
    Chunks: List<Chunk>
}

/// A range, mostly whole clusters of 4 KiB and often in the first part of the disk, so that requests meet.
let private rangeOf (random: Random) (sectors: int) : struct (int * int) =
    let align =
        match random.Next 4 with
        | 0 -> 1
        | _ -> 8

    let count =
        match random.Next 16 with
        | 0 -> 1024
        | 1
        | 2 -> 128
        | _ -> align * (1 + random.Next 4)

    let spread = if random.Next 2 = 0 then sectors else sectors / 16
    let first = random.Next(spread / align) * align
    struct (first, min count (sectors - first))

/// Whether a read that began at a time may have seen what it has seen of a sector. Where a write was under way, it may
/// have seen a part of it: the page cache copies without a lock.
let private isPossible (tally: Tally) (data: byte[]) (at: int) (sector: int) (since: int) : bool =
    match valueOf data at with
    | ValueSome value -> tally.Model.MaySee(sector, since, value)
    | ValueNone ->
        let words =
            Runtime.InteropServices.MemoryMarshal.Cast<byte, uint64>(Span(data, at * SectorBytes, SectorBytes))

        let mutable isGood = true

        for word in words do
            isGood <- isGood && tally.Model.MaySee(sector, since, word)

        isGood

/// One connection's requests until the next look at the whole disk.
let private load (client: NbdClient) (tally: Tally) (random: Random) =
    let sectors = tally.Model.Sectors
    let sent = Dictionary<uint64, Sent>()

    let send () =
        let struct (first, count) = rangeOf random sectors
        let offset, length = uint64 first * uint64 SectorBytes, uint64 count * uint64 SectorBytes

        let start name isRead value isOptional =
            lock tally (fun () ->
                tally.Count name
                {
                    Name = name
                    First = first
                    Count = count
                    Change =
                        if isRead then
                            null
                        else
                            tally.Model.Begin(first, count, value, isOptional)
                    Since = tally.Model.Now
                    Chunks = List()
                })

        match random.Next 16 with
        | 0
        | 1
        | 2 ->
            let request = start "reads" true 0UL false
            sent[client.SendRequest(Cmd.READ, 0us, offset, length, [||])] <- request
        | 3
        | 4 ->
            let request = start "zeroes" false 0UL false
            sent[client.SendRequest(Cmd.WRITE_ZEROES, 0us, offset, length, [||])] <- request
        | 5 ->
            let request = start "zeroes that allocate" false 0UL false
            sent[client.SendRequest(Cmd.WRITE_ZEROES, Flag.NO_HOLE, offset, length, [||])] <- request
        | 6
        | 7
        | 8
        | 9 ->
            let request = start "trims" false 0UL true
            sent[client.SendRequest(Cmd.TRIM, 0us, offset, length, [||])] <- request
        | 10 when random.Next 8 = 0 ->
            let request = { start "flushes" true 0UL false with Count = 0 }
            sent[client.SendRequest(Cmd.FLUSH, 0us, 0UL, 0UL, [||])] <- request
        | _ ->
            let value =
                lock tally (fun () ->
                    tally.NextValue <- tally.NextValue + 1UL
                    tally.NextValue)

            let request = start "writes" false value false
            let data = Array.zeroCreate<byte>(count * SectorBytes)

            for word in 0 .. data.Length / 8 - 1 do
                BitConverter.TryWriteBytes(Span(data, word * 8, 8), value) |> ignore

            sent[client.SendRequest(Cmd.WRITE, 0us, offset, length, data)] <- request

    let finish (request: Sent) =
        let error = request.Chunks |> Seq.map _.Error |> Seq.max

        if error <> 0u then
            lock tally (fun () ->
                tally.Failures.Add $"{request.Name} at sector {request.First} + {request.Count}: error {error}")

        if not (isNull request.Change) then
            lock tally (fun () -> tally.Model.End(request.Change, error <> 0u))
        elif request.Count > 0 && error = 0u then
            let offset = uint64 request.First * uint64 SectorBytes
            let data = client.Assemble(offset, request.Count * SectorBytes, List.ofSeq request.Chunks)

            lock tally (fun () ->
                for i in 0 .. request.Count - 1 do
                    if not (isPossible tally data i (request.First + i) request.Since) then
                        tally.Corrupt $"sector {request.First + i} was read as {valueOf data i}")

    for _ in 1..Batches do
        for _ in 1..Depth do
            send ()

        while sent.Count > 0 do
            let chunk = client.ReadChunk 0
            let request = sent[chunk.Cookie]
            request.Chunks.Add chunk

            if chunk.IsLast then
                sent.Remove chunk.Cookie |> ignore
                finish request

/// With nothing under way: every sector holds what it may; from then on it is known.
let private expectAll (tally: Tally) (what: string) (read: int64 -> int -> byte[]) =
    let sectors = tally.Model.Sectors
    let step = 8192

    for start in 0..step .. sectors - 1 do
        let count = min step (sectors - start)
        let bytes = read (int64 start * int64 SectorBytes) (count * SectorBytes)

        for i in 0 .. count - 1 do
            let found = valueOf bytes i

            match found with
            | ValueSome value when Seq.contains value (tally.Model.Now'(start + i)) -> ()
            | _ -> tally.Corrupt $"sector {start + i} holds {found} {what}"

            tally.Model.Settle(start + i, ValueOption.defaultValue UInt64.MaxValue found)

let private connect (path: string) : NbdClient =
    let client = NbdClient.Connect path
    client.Go(Structured, "q") |> ignore
    client

/// The load until the time is over; what it took to get there is in the tally.
let private run (options: Options) (socket: string) (tally: Tally) =
    let clock = Stopwatch.StartNew()
    use barrier = new Barrier(Connections)
    let mutable isOver = false
    let mutable reportSeconds = 10.0

    let look (client: NbdClient) =
        lock tally (fun () ->
            expectAll tally "with nothing under way" (fun offset length -> client.Read(uint64 offset, length)))

        if clock.Elapsed.TotalSeconds > reportSeconds then
            reportSeconds <- reportSeconds + 30.0
            Console.Out.WriteLine $"{int clock.Elapsed.TotalSeconds} s: {tally}; {tally.Corruptions} corrupt sectors"

        isOver <- clock.Elapsed.TotalSeconds >= float options.Seconds || tally.Failures.Count > 0

    let work (number: int) () =
        try
            use client = connect socket
            let random = Random(options.Seed + number)

            while not (Volatile.Read &isOver) do
                load client tally random
                barrier.SignalAndWait()

                if number = 0 then
                    look client

                barrier.SignalAndWait()
        with error ->
            lock tally (fun () -> tally.Failures.Add $"connection {number}: {error.Message}")
            Volatile.Write(&isOver, true)
            barrier.RemoveParticipant()

    let threads = [
        for number in 0 .. Connections - 1 do
            let thread = Thread(work number)
            thread.Start()
            thread
    ]

    threads |> List.iter _.Join()
    clock.Elapsed.TotalSeconds

/// The exit code: 0 if nothing was corrupt, refused or leaked.
let main (arguments: string list) : int =
    let options =
        parse
            {
                Seconds = 600
                Daemon = None
                Create = "cluster_size=4k"
                Blockdev = "discard=unmap"
                MiB = 16
                Seed = Random.Shared.Next 1_000_000
            }
            arguments

    let binary = options.Daemon |> Option.defaultWith Binaries.daemon.Force

    let qemuImg =
        ChildProcess.find "qemu-img"
        |> Option.defaultWith (fun () -> failwith "requires qemu-img, which is not installed")

    use directory = new TempDir.TempDir()
    let img (arguments: string) =
        ChildProcess.run directory.Path qemuImg (List.ofArray (arguments.Split ' '))

    let created = img $"create -q -f qcow2 -o {options.Create} disk.qcow2 {options.MiB}M"

    if created.ExitCode <> 0 then
        failwith created.Error

    Console.Out.WriteLine $"{binary}, {options.Create}, {options.Blockdev}, seed {options.Seed}"

    use child =
        Daemon.start
            binary
            directory.Path
            ([
                "--blockdev"
                $"driver=qcow2,node-name=q,file.driver=file,file.filename=disk.qcow2,{options.Blockdev}"
             ]
             @ Daemon.nbdServer "n.sock"
             @ [ "--export"; "nbd,id=e,node-name=q,name=q,writable=on" ])

    let tally = Tally(options.MiB * 2048)
    let seconds = run options (directory.File "n.sock") tally
    let code = Daemon.stop child
    let check = img "check -f qcow2 disk.qcow2"
    let converted = img "convert -f qcow2 -O raw disk.qcow2 disk.raw"

    if converted.ExitCode = 0 && tally.Failures.Count = 0 then
        use file = File.OpenRead(directory.File "disk.raw")

        expectAll tally "in the file" (fun offset length ->
            let bytes = Array.zeroCreate<byte> length
            file.Position <- offset
            file.ReadExactly bytes
            bytes)

    for failure in Seq.truncate 20 tally.Failures do
        Console.Out.WriteLine("FAILED " + failure)

    Console.Out.WriteLine
        $"{tally.Operations} operations in {int seconds} s: {tally}; {tally.Corruptions} corrupt sectors, {tally.Failures.Count} failures, exit code {code}, check {check.ExitCode}"

    if check.ExitCode <> 0 then
        Console.Out.WriteLine(check.Output + check.Error)

    if
        tally.Corruptions = 0L
        && tally.Failures.Count = 0
        && code = 0
        && check.ExitCode = 0
    then
        0
    else
        1
