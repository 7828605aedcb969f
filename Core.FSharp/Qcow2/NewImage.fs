namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core

/// The layout of an image without data: header, refcount table, refcount blocks and L1 table follow one another.
module NewImage =
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

    /// The places of the tables in a header that has everything else.
    let place (header: Header) : Header =
        let g = Geometry.ofHeader header
        let clusterBytes = 1L <<< g.ClusterBits
        let l1Entries = Geometry.l1Entries &g header.SizeBytes
        let l1Clusters = Geometry.clusters &g (l1Entries * 8L)
        let struct (table, blocks) = tables &g (1L + l1Clusters)

        {
            header with
                L1Entries = int l1Entries
                L1Offset = (1L + table + blocks) * clusterBytes
                RefcountTableOffset = clusterBytes
                RefcountTableClusters = int table
        }

    /// What the file must have for a header that `place` has completed, as offsets and bytes; everything else is zero.
    /// The file's length is the end of the L1 table. A Linux error number if the header does not fit into its cluster.
    let writes (header: Header) : Result<struct (int64 * byte[]) list, int> =
        let g = Geometry.ofHeader header
        let clusterBytes = 1L <<< g.ClusterBits
        let perBlock = 1L <<< Geometry.refblockBits &g
        let blocksOffset = header.RefcountTableOffset + int64 header.RefcountTableClusters * clusterBytes
        let used = Geometry.clusters &g (header.L1Offset + int64 header.L1Entries * 8L)

        Header.encode header
        |> Result.map (fun cluster ->
            let count = ceilDiv used perBlock
            let table = Array.zeroCreate<byte>(int count * 8)

            for i in 0L .. count - 1L do
                BigEndian.writeU64 (Span table) (int i * 8) (uint64 (blocksOffset + i * clusterBytes))

            let block (index: int64) : byte[] =
                let bytes = Array.zeroCreate<byte>(int clusterBytes)

                for cluster in index * perBlock .. min used ((index + 1L) * perBlock) - 1L do
                    RefcountBlock.set g.RefcountOrder (Span bytes) (int (cluster - index * perBlock)) 1UL

                bytes

            struct (0L, cluster)
            :: struct (header.RefcountTableOffset, table)
            :: [
                for i in 0L .. count - 1L -> struct (blocksOffset + i * clusterBytes, block i)
            ])
