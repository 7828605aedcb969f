namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Writes of data and of zeroes that do not cover a cluster. What has a cluster of its own is written in place; the rest
/// goes piece by piece: clusters are taken, filled with the data and with what surrounds them, and then mapped.
module internal Writing =
    /// Clusters of one piece at most.
    [<Literal>]
    let PieceClusters = 2048L

    /// Whether a write into the clusters of host bytes would destroy tables ("overlap check").
    let hitsMetadata (image: Image) (hostOffset: int64) (length: int64) : bool =
        image.Children.DataChild = 0 && Corruption.preventsWrite image hostOffset length

    let private isZeroes (request: Request) = request.Kind = RequestKind.WriteZeroes

    /// Sends the request's bytes in a range of guest offsets to their host bytes.
    let private send
        (image: Image)
        (request: Request)
        (tag: int)
        (from: int64)
        (until: int64)
        (host: int64)
        (sink: ChildRequests)
        =
        let kind, flags, buffer =
            if isZeroes request then
                RequestKind.WriteZeroes, request.Flags &&& RequestFlags.NoFallback, int FrameBuffer.None
            else
                RequestKind.Write, RequestFlags.None, int FrameBuffer.Own

        request.Send(
            sink,
            image.Children.DataChild,
            tag,
            kind,
            flags,
            host,
            until - from,
            buffer,
            (if isZeroes request then 0L else from - request.Start)
        )

    let private clusterOf (image: Image) (guestOffset: int64) =
        guestOffset >>> image.Geometry.ClusterBits

    /// Whether a cluster's present place cannot be written, or there is none.
    let private needsNew (image: Image) (entry: inref<L2Entry>) : bool =
        L2Entry.isCompressed entry.Descriptor
        || not (L2Entry.isCopied entry.Descriptor)
        || (L2Entry.hostOffset entry.Descriptor = 0L && image.Children.DataChild = 0)

    /// Takes the clusters from the request's position on that get new places, or the one place that can be kept: then
    /// only bytes of the same kind as the first one, for others may be written by others meanwhile.
    let private takePiece (image: Image) (request: Request) (slice: CachedTable) (sameKind: int64) =
        let g = image.Geometry
        let first = clusterOf image request.Position

        match image.Busy.Find first with
        | null ->
            let bytes =
                if isNull slice then
                    ReadOnlySpan<byte>()
                else
                    ReadOnlySpan slice.Bytes
            let index = Tables.indexInSlice image request.Position

            let entry =
                if isNull slice then
                    { Descriptor = 0UL; Bitmap = 0UL }
                else
                    L2Entry.read &g bytes index

            let sliceEnd = request.Position + Tables.bytesToSliceEnd image request.Position
            let mutable until = min request.Limit (min sliceEnd ((first + PieceClusters) <<< g.ClusterBits))
            let mutable last = image.Busy.Free(first, clusterOf image (until - 1L))
            request.IsInPlace <- not (needsNew image &entry)

            if request.OnlyMissing && not (isNull slice) then
                until <- min until (request.Position + sameKind)
                last <- min last (clusterOf image (until - 1L))

            if request.IsInPlace then
                last <- first
                until <- min until (request.Position + sameKind)
                request.HostOffset <- L2Entry.hostOffset entry.Descriptor
            elif not (isNull slice) then
                let mutable cluster = first + 1L

                while cluster <= last do
                    let next = L2Entry.read &g bytes (index + int (cluster - first))

                    if needsNew image &next && L2Entry.fault &g &next = EntryFault.None then
                        cluster <- cluster + 1L
                    else
                        last <- cluster - 1L

            request.PieceStart <- request.Position
            request.PieceUntil <- min until ((last + 1L) <<< g.ClusterBits)
            request.Busy <- image.Busy.Take(first, last)
            request.Stage <- Stage.Allocate
        | busy -> request.ParkAt busy.Waiters

    /// A faulty entry whose place is not written anyway: its cluster gets a new place, and the old one cannot be freed.
    let private isDispensable (image: Image) (descriptor: uint64) : bool =
        let g = image.Geometry

        not (L2Entry.isCopied descriptor)
        && not (L2Entry.isCompressed descriptor)
        && not g.ExtendedL2
        && not (Entry.isAligned &g (descriptor &&& Entry.offsetMask))

    let private isMissing (kind: ClusterKind) =
        kind = ClusterKind.Unallocated || kind = ClusterKind.UnallocatedReserved

    /// Looks at the mapping of the next bytes.
    let map (image: Image) (request: Request) (sink: ChildRequests) : unit =
        let g = image.Geometry
        let offset = request.Position

        match Tables.slice image request offset sink with
        | null ->
            if not request.Waits && request.Stage <> Stage.End then
                takePiece image request null 0L
        | slice ->
            let run =
                Mapping.runAt
                    &g
                    (ReadOnlySpan slice.Bytes)
                    (Tables.indexInSlice image offset)
                    offset
                    (request.Limit - offset)

            match run.Kind with
            | kind when request.OnlyMissing && not run.IsFaulty && not (isMissing kind) ->
                request.Position <- offset + run.LengthBytes
            | _ when run.IsFaulty && isDispensable image run.Descriptor -> takePiece image request slice run.LengthBytes
            | _ when run.IsFaulty ->
                Corruption.entry image slice offset true
                request.Fail Errno.EIO
            | ClusterKind.Normal when run.IsCopied ->
                if hitsMetadata image run.HostOffset run.LengthBytes then
                    request.Fail Errno.EIO
                else
                    send image request Tag.data offset (offset + run.LengthBytes) run.HostOffset sink
                    request.Position <- offset + run.LengthBytes
            | _ -> takePiece image request slice run.LengthBytes

    /// Whether anything of a cluster is in it already: then a new place for it gets all of it, subclusters or not.
    let private holdsData (image: Image) (entry: inref<L2Entry>) : bool =
        L2Entry.isCompressed entry.Descriptor
        || (image.Geometry.ExtendedL2 && L2Entry.hostOffset entry.Descriptor <> 0L)

    /// Bytes that go along as a whole with a byte of the piece: its subcluster, or all of a cluster that gets a new place.
    let private unitBytes (image: Image) (request: Request) (guestOffset: int64) : int64 =
        let g = image.Geometry
        let index = Tables.indexInSlice image guestOffset
        let entry = L2Entry.read &g (ReadOnlySpan request.Slice.Bytes) index

        if not request.IsInPlace && holdsData image &entry then
            int64 image.ClusterBytes
        else
            1L <<< Geometry.subclusterBits &g

    /// How many bytes before `PieceStart` and behind `PieceUntil` go along with the piece.
    let private measureEdges (image: Image) (request: Request) =
        let first = unitBytes image request request.PieceStart
        let last = unitBytes image request (request.PieceUntil - 1L)
        request.HeadBytes <- int (request.PieceStart &&& (first - 1L))
        request.TailBytes <- int (-request.PieceUntil &&& (last - 1L))

    /// The piece's place: a table for its mapping, and clusters.
    let allocate (image: Image) (request: Request) (sink: ChildRequests) : unit =
        let g = image.Geometry

        if PrivateTable.ensure image request request.PieceStart sink then
            match Tables.slice image request request.PieceStart sink with
            | null -> ()
            | slice ->
                let first = clusterOf image request.PieceStart
                let wanted = int (clusterOf image (request.PieceUntil - 1L) - first) + 1
                let mutable got = wanted

                if request.IsInPlace then
                    request.IsFresh <- false
                elif image.Children.DataChild <> 0 then
                    request.HostOffset <- first <<< g.ClusterBits
                    request.IsFresh <- false
                else
                    let cluster = PrivateTable.allocate image request wanted &got sink

                    if cluster >= 0L then
                        request.HostOffset <- cluster <<< g.ClusterBits
                        request.IsFresh <- image.Children.GrowsWithZeroes && cluster >= image.FileClusters
                        image.FileClusters <- max image.FileClusters (cluster + int64 got)

                if not request.Waits && request.Stage <> Stage.End then
                    request.AllocatedClusters <- if request.IsInPlace then 0 else got
                    request.PieceUntil <- min request.PieceUntil ((first + int64 got) <<< g.ClusterBits)
                    request.Slice <- slice
                    slice.Pins <- slice.Pins + 1
                    measureEdges image request
                    request.Surrounding <- 0
                    request.Stage <- Stage.Surround

    let private needsDecompression (image: Image) (request: Request) : bool =
        let g = image.Geometry
        let bytes = ReadOnlySpan request.Slice.Bytes
        let head = L2Entry.read &g bytes (Tables.indexInSlice image request.PieceStart)
        let tail = L2Entry.read &g bytes (Tables.indexInSlice image (request.PieceUntil - 1L))
        L2Entry.isCompressed head.Descriptor || L2Entry.isCompressed tail.Descriptor

    /// Reads what surrounds the piece, the head first.
    let surround (image: Image) (request: Request) (sink: ChildRequests) : unit =
        let scratch =
            if needsDecompression image request then
                Scratch.everything image
            else
                Scratch.surroundings image

        if request.HeadBytes = 0 && request.TailBytes = 0 then
            request.HasHead <- false
            request.HasTail <- false
            request.Stage <- Stage.Fill
        elif request.Surrounding = 0 && request.ScratchBytes < scratch then
            request.Rent scratch
        else
            if request.Surrounding = 0 then
                let from = request.PieceStart - int64 request.HeadBytes
                Reading.start request 0 (Scratch.headAt image) from request.PieceStart Tag.step
                request.Surrounding <- 1

            if request.Surrounding = 1 && Reading.run image request sink then
                request.HasHead <- request.ReadAnything
                let until = request.PieceUntil + int64 request.TailBytes
                Reading.start request 0 (Scratch.tailAt image) request.PieceUntil until Tag.step
                request.Surrounding <- 2

            if request.Surrounding = 2 && Reading.run image request sink then
                request.HasTail <- request.ReadAnything
                request.Surrounding <- 3

            if request.Surrounding = 3 then
                if request.StepOutstanding > 0 then
                    request.Wait FrameOp.Wait
                else
                    request.Stage <- Stage.Fill

    let private sendEdge
        (image: Image)
        (request: Request)
        (hasData: bool)
        (place: int64)
        (length: int)
        (host: int64)
        (sink: ChildRequests)
        =
        if length > 0 && (hasData || not request.IsFresh) then
            request.Send(
                sink,
                image.Children.DataChild,
                Tag.step,
                (if hasData then
                     RequestKind.Write
                 else
                     RequestKind.WriteZeroes),
                RequestFlags.None,
                host,
                int64 length,
                (if hasData then 0 else int FrameBuffer.None),
                (if hasData then place else 0L)
            )

    /// Writes the piece.
    let fill (image: Image) (request: Request) (sink: ChildRequests) : unit =
        let inCluster = request.PieceStart &&& int64 (image.ClusterBytes - 1)
        let host = request.HostOffset + inCluster
        let length = request.PieceUntil - request.PieceStart

        if hitsMetadata image host length then
            request.Fail Errno.EIO
        else
            let head = host - int64 request.HeadBytes
            sendEdge image request request.HasHead (Scratch.headAt image) request.HeadBytes head sink
            sendEdge image request request.HasTail (Scratch.tailAt image) request.TailBytes (host + length) sink
            send image request Tag.step request.PieceStart request.PieceUntil host sink
            request.Stage <- Stage.Commit

    /// The clusters that an entry refers to lose a reference.
    let release (image: Image) (reason: FreeReason) (entry: inref<L2Entry>) =
        let g = image.Geometry

        if L2Entry.isCompressed entry.Descriptor then
            let place = L2Entry.compressedPlace &g entry.Descriptor
            let last = (place.HostOffset + int64 place.LengthBytes - 1L) >>> g.ClusterBits

            for cluster in place.HostOffset >>> g.ClusterBits .. last do
                image.Freed.Add(cluster, reason)
        elif not (Entry.isAligned &g (entry.Descriptor &&& Entry.offsetMask)) then
            Corruption.cannotFree image (L2Entry.hostOffset entry.Descriptor)
        elif L2Entry.hostOffset entry.Descriptor <> 0L && image.Children.DataChild = 0 then
            image.Freed.Add(L2Entry.hostOffset entry.Descriptor >>> g.ClusterBits, reason)

    /// Bits of the subclusters from one guest offset to another in a cluster.
    let unitBits (image: Image) (cluster: int64) (from: int64) (until: int64) : uint64 =
        let g = image.Geometry
        let bits = Geometry.subclusterBits &g
        let start = cluster <<< g.ClusterBits
        let first = int (max 0L (from - start) >>> bits)
        let behind = int ((min (int64 image.ClusterBytes) (until - start)) >>> bits)
        ((1UL <<< behind) - 1UL) &&& ~~~((1UL <<< first) - 1UL)

    /// The data are written: maps the piece's clusters.
    let private mapPiece (image: Image) (request: Request) =
        let g = image.Geometry
        let first = clusterOf image request.PieceStart
        let last = clusterOf image (request.PieceUntil - 1L)
        let index = Tables.indexInSlice image request.PieceStart
        let from = request.PieceStart - int64 request.HeadBytes
        let until = request.PieceUntil + int64 request.TailBytes
        let bytes = Span request.Slice.Bytes

        for cluster in first..last do
            let at = index + int (cluster - first)
            let old = L2Entry.read &g (Span.op_Implicit bytes) at
            let host = request.HostOffset + ((cluster - first) <<< g.ClusterBits)

            if not request.IsInPlace then
                release image FreeReason.Other &old

            let bitmap =
                if g.ExtendedL2 then
                    let written = unitBits image cluster from until
                    let kept =
                        if request.IsInPlace then
                            old.Bitmap &&& 0xffffffffUL
                        else
                            0UL
                    let zero = (old.Bitmap >>> 32) &&& ~~~written
                    kept ||| written ||| (zero <<< 32)
                else
                    0UL

            L2Entry.write &g bytes at {
                Descriptor = uint64 host ||| Entry.copied
                Bitmap = bitmap
            }

        let entryBytes = Geometry.l2EntryBytes &g
        let count = int (last - first) + 1
        image.MarkSlice(request.Slice, index * entryBytes, (index + count) * entryBytes)

    /// Lets go of the piece's range and slice.
    let leave (image: Image) (request: Request) (sink: ChildRequests) =
        if not (isNull request.Slice) then
            request.Slice.Pins <- request.Slice.Pins - 1
            request.Slice <- null

        if not (isNull request.Busy) then
            image.Busy.Release(request.Busy, sink)
            request.Busy <- null

    let commit (image: Image) (request: Request) (sink: ChildRequests) : unit =
        if request.StepOutstanding > 0 then
            request.Wait FrameOp.Wait
        else
            mapPiece image request
            leave image request sink
            request.AllocatedClusters <- 0
            request.Position <- request.PieceUntil
            request.Stage <- Stage.Map

    /// The request has failed with a piece in its hands, and nothing is under way any more: the clusters are free again.
    let abandon (image: Image) (request: Request) (sink: ChildRequests) =
        if request.AllocatedClusters > 0 then
            if image.Children.DataChild = 0 then
                for i in 0 .. request.AllocatedClusters - 1 do
                    image.Freed.Add((request.HostOffset >>> image.Geometry.ClusterBits) + int64 i, FreeReason.Other)

            request.AllocatedClusters <- 0

        leave image request sink
