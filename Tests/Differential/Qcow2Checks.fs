/// Images, good ones and damaged ones: the same verdict as `qemu-img check`, and repairs that satisfy it.
module StorageDaemon.Tests.Differential.Qcow2Checks

open System
open System.Buffers.Binary
open System.IO
open System.Text.Json
open Expecto
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir
open StorageDaemon.Tests.Reference

/// The verdict in numbers; none if there is none.
type internal Verdict =
    | Counts of (string * int64) list
    | NoVerdict

let private limits = { Check.defaultLimits with Findings = 20 }

let private check (fix: CheckFix) (file: byte[]) =
    ScriptRunner.run file (Check.run limits fix 0 file.LongLength)

let private verdictOf (report: Result<CheckReport, CheckError>) : Verdict =
    match report with
    | Error _ -> NoVerdict
    | Ok report ->
        Counts [
            "check-errors", report.CheckErrors
            "corruptions", report.Corruptions
            "leaks", report.Leaks
            "image-end-offset", report.ImageEndOffset
            "total-clusters", report.TotalClusters
            "allocated-clusters", report.AllocatedClusters
            "compressed-clusters", report.CompressedClusters
            "fragmented-clusters", report.FragmentedClusters
        ]

let private runCheck (directory: TempDir) (name: string) (arguments: string list) =
    ChildProcess.run directory.Path (Requires.tool "qemu-img") ("check" :: arguments @ [ "-f"; "qcow2"; name ])

let private fields = [
    "check-errors"
    "corruptions"
    "leaks"
    "image-end-offset"
    "total-clusters"
    "allocated-clusters"
    "compressed-clusters"
    "fragmented-clusters"
]

/// The numbers of an object in JSON; what it lacks is zero.
let internal countsIn (element: JsonElement) : Verdict =
    Counts [
        for field in fields ->
            field,
            match element.TryGetProperty field with
            | true, value -> value.GetInt64()
            | false, _ -> 0L
    ]

/// The verdict of `qemu-img check` with these options, and what it says besides.
let internal verdictWith (options: string list) (directory: TempDir) (name: string) : Verdict * string =
    let result = runCheck directory name ("--output=json" :: options)

    if result.Output = "" then
        NoVerdict, result.Error
    else
        use document = JsonDocument.Parse result.Output
        countsIn document.RootElement, result.Error

let private realVerdict = verdictWith []

/// How an image is made: options of `qemu-img create`, then commands.
type internal Recipe = {
    Title: string
    Options: string
    Commands: string list list
}

let private io (commands: string list) =
    "qemu-io"
    :: "-f"
    :: "qcow2"
    :: List.collect (fun command -> [ "-c"; command ]) commands
    @ [ "i.qcow2" ]

let private writes = [
    "write -P 1 0 40k"
    "write -P 2 1M 10k"
    "write -c -P 3 512k 16k"
    "write -c -P 4 544k 16k"
    "write -z 100k 20k"
    "write -P 5 2000k 48k"
    "discard 8k 8k"
]

let private snapshot (name: string) = [ "qemu-img"; "snapshot"; "-c"; name; "i.qcow2" ]

