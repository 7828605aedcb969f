namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Settings of an open image that are not in the file.
[<NoComparison; NoEquality>]
type ImageSettings = {
    Writable: bool
    Cache: CacheSizes
    Codec: IClusterCodec
    Discards: DiscardSettings
    /// What writes are checked for (`overlap-check`); `Overlap.cached` by default.
    OverlapCheck: MetadataSection
}

/// Opening: from the header to an image in memory.
module Opener =
    /// Reads from the image file, and goes on with the bytes, or ends with the error's text.
    let private read (offset: int64) (length: int) (what: string) (errorText: int -> string) next =
        if length = 0 then
            next Array.empty
        else
            ReadChild(
                0,
                offset,
                length,
                function
                | Ok bytes -> next bytes
                | Error errno -> Finished(QapiError.fail (what + ": " + errorText errno))
            )

    /// The clusters that tables and header take.
    let internal metadata
        (header: Header)
        (geometry: Geometry)
        (l1: uint64[])
        (refcountTable: uint64[])
        : HashSet<int64> =
        let clusters = HashSet<int64>()
        let bits = geometry.ClusterBits

        let addRange (offset: int64) (bytes: int64) =
            for cluster in offset >>> bits .. (offset + bytes - 1L) >>> bits do
                clusters.Add cluster |> ignore

        clusters.Add 0L |> ignore

        if header.L1Entries > 0 then
            addRange header.L1Offset (int64 header.L1Entries * 8L)

        addRange header.RefcountTableOffset (int64 header.RefcountTableClusters <<< bits)

        for entry in l1 do
            if L1Entry.l2Offset entry <> 0L then
                clusters.Add(L1Entry.l2Offset entry >>> bits) |> ignore

        for entry in refcountTable do
            if RefcountTableEntry.blockOffset entry > 0L then
                clusters.Add(RefcountTableEntry.blockOffset entry >>> bits) |> ignore

        clusters

    let private capacity (bytes: int64) (tableBytes: int) =
        int (max 8L (min 1_000_000L (bytes / int64 tableBytes)))

    let private build
        (settings: ImageSettings)
        (children: ImageChildren)
        (header: Header)
        (l1: byte[])
        (table: byte[])
        : Image =
        let geometry = Geometry.ofHeader header
        let l1 = Entry.readTable l1
        let table = Entry.readTable table
        let known =
            if settings.Writable then
                metadata header geometry l1 table
            else
                HashSet<int64>()
        let clusterBytes = 1 <<< geometry.ClusterBits

        let refcounts =
            Refcounts(
                geometry,
                table,
                header.RefcountTableOffset,
                header.RefcountTableClusters,
                known,
                capacity settings.Cache.RefcountBytes clusterBytes
            )

        let slices = capacity settings.Cache.L2Bytes settings.Cache.L2EntryBytes
        Image(
            header,
            geometry,
            l1,
            refcounts,
            known,
            settings.Codec,
            children,
            settings.Discards,
            settings.Writable,
            settings.OverlapCheck,
            settings.Cache.L2EntryBytes,
            slices,
            settings.Cache.CleanIntervalS
        )

    let private readTables (settings: ImageSettings) (children: ImageChildren) errorText (header: Header) =
        read header.L1Offset (header.L1Entries * 8) "Could not read L1 table" errorText (fun l1 ->
            let tableBytes =
                if settings.Writable then
                    header.RefcountTableClusters <<< header.ClusterBits
                else
                    0

            read header.RefcountTableOffset tableBytes "Could not read refcount table" errorText (fun table ->
                Finished(Ok(build settings children header l1 table))))

    /// Reads the snapshot table, which the image needs only to keep clear of it; one that is damaged is refused.
    let private readSnapshots (image: Image) (errorText: int -> string) : IoScript<Result<unit, QapiError>> =
        let failed errno =
            QapiError.generic ("Failed to read snapshot table: " + errorText errno)

        let read offset length =
            Settling.read offset length |> IoScript.mapError failed

        let tooLong = QapiError.generic "Snapshot table is too big"
        let snapshots = List<Snapshot>()

        ioResult {
            let! bytes = SnapshotTable.visit read id tooLong image.Header (fun _ snapshot -> snapshots.Add snapshot)

            image.Snapshots <- List.ofSeq snapshots

            if image.IsWritable then
                let! tables =
                    ProtectedTables.find image.OverlapCheck image.Header snapshots bytes
                    |> IoScript.mapError failed

                image.Protect tables
        }

    let private openAll (settings: ImageSettings) (children: ImageChildren) errorText (header: Header) =
        ioResult {
            let! image = readTables settings children errorText header
            do! readSnapshots image errorText
            return image
        }

    /// The header of the image in child 0.
    let readHeader (writable: bool) (errorText: int -> string) : IoScript<Result<Header, QapiError>> =
        let mode = { Writable = writable; Check = false }

        read 0L Header.fixedBytes "Could not read qcow2 header" errorText (fun first ->
            match Header.clusterBytes first with
            | Error error -> Finished(Error error)
            | Ok clusterBytes ->
                read 0L clusterBytes "Could not read qcow2 header" errorText (fun cluster ->
                    Finished(Header.decode mode cluster)))

    /// The script that opens the image in child 0. An image that is to be written to gets its header in order first, and
    /// is repaired if it is dirty.
    let script
        (settings: ImageSettings)
        (children: ImageChildren)
        (errorText: int -> string)
        : IoScript<Result<Image, QapiError>> =
        ioResult {
            let! header = readHeader settings.Writable errorText

            if not settings.Writable then
                return! openAll settings children errorText header
            else
                let! fileBytes = WritableOpening.prepare children errorText header
                // A repair may have moved the refcounts.
                let! header = readHeader settings.Writable errorText
                return! openAll settings { children with FileBytes = fileBytes } errorText header
        }
