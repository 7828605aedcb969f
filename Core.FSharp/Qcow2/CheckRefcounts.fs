namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// The refcounts that an image records.
[<NoComparison; NoEquality>]
type internal Recorded = {
    /// Refcount blocks by their index, as far as the file's clusters go; none where the table has none.
    Blocks: Dictionary<int64, byte[]>
    /// Places of the blocks; of each only if it may be written.
    Offsets: Dictionary<int64, int64>
    /// Indexes of blocks that cannot be read.
    Unreadable: HashSet<int64>
    /// Faults of the table and its blocks, with which no refcount is to be trusted.
    Faults: Tally
    /// Parts of the structure that are nowhere in the file.
    Strays: Tally
}

/// The part of the check that reads refcounts, compares them with the references and mends them in place.
module internal CheckRefcounts =
    /// References a block; true if it is where a block may be, and nothing else is there.
    let private referTo (walk: CheckWalk) (recorded: Recorded) (index: int64) (entry: uint64) : bool =
        let geometry = walk.Geometry
        let offset = RefcountTableEntry.blockOffset entry

        if RefcountTableEntry.hasReservedBits entry then
            recorded.Faults.Corruption(RefcountTableReservedBits index)
            false
        elif RefcountTableEntry.fault &geometry entry <> EntryFault.None then
            recorded.Faults.Corruption(RefblockUnaligned index)
            false
        elif offset < 0L || (offset >>> geometry.ClusterBits) >= walk.References.Clusters then
            recorded.Strays.Corruption(RefblockOutside index)
            false
        else
            walk.References.Add(recorded.Strays, offset, CheckWalk.clusterBytes walk)
            let found = walk.References.Of(offset >>> geometry.ClusterBits)

            if found <> 1UL then
                recorded.Faults.Corruption(RefblockShared(index, found))

            found = 1UL

    let private load (walk: CheckWalk) (recorded: Recorded) (index: int64) (entry: uint64) =
        let geometry = walk.Geometry
        let offset = RefcountTableEntry.blockOffset entry
        let clusterBytes = CheckWalk.clusterBytes walk

        if
            index > Geometry.refcountTableIndex &geometry walk.References.Clusters
            || offset = 0L
        then
            CheckWalk.skip
        elif
            RefcountTableEntry.fault &geometry entry <> EntryFault.None
            || offset < 0L
            || offset > Image.Raw.MaxLengthBytes - clusterBytes
        then
            recorded.Unreadable.Add index |> ignore
            CheckWalk.skip
        else
            walk.Budget.TakeMemory clusterBytes

            CheckWalk.read walk offset (int clusterBytes)
            |> IoScript.bind (function
                | Ok block ->
                    recorded.Blocks[index] <- block
                    CheckWalk.skip
                | Error error -> Finished(Error error))

    /// Reads the refcounts, and refers to the clusters that hold them.
    let read (walk: CheckWalk) : IoScript<Result<Recorded, CheckError>> =
        let header = walk.Header
        let tableBytes = int64 header.RefcountTableClusters <<< header.ClusterBits

        let recorded = {
            Blocks = Dictionary()
            Offsets = Dictionary()
            Unreadable = HashSet()
            Faults = Tally 100
            Strays = Tally 100
        }

        walk.References.Add(recorded.Strays, header.RefcountTableOffset, tableBytes)

        ioResult {
            do!
                CheckWalk.forNonzero walk header.RefcountTableOffset (tableBytes / 8L) (fun index piece at ->
                    let entry = BigEndian.readU64 (ReadOnlySpan piece) at

                    if
                        entry &&& ~~~RefcountTableEntry.reserved = 0UL
                        && not (RefcountTableEntry.hasReservedBits entry)
                    then
                        CheckWalk.skip
                    else
                        if referTo walk recorded index entry then
                            recorded.Offsets[index] <- RefcountTableEntry.blockOffset entry

                        load walk recorded index entry)

            return recorded
        }

    /// Adds the places of refcount blocks to those where no L2 table is.
    let protect (walk: CheckWalk) : IoScript<Result<unit, CheckError>> =
        let header = walk.Header
        let entries = (int64 header.RefcountTableClusters <<< header.ClusterBits) / 8L

        CheckWalk.forNonzero walk header.RefcountTableOffset entries (fun _ piece at ->
            let entry = BigEndian.readU64 (ReadOnlySpan piece) at

            walk.Protected.Add {
                Offset = RefcountTableEntry.blockOffset entry
                LengthBytes = CheckWalk.clusterBytes walk
            }

            CheckWalk.skip)

    let private blockOf (blocks: Dictionary<int64, byte[]>) (index: int64) : byte[] =
        match blocks.TryGetValue index with
        | true, block -> block
        | false, _ -> null

    /// The recorded refcount of a cluster; none if it cannot be read.
    let refcount (geometry: Geometry) (recorded: Recorded) (cluster: int64) : uint64 voption =
        let geometry = geometry
        let index = Geometry.refcountTableIndex &geometry cluster

        if recorded.Unreadable.Contains index then
            ValueNone
        else
            match blockOf recorded.Blocks index with
            | null -> ValueSome 0UL
            | block ->
                ValueSome(
                    RefcountBlock.get
                        geometry.RefcountOrder
                        (ReadOnlySpan block)
                        (Geometry.refblockIndex &geometry cluster)
                )

    let private valueAt (order: int) (block: byte[]) (index: int) : uint64 =
        if isNull block then
            0UL
        else
            RefcountBlock.get order (ReadOnlySpan block) index

    /// How many of a block's refcounts are of clusters of the file.
    let private countIn (walk: CheckWalk) (index: int64) : int =
        let geometry = walk.Geometry
        let first = index <<< Geometry.refblockBits &geometry
        int (min (int64 (Geometry.refblockEntries &geometry)) (walk.References.Clusters - first))

    let private note (tally: Tally) (highest: byref<int64>) (needsRebuild: byref<bool>) (cluster: int64) is ought =
        if is <> 0UL || ought <> 0UL then
            highest <- cluster

        if is < ought then
            needsRebuild <- needsRebuild || is = 0UL
            tally.Corruption(TooFewReferences(cluster, is, ought))
        elif is > ought then
            tally.Leak(Leak(cluster, is, ought))

    /// Notes in `tally` where refcounts and references differ. The highest cluster that has either, and whether one
    /// that is referenced is recorded as free, so that something else may be on it.
    let compare (walk: CheckWalk) (recorded: Recorded) (tally: Tally) : struct (int64 * bool) =
        let geometry = walk.Geometry
        let order = geometry.RefcountOrder
        let clusters = walk.References.Clusters
        let mutable highest = 0L
        let mutable needsRebuild = false

        for index in 0L .. Geometry.refcountTableIndex &geometry (clusters - 1L) do
            let is = blockOf recorded.Blocks index
            let ought = walk.References.Block index
            let first = index <<< Geometry.refblockBits &geometry

            if recorded.Unreadable.Contains index then
                for at in 0 .. countIn walk index - 1 do
                    tally.CheckError(UnreadableRefcount(first + int64 at))
            elif not (isNull is && isNull ought) then
                for at in 0 .. countIn walk index - 1 do
                    let is, ought = valueAt order is at, valueAt order ought at
                    note tally &highest &needsRebuild (first + int64 at) is ought

        struct (highest, needsRebuild)

    /// The block as it is to be: greater refcounts fall, and with a repair of everything smaller ones rise.
    let private mend (walk: CheckWalk) (index: int64) (is: byte[]) : byte[] =
        let order = walk.Geometry.RefcountOrder
        let ought = walk.References.Block index
        let block = Array.copy is

        for at in 0 .. countIn walk index - 1 do
            let is, ought = valueAt order is at, valueAt order ought at

            if is > ought || (is < ought && walk.Fix = CheckFix.All) then
                RefcountBlock.set order (Span block) at ought

        block

    /// Whether no refcount is to be trusted.
    let isFaulty (recorded: Recorded) : bool =
        recorded.Faults.Corruptions > 0L || recorded.Unreadable.Count > 0

    /// Whether only a new structure mends everything; also when there is no block for something that is referenced.
    let isDamaged (walk: CheckWalk) (recorded: Recorded) : bool =
        isFaulty recorded
        || recorded.Strays.Corruptions > 0L
        || not (Seq.forall recorded.Blocks.ContainsKey walk.References.Indexes)

    /// Writes the blocks that differ from the references. Only for a structure that is not faulty.
    let repair (walk: CheckWalk) (recorded: Recorded) : IoScript<Result<unit, CheckError>> =
        let blocks = Array.ofSeq recorded.Offsets

        ioResult {
            // Repaired entries no longer refer to what is about to be set free.
            if walk.Tally.CorruptionsFixed > 0L then
                do! CheckWalk.flush walk

            do!
                IoScript.forAll 0L (int64 blocks.Length - 1L) (fun i ->
                    let index, offset = blocks[int i].Key, blocks[int i].Value

                    match blockOf recorded.Blocks index with
                    | null -> CheckWalk.skip
                    | is ->
                        let block = mend walk index is

                        if ReadOnlySpan(is).SequenceEqual(ReadOnlySpan block) then
                            CheckWalk.skip
                        else
                            recorded.Blocks[index] <- block
                            CheckWalk.write walk offset block)

            return! CheckWalk.flush walk
        }
