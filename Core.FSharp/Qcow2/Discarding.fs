namespace StorageDaemon.Core.Qcow2

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Tells the file below of clusters that are free: at the end of flushes, discards and zeroes, one request at a time for
/// all. Until that is done the clusters are not used again. An error is nobody's.
module internal Discarding =
    /// Child requests at a time.
    [<Literal>]
    let private MaxRuns = 64

    /// Whether the request, which is at its end, is to do it.
    let isDue (image: Image) (request: Request) : bool =
        image.Freed.HasDiscards
        && request.Error = 0
        && not image.IsFenced
        && (request.Kind = RequestKind.Flush
            || request.Kind = RequestKind.Discard
            || request.Kind = RequestKind.WriteZeroes)

    let begin' (image: Image) (request: Request) =
        request.Discards <- image.Freed.BeginDiscards()
        request.DiscardAt <- 0
        request.Stage <- Stage.Discard

    let private finish (image: Image) (request: Request) =
        request.Discards <- null
        image.Freed.EndDiscards()
        request.Stage <- Stage.End

    /// What could not be looked up is not discarded.
    let abandon (image: Image) (request: Request) =
        if not (isNull request.Discards) then
            request.Error <- 0
            finish image request

    let private send (image: Image) (request: Request) (first: int64) (count: int64) (sink: ChildRequests) =
        let bits = image.Geometry.ClusterBits

        request.Send(
            sink,
            0,
            Tag.advice,
            RequestKind.Discard,
            RequestFlags.None,
            first <<< bits,
            count <<< bits,
            int FrameBuffer.None,
            0L
        )

    /// How often the cluster at an index stands there: compressed clusters may share it.
    let occurrences (clusters: List<int64>) (index: int) : int =
        let mutable behind = index + 1

        while behind < clusters.Count && clusters[behind] = clusters[index] do
            behind <- behind + 1

        behind - index

    let private sendRuns (image: Image) (request: Request) (sink: ChildRequests) =
        let clusters = request.Discards
        let mutable first = 0L
        let mutable count = 0L
        let mutable runs = 0

        while not request.Waits && runs < MaxRuns && request.DiscardAt < clusters.Count do
            let cluster = clusters[request.DiscardAt]
            let times = occurrences clusters request.DiscardAt
            let mutable refcount = 0UL

            match image.Refcounts.Get(cluster, &refcount) with
            | NeedsBlock index -> Tables.loadBlock image request index sink
            | progress ->
                // Only what nobody else has.
                if progress.IsReady && refcount = uint64 times then
                    image.LeavePack cluster

                    if count > 0L && cluster = first + count then
                        count <- count + 1L
                    else
                        if count > 0L then
                            send image request first count sink
                            runs <- runs + 1

                        first <- cluster
                        count <- 1L

                request.DiscardAt <- request.DiscardAt + times

        if count > 0L then
            send image request first count sink

    let step (image: Image) (request: Request) (sink: ChildRequests) : unit =
        if request.StepOutstanding > 0 then
            request.Wait FrameOp.Wait
        elif request.DiscardAt < request.Discards.Count then
            sendRuns image request sink
        else
            finish image request
