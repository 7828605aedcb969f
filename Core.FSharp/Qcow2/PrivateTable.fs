namespace StorageDaemon.Core.Qcow2

open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Getting clusters and tables that may be changed.
module internal PrivateTable =
    /// Takes clusters in one piece, at most `wanted`; the first one's number, or -1 while the request waits or if it
    /// has failed.
    let allocate (image: Image) (request: Request) (wanted: int) (count: byref<int>) (sink: ChildRequests) : int64 =
        let mutable first = -1L
        // What has become free is the first to be used again.
        let freed = image.ApplyFreed()

        let progress =
            if freed.IsReady then
                image.Refcounts.Allocate(wanted, &first, &count)
            else
                freed

        match progress with
        | Progress.Ready -> first
        | NeedsBlock index ->
            Tables.loadBlock image request index sink
            -1L
        | Failed error ->
            if freed.IsReady && error = Errno.EIO then
                Corruption.allocation image

            request.Fail error
            -1L

    let private create (image: Image) (request: Request) (l1Index: int) (sink: ChildRequests) : bool =
        let mutable count = 0
        let cluster = allocate image request 1 &count sink

        if cluster < 0L then
            false
        else
            image.Metadata.Add cluster |> ignore
            image.FileClusters <- max image.FileClusters (cluster + 1L)
            image.NewTables.Add l1Index |> ignore
            image.SetL1(l1Index, L1Entry.encode (cluster <<< image.Geometry.ClusterBits) true)
            true

    /// The copy has been written: the image's own table from now on.
    let private adopt (image: Image) (request: Request) (l1Index: int) (sink: ChildRequests) =
        let old = L1Entry.l2Offset image.L1[l1Index]
        image.SetL1(l1Index, L1Entry.encode request.CopyTo true)
        image.Freed.Add(old >>> image.Geometry.ClusterBits, FreeReason.Other)

        for slice in 0 .. image.SlicesPerTable - 1 do
            match image.Slices.Find(image.SliceKey(l1Index, slice)) with
            | null -> ()
            | cached -> cached.HostOffset <- request.CopyTo + int64 (slice * image.SliceBytes)

        image.CopiedTables.Release(request.CopiedTable, sink)
        request.CopiedTable <- null

    let private transfer (request: Request) (image: Image) (kind: RequestKind) (offset: int64) (sink: ChildRequests) =
        request.Send(
            sink,
            0,
            Tag.step,
            kind,
            RequestFlags.None,
            offset,
            int64 image.ClusterBytes,
            0,
            Scratch.headAt image
        )

        request.CopyStep <- request.CopyStep + 1
        request.Wait FrameOp.Wait

    let private beginCopy (image: Image) (request: Request) (l1Index: int) (sink: ChildRequests) =
        match image.CopiedTables.Find(int64 l1Index) with
        | null ->
            if request.ScratchBytes < int64 image.ClusterBytes then
                request.Rent(Scratch.surroundings image)
            else
                let mutable count = 0
                let cluster = allocate image request 1 &count sink

                if cluster >= 0L then
                    image.Metadata.Add cluster |> ignore
                    image.FileClusters <- max image.FileClusters (cluster + 1L)
                    request.CopiedTable <- image.CopiedTables.Take(int64 l1Index, int64 l1Index)
                    request.CopyTo <- cluster <<< image.Geometry.ClusterBits
                    request.CopyStep <- 0
                    transfer request image RequestKind.Read (L1Entry.l2Offset image.L1[l1Index]) sink
        | busy -> request.ParkAt busy.Waiters

    /// Sees to it that there is an L2 table for a guest offset that nobody else refers to. False while the request waits
    /// for that, or if it has failed; it is to ask again.
    let ensure (image: Image) (request: Request) (guestOffset: int64) (sink: ChildRequests) : bool =
        let g = image.Geometry
        let l1Index = int (guestOffset >>> Geometry.l1Bits &g)
        let entry = image.L1[l1Index]

        if not (isNull request.CopiedTable) then
            if request.StepOutstanding > 0 then
                request.Wait FrameOp.Wait
                false
            elif request.CopyStep = 1 then
                transfer request image RequestKind.Write request.CopyTo sink
                false
            else
                adopt image request l1Index sink
                true
        elif L1Entry.l2Offset entry = 0L then
            create image request l1Index sink
        elif L1Entry.fault &g entry <> EntryFault.None then
            Corruption.unalignedTable image l1Index
            request.Fail Errno.EIO
            false
        elif L1Entry.isCopied entry then
            true
        else
            beginCopy image request l1Index sink
            false

    /// The request ends early: lets go of a table that it was copying, and of the place for the copy.
    let abandon (image: Image) (request: Request) (sink: ChildRequests) =
        if not (isNull request.CopiedTable) then
            image.Freed.Add(request.CopyTo >>> image.Geometry.ClusterBits, FreeReason.Other)
            image.CopiedTables.Release(request.CopiedTable, sink)
            request.CopiedTable <- null
