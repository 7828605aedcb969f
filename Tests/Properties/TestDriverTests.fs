/// The drivers for tests and redundancy: quorum, blkverify, blkdebug and blklogwrites over children in memory, against
/// what a naive look at the same children says.
module StorageDaemon.Tests.Properties.TestDriverTests

open System
open Expecto
open FsCheck
open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Io
open StorageDaemon.Tests.Reference.LayerRunner

let private never (_: ChildRequest) = 0
let private size = 4096

let private filled (value: byte) = Array.create size value

let private quorumOf threshold : QuorumOptions = {
    VoteThreshold = threshold
    BlkVerify = false
    RewriteCorrupted = false
    ReadPattern = None
}

/// What a quorum of children with these contents and errors reads; nothing where too few agree.
let private naiveVote (threshold: int) (answers: Result<byte, int> list) : byte option =
    let values =
        answers
        |> List.choose (function
            | Ok value -> Some value
            | Error _ -> None)

    if values.Length < threshold then
        None
    else
        let versions = values |> List.distinct
        let votes version =
            values |> List.filter ((=) version) |> List.length
        let most = versions |> List.map votes |> List.max
        let winner = versions |> List.findBack (fun version -> votes version = most)
        if versions.Length > 1 && most < threshold then
            None
        else
            Some winner

let private quorumTests =
    testList "quorum" [
        testProperty "a read is what the majority says"
        <| fun (contents: (byte * bool) list) (threshold: byte) (offset: byte) (rewrite: bool) (seed: int) ->
            let answers =
                (1uy, false) :: contents
                |> List.truncate 7
                |> List.map (fun (value, fails) -> if fails then Error Errno.EIO else Ok(value % 3uy))

            let threshold = int threshold % answers.Length + 1

            let children =
                answers
                |> List.map (function
                    | Ok value -> MemoryChild(filled value, never)
                    | Error error ->
                        MemoryChild(filled 9uy, (fun request -> if request.Kind = RequestKind.Read then error else 0)))

            let layer =
                QuorumLayer {
                    quorumOf (int64 threshold) with
                        RewriteCorrupted = rewrite
                }

            let runner = Runner(layer, children, seed)
            let offset = int64 offset
            let error, data =
                runner.Run(RequestKind.Read, RequestFlags.None, offset, 700L, Array.zeroCreate 700, false)

            match naiveVote threshold answers with
            | None ->
                Expect.notEqual error 0 "too few agree"

                Expect.exists
                    runner.Notices
                    (fun notice -> (notice :?> QuorumNotice).IsQuorumFailed)
                    "the failure is reported"
            | Some winner ->
                Expect.equal error 0 "the read succeeds"
                Expect.isTrue (Array.forall ((=) winner) data) "the majority's data"

                let bad =
                    answers
                    |> List.indexed
                    |> List.filter (fun (_, answer) -> answer <> Ok winner)
                    |> List.map fst
                    |> Set.ofList

                let reported =
                    runner.Notices
                    |> Seq.choose (fun notice ->
                        match notice :?> QuorumNotice with
                        | QuorumBad(child, QuorumRead, _, _, _) -> Some child
                        | _ -> None)
                    |> Set.ofSeq

                Expect.equal reported bad "all others are reported"

                for index, answer in List.indexed answers do
                    let at = children[index].Content[int offset]

                    match answer with
                    | Ok value when value <> winner && rewrite -> Expect.equal at winner "rewritten"
                    | Ok value -> Expect.equal at value "left alone"
                    | Error _ -> Expect.equal at 9uy "a child that failed is not written"

        testProperty "a write succeeds where enough children take it"
        <| fun (failing: bool list) (threshold: byte) (seed: int) ->
            let failing = List.truncate 6 (false :: failing)
            let threshold = int threshold % failing.Length + 1

            let children =
                failing
                |> List.map (fun fails -> MemoryChild(filled 0uy, (fun _ -> if fails then Errno.ENOSPC else 0)))

            let runner = Runner(QuorumLayer(quorumOf (int64 threshold)), children, seed)
            let error, _ = runner.Run(RequestKind.Write, RequestFlags.None, 100L, 10L, Array.create 10 5uy, false)
            let good = failing |> List.filter not |> List.length
            Expect.equal error (if good >= threshold then 0 else Errno.ENOSPC) "the outcome"

            for fails, child in List.zip failing children do
                Expect.equal child.Content[100] (if fails then 0uy else 5uy) "all get the data"

        testProperty "fifo reads the first child that can"
        <| fun (failing: bool list) (seed: int) ->
            let failing = List.truncate 6 (true :: failing)

            let children =
                failing
                |> List.mapi (fun i fails -> MemoryChild(filled (byte i), (fun _ -> if fails then Errno.EIO else 0)))

            let options = { quorumOf 1L with ReadPattern = Some ReadFifo }

            let runner = Runner(QuorumLayer options, children, seed)
            let error, data = runner.Run(RequestKind.Read, RequestFlags.None, 0L, 16L, Array.zeroCreate 16, false)

            match List.tryFindIndex not failing with
            | Some first ->
                Expect.equal error 0 "one can"
                Expect.equal data[0] (byte first) "the first one's data"
                Expect.equal runner.Notices.Count first "those before are reported"
            | None -> Expect.equal error Errno.EIO "none can"

        testCase "the blkverify mode takes no vote"
        <| fun () ->
            let options = { quorumOf 2L with BlkVerify = true }
            let children = [ MemoryChild(filled 1uy, never); MemoryChild(filled 2uy, never) ]
            let runner = Runner(QuorumLayer options, children, 1)
            let error, _ = runner.Run(RequestKind.Read, RequestFlags.None, 0L, 16L, Array.zeroCreate 16, false)
            Expect.equal error Errno.EIO "they differ"
            Expect.isTrue ((runner.Notices[0] :?> QuorumNotice).IsQuorumDiffers) "it is told"
    ]

