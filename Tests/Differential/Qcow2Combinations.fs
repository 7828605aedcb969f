/// All combinations of what decides how a qcow2 image is laid out, and new images of them.
module internal StorageDaemon.Tests.Differential.Qcow2Combinations

open System
open System.IO
open StorageDaemon.Tests.Harness

type BackingImage =
    | NoBacking
    | ShorterQcow2
    | LongerQcow2
    | RawBacking

type DataFile =
    | InImage
    | DataFile
    | RawDataFile

[<NoComparison>]
type Combination = {
    ClusterBytes: int
    Version: int
    ExtendedL2: bool
    RefcountBits: int
    Backing: BackingImage
    DataFile: DataFile
} with

    member this.Title =
        let extended = if this.ExtendedL2 then " extended L2," else ""
        $"version {this.Version}, clusters of {this.ClusterBytes},{extended} refcounts of {this.RefcountBits} bits, {this.Backing}, {this.DataFile}"

    /// The real tool takes no snapshots within an image whose data are elsewhere.
    member this.HasInternalSnapshots = this.DataFile = InImage

/// Those that the format has: version 2 has fixed refcounts and no features, subclusters need room, and a raw data file
/// cannot be incomplete.
let all: Combination list = [
    for clusterBytes in [ 512; 4096; 65536; 2097152 ] do
        for version in [ 2; 3 ] do
            for extended in [ false; true ] do
                for refcountBits in [ 1; 4; 16; 64 ] do
                    for backing in [ NoBacking; ShorterQcow2; LongerQcow2; RawBacking ] do
                        for dataFile in [ InImage; DataFile; RawDataFile ] do
                            let isPlain = not extended && refcountBits = 16 && dataFile = InImage

                            if
                                (version = 3 || isPlain)
                                && (not extended || clusterBytes >= 16384)
                                && (dataFile <> RawDataFile || backing = NoBacking)
                            then
                                {
                                    ClusterBytes = clusterBytes
                                    Version = version
                                    ExtendedL2 = extended
                                    RefcountBits = refcountBits
                                    Backing = backing
                                    DataFile = dataFile
                                }
]

/// A length of disk, in bytes, mostly with a part of a cluster at its end.
let diskBytes (random: Random) (combination: Combination) : int64 =
    let clusters =
        match combination.ClusterBytes with
        | 512 -> 400 + random.Next 800
        | 4096 -> 100 + random.Next 400
        | 65536 -> 8 + random.Next 40
        | _ -> 2 + random.Next 3

    int64 clusters * int64 combination.ClusterBytes
    + int64 (random.Next(combination.ClusterBytes / 512)) * 512L

/// The options that an image of this kind is created with; its data file has the image's name and `.data`.
let private createOptions (directory: string) (combination: Combination) (image: string) : string =
    // A data file's name is meant from where the program runs, so only an absolute one holds everywhere.
    let dataFile = Path.Combine(directory, image + ".data")

    [
        $"cluster_size={combination.ClusterBytes}"
        (if combination.Version = 2 then
             "compat=0.10"
         else
             $"compat=1.1,refcount_bits={combination.RefcountBits}")
        if combination.ExtendedL2 then
            "extended_l2=on"
        match combination.DataFile with
        | InImage -> ()
        | DataFile -> $"data_file={dataFile}"
        | RawDataFile -> $"data_file={dataFile},data_file_raw=on"
    ]
    |> String.concat ","

let private img (directory: string) (arguments: string list) : unit =
    ChildProcess.runOk directory (Requires.tool "qemu-img") arguments |> ignore

/// Creates the image `name` in a directory, over `over` if that is not empty: the backing image's format and name.
let create directory (combination: Combination) (name: string) (sizeBytes: int64) (over: string list) : unit =
    let backing =
        match over with
        | [ format; file ] -> [ "-b"; file; "-F"; format ]
        | _ -> []

    img
        directory
        ([
            "create"
            "-q"
            "-f"
            "qcow2"
            "-o"
            createOptions directory combination name
         ]
         @ backing
         @ [ name; string sizeBytes ])

/// Creates the image `name` and what it stands on, of a directory's own. The same seed gives the same images.
let createStanding directory (seed: int) (combination: Combination) (name: string) (sizeBytes: int64) : unit =
    let random = Random seed

    let content (length: int64) =
        let bytes = Array.zeroCreate<byte>(int length)
        random.NextBytes bytes
        File.WriteAllBytes(Path.Combine(directory, "base.raw"), bytes)

    let shorter = sizeBytes / 2L / 512L * 512L + 512L

    /// Data in a half of it only, so that there are holes in the backing image too.
    let qcow2 (length: int64) =
        content (length / 2L)
        img directory [ "convert"; "-O"; "qcow2"; "-f"; "raw"; "base.raw"; "base.qcow2" ]
        img directory [ "resize"; "-q"; "base.qcow2"; string length ]

    let over =
        match combination.Backing with
        | NoBacking -> []
        | ShorterQcow2 ->
            qcow2 shorter
            [ "qcow2"; "base.qcow2" ]
        | LongerQcow2 ->
            qcow2 (2L * sizeBytes)
            [ "qcow2"; "base.qcow2" ]
        | RawBacking ->
            content (if random.Next 2 = 0 then shorter else sizeBytes)
            [ "raw"; "base.raw" ]

    create directory combination name sizeBytes over
