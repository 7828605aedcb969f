/// The first cluster of an image: what is written comes back, and no byte of an attacker's does harm.
module StorageDaemon.Tests.Properties.Qcow2HeaderTests

open System
open Expecto
open FsCheck.FSharp
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Generators

let private reading = { Writable = false; Check = false }

let private decode (cluster: byte[]) =
    Header.decode reading cluster |> Result.mapError _.Desc

let private encode (header: Header) : byte[] =
    match Header.encode header with
    | Ok cluster -> cluster
    | Error errno -> failtest $"errno {errno}"

/// A header of version 3 with clusters of 4 KiB.
let private plain: Header = {
    Version = 3
    BackingFile = None
    ClusterBits = 12
    SizeBytes = 1048576L
    CryptMethod = 0u
    L1Entries = 1
    L1Offset = 12288L
    RefcountTableOffset = 4096L
    RefcountTableClusters = 1
    SnapshotCount = 0
    SnapshotTableOffset = 0L
    Incompatible = 0UL
    Compatible = 0UL
    Autoclear = 0UL
    RefcountOrder = 4
    HeaderBytes = 112
    CompressionType = 0uy
    LaterFields = Array.zeroCreate 7
    Extensions = []
}

let private property name gen check =
    testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 300 } name (Prop.forAll (Arb.fromGen gen) check)

/// Whether nothing in an accepted header exceeds what its documentation promises.
let private keepsPromises (header: Header) : unit =
    let cluster = 1L <<< header.ClusterBits
    let aligned = [ header.L1Offset; header.RefcountTableOffset; header.SnapshotTableOffset ]
    Expect.all aligned (fun offset -> offset >= 0L && offset % cluster = 0L) "aligned"
    Expect.isLessThanOrEqual (header.L1Entries * 8) 0x2000000 "L1 table"
    Expect.isLessThanOrEqual (int64 header.RefcountTableClusters * cluster) 0x800000L "refcount table"
    Expect.isLessThanOrEqual header.SnapshotCount 65536 "snapshots"
    Expect.isTrue (header.RefcountOrder >= 0 && header.RefcountOrder <= 6) "refcount width"
    Expect.isGreaterThanOrEqual header.SizeBytes 0L "size"
    let geometry = Geometry.ofHeader header
    Expect.isLessThanOrEqual (Geometry.l1Entries &geometry header.SizeBytes) (int64 header.L1Entries) "covered"

    match header.BackingFile with
    | Some name -> Expect.isTrue (name.Length >= 1 && name.Length <= 1023) "backing file"
    | None -> ()

[<Tests>]
let headerTests =
    testList "qcow2 header" [
        property "comes back from its cluster" Qcow2Gen.header (fun header ->
            Expect.equal (decode (encode header)) (Ok header) "same")

        property "damage is refused or read as something within the limits" Qcow2Gen.damaged (fun cluster ->
            match Header.clusterBytes cluster with
            | Ok needed when needed > cluster.Length -> Expect.isError (decode cluster) "too short"
            | _ -> decode cluster |> Result.iter keepsPromises)

        property "what is accepted comes back, once stale bytes are gone" Qcow2Gen.damaged (fun cluster ->
            match decode cluster with
            | Ok header ->
                match Header.encode header with
                | Ok again -> Expect.equal (decode again) (Ok header) "same"
                // Without the backing file's offset as an end, the extensions may need room for an end marker.
                | Error errno -> Expect.equal errno 28 "ENOSPC"
            | Error _ -> ())

        testProperty "garbage never throws"
        <| fun (garbage: byte[]) ->
            let header = Array.append [| 0x51uy; 0x46uy; 0x49uy; 0xfbuy; 0uy; 0uy; 0uy; 3uy |] garbage
            Header.isImage garbage |> ignore
            Header.clusterBytes garbage |> ignore
            Header.clusterBytes header |> ignore
            Header.decode reading garbage |> ignore
            Header.decode reading header |> ignore

        test "a cluster without room is refused" {
            let name = Array.create 1023 97uy
            let header = { plain with ClusterBits = 9; BackingFile = Some name }
            Expect.equal (Header.encode header) (Error 28) "ENOSPC"

            let full = {
                plain with
                    Extensions = [ UnknownExtension(7u, Array.zeroCreate (4096 - 112 - 16)) ]
            }
            Expect.equal (decode (encode full)) (Ok full) "to the last byte"
            let over = { full with BackingFile = Some [| 97uy |] }
            Expect.equal (Header.encode over) (Error 28) "one more byte"
        }

        test "of an extension that stands twice the last counts" {
            let header = {
                plain with
                    Extensions = [
                        BackingFormat "raw"B
                        DataFileName "a"B
                        BackingFormat "qcow2"B
                        DataFileName "b\000c"B
                    ]
            }
            Expect.equal (Header.backingFormat header) (ValueSome "qcow2") "format"
            Expect.equal (Header.dataFileName header) (ValueSome "b") "data file, up to the zero byte"
        }

        test "bitmaps without their autoclear bit are kept, and not trusted" {
            let data: byte[] = Array.create 24 255uy
            let header = {
                plain with
                    Extensions = [ UnknownExtension(ExtensionType.bitmaps, data) ]
            }
            Expect.equal (decode (encode header)) (Ok header) "kept"
            let trusted = { header with Autoclear = Feature.bitmaps }
            Expect.equal (decode (encode trusted)) (Error "bitmaps_ext: Reserved field is not zero") "read"
        }

        test "only a repair may write to a corrupt image" {
            let corrupt = encode { plain with Incompatible = Feature.corrupt }
            let result mode =
                Header.decode mode corrupt |> Result.map ignore |> Result.mapError _.Desc
            let text = "qcow2: Image is corrupt; cannot be opened read/write"
            Expect.equal (result reading) (Ok()) "reading"
            Expect.equal (result { Writable = true; Check = false }) (Error text) "writing"
            Expect.equal (result { Writable = true; Check = true }) (Ok()) "repairing"
        }

        test "unknown features are called by the image's own names" {
            let names = [
                { Class = 1uy; Bit = 5uy; Name = "compatible" }
                { Class = 0uy; Bit = 5uy; Name = "five" }
                { Class = 0uy; Bit = 5uy; Name = "again" }
                { Class = 0uy; Bit = 200uy; Name = "no bit" }
            ]
            let table = FeatureNames.encode names
            let text bits =
                FeatureNames.describe bits (FeatureNames.entries table)
            Expect.equal (text 0x20UL) "five" "the first"
            Expect.equal (text 0x8000000000000060UL) "five, Unknown incompatible feature: 8000000000000040" "the rest"
            let cut = Array.truncate (48 + 4) table
            Expect.equal (FeatureNames.describe 0x20UL (FeatureNames.entries cut)) "fi" "cut short"
            Expect.equal (FeatureNames.entries [| 0uy |]) [] "less than a name"
        }
    ]
