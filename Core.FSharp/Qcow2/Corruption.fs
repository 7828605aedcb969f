namespace StorageDaemon.Core.Qcow2

open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Tells of damage that requests meet. Messages are the real daemon's.
module internal Corruption =
    /// As C's "%#x".
    let private hex (value: int64) : string =
        if value = 0L then "0" else "0x" + value.ToString "x"

    /// Tells once that nothing can be done with the image any more; a read-only image goes on. `offset` and `length` are
    /// those of the write that was prevented, in bytes of the file, or -1.
    let fatal (image: Image) (message: string) (offset: int64) (length: int64) : unit =
        image.Signal {
            Message = message
            Offset = offset
            LengthBytes = length
            IsFatal = image.IsWritable
        }

    /// Tells once of damage that the image can do with.
    let harmless (image: Image) (message: string) : unit =
        image.Signal {
            Message = message
            Offset = -1L
            LengthBytes = -1L
            IsFatal = false
        }

    let unalignedTable (image: Image) (l1Index: int) : unit =
        let offset = L1Entry.l2Offset image.L1[l1Index]
        fatal
            image
            ("L2 table offset "
             + hex offset
             + " unaligned (L1 index: "
             + hex (int64 l1Index)
             + ")")
            -1L
            -1L

    let cannotFree (image: Image) (hostOffset: int64) : unit =
        harmless image ("Cannot free unaligned cluster " + hex hostOffset)

    /// An entry that cannot be, at a guest offset that has a table. `isWrite` is whether its place was to be written.
    let entry (image: Image) (slice: CachedTable) (guestOffset: int64) (isWrite: bool) : unit =
        let g = image.Geometry
        let place = Geometry.split &g guestOffset
        let entries = System.ReadOnlySpan slice.Bytes
        let inSlice = place.L2Index &&& (image.SliceEntries - 1)
        let entry = L2Entry.read &g entries inSlice
        let host = hex (L2Entry.hostOffset entry.Descriptor)
        let table = L1Entry.l2Offset image.L1[int place.L1Index]
        let where = "(L2 offset: " + hex table + ", L2 index: " + hex (int64 place.L2Index) + ")"

        let message =
            match L2Entry.fault &g &entry with
            | EntryFault.Unaligned when isWrite ->
                let isZero = L2Entry.clusterKind &g entry.Descriptor = ClusterKind.ZeroAllocated
                let what = if isZero then "Preallocated zero" else "Data"
                let cluster = guestOffset &&& ~~~(int64 (image.ClusterBytes - 1))
                what
                + " cluster offset "
                + host
                + " unaligned (guest offset: "
                + hex cluster
                + ")"
            | EntryFault.Unaligned -> "Cluster allocation offset " + host + " unaligned " + where
            | EntryFault.ZeroFlag -> "Zero cluster entry found in pre-v3 image " + where
            | EntryFault.CompressedExternal ->
                "Compressed cluster entry found in image with external data file " + where
            | _ -> "Invalid cluster entry found  " + where

        fatal image message -1L -1L

    /// The tables as far as they are in memory.
    let private tables (image: Image) : MetadataTables =
        let header = image.Header

        {
            ClusterBits = header.ClusterBits
            ActiveL1 = {
                Offset = header.L1Offset
                LengthBytes = int64 image.L1.Length * 8L
            }
            ActiveL1Entries = image.L1
            RefcountTable = {
                Offset = image.Refcounts.TableOffset
                LengthBytes = int64 image.Refcounts.TableClusters <<< header.ClusterBits
            }
            RefcountTableEntries = image.Refcounts.Table
            SnapshotTable = image.SideTables.SnapshotTable
            InactiveL1 = image.SideTables.InactiveL1
            InactiveL1Entries = image.SideTables.InactiveL1Entries
            BitmapDirectory = image.SideTables.BitmapDirectory
        }

    let private overlap (image: Image) (chosen: MetadataSection) (offset: int64) (length: int64) : bool =
        match Overlap.find chosen (tables image) offset length with
        | ValueSome section ->
            let words = Overlap.description section
            fatal image ("Preventing invalid write on metadata (overlaps with " + words + ")") offset length
            true
        | ValueNone -> false

    /// Whether a write to the file would destroy tables; it is told then. Without damage this only looks the clusters up.
    let preventsWrite (image: Image) (offset: int64) (length: int64) : bool =
        image.OverlapCheck <> MetadataSection.None
        && (let bits = image.Geometry.ClusterBits
            let last = (offset + length - 1L) >>> bits
            let mutable cluster = offset >>> bits

            while cluster <= last && not (image.Metadata.Contains cluster) do
                cluster <- cluster + 1L

            cluster <= last && overlap image image.OverlapCheck offset length)

    /// Taking a cluster has failed with EIO: where the refcounts say that a table's cluster is free, or a block of
    /// refcounts is nowhere.
    let allocation (image: Image) : unit =
        let g = image.Geometry
        let cluster = image.Refcounts.Hint
        let index = Geometry.refcountTableIndex &g cluster
        let table = image.Refcounts.Table

        if
            index < int64 table.Length
            && RefcountTableEntry.fault &g table[int index] <> EntryFault.None
        then
            let block = RefcountTableEntry.blockOffset table[int index]
            fatal
                image
                ("Refblock offset "
                 + hex block
                 + " unaligned (reftable index: "
                 + hex index
                 + ")")
                -1L
                -1L
        else
            overlap image Overlap.all (cluster <<< g.ClusterBits) (int64 image.ClusterBytes)
            |> ignore
