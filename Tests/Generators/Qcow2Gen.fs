/// Headers and first clusters of qcow2 images.
module StorageDaemon.Tests.Generators.Qcow2Gen

open System
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Qcow2

let private bytes (max: int) : Gen<byte[]> =
    Gen.choose (0, max)
    |> Gen.bind (fun length -> Gen.arrayOfLength length (ArbMap.defaults |> ArbMap.generate<byte>))

/// Bytes of a name: none of them zero.
let private name (max: int) : Gen<byte[]> =
    Gen.choose (1, max)
    |> Gen.bind (fun length -> Gen.arrayOfLength length (Gen.choose (1, 255) |> Gen.map byte))

let private unknown: Gen<HeaderExtension> =
    Gen.map2 (fun kind data -> UnknownExtension(kind, data)) (Gen.choose (1, 5) |> Gen.map uint32) (bytes 20)

let private extension (clusterBytes: int) (crypt: uint32) : Gen<HeaderExtension> =
    Gen.oneof [
        name 15 |> Gen.map BackingFormat
        Gen.choose (0, 3)
        |> Gen.map (fun count -> FeatureNameTable(FeatureNames.encode (List.take count FeatureNames.known)))
        name 30 |> Gen.map DataFileName
        unknown
        Gen.map2
            (fun count at ->
                Bitmaps {
                    Count = uint32 count
                    DirectoryBytes = uint64 (at * 8)
                    DirectoryOffset = uint64 at * uint64 clusterBytes
                })
            (Gen.choose (1, 65535))
            (Gen.choose (1, 1000))
        if crypt = 2u then
            Gen.choose (1, 1000)
            |> Gen.map (fun at ->
                FullDiskEncryption {
                    Offset = uint64 at * uint64 clusterBytes
                    LengthBytes = uint64 at
                })
        else
            unknown
    ]

/// A header that may be opened. Its cluster has room for whatever it holds.
let header: Gen<Header> =
    gen {
        let! version = Gen.elements [ 2; 3 ]
        let! clusterBits = Gen.choose (12, 21)
        let! crypt = Gen.elements [ 0u; 1u; 2u ]
        let! bits = ArbMap.defaults |> ArbMap.generate<uint64>
        let! extendedL2 =
            Gen.elements (
                if clusterBits >= 14 then
                    [ 0UL; Feature.extendedL2 ]
                else
                    [ 0UL ]
            )
        let! dataFile = Gen.elements [ 0UL; Feature.dataFile ]
        let! later = bytes 30
        // The length counts bytes; the generator keeps to multiples of eight.
        let headerBytes = if version = 2 then 72 else 104 + (later.Length + 8) / 8 * 8
        let! compression = Gen.elements [ 0uy; 1uy ]
        let compression = if version = 2 then 0uy else compression
        let! extensions = Gen.listOf (extension (1 <<< clusterBits) crypt) |> Gen.map (List.truncate 6)
        let! encrypted = extension (1 <<< clusterBits) crypt
        let! backing = Gen.optionOf (name 100)
        let! l1Entries = Gen.choose (1, 100)
        let! offset =
            Gen.choose (1, 1000000)
            |> Gen.map (fun cluster -> int64 cluster <<< clusterBits)

        let incompatible =
            (bits &&& (Feature.dirty ||| Feature.corrupt))
            ||| extendedL2
            ||| dataFile
            ||| (if compression = 0uy then 0UL else Feature.compression)

        return {
            Version = version
            BackingFile = backing
            ClusterBits = clusterBits
            SizeBytes = int64 (bits >>> 8) % (int64 l1Entries <<< (2 * clusterBits - 4))
            CryptMethod = crypt
            L1Entries = l1Entries
            L1Offset = offset
            RefcountTableOffset = offset
            RefcountTableClusters = 1
            SnapshotCount = l1Entries
            SnapshotTableOffset = offset
            Incompatible = if version = 2 then 0UL else incompatible
            Compatible = if version = 2 then 0UL else bits
            Autoclear =
                if version = 2 then
                    0UL
                else
                    bits ||| Feature.bitmaps
                    &&& ~~~(if dataFile = 0UL then Feature.dataFileRaw else 0UL)
            RefcountOrder = if version = 2 then 4 else int (bits % 7UL)
            HeaderBytes = headerBytes
            CompressionType = compression
            LaterFields =
                if version = 2 then
                    [||]
                else
                    Array.append later (Array.zeroCreate (headerBytes - 105 - later.Length))
            Extensions =
                (extensions
                 |> List.filter (fun extension -> version = 3 || not extension.IsBitmaps))
                @ (if crypt = 2u then
                       [
                           match encrypted with
                           | FullDiskEncryption _ -> encrypted
                           | _ -> FullDiskEncryption { Offset = uint64 offset; LengthBytes = 592UL }
                       ]
                   else
                       [])
        }
    }

/// The cluster of such a header with some of its bytes overwritten, mostly in the fields.
let damaged: Gen<byte[]> =
    gen {
        let! header = header
        let! edits = Gen.choose (1, 6)
        let! places =
            Gen.listOfLength edits (Gen.frequency [ 3, Gen.choose (4, 111); 1, Gen.choose (112, 1023) ])

        let! values =
            Gen.listOfLength edits (Gen.frequency [ 1, Gen.elements [ 0; 1; 255 ]; 1, Gen.choose (0, 255) ])

        let cluster =
            match Header.encode header with
            | Ok cluster -> cluster
            | Error errno -> invalidOp (string errno)

        List.iter2 (fun (at: int) (value: int) -> cluster[at] <- byte value) places values
        return cluster
    }

let geometry: Gen<Geometry> =
    gen {
        let! clusterBits = Gen.choose (9, 21)
        let! order = Gen.choose (0, 6)
        let! extended, external, version2 = Gen.three (ArbMap.defaults |> ArbMap.generate<bool>)

        return {
            ClusterBits = clusterBits
            RefcountOrder = order
            ExtendedL2 = extended && clusterBits >= 14
            Version2 = version2 && not extended && not external
            ExternalData = external
        }
    }
