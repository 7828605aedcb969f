namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Compressed writes, a cluster at a time: it is compressed, put behind the last compressed one where there is room, and
/// then mapped. What does not become smaller is written as it is. Clusters that the image has already cannot be
/// compressed: EIO, as from the real daemon.
module internal Compressing =
    [<Literal>]
    let private SectorBytes = 512

    /// The error of a compressed write that cannot be: it takes whole clusters, but at the disk's end.
    let refusal (image: Image) (offset: int64) (length: int64) : int =
        let mask = int64 (image.ClusterBytes - 1)
        let until = offset + length

        if image.Children.DataChild <> 0 then
            Errno.ENOTSUP
        elif offset &&& mask <> 0L || until &&& mask <> 0L && until <> image.Header.SizeBytes then
            Errno.EINVAL
        else
            0

    let isWanted (request: Request) : bool =
        request.Kind = RequestKind.Write
        && request.Flags &&& RequestFlags.Compressed <> RequestFlags.None

    /// Compresses the cluster at the request's position: its data stand behind one another in the scratch buffer then,
    /// padded to whole sectors. False if they are not smaller.
    let private compress (image: Image) (request: Request) : bool =
        let cluster = image.ClusterBytes
        let length = int (request.PieceUntil - request.PieceStart)
        let own = request.Memory.Span(int FrameBuffer.Own, request.PieceStart - request.Start, length)

        let input =
            if length = cluster then
                own
            else
                // The disk ends within its last cluster.
                let whole = request.Memory.Span(0, Scratch.headAt image, cluster)
                own.CopyTo whole
                whole.Slice(length).Clear()
                whole

        let output = request.Memory.Span(0, Scratch.tailAt image, cluster)
        let bytes = image.Codec.Compress(Span.op_Implicit input, output.Slice(0, cluster - 1))

        if bytes > 0 then
            let padded = (bytes + SectorBytes - 1) &&& ~~~(SectorBytes - 1)
            output.Slice(bytes, padded - bytes).Clear()
            request.PackedBytes <- bytes
            true
        else
            false

    let private paddedBytes (request: Request) : int64 =
        int64 ((request.PackedBytes + SectorBytes - 1) &&& ~~~(SectorBytes - 1))

    /// Looks at the next cluster, and compresses it.
    let map (image: Image) (request: Request) (sink: ChildRequests) : unit =
        let g = image.Geometry
        let cluster = request.Position >>> g.ClusterBits

        match image.Busy.Find cluster with
        | null when request.ScratchBytes < Scratch.surroundings image -> request.Rent(Scratch.surroundings image)
        | null ->
            let slice = Tables.slice image request request.Position sink

            if request.Waits || request.Stage = Stage.End then
                ()
            else
                let entry =
                    if isNull slice then
                        { Descriptor = 0UL; Bitmap = 0UL }
                    else
                        L2Entry.read &g (ReadOnlySpan slice.Bytes) (Tables.indexInSlice image request.Position)

                if L2Entry.fault &g &entry <> EntryFault.None then
                    Corruption.entry image slice request.Position true
                    request.Fail Errno.EIO
                elif
                    L2Entry.isCompressed entry.Descriptor
                    || L2Entry.hostOffset entry.Descriptor <> 0L
                then
                    request.Fail Errno.EIO
                else
                    request.PieceStart <- request.Position
                    request.PieceUntil <- min request.Until ((cluster + 1L) <<< g.ClusterBits)

                    if compress image request then
                        request.Busy <- image.Busy.Take(cluster, cluster)
                        request.Stage <- Stage.Pack
                    else
                        request.Limit <- request.PieceUntil
        | busy -> request.ParkAt busy.Waiters

    /// The next data go to that place, unless a cluster ends there.
    let private packFrom (image: Image) (place: int64) =
        image.PackAt <-
            if place &&& int64 (image.ClusterBytes - 1) = 0L then
                0L
            else
                place

    /// Takes room in the file for that many bytes: behind what was packed last, as far as its cluster and the one right
    /// behind it go, or in a new cluster. Negative while the request waits or if it has failed.
    let private takeRoom (image: Image) (request: Request) (length: int64) (sink: ChildRequests) : int64 =
        let bits = image.Geometry.ClusterBits
        let clusterEnd = ((image.PackAt >>> bits) + 1L) <<< bits
        let room = if image.PackAt = 0L then 0L else clusterEnd - image.PackAt
        let mutable canShare = false

        match
            if room > 0L then
                image.Refcounts.CanShare(image.PackAt >>> bits, &canShare)
            else
                Ready
        with
        | NeedsBlock index ->
            Tables.loadBlock image request index sink
            -1L
        | Failed error ->
            image.PackAt <- 0L
            request.Fail error
            -1L
        | Ready when canShare && room >= length ->
            let at = image.PackAt
            image.Refcounts.Share(at >>> bits) |> ignore
            packFrom image (at + length)
            request.AllocatedClusters <- 1
            at
        | Ready ->
            let mutable count = 0
            let old = image.PackAt
            let cluster = PrivateTable.allocate image request 1 &count sink

            if cluster < 0L then
                -1L
            else
                image.FileClusters <- max image.FileClusters (cluster + 1L)
                let start = cluster <<< bits

                // The block that counts the old cluster may have had to go, or the cluster itself.
                if
                    canShare
                    && start = clusterEnd
                    && image.PackAt = old
                    && image.Refcounts.Share(old >>> bits)
                then
                    request.AllocatedClusters <- 2
                    packFrom image (old + length)
                    old
                else
                    request.AllocatedClusters <- 1
                    packFrom image (start + length)
                    start

    /// Gets a table for the mapping and room for the data, and writes them.
    let pack (image: Image) (request: Request) (sink: ChildRequests) : unit =
        let g = image.Geometry

        if PrivateTable.ensure image request request.PieceStart sink then
            match Tables.slice image request request.PieceStart sink with
            | null -> ()
            | slice ->
                let length = paddedBytes request
                let at = takeRoom image request length sink

                if at >= 0L then
                    request.HostOffset <- at
                    request.Slice <- slice
                    slice.Pins <- slice.Pins + 1

                    if at + length > L2Entry.compressedOffsetMax &g then
                        request.Fail Errno.EFBIG
                    elif Writing.hitsMetadata image at length then
                        request.Fail Errno.EIO
                    else
                        request.Send(
                            sink,
                            0,
                            Tag.step,
                            RequestKind.Write,
                            RequestFlags.None,
                            at,
                            length,
                            0,
                            Scratch.tailAt image
                        )

                        request.Stage <- Stage.Packed

    /// The data are written: maps them.
    let commit (image: Image) (request: Request) (sink: ChildRequests) : unit =
        if request.StepOutstanding > 0 then
            request.Wait FrameOp.Wait
        else
            let g = image.Geometry
            let index = Tables.indexInSlice image request.PieceStart
            let entryBytes = Geometry.l2EntryBytes &g

            L2Entry.write &g (Span request.Slice.Bytes) index {
                Descriptor = L2Entry.encodeCompressed &g request.HostOffset request.PackedBytes
                Bitmap = 0UL
            }

            image.MarkSlice(request.Slice, index * entryBytes, (index + 1) * entryBytes)
            Writing.leave image request sink
            request.AllocatedClusters <- 0
            request.Position <- request.PieceUntil
            request.Limit <- request.Position
            request.Stage <- Stage.Map