let internal recipes: Recipe list = [
    {
        Title = "empty"
        Options = "cluster_size=4k"
        Commands = []
    }
    {
        Title = "4 KiB clusters"
        Options = "cluster_size=4k"
        Commands = [ io writes ]
    }
    {
        Title = "512-byte clusters, 64-bit refcounts"
        Options = "cluster_size=512,refcount_bits=64"
        Commands = [ io writes ]
    }
    {
        Title = "1-bit refcounts"
        Options = "cluster_size=2k,refcount_bits=1"
        Commands = [ io [ "write -P 1 0 40k"; "write -P 2 1M 10k"; "write -z 100k 20k" ] ]
    }
    {
        Title = "version 2"
        Options = "cluster_size=4k,compat=0.10"
        Commands = [
            io [ "write -P 1 0 40k"; "write -c -P 3 512k 16k" ]
            snapshot "a"
            io [ "write -P 2 1M 10k" ]
        ]
    }
    {
        Title = "snapshots"
        Options = "cluster_size=4k,refcount_bits=8"
        Commands = [
            io writes
            snapshot "first"
            io [ "write -P 7 0 20k" ]
            snapshot "second"
            io [ "write -P 8 1M 100k" ]
        ]
    }
    {
        Title = "extended L2 entries"
        Options = "cluster_size=16k,extended_l2=on"
        Commands = [
            io (writes @ [ "write -P 9 3000k 512"; "write -z 3010k 1k"; "write -z 2001k 512" ])
        ]
    }
    {
        Title = "external data file"
        Options = "cluster_size=4k,data_file=d.raw"
        Commands = [ io [ "write -P 1 0 40k"; "write -P 2 1M 10k"; "write -z 100k 20k" ] ]
    }
    {
        Title = "bitmaps"
        Options = "cluster_size=4k"
        Commands = [
            [ "qemu-img"; "bitmap"; "--add"; "i.qcow2"; "one" ]
            [ "qemu-img"; "bitmap"; "--add"; "-g"; "4096"; "i.qcow2"; "two" ]
            io writes
        ]
    }
    {
        Title = "lazy refcounts, dirty"
        Options = "cluster_size=4k,lazy_refcounts=on"
        Commands = [ io writes ]
    }
]

/// Makes the image in the directory and returns its bytes.
let internal make (directory: TempDir) (recipe: Recipe) : byte[] =
    let tool (command: string list) =
        ChildProcess.runOk directory.Path (Requires.tool command.Head) command.Tail
        |> ignore

    tool [
        "qemu-img"
        "create"
        "-q"
        "-f"
        "qcow2"
        "-o"
        recipe.Options
        "i.qcow2"
        "4M"
    ]
    List.iter tool recipe.Commands
    File.ReadAllBytes(directory.File "i.qcow2")

let private headerOf (image: byte[]) : Header =
    let length = Result.defaultValue 0 (Header.clusterBytes image)

    match Header.decode { Writable = false; Check = true } (Array.sub image 0 length) with
    | Ok header -> header
    | Error error -> failtest error.Desc

let private u64 (image: byte[]) (at: int64) =
    BinaryPrimitives.ReadUInt64BigEndian(ReadOnlySpan(image, int at, 8))

/// Places of 8-byte words worth damaging: entries of tables, refcounts, snapshots, the header.
let internal targets (image: byte[]) : int64[][] =
    let header = headerOf image
    let cluster = 1L <<< header.ClusterBits
    let words (start: int64) (count: int64) = [| for i in 0L .. count - 1L -> start + i * 8L |]

    let used (places: int64[]) =
        places |> Array.filter (fun at -> u64 image at <> 0UL)

    let l1 = words header.L1Offset (int64 header.L1Entries)
    let reftable = words header.RefcountTableOffset (min 16L (cluster / 8L))

    let below (entries: int64[]) (mask: uint64) =
        used entries
        |> Array.collect (fun at -> words (int64 (u64 image at &&& mask)) (cluster / 8L))

    [|
        l1
        reftable
        used (below l1 Entry.offsetMask)
        used (below l1 Entry.offsetMask)
        below l1 Entry.offsetMask
        used (below reftable ~~~511UL)
        used (below reftable ~~~511UL)
        words 8L 12L
        (if header.SnapshotCount > 0 then
             words header.SnapshotTableOffset 12L
         else
             l1)
        (match Header.bitmaps header with
         | ValueSome pointer -> words (int64 pointer.DirectoryOffset) 6L
         | ValueNone -> reftable)
    |]
    |> Array.filter (fun places -> places.Length > 0)

