namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qcow2

/// From the schema's `BlockdevOptionsQcow2` to the driver's own options, and back to the schema for listings.
module Qcow2Mapping =
    let private template (mode: Qcow2OverlapCheckMode) : MetadataSection =
        match mode with
        | Qcow2OverlapCheckMode.None -> MetadataSection.None
        | Qcow2OverlapCheckMode.Constant -> Overlap.constant
        | Qcow2OverlapCheckMode.Cached -> Overlap.cached
        | Qcow2OverlapCheckMode.All -> Overlap.all

    let private overlapChecks (checks: Qcow2OverlapChecks option) : MetadataSection =
        match checks with
        | None -> Overlap.cached
        | Some(Qcow2OverlapChecks.Mode mode) -> template mode
        | Some(Qcow2OverlapChecks.Flags flags) ->
            [
                MetadataSection.MainHeader, flags.MainHeader
                MetadataSection.ActiveL1, flags.ActiveL1
                MetadataSection.ActiveL2, flags.ActiveL2
                MetadataSection.RefcountTable, flags.RefcountTable
                MetadataSection.RefcountBlock, flags.RefcountBlock
                MetadataSection.SnapshotTable, flags.SnapshotTable
                MetadataSection.InactiveL1, flags.InactiveL1
                MetadataSection.InactiveL2, flags.InactiveL2
                MetadataSection.BitmapDirectory, flags.BitmapDirectory
            ]
            |> List.fold
                (fun chosen (section, flag) ->
                    match flag with
                    | Some true -> chosen ||| section
                    | Some false -> chosen &&& ~~~section
                    | None -> chosen)
                (template (defaultArg flags.Template Qcow2OverlapCheckMode.Cached))

    let options (o: BlockdevOptionsQcow2) : Qcow2Options = {
        LazyRefcounts = o.LazyRefcounts
        PassDiscardRequest = o.PassDiscardRequest
        PassDiscardSnapshot = o.PassDiscardSnapshot
        PassDiscardOther = o.PassDiscardOther
        DiscardNoUnref = defaultArg o.DiscardNoUnref false
        OverlapChecks = overlapChecks o.OverlapCheck
        CacheBytes = o.CacheSize
        L2CacheBytes = o.L2CacheSize
        L2CacheEntryBytes = o.L2CacheEntrySize
        RefcountCacheBytes = o.RefcountCacheSize
        CacheCleanIntervalS = o.CacheCleanInterval
        GivesDataFile = o.DataFile.IsSome
    }

    /// What listings say of an image's header.
    let info (header: Header) : ImageInfoSpecificQcow2 =
        let has bit = header.Incompatible &&& bit <> 0UL
        let isVersion3 = header.Version >= 3
        let ifVersion3 value = if isVersion3 then Some value else None

        {
            Compat = if isVersion3 then "1.1" else "0.10"
            DataFile = NamedImage.dataFile header |> Option.map _.Filename
            DataFileRaw =
                if has Feature.dataFile then
                    Some(header.Autoclear &&& Feature.dataFileRaw <> 0UL)
                else
                    None
            ExtendedL2 = ifVersion3 (has Feature.extendedL2)
            LazyRefcounts = ifVersion3 (header.Compatible &&& Feature.lazyRefcounts <> 0UL)
            Corrupt = ifVersion3 (has Feature.corrupt)
            RefcountBits = 1L <<< header.RefcountOrder
            CompressionType =
                if header.CompressionType = 0uy then
                    Qcow2CompressionType.Zlib
                else
                    Qcow2CompressionType.Zstd
        }

    /// What listings say of a snapshot.
    let snapshot (snapshot: Snapshot) : SnapshotInfo = {
        Id = Header.nameText snapshot.Id
        Name = Header.nameText snapshot.Name
        VmStateSize = int64 (Snapshots.vmStateBytes snapshot)
        DateSec = int64 snapshot.Seconds
        DateNsec = int64 snapshot.Nanoseconds
        VmClockSec = int64 (snapshot.GuestNs / 1_000_000_000UL)
        VmClockNsec = int64 (snapshot.GuestNs % 1_000_000_000UL)
        Icount = Snapshots.icount snapshot |> ValueOption.toOption |> Option.map int64
    }
