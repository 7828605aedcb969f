namespace StorageDaemon.Core.Qcow2

open System.Collections.Generic
open StorageDaemon.Core

/// What a check has found wrong. Offsets are bytes of the file, clusters and table indexes are counted from zero.
type Finding =
    /// Fewer references are recorded than there are: a later write would hit a cluster in use.
    | TooFewReferences of cluster: int64 * recorded: uint64 * found: uint64
    /// More are recorded than there are: the cluster is never used again.
    | Leak of cluster: int64 * recorded: uint64 * found: uint64
    /// The refcount cannot be read: its refcount block has no valid place.
    | UnreadableRefcount of cluster: int64
    /// More references than the width of refcounts can hold.
    | RefcountOverflow of cluster: int64
    /// A table or cluster ends a cluster or more past the end of the file.
    | PastEnd of offset: int64 * lengthBytes: int64
    | L1ReservedBits of entry: uint64
    | L1Unaligned of entry: uint64
    | L2ReservedBits of descriptor: uint64
    /// The "copied" flag of a compressed cluster, which is never written in place.
    | CompressedCopied of descriptor: uint64
    | CompressedExternal of descriptor: uint64
    | CompressedSubclusters of descriptor: uint64
    /// Subclusters that are both allocated and zero.
    | ContradictorySubclusters of descriptor: uint64
    /// Allocated subclusters without a host cluster.
    | HomelessSubclusters of bitmap: uint64
    | L2Unaligned of descriptor: uint64
    | RefcountTableReservedBits of index: int64
    | RefblockUnaligned of index: int64
    | RefblockOutside of index: int64
    /// A refcount block that is referenced more than once, or by something else too.
    | RefblockShared of index: int64 * found: uint64
    /// The "copied" flag of an entry disagrees with the recorded refcount.
    | WrongCopiedFlag of entry: uint64 * recorded: uint64
    /// Extra data that version 3 demands are missing.
    | SnapshotIncomplete of index: int64
    | SnapshotL1Unaligned of index: int64
    | SnapshotL1TooLarge of index: int64
    /// Snapshots cannot hold the clusters of an external data file.
    | SnapshotsWithDataFile of count: int

/// What a check is to repair.
type CheckFix =
    | Nothing = 0
    /// Refcounts that are too great.
    | Leaks = 1
    | All = 2

/// The verdict on an image, in the terms of `qemu-img check`.
type CheckReport = {
    /// Refcounts that could not be read.
    CheckErrors: int64
    /// Left after repairs.
    Corruptions: int64
    CorruptionsFixed: int64
    Leaks: int64
    LeaksFixed: int64
    /// Bytes: the end of the last cluster that is referenced or has a refcount.
    ImageEndOffset: int64
    /// Clusters of the disk; of those, how many have a place of their own, and how many of these are compressed or do
    /// not follow the one before them.
    TotalClusters: int64
    AllocatedClusters: int64
    CompressedClusters: int64
    FragmentedClusters: int64
    /// The first of what was found, in the order of the walk, repaired or not.
    Findings: Finding list
}

/// Why there is no verdict.
type CheckError =
    /// It cannot be opened.
    | Unreadable of QapiError
    /// Reading or writing failed, with a Linux error number.
    | IoFailed of int
    /// Only a repair of everything can help: the refcount structure itself is damaged.
    | NeedsRebuild
    /// It wants more memory or work than allowed.
    | TooMuch

/// Counts findings. What cannot be repaired is a corruption at once; what can be, is counted apart until it is.
[<Sealed>]
type internal Tally(findingsMax: int) =
    let findings = List<Finding>()

    member val Corruptions = 0L with get, set
    member val CorruptionsFixed = 0L with get, set
    member val Leaks = 0L with get, set
    member val LeaksFixed = 0L with get, set
    member val CheckErrors = 0L with get, set
    member val Allocated = 0L with get, set
    member val Compressed = 0L with get, set
    member val Fragmented = 0L with get, set
    member _.Findings: Finding list = List.ofSeq findings

    member _.Note(finding: Finding) =
        if findings.Count < findingsMax then
            findings.Add finding

    member this.Corruption(finding: Finding) =
        this.Note finding
        this.Corruptions <- this.Corruptions + 1L

    member this.Fixed(finding: Finding) =
        this.Note finding
        this.CorruptionsFixed <- this.CorruptionsFixed + 1L

    member this.Leak(finding: Finding) =
        this.Note finding
        this.Leaks <- this.Leaks + 1L

    member this.CheckError(finding: Finding) =
        this.Note finding
        this.CheckErrors <- this.CheckErrors + 1L
