namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// How the scratch buffer of a request is divided, in clusters.
module internal Scratch =
    /// What comes before a piece in its first cluster, what comes behind it in its last one, or a table.
    let headAt (_: Image) = 0L

    let tailAt (image: Image) = int64 image.ClusterBytes

    /// The compressed data of a cluster: at most two clusters long.
    let compressedAt (image: Image) = 2L * int64 image.ClusterBytes

    /// A cluster decompressed.
    let decompressedAt (image: Image) = 4L * int64 image.ClusterBytes

    let surroundings (image: Image) = 2L * int64 image.ClusterBytes
    let everything (image: Image) = 5L * int64 image.ClusterBytes

/// Reads guest bytes into a buffer: a request's own, or what surrounds a write. One step looks at the mapping of as many
/// bytes as it can.
module internal Reading =
    let start (request: Request) (buffer: int) (place: int64) (from: int64) (until: int64) (tag: int) =
        request.ReadBuffer <- buffer
        request.ReadBase <- place
        request.ReadBaseOffset <- from
        request.ReadPosition <- from
        request.ReadUntil <- until
        request.ReadTag <- tag
        request.ReadAnything <- false

    let private target (request: Request) : Span<byte> =
        let place = request.ReadBase + request.ReadPosition - request.ReadBaseOffset
        request.Memory.Span(request.ReadBuffer, place, int (request.ReadUntil - request.ReadPosition))

    let private clear (request: Request) (length: int64) =
        (target request).Slice(0, int length).Clear()
        request.ReadPosition <- request.ReadPosition + length

    let private readChild (request: Request) (child: int) (offset: int64) (length: int64) (sink: ChildRequests) =
        request.ReadAnything <- true

        request.Send(
            sink,
            child,
            request.ReadTag,
            RequestKind.Read,
            RequestFlags.None,
            offset,
            length,
            request.ReadBuffer,
            request.ReadBase + request.ReadPosition - request.ReadBaseOffset
        )

        request.ReadPosition <- request.ReadPosition + length

    /// Bytes that no cluster has: the backing image's, or zeroes.
    let private readBelow (image: Image) (request: Request) (length: int64) (sink: ChildRequests) =
        let below = ImageChildren.backingBytes image.Children request.ReadPosition length

        if below > 0L then
            readChild request image.Children.BackingChild request.ReadPosition below sink

        if below < length then
            clear request (length - below)

    /// Begins to read a compressed cluster; false while there is no memory for it.
    let private readCompressed (image: Image) (request: Request) (descriptor: uint64) (sink: ChildRequests) : bool =
        if request.ScratchBytes < Scratch.everything image then
            request.Rent(Scratch.everything image)
            false
        else
            let g = image.Geometry
            let place = L2Entry.compressedPlace &g descriptor
            request.Compressed <- descriptor

            request.Send(
                sink,
                0,
                Tag.step,
                RequestKind.Read,
                RequestFlags.None,
                place.HostOffset,
                int64 place.LengthBytes,
                0,
                Scratch.compressedAt image
            )

            true

    /// A compressed cluster has been read: its part of what is wanted. EIO for damaged data.
    let private takeCompressed (image: Image) (request: Request) =
        let g = image.Geometry
        let place = L2Entry.compressedPlace &g request.Compressed
        let input = request.Memory.Span(0, Scratch.compressedAt image, place.LengthBytes)
        let output = request.Memory.Span(0, Scratch.decompressedAt image, image.ClusterBytes)
        request.Compressed <- 0UL

        if image.Codec.Decompress(Span.op_Implicit input, output) then
            let inCluster = int (request.ReadPosition &&& int64 (image.ClusterBytes - 1))
            let length = min (image.ClusterBytes - inCluster) (int (request.ReadUntil - request.ReadPosition))
            output.Slice(inCluster, length).CopyTo(target request)
            request.ReadAnything <- true
            request.ReadPosition <- request.ReadPosition + int64 length
        else
            request.Fail Errno.EIO

    let private stepMapped (image: Image) (request: Request) (slice: CachedTable) (sink: ChildRequests) : unit =
        let g = image.Geometry
        let offset = request.ReadPosition

        let run =
            Mapping.runAt
                &g
                (ReadOnlySpan slice.Bytes)
                (Tables.indexInSlice image offset)
                offset
                (request.ReadUntil - offset)

        match run.Kind with
        | _ when run.IsFaulty ->
            Corruption.entry image slice offset false
            request.Fail Errno.EIO
        | ClusterKind.Normal -> readChild request image.Children.DataChild run.HostOffset run.LengthBytes sink
        | ClusterKind.Unallocated
        | ClusterKind.UnallocatedReserved -> readBelow image request run.LengthBytes sink
        | ClusterKind.ZeroPlain
        | ClusterKind.ZeroAllocated -> clear request run.LengthBytes
        | ClusterKind.Compressed ->
            if readCompressed image request run.Descriptor sink then
                request.Wait FrameOp.Wait
        | _ -> request.Fail Errno.EIO

    let private stepTable (image: Image) (request: Request) (offset: int64) (sink: ChildRequests) : unit =
        match Tables.slice image request offset sink with
        | null ->
            if not request.Waits && request.Stage <> Stage.End then
                let g = image.Geometry
                let span = 1L <<< Geometry.l1Bits &g
                let left = span - (offset &&& (span - 1L))
                readBelow image request (min left (request.ReadUntil - offset)) sink
        | slice -> stepMapped image request slice sink

    /// Goes on until everything is on its way; true then. False if the request waits or has failed.
    let run (image: Image) (request: Request) (sink: ChildRequests) : bool =
        while not request.Waits
              && request.Stage <> Stage.End
              && request.ReadPosition < request.ReadUntil do
            if request.Compressed <> 0UL then
                if request.StepOutstanding > 0 then
                    request.Wait FrameOp.Wait
                else
                    takeCompressed image request
            else
                let offset = request.ReadPosition

                match image.LinearPlace offset with
                | -1L -> stepTable image request offset sink
                | place ->
                    let length = min (Tables.bytesToSliceEnd image offset) (request.ReadUntil - offset)

                    readChild request image.Children.DataChild place length sink

        not request.Waits && request.Stage <> Stage.End