let private blkverifyTests =
    testList "blkverify" [
        testProperty "a read finds each difference"
        <| fun (offset: uint16) (length: uint16) (differs: uint16 option) (seed: int) ->
            let offset = int offset % size
            let length = int length % (size - offset) + 1
            let test = filled 1uy
            differs |> Option.iter (fun at -> test[int at % size] <- 2uy)
            let runner =
                Runner(BlkVerifyLayer(), [ MemoryChild(filled 1uy, never); MemoryChild(test, never) ], seed)

            let error, data =
                runner.Run(
                    RequestKind.Read,
                    RequestFlags.None,
                    int64 offset,
                    int64 length,
                    Array.zeroCreate length,
                    false
                )

            match differs |> Option.map (fun at -> int at % size) with
            | Some at when at >= offset && at < offset + length ->
                Expect.equal error Errno.EIO "a difference"

                match runner.Notices[0] :?> BlkVerifyNotice with
                | ContentsDiffer(_, _, where) -> Expect.equal where (int64 at) "where it is"
                | OutcomesDiffer _ -> failtest "the contents differ"
            | _ ->
                Expect.equal error 0 "no difference"
                Expect.equal data test[offset .. offset + length - 1] "the data"

        testProperty "outcomes must be the same"
        <| fun (raw: byte) (test: byte) (seed: int) ->
            let raw = int raw % 2 * Errno.EIO
            let test = int test % 2 * Errno.EIO

            let children = [
                MemoryChild(filled 0uy, (fun _ -> raw))
                MemoryChild(filled 0uy, (fun _ -> test))
            ]

            let runner = Runner(BlkVerifyLayer(), children, seed)
            let error, _ = runner.Run(RequestKind.Write, RequestFlags.None, 0L, 8L, Array.create 8 1uy, false)
            Expect.equal error (if raw = 0 && test = 0 then 0 else Errno.EIO) "the outcome"
            Expect.equal (runner.Notices.Count = 1) (raw <> test) "a difference is told"
    ]

let private inject event state action : BlkDebugRule = {
    Event = BlkDebugRules.eventOf event
    State = state
    Action = action
}

let private debugLimits align transfer optZero maxZero : BlkDebugLimits = {
    BlkDebugLimits.none with
        Align = align
        MaxTransfer = transfer
        OptWriteZero = optZero
        MaxWriteZero = maxZero
}

