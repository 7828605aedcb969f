namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Zeroes at the edges of a request: no data need be written where a cluster without any (a subcluster, where there are
/// some) reads as zeroes besides, for the mapping can say so. What the backing image has there decides, and is asked.
module internal Zeroing =
    let private unitMask (image: Image) : int64 =
        let g = image.Geometry
        (1L <<< Geometry.subclusterBits &g) - 1L

    /// Bytes at the request's position that whole units cover, all in one cluster and in a run of so many bytes.
    let private coveredBytes (image: Image) (request: Request) (runBytes: int64) : int64 =
        let mask = unitMask image
        let clusterEnd = (request.Position ||| int64 (image.ClusterBytes - 1)) + 1L
        let until = min clusterEnd (request.Position + runBytes)

        if request.Position &&& mask <> 0L then
            0L
        elif until = image.Header.SizeBytes then
            until - request.Position
        else
            (until &&& ~~~mask) - request.Position

    /// Whether the mapping may come to say what the request writes at its position, where a run of its bytes is mapped so.
    let isPossible (image: Image) (request: Request) (run: inref<Run>) : bool =
        request.Kind = RequestKind.WriteZeroes
        && image.Header.Version >= 3
        && not request.OnlyMissing
        && not image.HasRawData
        && not run.IsFaulty
        && request.Position <> request.ProbedAt
        && match run.Kind with
           | ClusterKind.Unallocated
           | ClusterKind.UnallocatedReserved -> true
           | ClusterKind.Normal ->
               image.Geometry.ExtendedL2
               && run.IsCopied
               && coveredBytes image request run.LengthBytes > 0L
           | _ -> false

    /// What the backing image has of a range is to be asked.
    let private probe (image: Image) (request: Request) (from: int64) (until: int64) =
        request.ReadPosition <- from
        request.ReadUntil <- min until image.Children.BackingBytes

    /// Takes the cluster, and begins with what is before the position in its unit.
    let start (image: Image) (request: Request) (runBytes: int64) : unit =
        let cluster = request.Position >>> image.Geometry.ClusterBits

        match image.Busy.Find cluster with
        | null ->
            let mask = unitMask image
            let covered = coveredBytes image request runBytes
            request.Busy <- image.Busy.Take(cluster, cluster)
            request.ProbedAt <- request.Position
            request.PieceStart <- request.Position &&& ~~~mask

            request.PieceUntil <-
                if covered > 0L then
                    request.Position + covered
                else
                    min image.Header.SizeBytes ((request.Position ||| mask) + 1L)

            request.Surrounding <- 0
            probe image request request.PieceStart request.Position
            request.Stage <- Stage.Probe
        | busy -> request.ParkAt busy.Waiters

    /// The backing image has answered for the next bytes.
    let take (request: Request) (error: int) (status: BlockStatus) (length: int64) =
        if error = 0 && status &&& BlockStatus.Zero <> BlockStatus.None then
            request.ReadPosition <- request.ReadPosition + length
        else
            request.Surrounding <- 2

    let private ask (image: Image) (request: Request) (sink: ChildRequests) =
        request.Send(
            sink,
            image.Children.BackingChild,
            Tag.probe,
            RequestKind.BlockStatus,
            RequestFlags.None,
            request.ReadPosition,
            request.ReadUntil - request.ReadPosition,
            int FrameBuffer.None,
            0L
        )

        request.Wait FrameOp.Wait

    let private zeroed (image: Image) (request: Request) (old: inref<L2Entry>) : L2Entry =
        let g = image.Geometry

        if g.ExtendedL2 then
            // At the disk's end the last one may be cut.
            let mask = unitMask image
            let until = (request.PieceUntil + mask) &&& ~~~mask
            let units = Writing.unitBits image (request.Position >>> g.ClusterBits) request.PieceStart until

            {
                Descriptor = old.Descriptor
                Bitmap = (old.Bitmap &&& ~~~units) ||| (units <<< 32)
            }
        else
            {
                Descriptor = old.Descriptor ||| L2Entry.zero
                Bitmap = 0UL
            }

    let private commit (image: Image) (request: Request) (sink: ChildRequests) =
        if PrivateTable.ensure image request request.Position sink then
            match Tables.slice image request request.Position sink with
            | null -> ()
            | slice ->
                let g = image.Geometry
                let index = Tables.indexInSlice image request.Position
                let entryBytes = Geometry.l2EntryBytes &g
                let old = L2Entry.read &g (ReadOnlySpan slice.Bytes) index
                L2Entry.write &g (Span slice.Bytes) index (zeroed image request &old)
                image.MarkSlice(slice, index * entryBytes, (index + 1) * entryBytes)
                Writing.leave image request sink
                request.Position <- min request.Until request.PieceUntil
                request.Stage <- Stage.Map

    /// Asks on; then the unit is zero as a whole, or the zeroes are written as data.
    let step (image: Image) (request: Request) (sink: ChildRequests) : unit =
        if request.StepOutstanding > 0 then
            request.Wait FrameOp.Wait
        elif request.Surrounding = 2 then
            Writing.leave image request sink
            request.Stage <- Stage.Map
        elif request.ReadPosition < request.ReadUntil then
            ask image request sink
        elif request.Surrounding = 0 then
            request.Surrounding <- 1
            probe image request request.Until request.PieceUntil
        else
            commit image request sink
