module StorageDaemon.Tests.Properties.FileRequest

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// A file in memory with a kernel in front of it that refuses, interrupts and cuts short as its script says.
type private ModelFile(content: byte[], missing: FileTraits, script: int list) =
    let mutable rest = script
    let mutable unsynced = false

    let next () =
        match rest with
        | head :: tail ->
            rest <- tail
            head
        | [] -> 0

    member _.Content = content
    /// Whether data were written that no sync has covered yet.
    member _.Unsynced = unsynced

    member private _.Transfer(length: int64, apply: int -> unit) =
        match abs (next ()) % 8 with
        | 7 -> -(int64 Errno.EINTR)
        | 6 -> -(int64 Errno.EAGAIN)
        | n when n >= 4 && length > 1L ->
            let short = 1L + int64 (abs (next ())) % (length - 1L)
            apply (int short)
            short
        | _ ->
            apply (int length)
            length

    member private _.Unless(trait': FileTraits, apply: unit -> unit) =
        if missing &&& trait' <> FileTraits.None then
            -(int64 (if next () % 2 = 0 then Errno.ENOTSUP else Errno.EINVAL))
        else
            apply ()
            0L

    member this.Run(r: byref<FileRequest>, data: byte[]) : int64 =
        let position = int (r.Offset + r.Completed)
        let at = int r.Completed
        let offset, length = int r.Offset, int r.Length
        let zero () = Array.Clear(content, offset, length)

        match r.Op with
        | FileOp.Read ->
            let available = int64 (max 0 (content.Length - position))

            if available = 0L then
                0L
            else
                this.Transfer(min r.OpLength available, fun n -> Array.Copy(content, position, data, at, n))
        | FileOp.Write ->
            unsynced <- true
            this.Transfer(r.OpLength, fun n -> Array.Copy(data, at, content, position, n))
        | FileOp.WriteDsync when missing &&& FileTraits.NoDsyncWrite <> FileTraits.None -> -(int64 Errno.ENOTSUP)
        | FileOp.WriteDsync -> this.Transfer(r.OpLength, fun n -> Array.Copy(data, at, content, position, n))
        | FileOp.WriteZeroBuffer ->
            unsynced <- true
            this.Transfer(r.OpLength, fun n -> Array.Clear(content, position, n))
        | FileOp.PunchHole ->
            unsynced <- true
            this.Unless(FileTraits.NoPunchHole, zero)
        | FileOp.ZeroRange ->
            unsynced <- true
            this.Unless(FileTraits.NoZeroRange, zero)
        | FileOp.Allocate -> this.Unless(FileTraits.NoAllocate, ignore)
        | FileOp.Fdatasync ->
            unsynced <- false
            0L
        | FileOp.DiscardDevice ->
            unsynced <- true
            this.Unless(FileTraits.NoPunchHole, zero)
        | FileOp.Readahead -> 0L
        | op -> failtest ("unexpected operation " + op.ToString())

type private Case = {
    Kind: RequestKind
    Flags: RequestFlags
    Traits: FileTraits
    Missing: FileTraits
    Offset: int
    Length: int
    FileLength: int
    Script: int list
}

let private genFlags (all: 'T list) (combine: 'T -> 'T -> 'T) (zero: 'T) =
    gen {
        let! picks = Gen.listOfLength all.Length (Gen.elements [ true; false ])
        return
            List.zip all picks
            |> List.fold (fun acc (f, on) -> if on then combine acc f else acc) zero
    }

let private genCase =
    gen {
        let! kind = Gen.elements [ 0uy .. 6uy ]

        let! flags =
            genFlags
                [
                    RequestFlags.Fua
                    RequestFlags.MayUnmap
                    RequestFlags.NoFallback
                    RequestFlags.Unmap
                ]
                (|||)
                RequestFlags.None

        let! traits =
            genFlags [ FileTraits.Unmap; FileTraits.NoFlush; FileTraits.BlockDevice ] (|||) FileTraits.None

        let! missing =
            genFlags
                [
                    FileTraits.NoPunchHole
                    FileTraits.NoZeroRange
                    FileTraits.NoAllocate
                    FileTraits.NoDsyncWrite
                ]
                (|||)
                FileTraits.None

        let! offset = Gen.choose (0, 200)
        let! length = Gen.choose (0, 300)
        let! cut = Gen.choose (0, 400)
        let! script = Gen.listOf (Gen.choose (0, 1000))
        let kind: RequestKind = LanguagePrimitives.EnumOfValue kind

        return {
            Kind = kind
            Flags = flags
            Traits = traits
            Missing = missing
            Offset = offset
            Length = (if kind = RequestKind.Flush then 0 else length)
            // Only reads meet a file that is shorter than the node.
            FileLength = (if kind = RequestKind.Read then cut else 512)
            Script = script
        }
    }

let private pattern seed length =
    Array.init length (fun i -> byte (seed + i * 7) ||| 1uy)

/// Runs a request to its end, with a bound on the number of operations.
let private run (case: Case) =
    let original = pattern 3 case.FileLength
    let file = ModelFile(Array.copy original, case.Missing, case.Script)
    let data = pattern 11 case.Length
    let written = Array.copy data
    let mutable request = FileRequest()
    request.Kind <- case.Kind
    request.Flags <- case.Flags
    request.Offset <- int64 case.Offset
    request.Length <- int64 case.Length
    FileRequest.start case.Traits &request
    let mutable steps = 0

    while request.Op <> FileOp.Done && steps < 2000 do
        Expect.isTrue
            (request.Op = FileOp.Fdatasync
             || request.Completed + request.OpLength <= request.Length)
            "an operation stays within the request"

        let result = file.Run(&request, data)
        FileRequest.step case.Traits &request result
        steps <- steps + 1

    Expect.equal request.Op FileOp.Done "the request ends"
    struct (file, original, data, written, request)

let private property name check =
    testPropertyWithConfig
        { FsCheckConfig.defaultConfig with maxTest = 2000 }
        name
        (Prop.forAll (Arb.fromGen genCase) check)

[<Tests>]
let tests =
    testList "FileRequest" [
        property "does what was asked, whatever the kernel refuses or cuts short" (fun case ->
            let struct (file, original, data, written, request) = run case
            let inside i =
                i >= case.Offset && i < case.Offset + case.Length

            match case.Kind with
            | RequestKind.Read ->
                Expect.equal request.Error 0 "reads succeed"
                let valid = case.Length - int request.ZeroTail

                for i in 0 .. valid - 1 do
                    Expect.equal data[i] original[case.Offset + i] "the file's bytes"

                let inFile = max 0 (min case.Length (case.FileLength - case.Offset))
                Expect.equal valid inFile "the zero tail is what lies past the end"
            | RequestKind.Write ->
                Expect.equal request.Error 0 "writes succeed"

                for i in 0 .. file.Content.Length - 1 do
                    let expected = if inside i then written[i - case.Offset] else original[i]
                    Expect.equal file.Content[i] expected "written inside, untouched outside"
            | RequestKind.WriteZeroes when request.Error = 0 ->
                for i in 0 .. file.Content.Length - 1 do
                    Expect.equal file.Content[i] (if inside i then 0uy else original[i]) "zeroes inside only"
            | RequestKind.WriteZeroes ->
                Expect.equal request.Error Errno.ENOTSUP "the only failure is the one that was asked for"
                Expect.isTrue
                    (case.Flags &&& RequestFlags.NoFallback <> RequestFlags.None)
                    "and only without fall-back"
            | RequestKind.Discard ->
                Expect.equal request.Error 0 "a discard is advice"

                for i in 0 .. file.Content.Length - 1 do
                    Expect.isTrue
                        (file.Content[i] = original[i] || (inside i && file.Content[i] = 0uy))
                        "old data or zeroes"

                if case.Traits &&& FileTraits.Unmap = FileTraits.None then
                    Expect.equal file.Content original "discard=ignore drops it"
            | RequestKind.Allocate ->
                Expect.isTrue (request.Error = 0 || request.Error = Errno.ENOTSUP) "it works or cannot be done"
                Expect.equal file.Content original "data stay"
            | _ -> Expect.equal request.Error 0 "flush and prefetch succeed")

        property "FUA leaves nothing unsynced, unless flushes are switched off" (fun case ->
            let struct (file, _, _, _, request) = run case

            if
                case.Flags &&& RequestFlags.Fua <> RequestFlags.None
                && case.Traits &&& FileTraits.NoFlush = FileTraits.None
                && case.Kind <> RequestKind.Read
                && request.Error = 0
            then
                Expect.isFalse file.Unsynced "synced"

            if
                case.Traits &&& FileTraits.NoFlush <> FileTraits.None
                && case.Kind = RequestKind.Flush
            then
                Expect.equal request.Error 0 "a flush that is switched off succeeds")

        property "remembers only what holds for the whole file" (fun case ->
            let struct (_, _, _, _, request) = run case
            Expect.equal (request.Learnt &&& ~~~case.Missing) FileTraits.None "nothing that works is given up")

        testProperty "any result whatever ends the request or moves it on" (fun (kind: byte) (results: int64 list) ->
            let mutable request = FileRequest()
            request.Kind <- LanguagePrimitives.EnumOfValue(kind % 8uy)
            request.Length <- 4096L
            FileRequest.start FileTraits.Unmap &request

            for result in results do
                if request.Op <> FileOp.Done then
                    FileRequest.step FileTraits.Unmap &request result
                    Expect.isTrue (request.Completed <= request.Length) "never more than was asked")

        test "zeroes of a device that must be quick are unmapped or refused" {
            let firstOf (flags: RequestFlags) (traits: FileTraits) =
                let mutable request = FileRequest()
                request.Kind <- RequestKind.WriteZeroes
                request.Flags <- flags ||| RequestFlags.NoFallback
                request.Length <- 4096L
                FileRequest.start (traits ||| FileTraits.BlockDevice) &request
                struct (request.Op, request.Error)

            let refused = struct (FileOp.Done, Errno.ENOTSUP)
            Expect.equal (firstOf RequestFlags.None FileTraits.Unmap) refused "space to be kept"
            Expect.equal (firstOf RequestFlags.MayUnmap FileTraits.None) refused "discards ignored"
            let punch = struct (FileOp.PunchHole, 0)
            Expect.equal (firstOf RequestFlags.MayUnmap FileTraits.Unmap) punch "unmapped"
            Expect.equal (firstOf RequestFlags.Unmap FileTraits.None) punch "unmapped by the node itself"
        }

        test "a write that makes no progress is out of space" {
            let mutable request = FileRequest()
            request.Kind <- RequestKind.Write
            request.Length <- 10L
            FileRequest.start FileTraits.None &request
            FileRequest.step FileTraits.None &request 0L
            Expect.equal request.Error Errno.ENOSPC "ENOSPC"
        }
    ]