let private blkdebugTests =
    testList "blkdebug" [
        testProperty "without rules the data are the child's, in pieces under the limits"
        <| fun (requests: (byte * uint16 * uint16 * byte) list) (shape: byte) (seed: int) ->
            let unit' = 1UL <<< (int shape % 3 + 7)
            let limits = debugLimits unit' (unit' * 2UL) (unit' * 2UL) (unit' * 4UL)
            let child = MemoryChild(filled 0uy, never)
            let runner = Runner(BlkDebugLayer(limits, [||]), [ child ], seed)
            let model = filled 0uy

            for kind, offset, length, value in requests do
                let offset = int offset % size
                let length = int length % (size - offset) + 1
                let value = value ||| 1uy

                match kind % 3uy with
                | 0uy ->
                    let error, data =
                        runner.Run(
                            RequestKind.Read,
                            RequestFlags.None,
                            int64 offset,
                            int64 length,
                            Array.zeroCreate length,
                            false
                        )

                    Expect.equal error 0 "a read"
                    Expect.equal data model[offset .. offset + length - 1] "what was written"
                | 1uy ->
                    let data = Array.create length value
                    let error, _ =
                        runner.Run(RequestKind.Write, RequestFlags.None, int64 offset, int64 length, data, false)
                    Expect.equal error 0 "a write"
                    data.CopyTo(model, offset)
                | _ ->
                    let error, _ =
                        runner.Run(RequestKind.WriteZeroes, RequestFlags.None, int64 offset, int64 length, [||], false)
                    Expect.equal error 0 "zeroes"
                    Array.fill model offset length 0uy

            Expect.equal child.Content model "the child's content"

            for request in child.Requests do
                let most =
                    if request.Kind = RequestKind.WriteZeroes then
                        unit' * 4UL
                    else
                        unit' * 2UL
                Expect.isLessThanOrEqual request.Length (int64 most) "a limit"

        testCase "rules wait for their event, their state and their sector"
        <| fun () ->
            let rules = [|
                inject "read_aio" 1 (InjectError(Errno.ENOSPC, -1L, true, BlkDebugIoType.Read))
                inject "write_aio" 1 (SetState 2)
                inject "write_aio" 2 (InjectError(Errno.EIO, 2L, false, BlkDebugIoType.Write))
                inject "none" 0 (InjectError(Errno.EPERM, -1L, false, BlkDebugIoType.Flush))
            |]

            let child = MemoryChild(filled 0uy, never)
            let runner = Runner(BlkDebugLayer(BlkDebugLimits.none, rules), [ child ], 1)
            let read viaFormat =
                fst (runner.Run(RequestKind.Read, RequestFlags.None, 0L, 512L, Array.zeroCreate 512, viaFormat))
            let write offset =
                fst (runner.Run(RequestKind.Write, RequestFlags.None, offset, 512L, Array.zeroCreate 512, true))
            let flush () =
                fst (runner.Run(RequestKind.Flush, RequestFlags.None, 0L, 0L, [||], false))
            let plainWrite () =
                fst (runner.Run(RequestKind.Write, RequestFlags.None, 0L, 512L, Array.zeroCreate 512, false))
            Expect.equal (flush ()) 0 "nothing was written"
            Expect.equal (plainWrite ()) 0 "no format driver, no event"
            Expect.equal (flush ()) Errno.EPERM "in force from the beginning"
            Expect.equal (flush ()) Errno.EPERM "what was written is not flushed yet"
            Expect.equal (read false) 0 "no format driver, no event"
            Expect.equal (read true) Errno.ENOSPC "the event"
            Expect.equal (read true) 0 "only once"
            Expect.equal (write 1024L) 0 "the first write leads to the next state"
            Expect.equal (write 0L) 0 "another sector"
            Expect.equal (write 1024L) Errno.EIO "the sector, in the state"
            Expect.equal (flush ()) 0 "rules in force have taken the place of the first"

        testCase "a flush covers the writes that had ended when it began"
        <| fun () ->
            let rules = [|
                inject "none" 0 (InjectError(Errno.EPERM, -1L, true, BlkDebugIoType.Flush))
            |]
            let child = MemoryChild(filled 0uy, never)
            let runner = Runner(BlkDebugLayer(BlkDebugLimits.none, rules), [ child ], 1)
            let start kind length =
                runner.Start(kind, RequestFlags.None, 0L, length, Array.zeroCreate (int length), false)
                |> ignore
            // The flush begins while the write is under way, and has nothing to flush.
            start RequestKind.Write 512L
            start RequestKind.Flush 0L
            runner.Finish()
            Expect.equal child.Requests.Count 2 "the child is flushed in any case"
            let flush () =
                fst (runner.Run(RequestKind.Flush, RequestFlags.None, 0L, 0L, [||], false))
            Expect.equal (flush ()) Errno.EPERM "the write is still to be flushed"
            Expect.equal (flush ()) 0 "the rule was for once"

        testCase "a config file's rules"
        <| fun () ->
            let parsed =
                BlkDebugConfig.parse
                    "# comment\n[inject-error]\nevent = \"read_aio\"\nerrno = \"28\"\nonce = \"on\"\n\n[set-state \"a\"]\n\
event = \"write_aio\"\nstate = \"1\"\nnew_state = \"2\"\n"

            match parsed with
            | Ok [ first; second ] ->
                Expect.equal first.Event BlkDebugRules.readAio "the first rule's event"
                Expect.equal second.State 1 "the second rule's state"

                match first.Action, second.Action with
                | InjectError(error, sector, once, _), SetState next ->
                    Expect.equal (error, sector, once, next) (28, -1L, true, 2) "what they do"
                | _ -> failtest "the kinds of the rules"
            | other -> failtestf "%A" other

        testProperty "no text is too strange for the parser"
        <| fun (text: string) (lines: NonNull<string> list) ->
            let strange =
                (if isNull text then "" else text)
                + "\n[inject-error]\n"
                + String.Join("\n[", lines |> List.map _.Get)

            match BlkDebugConfig.parse strange with
            | Ok rules -> Expect.isGreaterThanOrEqual rules.Length 0 "rules"
            | Error error -> Expect.isNotEmpty error.Desc "a reason"
    ]