/// Changes one word: a bit, a byte, an offset that some other word has, or nothing left.
let private damage (random: Random) (places: int64[][]) (image: byte[]) : unit =
    let at =
        Array.item (random.Next places.Length) places
        |> fun kind -> kind[random.Next kind.Length]
    let word = u64 image at

    let changed =
        match random.Next 7 with
        | 0 -> word ^^^ (1UL <<< random.Next 64)
        | 1 -> word ^^^ (1UL <<< random.Next 20)
        | 2 -> 0UL
        | 3 ->
            let kind = places[random.Next places.Length]
            u64 image kind[random.Next kind.Length]
        | 4 -> word + (512UL <<< random.Next 12)
        | 5 -> word ^^^ (uint64 (random.Next 256) <<< (8 * random.Next 8))
        | _ -> word ^^^ Entry.copied

    BinaryPrimitives.WriteUInt64BigEndian(Span(image, int at, 8), changed)

let internal describe (original: byte[]) (image: byte[]) : string =
    [
        for at in 0 .. min original.Length image.Length - 1 do
            if original[at] <> image[at] then
                $"{at:x}: {original[at]:x2} -> {image[at]:x2}"
    ]
    |> List.truncate 30
    |> String.concat ", "

/// A copy with one to three damages.
let internal damaged (random: Random) places (original: byte[]) : byte[] =
    let image = Array.copy original

    for _ in 0 .. random.Next 3 do
        damage random places image

    image

let private checkGood (recipe: Recipe) () =
    use directory = new TempDir()
    let image = make directory recipe
    let report, after, steps = check CheckFix.Nothing image
    let real, _ = realVerdict directory "i.qcow2"
    Expect.equal (verdictOf report) real "same verdict"
    Expect.isEmpty steps "nothing written"
    Expect.equal after image "nothing changed"

let private checkDamaged (rounds: int) (seed: int) (recipe: Recipe) () =
    use directory = new TempDir()
    let original = make directory recipe
    let places = targets original
    let random = Random seed

    for round in 1..rounds do
        let image = damaged random places original
        File.WriteAllBytes(directory.File "i.qcow2", image)
        let report, _, steps = check CheckFix.Nothing image
        let real, text = realVerdict directory "i.qcow2"
        let context = $"seed {seed}, round {round}, {describe original image}\n%A{report}\n{text}"

        if not (text.Contains "'data-file' is required") then
            Expect.equal (verdictOf report) real $"same verdict: {context}"

        Expect.isEmpty steps "nothing written"

let internal count (field: string) (verdict: Verdict) : int64 =
    match verdict with
    | Counts counts -> counts |> List.find (fst >> (=) field) |> snd
    | NoVerdict -> Int64.MaxValue

/// What the disk reads as, by the real tools; none if it cannot be read.
let private contents (directory: TempDir) (name: string) : byte[] option =
    let arguments = [ "convert"; "-f"; "qcow2"; "-O"; "raw"; name; "out.raw" ]
    let result = ChildProcess.run directory.Path (Requires.tool "qemu-img") arguments

    if result.ExitCode = 0 then
        Some(File.ReadAllBytes(directory.File "out.raw"))
    else
        None

/// Whether an L1 entry points to what a repair changes, so that the L2 table that seems to be there changes, too.
let private mapsMetadata (image: byte[]) : bool =
    match
        Result.bind
            (fun length -> Header.decode { Writable = false; Check = true } (Array.sub image 0 length))
            (Header.clusterBytes image)
    with
    | Error _ -> true
    | Ok header ->
        let cluster = 1L <<< header.ClusterBits
        let words (start: int64) (count: int64) = [
            for at in start .. 8L .. min (start + count * 8L - 8L) (image.LongLength - 8L) -> u64 image at
        ]

        let table = int64 header.RefcountTableClusters * cluster
        let blocks =
            words header.RefcountTableOffset (table / 8L)
            |> List.map RefcountTableEntry.blockOffset
        let isOn (start: int64) (length: int64) (l2: int64) =
            l2 < start + length && start < l2 + cluster

        words header.L1Offset (int64 header.L1Entries)
        |> List.filter ((<>) 0UL)
        |> List.map L1Entry.l2Offset
        |> List.exists (fun l2 ->
            l2 < cluster
            || isOn header.L1Offset (int64 header.L1Entries * 8L) l2
            || isOn header.RefcountTableOffset table l2
            || List.exists (fun block -> block <> 0L && isOn block cluster l2) blocks)

