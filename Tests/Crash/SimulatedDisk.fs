/// A disk with a volatile cache: what was written since the last flush may be lost in a crash, in any part.
module internal StorageDaemon.Tests.Crash.SimulatedDisk

open System
open System.Collections.Generic
open StorageDaemon.Core.Io
open StorageDaemon.Tests.Reference.LayerRunner

[<Literal>]
let SectorBytes = 512

/// A write that is not durable: its bytes, or none for zeroes, and how far it grows the file.
[<NoComparison; NoEquality>]
type Unflushed = { Offset: int; Data: byte[] }

type SimulatedDisk(content: byte[], fails: ChildRequest -> int) =
    inherit MemoryChild(content, fails)

    let mutable durable = Array.copy content
    let unflushed = List<Unflushed>()
    // Of the flush under way: how many of the writes had ended when it was sent.
    let mutable covered = 0

    let write (target: byref<byte[]>) (offset: int) (data: ReadOnlySpan<byte>) =
        if offset + data.Length > target.Length then
            Array.Resize(&target, offset + data.Length)

        data.CopyTo(target.AsSpan offset)

    member _.Unflushed = unflushed

    override _.Issued request =
        if request.Kind = RequestKind.Flush then
            covered <- unflushed.Count

    override this.Apply(request, buffer) =
        base.Apply(request, buffer)

        match request.Kind with
        | RequestKind.Write -> unflushed.Add { Offset = int request.Offset; Data = buffer.ToArray() }
        | RequestKind.WriteZeroes
        | RequestKind.Discard ->
            unflushed.Add {
                Offset = int request.Offset
                Data = Array.zeroCreate (int request.Length)
            }
        | RequestKind.Flush ->
            for i in 0 .. covered - 1 do
                write &durable unflushed[i].Offset (ReadOnlySpan unflushed[i].Data)

            unflushed.RemoveRange(0, covered)
            covered <- 0
        | _ -> ()

    /// The file after a crash now: of each write that is not durable all sectors, none, or some have arrived.
    member _.Crash(random: Random) : byte[] =
        let mutable after = Array.copy durable

        for lost in unflushed do
            match random.Next 4 with
            | 0 -> ()
            | 1 ->
                // Torn: every sector by itself. Data that end within a sector share it with what follows.
                let mutable at = 0

                while at < lost.Data.Length do
                    let next = min lost.Data.Length (((lost.Offset + at) / SectorBytes + 1) * SectorBytes - lost.Offset)

                    if random.Next 2 = 0 then
                        write &after (lost.Offset + at) (ReadOnlySpan(lost.Data, at, next - at))

                    at <- next
            | _ -> write &after lost.Offset (ReadOnlySpan lost.Data)

        after
