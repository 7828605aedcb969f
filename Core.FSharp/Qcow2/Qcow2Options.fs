namespace StorageDaemon.Core.Qcow2

open System.Numerics
open StorageDaemon.Core

/// Options of the driver, as they were given. Sizes are in bytes.
type Qcow2Options = {
    LazyRefcounts: bool option
    PassDiscardRequest: bool option
    PassDiscardSnapshot: bool option
    PassDiscardOther: bool option
    DiscardNoUnref: bool
    OverlapChecks: MetadataSection
    CacheBytes: int64 option
    L2CacheBytes: int64 option
    L2CacheEntryBytes: int64 option
    RefcountCacheBytes: int64 option
    CacheCleanIntervalS: int64 option
    /// The data file was given; else the image says.
    GivesDataFile: bool
}

/// How much of an image's tables stays in memory, in bytes.
[<Struct>]
type CacheSizes = {
    L2Bytes: int64
    RefcountBytes: int64
    /// The part of an L2 table that is read and kept as one.
    L2EntryBytes: int
    /// What nobody has used for so long is forgotten; zero for never.
    CleanIntervalS: int64
}

module Qcow2Options =
    /// The L2 tables of disks up to 256 GiB, with clusters of 64 KiB.
    [<Literal>]
    let private DefaultL2Bytes = 33554432L

    /// In clusters.
    [<Literal>]
    let private MinRefcountClusters = 4L

    [<Literal>]
    let private DefaultL2EntryBytes = 4096L

    [<Literal>]
    let private DefaultCleanIntervalS = 600L

    let defaults: Qcow2Options = {
        LazyRefcounts = None
        PassDiscardRequest = None
        PassDiscardSnapshot = None
        PassDiscardOther = None
        DiscardNoUnref = false
        OverlapChecks = Overlap.cached
        CacheBytes = None
        L2CacheBytes = None
        L2CacheEntryBytes = None
        RefcountCacheBytes = None
        CacheCleanIntervalS = None
        GivesDataFile = false
    }

    let private checkRange (name: string) (value: int64 option) : Result<unit, QapiError> =
        match value with
        | Some bytes when bytes < 0L ->
            QapiError.fail ("Value '" + string bytes + "' is out of range for parameter '" + name + "'")
        | _ -> Ok()

    /// How the caches share what they may have: `allL2Bytes` are all L2 tables of the disk.
    let private share (o: Qcow2Options) (clusterBytes: int64) (allL2Bytes: int64) : Result<CacheSizes, QapiError> =
        let minRefcount = MinRefcountClusters * clusterBytes

        let sizes (l2: int64) (refcount: int64) = {
            L2Bytes = l2
            RefcountBytes = refcount
            L2EntryBytes = int (defaultArg o.L2CacheEntryBytes (min clusterBytes DefaultL2EntryBytes))
            CleanIntervalS = defaultArg o.CacheCleanIntervalS DefaultCleanIntervalS
        }

        match o.CacheBytes, o.L2CacheBytes, o.RefcountCacheBytes with
        | Some _, Some _, Some _ ->
            QapiError.fail "cache-size, l2-cache-size and refcount-cache-size may not be set at the same time"
        | Some all, Some l2, _ when l2 > all -> QapiError.fail "l2-cache-size may not exceed cache-size"
        | Some all, _, Some refcount when refcount > all ->
            QapiError.fail "refcount-cache-size may not exceed cache-size"
        | Some all, Some l2, None -> Ok(sizes l2 (all - l2))
        | Some all, None, Some refcount -> Ok(sizes (all - refcount) refcount)
        | Some all, None, None when all >= allL2Bytes + minRefcount -> Ok(sizes allL2Bytes (all - allL2Bytes))
        | Some all, None, None ->
            let refcount = min all minRefcount
            Ok(sizes (all - refcount) refcount)
        | None, l2, refcount ->
            Ok(sizes (defaultArg l2 (min allL2Bytes DefaultL2Bytes)) (defaultArg refcount minRefcount))

    let private checkEntry (o: Qcow2Options) (clusterBytes: int64) : Result<unit, QapiError> =
        match o.L2CacheEntryBytes with
        | Some bytes when bytes < 512L || bytes > clusterBytes || not (BitOperations.IsPow2 bytes) ->
            "L2 cache entry size must be a power of two between 512 and the cluster size ("
            + string clusterBytes
            + ")"
            |> QapiError.fail
        | _ -> Ok()

    let private checkInterval (o: Qcow2Options) : Result<unit, QapiError> =
        match o.CacheCleanIntervalS with
        | Some seconds when uint64 seconds > uint64 System.UInt32.MaxValue ->
            QapiError.fail "Cache clean interval too big"
        | _ -> Ok()

    /// The options against an image.
    let settle (header: Header) (o: Qcow2Options) : Result<CacheSizes, QapiError> =
        let g = Geometry.ofHeader header
        let clusterBytes = 1L <<< g.ClusterBits
        let allL2 = Geometry.l1Entries &g header.SizeBytes * clusterBytes

        result {
            do! checkRange "cache-size" o.CacheBytes
            do! checkRange "l2-cache-size" o.L2CacheBytes
            do! checkRange "refcount-cache-size" o.RefcountCacheBytes
            do! checkRange "l2-cache-entry-size" o.L2CacheEntryBytes
            let! sizes = share o clusterBytes allL2
            do! checkEntry o clusterBytes
            do! checkInterval o

            if o.LazyRefcounts = Some true && header.Version < 3 then
                do! QapiError.fail "Lazy refcounts require a qcow2 image with at least qemu 1.1 compatibility level"

            if o.DiscardNoUnref && header.Version < 3 then
                do! QapiError.fail "discard-no-unref is only supported since qcow2 version 3"

            return sizes
        }