/// Whether nothing is wrong but refcounts and flags: no cluster is two things, so that mending one changes the other.
let internal isPlain (image: byte[]) : bool =
    match check CheckFix.Nothing image with
    | Ok report, _, _ ->
        report.Findings.Length < limits.Findings
        && report.Findings
           |> List.forall (function
               | Leak _
               | WrongCopiedFlag _
               | L1ReservedBits _
               | L2ReservedBits _
               | RefcountTableReservedBits _
               | RefblockUnaligned _
               | UnreadableRefcount _
               | TooFewReferences(_, _, 1UL) -> true
               | _ -> false)
    | Error _, _, _ -> false

/// Repairs the same damage on both sides. Ours may mend more, never less, and changes nothing that can be read.
let private checkRepair (rounds: int) (seed: int) (recipe: Recipe) () =
    use directory = new TempDir()
    let original = make directory recipe
    let places = targets original
    let random = Random seed

    for round in 1..rounds do
        let image = damaged random places original
        let fix, option =
            if round % 3 = 0 then
                CheckFix.Leaks, "leaks"
            else
                CheckFix.All, "all"
        File.WriteAllBytes(directory.File "i.qcow2", image)
        // A header with another size may be one of a huge disk.
        let isSmall = (headerOf original).SizeBytes = int64 (u64 image 24L)
        let before = if isSmall then contents directory "i.qcow2" else None
        let report, repaired, _ = check fix image
        File.WriteAllBytes(directory.File "ours.qcow2", repaired)
        let ours, text = realVerdict directory "ours.qcow2"
        let context = $"seed {seed}, round {round}, {option}, {describe original image}\n%A{report}\n{text}"

        // Where a table has got on top of others, each repair changes what the next check sees.
        let isTangled =
            match report with
            | Ok report -> report.Findings.Length = limits.Findings || mapsMetadata image
            | Error _ -> true

        match report with
        | Error _ -> Expect.equal repaired image $"no verdict, no change: {context}"
        | Ok _ when isTangled || text.Contains "'data-file' is required" -> ()
        | Ok report ->
            Expect.equal (count "leaks" ours) report.Leaks $"leaks: {context}"
            Expect.equal (count "corruptions" ours) report.Corruptions $"corruptions: {context}"
            Expect.equal (count "check-errors" ours) report.CheckErrors $"errors: {context}"

        // The real repair makes the file as long as such an offset demands, and takes its time. It writes all bitmaps
        // anew, which is no repair.
        let isOutside =
            match report with
            | Ok report -> report.Findings |> List.exists _.IsRefblockOutside
            | Error _ -> true

        // With an autoclear bit that it does not know it writes a header that has lost the snapshots, and what was wrong
        // with them.
        let losesSnapshots =
            (headerOf original).SnapshotCount > 0
            && u64 image 88L &&& ~~~Feature.autoclear <> 0UL

        if
            not isOutside
            && not isTangled
            && not losesSnapshots
            && recipe.Title <> "bitmaps"
        then
            runCheck directory "i.qcow2" [ "-r"; option ] |> ignore
            let theirs, theirText = realVerdict directory "i.qcow2"

            for field in [ "leaks"; "corruptions"; "check-errors" ] do
                Expect.isLessThanOrEqual
                    (count field ours)
                    (count field theirs)
                    $"{field} at most as the real repair: {context}\n{theirText}"

        match before with
        | Some bytes when report.IsOk && isPlain image ->
            Expect.isTrue (Some bytes = contents directory "ours.qcow2") $"same contents: {context}"
        | _ -> ()

[<Tests>]
let tests =
    let rounds = if Binaries.isLongRun then 400 else 12
    let seed = Environment.TickCount

    testList "qcow2 checks" [
        for recipe in recipes do
            testCase $"{recipe.Title}, undamaged" (checkGood recipe)
            testCase $"{recipe.Title}, damaged, seed {seed}" (checkDamaged rounds seed recipe)
            testCase $"{recipe.Title}, repaired, seed {seed}" (checkRepair (rounds / 2) seed recipe)
    ]
