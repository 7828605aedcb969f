namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// A new refcount structure, behind everything that the file holds.
[<NoComparison; NoEquality>]
type internal NewRefcounts = {
    /// Bytes; where the table is.
    TableOffset: int64
    TableClusters: int64
    /// Indexes of the blocks, in the order in which they lie before the table.
    Indexes: int64[]
    /// References past the end of the file that are before it now.
    Adopted: int64
}

/// Replaces a damaged refcount structure. Nothing of the old one is touched before the header points to the new one:
/// until then an interrupted repair has only made the file longer.
module internal Rebuild =
    /// The blocks and table clusters of a structure that begins at cluster `first`. EFBIG if the table is too long.
    let private measure (walk: CheckWalk) (first: int64) =
        let geometry = walk.Geometry
        let references = walk.References
        let entryBits = Geometry.refblockBits &geometry

        // Its own clusters need blocks, too, which need blocks, which …: each turn adds what the last one left out.
        let rec settle (clusters: int64) =
            let own = seq { first >>> entryBits .. (first + clusters - 1L) >>> entryBits }
            let indexes = Seq.append references.Indexes own |> Seq.distinct |> Array.ofSeq
            let tableBytes = (Array.max indexes + 1L) * 8L
            let tableClusters = ((tableBytes - 1L) >>> geometry.ClusterBits) + 1L
            let needed = int64 indexes.Length + tableClusters

            if uint64 tableClusters <<< geometry.ClusterBits > Limits.refcountTableBytes then
                Error(IoFailed Errno.EFBIG)
            elif needed > clusters then
                settle needed
            else
                Ok struct (indexes, tableClusters, clusters)

        settle 1L

    /// The first clusters, behind all references and clear of those past the end of the file, that hold a structure.
    let private place (walk: CheckWalk) (beyond: struct (int64 * int64)[]) =
        let rec next (first: int64) (turns: int) =
            match measure walk first with
            | Error error -> Error error
            | Ok(struct (indexes, tableClusters, clusters)) ->
                let inTheWay (struct (from, last)) =
                    from < first + clusters && last >= first

                match Array.tryFind inTheWay beyond with
                | Some(struct (_, last)) when turns > 0 -> next (last + 1L) (turns - 1)
                | Some _ -> Error TooMuch
                | None -> Ok struct (first, indexes, tableClusters, clusters)

        next walk.References.Clusters (beyond.Length + 1)

    /// Takes references of all but the old structure; adds those of the new one. What lay past the end of the file and
    /// lies before the new structure is a hole from now on, and reads as before.
    let private plan (walk: CheckWalk) : Result<NewRefcounts, CheckError> =
        let references = walk.References

        match references.Beyond with
        | ValueNone -> Error TooMuch
        | ValueSome beyond ->
            // Blocks for what becomes part of the file are needed whether or not anything else is in them.
            let adopt first =
                beyond |> Array.filter (fun (struct (_, last)) -> last < first)

            match place walk beyond with
            | Error error -> Error error
            | Ok(struct (first, _, _, _)) ->
                let adopted = adopt first

                for struct (from, last) in adopted do
                    references.Append(from, last - from + 1L)

                references.Clusters <- first

                match place walk (Array.filter (fun (struct (_, last)) -> last >= first) beyond) with
                | Error error -> Error error
                | Ok(struct (again, _, _, _)) when again <> first -> Error TooMuch
                | Ok(struct (_, indexes, tableClusters, clusters)) ->
                    references.Append(first, clusters)
                    Array.sortInPlace indexes

                    Ok {
                        TableOffset = (first + int64 indexes.Length) <<< walk.Geometry.ClusterBits
                        TableClusters = tableClusters
                        Indexes = indexes
                        Adopted = adopted.LongLength
                    }

    let private table (walk: CheckWalk) (refcounts: NewRefcounts) : byte[] =
        let bytes: byte[] = Array.zeroCreate (int (refcounts.TableClusters <<< walk.Geometry.ClusterBits))

        let firstBlock =
            refcounts.TableOffset
            - (int64 refcounts.Indexes.Length <<< walk.Geometry.ClusterBits)

        refcounts.Indexes
        |> Array.iteri (fun i index ->
            let offset = firstBlock + (int64 i <<< walk.Geometry.ClusterBits)
            BigEndian.writeU64 (Span bytes) (int index * 8) (uint64 offset))

        bytes

    /// Writes a new structure for the references of `walk`, which are those of all but the old one, and makes
    /// `firstSector`, the header's, point to it. The number of references past the end that are in order now.
    let run (walk: CheckWalk) (firstSector: byte[]) : IoScript<Result<int64, CheckError>> =
        ioResult {
            let! refcounts = Finished(plan walk)
            let clusterBytes = CheckWalk.clusterBytes walk
            let blocks = int64 refcounts.Indexes.Length

            if walk.Budget.IsExhausted then
                return! Finished(Error TooMuch)

            do!
                IoScript.forAll 0L (blocks - 1L) (fun i ->
                    let offset = refcounts.TableOffset - (blocks - i) * clusterBytes
                    CheckWalk.write walk offset (walk.References.Block refcounts.Indexes[int i]))

            do! CheckWalk.write walk refcounts.TableOffset (table walk refcounts)
            do! CheckWalk.flush walk
            BigEndian.writeU64 (Span firstSector) Header.refcountTableFieldOffset (uint64 refcounts.TableOffset)
            BigEndian.writeU32 (Span firstSector) (Header.refcountTableFieldOffset + 8) (uint32 refcounts.TableClusters)
            do! CheckWalk.write walk 0L firstSector
            do! CheckWalk.flush walk
            return refcounts.Adopted
        }
