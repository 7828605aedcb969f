namespace StorageDaemon.Core.Qcow2

/// What a check has to say, for people.
module FindingText =
    let private hex (value: uint64) : string = "0x" + value.ToString "x"
    let private hexOf (value: int64) : string = hex (uint64 value)

    let private refcount (cluster: int64) (recorded: uint64) (found: uint64) : string =
        "cluster "
        + string cluster
        + ": refcount "
        + string recorded
        + ", references "
        + string found

    /// One line without its end.
    let ofFinding (finding: Finding) : string =
        match finding with
        | TooFewReferences(cluster, recorded, found) -> "Refcount too small: " + refcount cluster recorded found
        | Leak(cluster, recorded, found) -> "Leak: " + refcount cluster recorded found
        | UnreadableRefcount cluster -> "No refcount can be read for cluster " + string cluster
        | RefcountOverflow cluster -> "More references to cluster " + string cluster + " than a refcount can count"
        | PastEnd(offset, length) ->
            "Reference behind the end of the file: "
            + string length
            + " bytes at "
            + hexOf offset
        | L1ReservedBits entry -> "Reserved bits in L1 entry " + hex entry
        | L1Unaligned entry -> "Unaligned L2 table in L1 entry " + hex entry
        | L2ReservedBits descriptor -> "Reserved bits in L2 entry " + hex descriptor
        | CompressedCopied descriptor -> "Compressed cluster with the copied flag in L2 entry " + hex descriptor
        | CompressedExternal descriptor -> "Compressed cluster in an image with a data file, L2 entry " + hex descriptor
        | CompressedSubclusters descriptor -> "Compressed cluster with subclusters, L2 entry " + hex descriptor
        | ContradictorySubclusters descriptor -> "Subclusters both allocated and zero, L2 entry " + hex descriptor
        | HomelessSubclusters bitmap -> "Subclusters allocated without a cluster, bitmap " + hex bitmap
        | L2Unaligned descriptor -> "Unaligned cluster in L2 entry " + hex descriptor
        | RefcountTableReservedBits index -> "Reserved bits in refcount table entry " + string index
        | RefblockUnaligned index -> "Refcount block " + string index + " is not aligned"
        | RefblockOutside index -> "Refcount block " + string index + " is behind the end of the file"
        | RefblockShared(index, found) -> "Refcount block " + string index + " has " + string found + " references"
        | WrongCopiedFlag(entry, recorded) ->
            "Wrong copied flag in entry " + hex entry + ", refcount " + string recorded
        | SnapshotIncomplete index -> "Snapshot " + string index + " lacks data that version 3 demands"
        | SnapshotL1Unaligned index -> "The L1 table of snapshot " + string index + " is not aligned"
        | SnapshotL1TooLarge index -> "The L1 table of snapshot " + string index + " is too large"
        | SnapshotsWithDataFile count -> string count + " snapshots in an image with a data file"

    /// Why there is no verdict.
    let ofError (errorText: int -> string) (error: CheckError) : string =
        match error with
        | Unreadable error -> error.Desc
        | IoFailed errno -> "Could not check the image: " + errorText errno
        | NeedsRebuild -> "The refcounts are damaged: only a repair of everything can mend them"
        | TooMuch -> "The image is too large to be checked"
