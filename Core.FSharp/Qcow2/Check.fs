namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What a check may use.
type CheckLimits = {
    /// Bytes for refcounts: those recorded and those found, of each the file's clusters times their width at most.
    MemoryBytes: int64
    /// Bytes of metadata to read. Tables that point to one table again and again make any file endless.
    ReadBytes: int64
    Findings: int
}

/// Counts all references of an image, compares them with its refcounts, and repairs what differs.
module Check =
    /// Enough for images of 32 TiB with common cluster sizes and a hundred snapshots.
    let defaultLimits = {
        MemoryBytes = 0x80000000L
        ReadBytes = 0x4000000000L
        Findings = 1000
    }

    /// Bytes of the header that repairs write, in one sector.
    [<Literal>]
    let private sectorBytes = 512

    /// The file's end as references see it: a length in the block layer is one in sectors.
    let private roundUpToSector (bytes: int64) : int64 = (bytes + 511L) &&& ~~~511L

    let private startWalk (limits: CheckLimits) (fix: CheckFix) (child: int) (fileBytes: int64) (header: Header) =
        let geometry = Geometry.ofHeader header
        let budget = CheckBudget(limits.MemoryBytes, limits.ReadBytes)

        {
            Child = child
            FileBytes = fileBytes
            Header = header
            Geometry = geometry
            Fix = fix
            Tally = Tally limits.Findings
            Budget = budget
            References = References(geometry, roundUpToSector fileBytes, budget)
            Protected = List()
        }

    /// Reads with zeroes past the end of the file, before there is a walk.
    let private readStart (child: int) (fileBytes: int64) (lengthBytes: int) : IoScript<Result<byte[], CheckError>> =
        let inFile = int (min (int64 lengthBytes) fileBytes)

        if inFile <= 0 then
            Finished(Ok(Array.zeroCreate lengthBytes))
        else
            ReadChild(
                child,
                0L,
                inFile,
                function
                | Ok bytes -> Finished(Ok(Array.append bytes (Array.zeroCreate (lengthBytes - inFile))))
                | Error errno -> Finished(Error(IoFailed errno))
            )

    let private readHeader (fix: CheckFix) (child: int) (fileBytes: int64) =
        ioResult {
            let! start = readStart child fileBytes Header.fixedBytes
            let! length = Header.clusterBytes start |> Result.mapError Unreadable |> Finished
            let! cluster = readStart child fileBytes length
            let mode = { Writable = fix <> CheckFix.Nothing; Check = true }
            let! header = Header.decode mode cluster |> Result.mapError Unreadable |> Finished
            return struct (header, Array.sub cluster 0 sectorBytes)
        }

    /// Notes what is wrong with the refcounts. As long as nothing is repaired.
    let private reportRefcounts (walk: CheckWalk) (recorded: Recorded) (differences: Tally) =
        let tally = walk.Tally
        List.iter tally.Note (recorded.Faults.Findings @ recorded.Strays.Findings @ differences.Findings)

        tally.Corruptions <-
            tally.Corruptions
            + recorded.Faults.Corruptions
            + recorded.Strays.Corruptions
            + differences.Corruptions

        tally.Leaks <- tally.Leaks + differences.Leaks
        tally.CheckErrors <- tally.CheckErrors + differences.CheckErrors

    /// The same, when leaks or all of it have been repaired.
    let private reportRepaired (walk: CheckWalk) (recorded: Recorded) (differences: Tally) =
        let before = walk.Tally.Corruptions
        reportRefcounts walk recorded differences
        let tally = walk.Tally
        tally.LeaksFixed <- tally.LeaksFixed + differences.Leaks
        tally.Leaks <- tally.Leaks - differences.Leaks

        if walk.Fix = CheckFix.All then
            tally.CorruptionsFixed <- tally.CorruptionsFixed + tally.Corruptions - before
            tally.Corruptions <- before
            tally.CheckErrors <- tally.CheckErrors - differences.CheckErrors

    /// A second count, without the old refcount structure, for a new one to replace it. What is wrong elsewhere is
    /// known already.
    let private rebuild (limits: CheckLimits) (walk: CheckWalk) (tables: OtherTables) (firstSector: byte[]) =
        let again = {
            startWalk limits CheckFix.Nothing walk.Child walk.FileBytes walk.Header with
                Budget = walk.Budget
                References = References(walk.Geometry, roundUpToSector walk.FileBytes, walk.Budget)
                Tally = Tally 0
        }

        ioResult {
            do! CheckTables.count again tables
            // New blocks must not lie where references of the first count are.
            again.References.Clusters <- max again.References.Clusters walk.References.Clusters
            let! adopted = Rebuild.run again firstSector
            walk.Tally.Corruptions <- walk.Tally.Corruptions - adopted
            walk.Tally.CorruptionsFixed <- walk.Tally.CorruptionsFixed + adopted
            return again.References
        }

    /// Clears the marks of an image that is whole again.
    let private clean (walk: CheckWalk) (firstSector: byte[]) : IoScript<Result<unit, CheckError>> =
        let marks = Feature.dirty ||| Feature.corrupt
        let features = walk.Header.Incompatible

        if
            walk.Fix = CheckFix.Nothing
            || walk.Tally.Corruptions > 0L
            || walk.Tally.CheckErrors > 0L
            || features &&& marks = 0UL
        then
            CheckWalk.skip
        else
            ioResult {
                do! CheckWalk.flush walk
                BigEndian.writeU64 (Span firstSector) Header.incompatibleFieldOffset (features &&& ~~~marks)
                do! CheckWalk.write walk 0L firstSector
                do! CheckWalk.flush walk
            }

    let private report (walk: CheckWalk) (endCluster: int64) : CheckReport =
        let geometry = walk.Geometry
        // Whole sectors count.
        let size = walk.Header.SizeBytes &&& ~~~511L
        let tally = walk.Tally

        {
            CheckErrors = tally.CheckErrors
            Corruptions = tally.Corruptions
            CorruptionsFixed = tally.CorruptionsFixed
            Leaks = tally.Leaks
            LeaksFixed = tally.LeaksFixed
            ImageEndOffset = endCluster <<< geometry.ClusterBits
            TotalClusters =
                (size >>> geometry.ClusterBits)
                + (if Geometry.isAligned &geometry size then 0L else 1L)
            AllocatedClusters = tally.Allocated
            CompressedClusters = tally.Compressed
            FragmentedClusters = tally.Fragmented
            Findings = tally.Findings
        }

    /// Repairs or reports the refcounts: the cluster after the last one, and who knows the refcounts from now on.
    let private settleRefcounts
        (limits: CheckLimits)
        (walk: CheckWalk)
        (tables: OtherTables)
        (recorded: Recorded)
        (firstSector: byte[])
        : IoScript<Result<struct (int64 * (int64 -> uint64 voption)), CheckError>> =
        let differences = Tally limits.Findings
        let struct (highest, hasUsedFree) = CheckRefcounts.compare walk recorded differences

        let asRecorded = CheckRefcounts.refcount walk.Geometry recorded

        ioResult {
            if walk.Fix = CheckFix.Nothing then
                reportRefcounts walk recorded differences
                return struct (highest + 1L, asRecorded)
            elif walk.Fix = CheckFix.Leaks && (CheckRefcounts.isFaulty recorded || hasUsedFree) then
                // What seems to be a leak may be in use, as seen from a better structure.
                return! Finished(Error NeedsRebuild)
            elif walk.Fix = CheckFix.All && CheckRefcounts.isDamaged walk recorded then
                let! references = rebuild limits walk tables firstSector
                reportRepaired walk recorded differences
                return struct (references.Clusters, references.Of >> ValueSome)
            else
                do! CheckRefcounts.repair walk recorded
                reportRepaired walk recorded differences
                return struct (highest + 1L, asRecorded)
        }

    let private checkImage (limits: CheckLimits) (walk: CheckWalk) (firstSector: byte[]) =
        ioResult {
            let! tables = CheckTables.read walk

            if walk.Fix <> CheckFix.Nothing then
                CheckTables.protect walk tables
                do! CheckRefcounts.protect walk

            do! CheckTables.count walk tables
            let! recorded = CheckRefcounts.read walk

            if walk.Budget.IsExhausted then
                return! Finished(Error TooMuch)
            else
                let! struct (endCluster, refcount) = settleRefcounts limits walk tables recorded firstSector
                do! CheckMapping.checkFlags walk refcount
                do! clean walk firstSector
                return report walk endCluster
        }

    /// Checks the image that fills the `fileBytes` of a child, and repairs it if that is asked for. Writes go out in
    /// an order in which an interruption leaves at worst what was wrong before.
    let run
        (limits: CheckLimits)
        (fix: CheckFix)
        (child: int)
        (fileBytes: int64)
        : IoScript<Result<CheckReport, CheckError>> =
        ioResult {
            let! struct (header, firstSector) = readHeader fix child fileBytes

            // The real check refuses more than it can index.
            if fileBytes >>> header.ClusterBits > int64 Int32.MaxValue then
                return! Finished(Error(IoFailed Errno.EFBIG))
            else
                return! checkImage limits (startWalk limits fix child fileBytes header) firstSector
        }
