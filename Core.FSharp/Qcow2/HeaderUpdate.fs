namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Changes of an open image's header. Each is one write into one sector: after a crash the file has the old header or
/// the new one, and nothing between them.
module internal HeaderUpdate =
    /// Size, encryption method, L1 table, refcount table and snapshot table are neighbours.
    let private tables (header: Header) : byte[] =
        let fields = Array.zeroCreate<byte> 48
        BigEndian.writeU64 (Span fields) 0 (uint64 header.SizeBytes)
        BigEndian.writeU32 (Span fields) 8 header.CryptMethod
        BigEndian.writeU32 (Span fields) 12 (uint32 header.L1Entries)
        BigEndian.writeU64 (Span fields) 16 (uint64 header.L1Offset)
        BigEndian.writeU64 (Span fields) 24 (uint64 header.RefcountTableOffset)
        BigEndian.writeU32 (Span fields) 32 (uint32 header.RefcountTableClusters)
        BigEndian.writeU32 (Span fields) 36 (uint32 header.SnapshotCount)
        BigEndian.writeU64 (Span fields) 40 (uint64 header.SnapshotTableOffset)
        fields

    let private features (header: Header) : byte[] =
        let fields = Array.zeroCreate<byte> 24
        BigEndian.writeU64 (Span fields) 0 header.Incompatible
        BigEndian.writeU64 (Span fields) 8 header.Compatible
        BigEndian.writeU64 (Span fields) 16 header.Autoclear
        fields

    let private putBytes (image: Image) (offset: int) (before: byte[]) (after: byte[]) (header: Header) =
        let replace (bytes: byte[]) =
            ioResult {
                do! Settling.write (int64 offset) bytes
                do! Settling.flush image
            }

        replace after
        |> IoScript.bind (function
            | Ok() ->
                image.Header <- header
                Finished(Ok())
            | Error errno ->
                // The file may have either. Where it cannot be made to have the old one for good, what the new one
                // refers to must not be used for anything else, and nothing may be changed any more.
                replace before
                |> IoScript.bind (fun restored ->
                    image.IsFenced <- image.IsFenced || Result.isError restored
                    Finished(Error errno)))

    let private put (image: Image) (offset: int) (fields: Header -> byte[]) (change: Header -> Header) =
        let header = change image.Header
        putBytes image offset (fields image.Header) (fields header) header

    /// Puts another first sector in place of the present one, which makes the header what is given.
    let putFirstSector (image: Image) (before: byte[]) (after: byte[]) (header: Header) : IoScript<Result<unit, int>> =
        putBytes image 0 before after header

    /// Makes the file's header tell of other tables, which are in the file already, or of another size.
    let putTables (image: Image) (change: Header -> Header) : IoScript<Result<unit, int>> =
        image.BreakView()
        put image Header.sizeFieldOffset tables change

    /// The same with feature bits, which version 2 does not have.
    let putFeatures (image: Image) (change: Header -> Header) : IoScript<Result<unit, int>> =
        if image.Header.Version < 3 then
            Finished(Ok())
        else
            put image Header.incompatibleFieldOffset features change