/// Replays a log as far as its super block says: the content of the device, and the entries.
let private replay (log: byte[]) : byte[] * int =
    let device = filled 0uy

    match LogWrites.decodeSuper (ReadOnlySpan log) with
    | Error text -> failtest text
    | Ok super ->
        let sector = int super.SectorBytes
        let mutable at = sector

        for index in 0 .. int super.Entries - 1 do
            match LogWrites.decodeEntry (uint64 index) (ReadOnlySpan(log, at, sector)) with
            | Error text -> failtest text
            | Ok entry ->
                let length = int (LogWrites.dataSectors entry) * sector
                let target = int entry.Sector * sector

                if entry.Flags &&& LogWrites.flagDiscard <> 0UL then
                    Array.fill device target (int entry.Sectors * sector) 0uy
                else
                    Array.blit log (at + sector) device target length

                at <- at + sector + length

        device, int super.Entries

let private logWritesTests =
    testList "blklogwrites" [
        testProperty "after a flush the log replays to what the device holds"
        <| fun (requests: (byte * uint16 * uint16 * byte) list) (shape: byte) (seed: int) ->
            let sector = uint64 (1 <<< (int shape % 4 + 6))

            let layer =
                LogWritesLayer.Create {
                    SectorBytes = Some sector
                    Append = false
                    SuperInterval = Some 3UL
                }

            let device = MemoryChild(filled 0uy, never)
            let log = MemoryChild([||], never)
            let runner = Runner(layer, [ device; log ], seed)
            let random = Random seed
            let mutable busy = []

            for kind, offset, length, value in requests do
                let offset = int offset % size
                let length = int length % (size - offset) + 1

                // Users keep their own writes apart, but not within a sector.
                let overlaps =
                    busy
                    |> List.exists (fun (start, stop) -> offset < stop && start < offset + length)

                if overlaps then
                    runner.Finish()
                    busy <- []

                busy <- (offset, offset + length) :: busy

                let start kind data =
                    runner.Start(kind, RequestFlags.None, int64 offset, int64 length, data, false)
                    |> ignore

                match kind % 4uy with
                | 0uy -> start RequestKind.WriteZeroes [||]
                | 1uy -> start RequestKind.Discard [||]
                | _ -> start RequestKind.Write (Array.create length value)

                for _ in 1 .. random.Next 4 do
                    runner.Step() |> ignore

            runner.Finish()
            let error, _ = runner.Run(RequestKind.Flush, RequestFlags.None, 0L, 0L, [||], false)
            Expect.equal error 0 "the flush"

            if log.Content.Length = 0 then
                Expect.equal device.Content (filled 0uy) "nothing was written, so nothing is logged"
            else
                let replayed, entries = replay log.Content
                Expect.equal replayed device.Content "the same content"
                Expect.isGreaterThan entries 0 "the flush is an entry"
                let length = log.Content.Length
                Expect.equal (fst (runner.Run(RequestKind.Flush, RequestFlags.None, 0L, 0L, [||], false))) 0 "flushed"
                Expect.equal (snd (replay log.Content), log.Content.Length) (entries, length) "one flush is enough"

        testProperty "an error of the log stays"
        <| fun (at: byte) (seed: int) ->
            let mutable left = int at % 12

            let log =
                MemoryChild(
                    [||],
                    fun _ ->
                        left <- left - 1
                        if left = 0 then Errno.ENOSPC else 0
                )

            let layer = LogWritesLayer.Create { SectorBytes = None; Append = false; SuperInterval = None }

            let runner = Runner(layer, [ MemoryChild(filled 0uy, never); log ], seed)

            let errors = [
                for i in 0..9 ->
                    fst (
                        runner.Run(
                            RequestKind.Write,
                            RequestFlags.None,
                            int64 i * 300L,
                            300L,
                            Array.create 300 1uy,
                            false
                        )
                    )
            ]

            let firstBad = errors |> List.tryFindIndex (fun error -> error <> 0)

            match firstBad with
            | Some first ->
                Expect.all (List.skip first errors) (fun error -> error = Errno.ENOSPC) "nothing after it succeeds"
            | None -> Expect.isLessThanOrEqual left 0 "no error was due"
    ]

[<Tests>]
let tests = testList "test drivers" [ quorumTests; blkverifyTests; blkdebugTests; logWritesTests ]
