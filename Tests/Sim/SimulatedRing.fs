/// A disk in memory behind an `IRing` that behaves as badly as a kernel may: operations end late and in any order,
/// are cut short, interrupted, refused or fail. All of it follows from a seed.
module internal StorageDaemon.Tests.Sim.SimulatedRing

#nowarn "9"

open System
open System.Collections.Generic
open Microsoft.FSharp.NativeInterop
open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Shell.Native
open StorageDaemon.Shell.Ring

/// What goes wrong.
type Faults = {
    /// Of 100 operations, how many are interrupted (EINTR, EAGAIN), and how many transfers are cut short.
    DisturbedPercent: int
    /// Most looks for completions that an operation stays in flight.
    MaxDelay: int
    /// Operations that the file refuses with ENOTSUP.
    Unsupported: FileOp list
    /// Ranges [first byte, end) in which operations fail, and with which error number.
    BadRanges: (int64 * int64 * int) list
    /// Error number of fdatasync, zero for success.
    FlushError: int
}

let noFaults = {
    DisturbedPercent = 0
    MaxDelay = 0
    Unsupported = []
    BadRanges = []
    FlushError = 0
}

let private isTransfer (op: FileOp) =
    op = FileOp.Read
    || op = FileOp.Write
    || op = FileOp.WriteDsync
    || op = FileOp.WriteZeroBuffer

/// The bytes, and those of them that would survive a loss of power.
[<Sealed>]
type SimulatedDisk(content: byte[], faults: Faults) =
    let durable = Array.copy content
    let mutable faults = faults

    let failure (s: Submission) =
        if s.Op = FileOp.Fdatasync then
            faults.FlushError
        else
            faults.BadRanges
            |> List.tryPick (fun (start, stop, error) ->
                if s.Offset < stop && start < s.Offset + s.Length then
                    Some error
                else
                    None)
            |> Option.defaultValue 0

    let transfer (s: Submission) (count: int) =
        let offset = int s.Offset
        let memory = NativePtr.toVoidPtr s.Buffer

        if s.Op = FileOp.Read then
            Span<byte>(content, offset, count).CopyTo(Span<byte>(memory, count))
        else
            Span<byte>(memory, count).CopyTo(Span<byte>(content, offset, count))

            if s.Op = FileOp.WriteDsync then
                Array.blit content offset durable offset count

    member _.Content = content
    member _.Durable = durable

    /// May be changed while requests run.
    member _.Faults
        with get () = faults
        and set value = faults <- value

    /// Carries an operation out, or does not: a byte count or zero, or a negative error number.
    member _.Execute(rng: Random, s: Submission) : int64 =
        let isDisturbed () = rng.Next 100 < faults.DisturbedPercent

        if List.contains s.Op faults.Unsupported then
            -(int64 Errno.ENOTSUP)
        elif isDisturbed () then
            -(int64 (if rng.Next 2 = 0 then Errno.EINTR else Errno.EAGAIN))
        else
            match failure s, s.Op with
            | 0, op when isTransfer op ->
                let available = max 0L (min s.Length (int64 content.Length - s.Offset)) |> int
                let count =
                    if available > 1 && isDisturbed () then
                        1 + rng.Next(available - 1)
                    else
                        available
                transfer s count
                int64 count
            | 0, FileOp.PunchHole
            | 0, FileOp.ZeroRange ->
                Array.Clear(content, int s.Offset, int s.Length)
                0L
            | 0, FileOp.Fdatasync ->
                Array.blit content 0 durable 0 content.Length
                0L
            | 0, _ -> 0L
            | error, _ -> -(int64 error)

[<Struct; NoEquality; NoComparison>]
type private Flying = { Operation: Submission; Due: int }

/// The ring of one IOThread. An operation is carried out when its completion is taken, so that whoever gives its
/// buffer away too early is found out.
[<Sealed>]
type SimulatedRing(disk: SimulatedDisk, seed: int, capacity: int) =
    let rng = Random seed
    let fd = Libc.Eventfd(0u, Libc.EFD_CLOEXEC ||| Libc.EFD_NONBLOCK)
    let flying = List<Flying>()
    let mutable looks = 0
    let mutable isHeld = false
    let mutable mostInFlight = 0
    let mutable submitted = 0

    let signal () =
        let mutable one = 1UL
        Libc.Write(fd, NativePtr.toVoidPtr &&one, 8un) |> ignore

    let silence () =
        let mutable count = 0UL
        Libc.Read(fd, NativePtr.toVoidPtr &&count, 8un) |> ignore

    let tryFindDue () =
        let due = ResizeArray<int>()

        for i in 0 .. flying.Count - 1 do
            if flying[i].Due <= looks then
                due.Add i

        if due.Count = 0 then -1 else due[rng.Next due.Count]

    /// Most operations that were ever in flight at once.
    member _.MostInFlight = mostInFlight
    member _.InFlightNow = flying.Count
    member _.Submitted = submitted

    /// While held, nothing completes. On the IOThread only.
    member _.Hold(hold: bool) =
        isHeld <- hold

        if hold then
            silence ()
        elif flying.Count > 0 then
            signal ()

    interface IRing with
        member _.PollFd = fd
        member _.InFlight = flying.Count

        member _.HasCompletions =
            looks <- looks + 1
            not isHeld && tryFindDue () >= 0

        member _.TrySubmit(submission: inref<Submission>) =
            if flying.Count >= capacity then
                false
            else
                flying.Add {
                    Operation = submission
                    Due = looks + rng.Next(disk.Faults.MaxDelay + 1)
                }
                mostInFlight <- max mostInFlight flying.Count
                submitted <- submitted + 1

                if not isHeld then
                    signal ()

                true

        member _.Flush() = ()

        member _.Reap(completions: Span<Completion>) =
            let most = 1 + rng.Next completions.Length
            let mutable count = 0
            let mutable index = tryFindDue ()

            while index >= 0 && count < most && not isHeld do
                let operation = flying[index].Operation
                flying.RemoveAt index
                completions[count] <- Completion(UserData = operation.UserData, Result = disk.Execute(rng, operation))
                count <- count + 1
                index <- tryFindDue ()

            if flying.Count = 0 then
                silence ()

            count

    interface IDisposable with
        member _.Dispose() = Libc.Close fd |> ignore
