/// The rings by themselves: random operations on a file, many at once, against an array of bytes.
module StorageDaemon.Tests.Sim.RingTests

#nowarn "9"

open System
open System.Collections.Generic
open System.IO
open System.Runtime.InteropServices
open Expecto
open Microsoft.FSharp.NativeInterop
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Shell.Drivers
open StorageDaemon.Shell.Native
open StorageDaemon.Shell.Ring
open StorageDaemon.Tests.Harness

/// Operations in flight lie in blocks of their own.
let private blocks = 32

let private blockLength = 8192
let private operations = 600

let private kinds = [|
    FileOp.Read
    FileOp.Read
    FileOp.Write
    FileOp.Write
    FileOp.WriteDsync
    FileOp.WriteZeroBuffer
    FileOp.PunchHole
    FileOp.ZeroRange
    FileOp.Allocate
    FileOp.Fdatasync
    FileOp.Readahead
|]

[<Sealed>]
type private Run(rng: Random, ring: IRing, fd: int, content: byte[]) =
    let memory = Marshal.AllocHGlobal(blocks * blockLength)
    let flying = Dictionary<uint64, Submission>()
    let completions = Array.zeroCreate<Completion> 16

    let span (s: Submission) =
        Span<byte>(NativePtr.toVoidPtr s.Buffer, int s.Length)

    /// What the file holds after an operation that succeeded.
    let apply (s: Submission) =
        let target = Span<byte>(content, int s.Offset, int s.Length)

        match s.Op with
        | FileOp.Read ->
            if not (span(s).SequenceEqual(Span.op_Implicit target)) then
                failtest ("read of other bytes at " + string s.Offset)
        | FileOp.Write
        | FileOp.WriteDsync
        | FileOp.WriteZeroBuffer -> span(s).CopyTo target
        | FileOp.PunchHole
        | FileOp.ZeroRange -> target.Clear()
        | _ -> ()

    let complete (completion: Completion) =
        let s = flying[completion.UserData]
        flying.Remove completion.UserData |> ignore

        let isTransfer =
            s.Op = FileOp.Read
            || s.Op = FileOp.Write
            || s.Op = FileOp.WriteDsync
            || s.Op = FileOp.WriteZeroBuffer

        if completion.Result >= 0L then
            Expect.equal completion.Result (if isTransfer then s.Length else 0L) "the whole length"
            apply s
        else
            // Not every file system has every fallocate mode.
            Expect.equal completion.Result -(int64 Errno.ENOTSUP) ("error of " + s.Op.ToString())
            Expect.isFalse isTransfer "transfers work"

    member _.InFlight = flying.Count

    member _.Submit(block: int) =
        let op = kinds[rng.Next kinds.Length]
        let start = rng.Next(blockLength - 1)
        let length = 1 + rng.Next(blockLength - start - 1)

        let s =
            Submission(
                UserData = uint64 block,
                Op = op,
                Fd = fd,
                Offset = int64 (block * blockLength + start),
                Length = int64 length,
                Buffer = NativePtr.ofNativeInt (memory + nativeint (block * blockLength))
            )

        if op = FileOp.WriteZeroBuffer then
            (span s).Clear()
        elif op <> FileOp.Read then
            rng.NextBytes(span s)

        flying.Add(uint64 block, s)
        Expect.isTrue (ring.TrySubmit &s) "room in the ring"

    member _.IsFree(block: int) = not (flying.ContainsKey(uint64 block))

    /// Waits for completions by the descriptor, as epoll does, and takes them.
    member _.Reap() =
        ring.Flush()

        if not ring.HasCompletions then
            let mutable poll = PollFd(Fd = ring.PollFd, Events = int16 Libc.EPOLLIN)
            Expect.equal (Libc.Poll(&&poll, 1un, 5000)) 1 "the descriptor is readable"

        let count = ring.Reap(Span completions)

        for i in 0 .. count - 1 do
            complete completions[i]

        Expect.equal ring.InFlight flying.Count "operations in flight"

    interface IDisposable with
        member _.Dispose() = Marshal.FreeHGlobal memory

let private runOver (seed: int) (ring: IRing) =
    use folder = new TempDir.TempDir()
    let path = folder.File "file"
    let rng = Random seed
    let content = Array.zeroCreate<byte>(blocks * blockLength)
    rng.NextBytes content
    File.WriteAllBytes(path, content)
    let fd = FileOpener.Open(path, true, false, false)

    try
        use run = new Run(rng, ring, fd, content)
        let mutable left = operations

        while left > 0 do
            for _ in 0 .. rng.Next blocks do
                let block = rng.Next blocks

                if run.IsFree block then
                    run.Submit block
                    left <- left - 1

            run.Reap()

        while run.InFlight > 0 do
            run.Reap()

        Expect.isFalse ring.HasCompletions "nothing is left"
        Expect.isTrue (File.ReadAllBytes(path).AsSpan().SequenceEqual(ReadOnlySpan content)) "the file's bytes"
    finally
        Libc.Close fd |> ignore

let private withSeed (body: int -> unit) =
    let seed = Random.Shared.Next()

    try
        body seed
    with error ->
        failtest ("seed " + string seed + ": " + error.ToString())

let private uring (maxBatch: uint32) =
    let mutable errno = 0
    let ring = UringRing.TryCreate(64u, maxBatch, &errno)

    if isNull ring then
        skiptest ("no io_uring here: " + Libc.Strerror errno)

    ring

[<Tests>]
let tests =
    testSequenced
    <| testList "Sim.Rings" [
        test "worker threads do what a file does" {
            withSeed (fun seed ->
                use ring = new WorkerRing("test", 4, Libc.Eventfd(0u, Libc.EFD_CLOEXEC ||| Libc.EFD_NONBLOCK))
                runOver seed ring)
        }

        test "a single worker does, too" {
            withSeed (fun seed ->
                use ring = new WorkerRing("test", 1, Libc.Eventfd(0u, Libc.EFD_CLOEXEC ||| Libc.EFD_NONBLOCK))
                runOver seed ring)
        }

        test "io_uring does what a file does" {
            withSeed (fun seed ->
                use ring = uring 0u
                runOver seed ring)
        }

        test "io_uring does in batches of three, too" {
            withSeed (fun seed ->
                use ring = uring 3u
                runOver seed ring)
        }
    ]
