/// The machine of preallocate over a file in memory, against a file that is only written to.
module StorageDaemon.Tests.Properties.PreallocateTests

open System
open Expecto
open FsCheck
open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Io
open StorageDaemon.Tests.Reference.LayerRunner

/// A write beside all others: after a gap, so many bytes of that value, or zeroes.
type Write = { Gap: byte; Length: byte; Value: byte }

let private optionsOf (align: byte) (size: uint16) : PreallocateOptions = {
    AlignBytes = int64 align + 1L
    SizeBytes = int64 size % 3000L
}

/// Where each write begins and ends.
let private places (writes: Write list) =
    writes
    |> List.mapFold
        (fun start write ->
            let first = start + int write.Gap
            (first, int write.Length + 1, write.Value), first + int write.Length + 1)
        0
    |> fst

/// The file after plain writes.
let private naiveFile (initial: byte[]) (places: (int * int * byte) list) : byte[] =
    let length =
        places
        |> List.fold (fun most (at, size, _) -> max most (at + size)) initial.Length
    let file = Array.append initial (Array.zeroCreate (length - initial.Length))

    for at, size, value in places do
        Array.fill file at size value

    file

/// Starts all writes in some order and lets them end in another.
let private run (layer: PreallocateLayer) (child: MemoryChild) (places: (int * int * byte) list) (seed: int) =
    let runner = Runner(layer, [ child ], seed)
    let random = Random seed

    let slots =
        places
        |> List.map (fun (at, size, value) ->
            if random.Next 3 = 0 then
                runner.Step() |> ignore

            if value = 0uy then
                runner.Start(RequestKind.WriteZeroes, RequestFlags.None, int64 at, int64 size, [||], false)
            else
                let data = Array.create size value
                runner.Start(RequestKind.Write, RequestFlags.None, int64 at, int64 size, data, false))

    runner.Finish()

    for slot in slots do
        Expect.isTrue slot.IsDone "every write ends"
        Expect.equal slot.Error 0 "however the growth went"

let private shuffled (seed: int) (items: 'T list) : 'T list =
    let random = Random seed
    items |> List.sortBy (fun _ -> random.Next())

[<Tests>]
let tests =
    testList "preallocate" [
        testProperty "grows to the least multiple that leaves enough"
        <| fun (align: PositiveInt) (NonNegativeInt size) (NonNegativeInt dataEnd) ->
            let align, size, dataEnd = int64 align.Get, int64 size, int64 dataEnd

            let grown = PreallocateOptions.grownEnd { AlignBytes = align; SizeBytes = size } dataEnd
            Expect.equal (grown % align) 0L "a multiple"
            Expect.isGreaterThanOrEqual grown (dataEnd + size) "enough"
            Expect.isLessThan grown (dataEnd + size + align) "the least"

        testProperty "never before the data, whatever the options"
        <| fun (align: int64) (size: int64) (dataEnd: int64) ->
            let dataEnd = dataEnd &&& Int64.MaxValue

            Expect.isGreaterThanOrEqual
                (PreallocateOptions.grownEnd { AlignBytes = align; SizeBytes = size } dataEnd)
                dataEnd
                "the end"

        test "the length that the real daemon gives" {
            let grown = PreallocateOptions.grownEnd PreallocateOptions.defaults 67072L
            Expect.equal grown 135266304L "129 MiB"
        }

        testProperty "the data are those of plain writes, and the file ends with them once it is cut"
        <| fun (initial: byte[]) (writes: Write list) (align: byte) (size: uint16) (failing: byte) (seed: int) ->
            let places = places writes |> shuffled seed
            let mutable left = int failing % 7

            let fails (request: ChildRequest) =
                if request.Kind = RequestKind.Allocate then
                    left <- left - 1
                    if left % 2 = 1 then Errno.ENOSPC else 0
                else
                    0

            let child = MemoryChild(initial, fails)
            let layer = PreallocateLayer(optionsOf align size, int64 initial.Length)
            run layer child places seed
            let expected = naiveFile initial places
            Expect.equal layer.DataEnd (int64 expected.Length) "the data end"
            Expect.equal child.Content[.. expected.Length - 1] expected "the data"
            Expect.all child.Content[expected.Length ..] ((=) 0uy) "nothing beyond"

            match layer.CutFrom(int64 child.Content.Length) with
            | ValueSome cut -> Expect.equal cut (int64 expected.Length) "cut to the data"
            | ValueNone -> Expect.equal child.Content.Length expected.Length "nothing to cut"

        testProperty "the file is as long as a look at each write says"
        <| fun (initial: byte) (writes: Write list) (align: byte) (size: uint16) (seed: int) ->
            let places = places writes |> shuffled seed
            let options = optionsOf align size
            let child = MemoryChild(Array.zeroCreate (int initial), (fun _ -> 0))
            run (PreallocateLayer(options, int64 initial)) child places seed

            let struct (_, fileEnd) =
                places
                |> List.fold
                    (fun struct (dataEnd, fileEnd) (at, length, _) ->
                        let dataEnd = max dataEnd (int64 (at + length))

                        struct (dataEnd,
                                if dataEnd > fileEnd then
                                    PreallocateOptions.grownEnd options dataEnd
                                else
                                    fileEnd))
                    struct (int64 initial, int64 initial)

            Expect.equal (int64 child.Content.Length) fileEnd "the length"

        testProperty "what somebody else has appended is never cut"
        <| fun (writes: Write list) (align: byte) (size: uint16) (more: byte) (seed: int) ->
            let child = MemoryChild([||], (fun _ -> 0))
            let layer = PreallocateLayer(optionsOf align size, 0L)
            run layer child (places writes) seed
            let longer = int64 child.Content.Length + int64 more + 1L
            Expect.equal (layer.CutFrom longer) ValueNone "longer than was asked for"
            layer.Observe longer
            Expect.equal layer.DataEnd longer "it counts as data"

        testProperty "everything but writes beyond the end passes as it is"
        <| fun (kind: byte) (offset: byte) (length: byte) ->
            let kind: RequestKind = LanguagePrimitives.EnumOfValue(kind % 6uy)
            let child = MemoryChild(Array.create 1024 1uy, (fun _ -> 0))
            let runner = Runner(PreallocateLayer(PreallocateOptions.defaults, 1024L), [ child ], 1)
            let data = Array.zeroCreate (int length)
            let error, _ = runner.Run(kind, RequestFlags.Fua, int64 offset, int64 length, data, false)
            Expect.equal error 0 "it succeeds"
            Expect.equal child.Requests.Count 1 "one request"
            Expect.equal child.Requests[0].Kind kind "of its kind"
            Expect.equal child.Requests[0].Flags RequestFlags.Fua "with its flags"
            Expect.equal child.Requests[0].Offset (int64 offset) "where it is"
            Expect.equal child.Content.Length 1024 "the length stays"
    ]
