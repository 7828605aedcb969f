namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Zeroes and discards. What they do to whole clusters is a change of the mapping; the edges of zeroes are written, the
/// edges of a discard are left alone.
module internal Clearing =
    let private hasZeroFlag (image: Image) = image.Header.Version >= 3

    let private hasBacking (image: Image) = image.Children.BackingChild >= 0

    /// Whether the guest does not need the space.
    let private mayUnmap (request: Request) =
        request.Kind = RequestKind.Discard
        || request.Flags &&& RequestFlags.MayUnmap <> RequestFlags.None

    /// The entry of a cluster that was discarded or zeroed; the same if there is nothing to change.
    let private cleared (image: Image) (request: Request) (entry: inref<L2Entry>) : L2Entry =
        let g = image.Geometry
        let hasHost = L2Entry.hostOffset entry.Descriptor <> 0L
        let isCompressed = L2Entry.isCompressed entry.Descriptor
        let isMapped = hasHost || isCompressed || (g.ExternalData && L2Entry.isCopied entry.Descriptor)
        let keepsPlace =
            (image.Discards.NoUnref || not (mayUnmap request))
            && not isCompressed
            && L2Entry.isCopied entry.Descriptor
            && isMapped

        if not (hasZeroFlag image) then
            // Without a backing image a cluster that is not mapped reads as zeroes, too.
            { Descriptor = 0UL; Bitmap = 0UL }
        elif not isMapped && not (hasBacking image) && request.Kind = RequestKind.Discard then
            entry
        elif g.ExtendedL2 then
            {
                Descriptor = if keepsPlace then entry.Descriptor else 0UL
                Bitmap = 0xffffffff00000000UL
            }
        else
            {
                Descriptor = (if keepsPlace then entry.Descriptor else 0UL) ||| L2Entry.zero
                Bitmap = 0UL
            }

    /// Guest offset up to which whole clusters follow the position; the last cluster of the disk may be cut.
    let private wholeUntil (image: Image) (request: Request) : int64 =
        let mask = int64 (image.ClusterBytes - 1)

        if request.Position &&& mask <> 0L then
            request.Position
        elif request.Until = image.Header.SizeBytes then
            request.Until
        else
            max request.Position (request.Until &&& ~~~mask)

    /// A whole cluster was discarded or zeroed: whether the file with the data is to be told though the cluster keeps
    /// its place there.
    let private reachesBelow (image: Image) (request: Request) (old: inref<L2Entry>) (next: inref<L2Entry>) : bool =
        image.HasRawData
        || mayUnmap request
           && image.Discards.PassRequest
           && not (L2Entry.isCompressed old.Descriptor)
           && (if image.Geometry.ExternalData then
                   L2Entry.isCopied old.Descriptor
               else
                   L2Entry.hostOffset next.Descriptor <> 0L)

    /// Tells the file with the data of clusters that keep their places. As a hole they have to read as zeroes, for the
    /// file may not have the mapping that says so yet. A raw data file must have the zeroes.
    let private unmap (image: Image) (request: Request) (host: int64) (length: int64) (sink: ChildRequests) =
        let isAdvice = not image.HasRawData

        let kind, flags =
            if not isAdvice then
                RequestKind.WriteZeroes,
                (if mayUnmap request then
                     RequestFlags.MayUnmap
                 else
                     RequestFlags.None)
            elif image.Children.GrowsWithZeroes then
                RequestKind.Discard, RequestFlags.None
            else
                RequestKind.WriteZeroes, RequestFlags.MayUnmap ||| RequestFlags.NoFallback

        request.Send(
            sink,
            image.Children.DataChild,
            (if isAdvice then Tag.advice else Tag.step),
            kind,
            flags,
            host,
            length,
            int FrameBuffer.None,
            0L
        )

    let private clearSlice (image: Image) (request: Request) (slice: CachedTable) (until: int64) (sink: ChildRequests) =
        let g = image.Geometry
        let bits = g.ClusterBits
        let first = request.Position >>> bits
        let last = (until - 1L) >>> bits
        let index = Tables.indexInSlice image request.Position
        let entryBytes = Geometry.l2EntryBytes &g
        let bytes = Span slice.Bytes
        let mutable from = Int32.MaxValue
        let mutable behind = 0
        let mutable cluster = first
        let mutable runStart = 0L
        let mutable runLength = 0L

        while cluster <= last && request.Stage <> Stage.End do
            let at = index + int (cluster - first)
            let old = L2Entry.read &g (Span.op_Implicit bytes) at

            let fault = L2Entry.fault &g &old

            if fault <> EntryFault.None && fault <> EntryFault.Unaligned then
                Corruption.entry image slice (cluster <<< bits) false
                request.Fail Errno.EIO
            else
                let next =
                    if request.OnlyMissing && (old.Descriptor <> 0UL || old.Bitmap <> 0UL) then
                        old
                    elif fault = EntryFault.None then
                        cleared image request &old
                    else
                        // It is got rid of, and its place cannot be kept.
                        {
                            Descriptor = if hasZeroFlag image then L2Entry.zero else 0UL
                            Bitmap = 0UL
                        }

                if next.Descriptor <> old.Descriptor || next.Bitmap <> old.Bitmap then
                    if L2Entry.hostOffset next.Descriptor = 0L then
                        let reason =
                            if mayUnmap request then
                                FreeReason.Request
                            else
                                FreeReason.Other
                        Writing.release image reason &old

                    if reachesBelow image request &old &next then
                        let host =
                            if g.ExternalData then
                                cluster <<< bits
                            else
                                L2Entry.hostOffset next.Descriptor

                        if runLength > 0L && host <> runStart + runLength then
                            unmap image request runStart runLength sink
                            runLength <- 0L

                        if runLength = 0L then
                            runStart <- host

                        runLength <- runLength + int64 image.ClusterBytes

                    L2Entry.write &g bytes at next
                    from <- min from (at * entryBytes)
                    behind <- (at + 1) * entryBytes

                cluster <- cluster + 1L

        if runLength > 0L then
            unmap image request runStart runLength sink

        if behind > from then
            image.MarkSlice(slice, from, behind)

    /// Writes to the clusters wait until the file below has been told.
    let settle (image: Image) (request: Request) (sink: ChildRequests) : unit =
        if request.StepOutstanding > 0 then
            request.Wait FrameOp.Wait
        else
            Writing.leave image request sink
            request.Stage <- Stage.Map

    /// Whether there is nothing to do about bytes that no table has an entry for. Zeroes that were written are told from
    /// bytes that never were, where the format can: whoever changes the backing image relies on it.
    let private readsZero (image: Image) (request: Request) =
        not (hasZeroFlag image)
        || (not (hasBacking image) && request.Kind = RequestKind.Discard)

    /// Whole clusters, up to `until` in one slice.
    let private clearWhole (image: Image) (request: Request) (until: int64) (sink: ChildRequests) =
        let bits = image.Geometry.ClusterBits
        let first = request.Position >>> bits

        // A copy that was begun is finished first: whoever has the clusters may wait for it.
        let isCopied =
            isNull request.CopiedTable
            || PrivateTable.ensure image request request.Position sink

        match image.Busy.Find first with
        | _ when not isCopied -> ()
        | null ->
            let last = image.Busy.Free(first, (until - 1L) >>> bits)
            let until = min until ((last + 1L) <<< bits)
            let existing = Tables.slice image request request.Position sink

            if request.Waits || request.Stage = Stage.End then
                ()
            elif isNull existing && readsZero image request then
                request.Position <- until
            elif PrivateTable.ensure image request request.Position sink then
                match Tables.slice image request request.Position sink with
                | null -> ()
                | slice ->
                    clearSlice image request slice until sink
                    request.Position <- until

                    if request.StepOutstanding > 0 then
                        request.Busy <- image.Busy.Take(first, last)

                        if request.Stage <> Stage.End then
                            request.Stage <- Stage.Unmap
        | busy -> request.ParkAt busy.Waiters

    /// Bytes of a cluster that is not covered, mapped all in the same way: written, unless they are zero already or the
    /// mapping can say so.
    let private clearRun (image: Image) (request: Request) (run: inref<Run>) (sink: ChildRequests) =
        let offset = request.Position
        let isFree = isNull (image.Busy.Find(offset >>> image.Geometry.ClusterBits))

        let isZero =
            match run.Kind with
            | _ when run.IsFaulty -> false
            | ClusterKind.ZeroPlain
            | ClusterKind.ZeroAllocated -> true
            | ClusterKind.Unallocated
            | ClusterKind.UnallocatedReserved -> not (hasBacking image)
            | _ -> false

        let clusterEnd = (offset ||| int64 (image.ClusterBytes - 1)) + 1L

        if Zeroing.isPossible image request &run then
            Zeroing.start image request run.LengthBytes
        elif isZero && isFree then
            request.Position <- min (offset + run.LengthBytes) clusterEnd
        else
            // The next cluster may be a matter of the mapping again.
            request.Limit <- min request.Until clusterEnd
            Writing.map image request sink

    let private clearEdge (image: Image) (request: Request) (sink: ChildRequests) =
        let g = image.Geometry
        let offset = request.Position

        match Tables.slice image request offset sink with
        | null ->
            if not request.Waits && request.Stage <> Stage.End then
                let run = Mapping.unallocated (request.Until - offset)
                clearRun image request &run sink
        | slice ->
            let bytes = ReadOnlySpan slice.Bytes
            let run = Mapping.runAt &g bytes (Tables.indexInSlice image offset) offset (request.Until - offset)
            clearRun image request &run sink

    /// The next bytes of zeroes or of a discard.
    let map (image: Image) (request: Request) (sink: ChildRequests) : unit =
        let isDiscard = request.Kind = RequestKind.Discard
        let bits = image.Geometry.ClusterBits
        let canUnmap = hasZeroFlag image || not (hasBacking image)
        let whole =
            if canUnmap then
                wholeUntil image request
            else
                request.Position

        if isDiscard && not canUnmap then
            // A discard is a wish: here the backing image would show through, so the data stay.
            request.Position <- request.Until
        elif whole > request.Position then
            let sliceEnd = request.Position + Tables.bytesToSliceEnd image request.Position
            clearWhole image request (min whole sliceEnd) sink
        elif isDiscard then
            let clusterEnd = ((request.Position >>> bits) + 1L) <<< bits
            request.Position <- min request.Until clusterEnd
        else
            clearEdge image request sink
