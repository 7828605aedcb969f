namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// The part of the check that follows the mapping: L1 tables, L2 tables, clusters.
module internal CheckMapping =
    let private setDescriptor (geometry: Geometry) (table: byte[]) (index: int) (descriptor: uint64) =
        BigEndian.writeU64 (Span table) (index * Geometry.l2EntryBytes &geometry) descriptor

    let private countCompressed (walk: CheckWalk) (active: bool) (entry: L2Entry) =
        let geometry = walk.Geometry
        let tally = walk.Tally

        // The flag alone does not make the place doubtful.
        if L2Entry.isCopied entry.Descriptor then
            tally.Corruption(CompressedCopied entry.Descriptor)

        if geometry.ExternalData then
            tally.Corruption(CompressedExternal entry.Descriptor)
        elif entry.Bitmap <> 0UL then
            tally.Corruption(CompressedSubclusters entry.Descriptor)
        else
            let place = L2Entry.compressedPlace &geometry entry.Descriptor
            walk.References.Add(tally, place.HostOffset, int64 place.LengthBytes)

            if active then
                tally.Allocated <- tally.Allocated + 1L
                tally.Compressed <- tally.Compressed + 1L
                // No compressed cluster is where a read in sequence expects it.
                tally.Fragmented <- tally.Fragmented + 1L

    /// Whether the entry promises data, and not only room for them.
    let private holdsData (geometry: Geometry) (entry: L2Entry) : bool =
        if geometry.ExtendedL2 then
            entry.Bitmap &&& L2Entry.allAllocated <> 0UL
        else
            entry.Descriptor &&& L2Entry.zero = 0UL

    /// Makes an entry read as zeroes from nowhere.
    let private setZero (geometry: Geometry) (table: byte[]) (index: int) =
        if geometry.ExtendedL2 then
            setDescriptor geometry table index 0UL
            BigEndian.writeU64 (Span table) (index * 16 + 8) ~~~L2Entry.allAllocated
        else
            setDescriptor geometry table index L2Entry.zero

    /// The references of an L2 table at `offset`. True if `table` was repaired and is to be written.
    let private countTable (walk: CheckWalk) (active: bool) (offset: int64) (table: byte[]) : bool =
        let geometry = walk.Geometry
        let tally = walk.Tally
        let clusterBytes = 1L <<< geometry.ClusterBits
        let mutable expected = 0L
        let mutable isRepaired = false

        let repairs =
            lazy
                (walk.Fix = CheckFix.All
                 && not geometry.Version2
                 && CheckWalk.mayRepairL2 walk offset)

        for index in 0 .. Geometry.l2Entries &geometry - 1 do
            let entry = L2Entry.read &geometry (ReadOnlySpan table) index

            let hasReserved =
                not (L2Entry.isCompressed entry.Descriptor)
                && L2Entry.hasReservedBits entry.Descriptor

            if hasReserved then
                tally.Corruption(L2ReservedBits entry.Descriptor)

            match L2Entry.clusterKind &geometry entry.Descriptor with
            | ClusterKind.Compressed -> countCompressed walk active entry
            | ClusterKind.Normal
            | ClusterKind.ZeroAllocated ->
                let host = L2Entry.hostOffset entry.Descriptor
                let isUnaligned = not (Geometry.isAligned &geometry host)

                if L2Entry.hasSubclusterFault &geometry &entry then
                    tally.Corruption(ContradictorySubclusters entry.Descriptor)

                if isUnaligned && not (holdsData geometry entry) && repairs.Value then
                    tally.Fixed(L2Unaligned entry.Descriptor)

                    // They are gone with the rest.
                    if hasReserved then
                        tally.Corruptions <- tally.Corruptions - 1L
                        tally.CorruptionsFixed <- tally.CorruptionsFixed + 1L

                    setZero geometry table index
                    isRepaired <- true
                else
                    if isUnaligned then
                        tally.Corruption(L2Unaligned entry.Descriptor)

                    if active then
                        tally.Allocated <- tally.Allocated + 1L

                        if expected <> 0L && host <> expected then
                            tally.Fragmented <- tally.Fragmented + 1L

                        expected <- host + clusterBytes

                    if not geometry.ExternalData then
                        walk.References.Add(tally, host, clusterBytes)
            | _ ->
                if L2Entry.hasSubclusterFault &geometry &entry then
                    tally.Corruption(HomelessSubclusters entry.Bitmap)

        isRepaired

    /// The references of one L1 table, the active one or a snapshot's, and of all below it.
    let count (walk: CheckWalk) (active: bool) (offset: int64) (entries: int64) : IoScript<Result<unit, CheckError>> =
        let geometry = walk.Geometry
        let clusterBytes = CheckWalk.clusterBytes walk
        walk.References.Add(walk.Tally, offset, entries * 8L)

        CheckWalk.forNonzero walk offset entries (fun _ piece at ->
            let entry = BigEndian.readU64 (ReadOnlySpan piece) at
            let l2 = L1Entry.l2Offset entry

            if L1Entry.hasReservedBits entry then
                walk.Tally.Corruption(L1ReservedBits entry)

            walk.References.Add(walk.Tally, l2, clusterBytes)

            if L1Entry.fault &geometry entry <> EntryFault.None then
                walk.Tally.Corruption(L1Unaligned entry)

            ioResult {
                let! table = CheckWalk.read walk l2 (int clusterBytes)

                if countTable walk active l2 table then
                    do! CheckWalk.write walk l2 table
            })

    /// The entry with the "copied" flag as the refcount demands it.
    let private flagged (refcount: uint64) (entry: uint64) : uint64 =
        if refcount = 1UL then
            entry ||| Entry.copied
        else
            entry &&& ~~~Entry.copied

    /// Notes a wrong flag. True if it is to be repaired.
    let private noteFlag (walk: CheckWalk) (mayRepair: Lazy<bool>) (entry: uint64) (refcount: uint64) : bool =
        if mayRepair.Value then
            walk.Tally.Fixed(WrongCopiedFlag(entry, refcount))
            true
        else
            walk.Tally.Corruption(WrongCopiedFlag(entry, refcount))
            false

    let private checkTableFlags
        (walk: CheckWalk)
        (repairs: bool)
        (recorded: int64 -> uint64 voption)
        (offset: int64)
        (table: byte[])
        : bool =
        let geometry = walk.Geometry
        let mayRepair = lazy (repairs && CheckWalk.mayRepairL2 walk offset)
        let mutable isRepaired = false

        for index in 0 .. Geometry.l2Entries &geometry - 1 do
            let descriptor = (L2Entry.read &geometry (ReadOnlySpan table) index).Descriptor

            match L2Entry.clusterKind &geometry descriptor with
            | ClusterKind.Normal
            | ClusterKind.ZeroAllocated ->
                let refcount =
                    if geometry.ExternalData then
                        ValueSome 1UL
                    else
                        recorded (L2Entry.hostOffset descriptor >>> geometry.ClusterBits)

                match refcount with
                | ValueSome refcount when flagged refcount descriptor <> descriptor ->
                    if noteFlag walk mayRepair descriptor refcount then
                        setDescriptor geometry table index (flagged refcount descriptor)
                        isRepaired <- true
                | _ -> ()
            | _ -> ()

        isRepaired

    /// The "copied" flags of the active tables against the refcounts, of which some may be unreadable.
    let checkFlags (walk: CheckWalk) (recorded: int64 -> uint64 voption) : IoScript<Result<unit, CheckError>> =
        let sector = 512
        let tally = walk.Tally
        let isElseWhole = tally.Corruptions = 0L && tally.Leaks = 0L && tally.CheckErrors = 0L

        // With leaks gone, flags are repaired where nothing else is wrong: then the refcounts are right.
        let repairs = walk.Fix = CheckFix.All || (walk.Fix = CheckFix.Leaks && isElseWhole)

        let mayRepairL1 = lazy (repairs && CheckWalk.mayRepairL1 walk)
        let header = walk.Header

        CheckWalk.forNonzero walk header.L1Offset (int64 header.L1Entries) (fun index piece at ->
            let entry = BigEndian.readU64 (ReadOnlySpan piece) at
            let l2 = L1Entry.l2Offset entry

            match
                (if l2 = 0L then
                     ValueNone
                 else
                     recorded (l2 >>> header.ClusterBits))
            with
            | ValueNone -> CheckWalk.skip
            | ValueSome refcount ->
                ioResult {
                    let corrected = flagged refcount entry

                    if corrected <> entry && noteFlag walk mayRepairL1 entry refcount then
                        BigEndian.writeU64 (Span piece) at corrected
                        let start = at / sector * sector
                        let bytes = Array.sub piece start (min sector (piece.Length - start))
                        do! CheckWalk.write walk (header.L1Offset + index * 8L - int64 (at - start)) bytes

                    let! table = CheckWalk.read walk l2 (1 <<< header.ClusterBits)

                    if checkTableFlags walk repairs recorded l2 table then
                        do! CheckWalk.write walk l2 table
                })
