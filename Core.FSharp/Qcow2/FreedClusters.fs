namespace StorageDaemon.Core.Qcow2

open System.Collections.Generic

/// Why a cluster of the file is not needed any more: it decides whether the file below is told.
type FreeReason =
    /// The guest has discarded it, or has zeroed it with leave to unmap.
    | Request = 0
    /// A snapshot that had it is gone.
    | Snapshot = 1
    /// Anything else: it was copied, or a table has moved.
    | Other = 2
    /// It was behind the disk's end when the disk became shorter.
    | Shrink = 3

/// What discards come to (qapi/block-core.json, BlockdevOptionsQcow2).
[<NoComparison>]
type DiscardSettings = {
    /// Whether the file is told of clusters that are free, by reason.
    PassRequest: bool
    PassSnapshot: bool
    PassOther: bool
    /// Clusters that are discarded or zeroed stay where they are, with the zero flag.
    NoUnref: bool
} with

    member this.Passes(reason: FreeReason) : bool =
        match reason with
        | FreeReason.Request -> this.PassRequest
        | FreeReason.Snapshot -> this.PassSnapshot
        | FreeReason.Shrink -> true
        | _ -> this.PassOther

module DiscardSettings =
    /// What options that are not given stand for. `unmap` is whether the node has `discard=unmap`.
    let ofOptions
        (unmap: bool)
        (passRequest: bool option)
        (passSnapshot: bool option)
        (passOther: bool option)
        (noUnref: bool option)
        : DiscardSettings = {
        PassRequest = defaultArg passRequest unmap
        PassSnapshot = defaultArg passSnapshot true
        PassOther = defaultArg passOther false
        NoUnref = defaultArg noUnref false
    }

/// A cluster that has lost a reference.
[<Struct>]
type FreedCluster = { Cluster: int64; Reason: FreeReason }

/// Clusters that nothing refers to any more, on their way to be free. A cluster is free once the file has the mapping
/// without it, and once all requests that may have looked it up before have ended; before it is used again, the file
/// below is told of it where that is wanted.
[<Sealed>]
type FreedClusters(settings: DiscardSettings) =
    let mutable fresh = List<FreedCluster>()
    let mutable durable = List<FreedCluster>()
    let mutable waiting = List<FreedCluster>()
    let mutable toDiscard = List<int64>()
    let mutable discarding = List<int64>()
    let ready = Queue<int64>()
    let active = [| 0; 0 |]
    let mutable current = 0

    let arrive () =
        for freed in waiting do
            if settings.Passes freed.Reason then
                toDiscard.Add freed.Cluster
            else
                ready.Enqueue freed.Cluster

        waiting.Clear()

    let settle () =
        if active[1 - current] = 0 then
            arrive ()

            if durable.Count > 0 then
                let empty = waiting
                waiting <- durable
                durable <- empty
                current <- 1 - current

                if active[1 - current] = 0 then
                    arrive ()

    let pass (from: List<int64>) =
        for cluster in from do
            ready.Enqueue cluster

        from.Clear()

    /// A request begins; it gives the number back at its end.
    member _.Enter() : int =
        active[current] <- active[current] + 1
        current

    member _.Leave(generation: int) =
        active[generation] <- active[generation] - 1
        settle ()

    /// A cluster has lost a reference in memory.
    member _.Add(cluster: int64, reason: FreeReason) =
        fresh.Add { Cluster = cluster; Reason = reason }

    member _.Fresh = fresh.Count

    /// Clusters that lose a reference as soon as somebody comes to it.
    member _.Ready = ready

    member _.IsEmpty =
        fresh.Count = 0
        && durable.Count = 0
        && waiting.Count = 0
        && toDiscard.Count = 0
        && discarding.Count = 0
        && ready.Count = 0

    /// Clusters of which the file below is to be told, and nobody does it yet.
    member _.HasDiscards = toDiscard.Count > 0 && discarding.Count = 0

    /// The caller is going to tell the file below of these; they are sorted.
    member _.BeginDiscards() : List<int64> =
        let empty = discarding
        discarding <- toDiscard
        toDiscard <- empty
        discarding.Sort()
        discarding

    /// It has been told, or could not be.
    member _.EndDiscards() = pass discarding

    /// What has lost references so far: a checkpoint begins that will write the mapping without them.
    member _.TakeFresh() : List<FreedCluster> =
        let taken = fresh
        fresh <- List<FreedCluster>()
        taken

    /// The checkpoint has failed.
    member _.PutBack(taken: List<FreedCluster>) = fresh.AddRange taken

    /// The checkpoint is in the file.
    member _.AreDurable(taken: List<FreedCluster>) =
        durable.AddRange taken
        settle ()
