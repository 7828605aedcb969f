namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What a new image maps from the start.
type InitialMapping =
    | NothingMapped
    /// Each L2 table lies right before the clusters that it maps.
    | TablesAmongData
    /// The guest's clusters lie in one piece behind the first L2 table, and the other tables behind them.
    | DataInOnePiece

/// Where everything in a new image lies: header, refcount table, refcount blocks, L1 table and then, in clusters that are
/// mapped from the start, L2 tables and data.
[<NoComparison>]
type NewLayout = {
    /// Complete.
    Header: Header
    Mapping: InitialMapping
    RefcountBlocks: int64
    L2Tables: int64
    /// Guest clusters that are mapped, wherever they lie.
    MappedClusters: int64
    /// Number of the first cluster behind the L1 table.
    MappedFrom: int64
    /// Clusters of the file; each has one reference.
    Clusters: int64
}

/// Makes images. Whatever the size of an image, its tables are written in small pieces: nothing in memory grows with it.
module NewImage =
    /// Bytes of a table that are written at once.
    [<Literal>]
    let private PieceBytes = 65536L

    let private ceilDiv (a: int64) (b: int64) = (a + b - 1L) / b

    /// Counts of clusters that count themselves: refcount table and refcount blocks for `others` clusters and their own.
    let private tables (g: inref<Geometry>) (others: int64) : struct (int64 * int64) =
        let perBlock = 1L <<< Geometry.refblockBits &g
        let perTable = (1L <<< g.ClusterBits) / 8L
        let mutable table = 1L
        let mutable blocks = 1L
        let mutable settled = false

        while not settled do
            let blocks' = ceilDiv (others + table + blocks) perBlock
            let table' = ceilDiv blocks' perTable
            settled <- blocks' = blocks && table' = table
            blocks <- blocks'
            table <- table'

        struct (table, blocks)

    /// Settles the places for a header that has everything else; the disk's size is within what its L1 table covers
    /// (`Geometry.sizeMax`). EFBIG where the refcount table would be too great, or offsets would be more than entries can hold.
    let plan (mapping: InitialMapping) (header: Header) : Result<NewLayout, int> =
        let g = Geometry.ofHeader header
        let clusterBytes = 1L <<< g.ClusterBits
        let l1Entries = Geometry.l1Entries &g header.SizeBytes
        let l1Clusters = Geometry.clusters &g (l1Entries * 8L)
        let isMapped = mapping <> NothingMapped
        let l2Tables = if isMapped then l1Entries else 0L
        let mapped =
            if isMapped then
                Geometry.clusters &g header.SizeBytes
            else
                0L
        let data = if g.ExternalData then 0L else mapped
        let struct (table, blocks) = tables &g (1L + l1Clusters + l2Tables + data)
        let clusters = 1L + table + blocks + l1Clusters + l2Tables + data

        if
            uint64 (table * clusterBytes) > Limits.refcountTableBytes
            || max clusters mapped > (1L <<< (56 - g.ClusterBits))
        then
            Error Errno.EFBIG
        else
            Ok {
                Header = {
                    header with
                        L1Entries = int l1Entries
                        L1Offset =
                            if l1Entries = 0L then
                                0L
                            else
                                (1L + table + blocks) * clusterBytes
                        RefcountTableOffset = clusterBytes
                        RefcountTableClusters = int table
                }
                Mapping = mapping
                RefcountBlocks = blocks
                L2Tables = l2Tables
                MappedClusters = mapped
                MappedFrom = 1L + table + blocks + l1Clusters
                Clusters = clusters
            }

    /// The cluster of an L2 table.
    let private l2Cluster (layout: NewLayout) (g: inref<Geometry>) (index: int64) : int64 =
        if g.ExternalData then
            layout.MappedFrom + index
        else
            match layout.Mapping with
            | DataInOnePiece when index > 0L -> layout.MappedFrom + layout.MappedClusters + index
            | DataInOnePiece -> layout.MappedFrom
            | _ -> layout.MappedFrom + index * int64 (1 + Geometry.l2Entries &g)

    /// The cluster of a guest cluster.
    let private dataCluster (layout: NewLayout) (g: inref<Geometry>) (index: int64) : int64 =
        if g.ExternalData then
            index
        else
            match layout.Mapping with
            | DataInOnePiece -> layout.MappedFrom + 1L + index
            | _ -> layout.MappedFrom + 1L + index + (index >>> Geometry.l2Bits &g)

    /// Bytes that the image's file has at least once everything is in place: what nothing is written to at its end, data,
    /// belongs to it.
    let fileBytes (layout: NewLayout) : int64 =
        if layout.L2Tables > 0L then
            layout.Clusters <<< layout.Header.ClusterBits
        elif layout.Header.L1Entries > 0 then
            layout.Header.L1Offset + int64 layout.Header.L1Entries * 8L
        else
            layout.MappedFrom <<< layout.Header.ClusterBits

    /// Writes so many bytes, which `fill` makes piece by piece: from that byte of them on.
    let private writePieces
        (child: int)
        (offset: int64)
        (bytes: int64)
        (fill: int64 -> byte[] -> unit)
        : IoScript<Result<unit, int>> =
        IoScript.forAll 0L (ceilDiv bytes PieceBytes - 1L) (fun piece ->
            let start = piece * PieceBytes
            let data = Array.zeroCreate<byte>(int (min PieceBytes (bytes - start)))
            fill start data
            IoScript.write child (offset + start) data)

    let private writeTable offset bytes fill = writePieces 0 offset bytes fill

    /// Writes entries of eight bytes: `entry` of the numbers below `count`, and zero from there on.
    let private writeEntries (offset: int64) (bytes: int64) (count: int64) (entry: int64 -> uint64) =
        writeTable offset bytes (fun start data ->
            for i in start / 8L .. min count ((start + int64 data.Length) / 8L) - 1L do
                BigEndian.writeU64 (Span data) (int (i * 8L - start)) (entry i))

    /// Refcount table and refcount blocks.
    let writeRefcounts (layout: NewLayout) : IoScript<Result<unit, int>> =
        let header = layout.Header
        let g = Geometry.ofHeader header
        let clusterBytes = 1L <<< g.ClusterBits
        let tableBytes = int64 header.RefcountTableClusters * clusterBytes
        let blocksOffset = header.RefcountTableOffset + tableBytes

        let counts (start: int64) (data: byte[]) =
            // The blocks follow one another, and so do the counts in them.
            let first = (start <<< 3) >>> g.RefcountOrder
            let last =
                min layout.Clusters (first + ((int64 data.Length <<< 3) >>> g.RefcountOrder))
                - 1L

            for cluster in first..last do
                RefcountBlock.set g.RefcountOrder (Span data) (int (cluster - first)) 1UL

        ioResult {
            do!
                writeEntries header.RefcountTableOffset tableBytes layout.RefcountBlocks (fun i ->
                    uint64 (blocksOffset + i * clusterBytes))

            do! writeTable blocksOffset (layout.RefcountBlocks * clusterBytes) counts
        }

    let writeL1 (layout: NewLayout) : IoScript<Result<unit, int>> =
        let g = Geometry.ofHeader layout.Header

        writeEntries layout.Header.L1Offset (int64 layout.Header.L1Entries * 8L) layout.L2Tables (fun i ->
            let g = g
            L1Entry.encode (l2Cluster layout &g i <<< g.ClusterBits) true)

    /// The L2 tables of clusters that are mapped from the start.
    let writeL2 (layout: NewLayout) : IoScript<Result<unit, int>> =
        let g = Geometry.ofHeader layout.Header
        let perTable = int64 (Geometry.l2Entries &g)
        let entryBytes = int64 (Geometry.l2EntryBytes &g)
        // A raw data file has all of the disk; elsewhere subclusters are as they would be without their clusters.
        let subclusters =
            if layout.Header.Autoclear &&& Feature.dataFileRaw <> 0UL then
                0xffffffffUL
            else
                0UL

        let entries (table: int64) (start: int64) (data: byte[]) =
            let g = g
            let first = table * perTable + start / entryBytes
            let last = min layout.MappedClusters (first + int64 data.Length / entryBytes) - 1L

            for cluster in first..last do
                let at = int ((cluster - first) * entryBytes)
                let host = dataCluster layout &g cluster <<< g.ClusterBits
                BigEndian.writeU64 (Span data) at (uint64 host ||| Entry.copied)

                if g.ExtendedL2 then
                    BigEndian.writeU64 (Span data) (at + 8) subclusters

        IoScript.forAll 0L (layout.L2Tables - 1L) (fun table ->
            let g = g
            writeTable (l2Cluster layout &g table <<< g.ClusterBits) (1L <<< g.ClusterBits) (entries table))

    /// What the last mapped cluster has behind the disk's end: zero, whatever was there, for the disk may grow.
    let writeTail (layout: NewLayout) : IoScript<Result<unit, int>> =
        let g = Geometry.ofHeader layout.Header
        let used = Geometry.offsetInCluster &g layout.Header.SizeBytes

        if layout.MappedClusters = 0L || used = 0 then
            Finished(Ok())
        else
            let cluster = dataCluster layout &g (layout.MappedClusters - 1L) <<< g.ClusterBits

            writePieces
                (if g.ExternalData then 1 else 0)
                (cluster + int64 used)
                (int64 (Geometry.clusterBytes &g - used))
                (fun _ _ -> ())

    /// From now on there is no image in the file, until there is a new one.
    let wipe: IoScript<Result<unit, int>> =
        ioResult {
            do! IoScript.write 0 0L (Array.zeroCreate<byte> 512)
            do! IoScript.flush 0
        }

    /// The header, after everything else is on the disk.
    let writeHeader (layout: NewLayout) : IoScript<Result<unit, int>> =
        ioResult {
            do! IoScript.flush 0
            let! cluster = IoScript.ofResult (Header.encode layout.Header)
            do! IoScript.write 0 0L cluster
            do! IoScript.flush 0
        }

    /// All of an image whose file is long enough.
    let write (layout: NewLayout) : IoScript<Result<unit, int>> =
        ioResult {
            do! wipe
            do! writeRefcounts layout
            do! writeL1 layout
            do! writeL2 layout
            do! writeTail layout
            do! writeHeader layout
        }
