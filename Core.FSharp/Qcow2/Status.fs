namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What guest bytes are, by the mapping; where the mapping does not know, a child is asked for the rest of the answer.
module internal Status =
    let private answer (request: Request) (status: BlockStatus) (length: int64) =
        request.AnswerStatus <- status
        request.AnswerBytes <- length
        request.Stage <- Stage.End

    /// What a child says goes into the answer as far as the mask lets it.
    let private ask
        (request: Request)
        (known: BlockStatus)
        (mask: BlockStatus)
        (child: int)
        (offset: int64)
        (length: int64)
        (sink: ChildRequests)
        =
        request.AnswerMask <- mask
        answer request known length

        request.Send(
            sink,
            child,
            Tag.data,
            RequestKind.BlockStatus,
            RequestFlags.None,
            offset,
            length,
            int FrameBuffer.None,
            0L
        )

    /// A child has answered.
    let take (request: Request) (status: BlockStatus) (length: int64) =
        request.AnswerStatus <- request.AnswerStatus ||| (status &&& request.AnswerMask)
        request.AnswerBytes <- min request.AnswerBytes length

    let private asksOwnOnly (request: Request) =
        request.Flags &&& RequestFlags.OwnOnly <> RequestFlags.None

    /// Bytes without a cluster: the backing image's; behind its end, and without one, zeroes.
    let private unallocated (image: Image) (request: Request) (length: int64) (sink: ChildRequests) =
        let children = image.Children
        let below = ImageChildren.backingBytes children request.Position length

        if below = 0L then
            answer request BlockStatus.Zero length
        elif asksOwnOnly request then
            answer request BlockStatus.None below
        else
            let mask = BlockStatus.Data ||| BlockStatus.Zero
            ask request BlockStatus.None mask children.BackingChild request.Position below sink

    /// Bytes from an offset without an L2 table to the next offset that may have one.
    let private bytesWithoutTable (image: Image) (offset: int64) (until: int64) : int64 =
        let g = image.Geometry
        let bits = Geometry.l1Bits &g
        let mutable next = ((offset >>> bits) + 1L) <<< bits

        while next < until && L1Entry.l2Offset image.L1[int (next >>> bits)] = 0L do
            next <- next + (1L <<< bits)

        min next until - offset

    let map (image: Image) (request: Request) (sink: ChildRequests) : unit =
        let g = image.Geometry
        let offset = request.Position
        let own = BlockStatus.Data ||| BlockStatus.Allocated

        match Tables.slice image request offset sink with
        | null ->
            if not request.Waits && request.Stage <> Stage.End then
                unallocated image request (bytesWithoutTable image offset request.Until) sink
        | slice ->
            let index = Tables.indexInSlice image offset
            let run = Mapping.runAt &g (ReadOnlySpan slice.Bytes) index offset (request.Until - offset)

            match run.Kind with
            | _ when run.IsFaulty ->
                Corruption.entry image slice offset false
                request.Fail Errno.EIO
            | ClusterKind.Unallocated
            | ClusterKind.UnallocatedReserved -> unallocated image request run.LengthBytes sink
            | ClusterKind.ZeroPlain
            | ClusterKind.ZeroAllocated -> answer request (BlockStatus.Zero ||| BlockStatus.Allocated) run.LengthBytes
            | ClusterKind.Normal when image.Children.IsSparse && not (asksOwnOnly request) ->
                ask request own BlockStatus.Zero image.Children.DataChild run.HostOffset run.LengthBytes sink
            | _ -> answer request own run.LengthBytes
