namespace StorageDaemon.Core.Qcow2

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What a request is about to do.
type Stage =
    /// Look at the mapping of its next bytes.
    | Map = 0uy
    /// Get clusters for its next bytes, whose range is taken.
    | Allocate = 2uy
    /// Read what surrounds its bytes in their clusters.
    | Surround = 3uy
    /// Write its bytes and what surrounds them.
    | Fill = 4uy
    /// Change the mapping: the data are written.
    | Commit = 5uy
    /// Write everything that is only in memory.
    | Checkpoint = 6uy
    /// Wait for child requests that are under way, then end.
    | End = 7uy
    /// Wait until the file below has been told of discarded clusters that stay the guest's.
    | Unmap = 8uy
    /// Tell the file below of clusters that are free.
    | Discard = 9uy
    /// Find room for a compressed cluster.
    | Pack = 10uy
    /// Map a compressed cluster, once it is written.
    | Packed = 11uy
    /// Ask whether a unit with zeroes in it is zero as a whole.
    | Probe = 12uy

/// Tags of child requests.
module internal Tag =
    /// Data of the request's own that nothing waits for but its end.
    [<Literal>]
    let data = 0

    /// Something that the request's next step waits for.
    [<Literal>]
    let step = 1

    /// The table `Request.Loading`.
    [<Literal>]
    let table = 2

    /// As `step`, but what it comes to does not matter.
    [<Literal>]
    let advice = 3

    /// As `step`: a question about the backing image.
    [<Literal>]
    let probe = 4

/// One request at an image: kept with its slot and used again.
[<Sealed; AllowNullLiteral>]
type Request() =
    member val Memory: FrameMemory = null with get, set
    member val Kind = RequestKind.Read with get, set
    member val Flags = RequestFlags.None with get, set
    /// Only what has no cluster is written.
    member this.OnlyMissing = this.Flags &&& RequestFlags.OnlyMissing <> RequestFlags.None

    member val Start = 0L with get, set

    /// The first guest byte that nothing has been done about.
    member val Position = 0L with get, set

    /// Guest offset of the end.
    member val Until = 0L with get, set

    /// Guest offset up to which the request writes in the ordinary way; `Until` for those that are not compressed.
    member val Limit = 0L with get, set

    /// Bytes of the piece, compressed.
    member val PackedBytes = 0 with get, set

    /// The first error.
    member val Error = 0 with get, set

    member val Stage = Stage.Map with get, set
    member val Op = FrameOp.Wait with get, set

    /// Set when nothing more can be done in this step; `Op` says what for.
    member val Waits = false with get, set

    member val Generation = 0 with get, set

    /// It has nothing in its hands any more, and its clusters may be used again.
    member val HasLeft = false with get, set

    /// Clusters that this request tells the file below of, and how far it has come; null for none.
    member val Discards: List<int64> = null with get, set

    member val DiscardAt = 0 with get, set

    /// Child requests under way, and those among them that the next step waits for.
    member val Outstanding = 0 with get, set

    member val StepOutstanding = 0 with get, set

    /// The table that this request reads for everybody.
    member val Loading: CachedTable = null with get, set

    member val LoadingFrom: TableCache = Unchecked.defaultof<TableCache> with get, set

    /// One scratch buffer, as `Scratch` divides it; what was in an earlier one is lost.
    member this.Rent(lengthBytes: int64) =
        this.ScratchBytes <- lengthBytes
        this.Wait FrameOp.Rent

    /// Length of the scratch buffer; zero while there is none.
    member val ScratchBytes = 0L with get, set

    // What is being read: guest bytes into a buffer.

    /// The buffer, the first byte's place in it, and the guest offset that belongs to it.
    member val ReadBuffer = 0 with get, set

    member val ReadBase = 0L with get, set
    member val ReadBaseOffset = 0L with get, set
    member val ReadPosition = 0L with get, set
    member val ReadUntil = 0L with get, set

    /// For child requests of the reading.
    member val ReadTag = 0 with get, set

    /// Whether a backing image, a cluster or compressed data were read: else all is zeroes.
    member val ReadAnything = false with get, set

    // A block status: what is known, and what a child may add to it.
    member val AnswerStatus = BlockStatus.None with get, set
    member val AnswerBytes = 0L with get, set
    member val AnswerMask = BlockStatus.None with get, set

    /// Where it was asked last whether zeroes can be a matter of the mapping; -1 if nowhere.
    member val ProbedAt = -1L with get, set

    // A table that is shared, being copied.
    member val CopiedTable: BusyRange = null with get, set
    member val CopyTo = 0L with get, set
    member val CopyStep = 0 with get, set

    // The piece of guest bytes that gets clusters.
    member val Busy: BusyRange = null with get, set
    member val Slice: CachedTable = null with get, set
    member val PieceStart = 0L with get, set
    member val PieceUntil = 0L with get, set

    /// The first host byte of the piece's first cluster.
    member val HostOffset = 0L with get, set

    /// Clusters that were taken for the piece and are not mapped yet.
    member val AllocatedClusters = 0 with get, set

    /// The clusters were the piece's before.
    member val IsInPlace = false with get, set

    /// Nothing was ever written to the clusters, and the file behind its end is zero.
    member val IsFresh = false with get, set

    /// Bytes before and behind the piece that its clusters must have, too, and whether they are in the scratch buffer
    /// (else they are zero).
    member val HeadBytes = 0 with get, set

    member val TailBytes = 0 with get, set
    member val HasHead = false with get, set
    member val HasTail = false with get, set

    /// The compressed cluster to take data from: its descriptor.
    member val Compressed = 0UL with get, set

    /// 0 for the head, 1 for the tail of a piece.
    member val Surrounding = 0 with get, set

    /// The checkpoint that this request writes for all; it stays until it is in the file.
    member val IsCheckpointer = false with get, set

    member val Checkpoint: Checkpoint = null with get, set

    /// Its part under way, from 0.
    member val Part = 0 with get, set

    /// What stood where the part is going to write, as it is being read for a view; null for none.
    member val Kept: List<struct (int64 * byte[])> = null with get, set

    /// The part's writes are in the file's hands, and its flush is under way.
    member val IsFlushing = false with get, set

    /// What to do once everything is in the file.
    member val AfterCheckpoint = Stage.End with get, set

    member this.Wait(op: FrameOp) =
        this.Op <- op
        this.Waits <- true

    /// Waits until another request wakes all that wait at a place.
    member this.ParkAt(waiters: List<obj>) =
        waiters.Add this.Memory.Ticket
        this.Wait FrameOp.Park

    member this.NoteError(error: int) =
        if this.Error = 0 then
            this.Error <- error

    member this.Fail(error: int) =
        this.NoteError error
        this.Stage <- Stage.End

    /// A new request in the slot.
    member this.Begin(memory: FrameMemory, kind: RequestKind, flags: RequestFlags, offset: int64, length: int64) =
        this.Memory <- memory
        this.Kind <- kind
        this.Flags <- flags
        this.Start <- offset
        this.Position <- offset
        this.Until <- offset + length
        this.Limit <- this.Until
        this.Error <- 0
        this.Stage <- Stage.Map
        this.Op <- FrameOp.Wait
        this.HasLeft <- false
        this.Outstanding <- 0
        this.StepOutstanding <- 0
        this.ScratchBytes <- 0L
        this.Compressed <- 0UL
        this.AnswerStatus <- BlockStatus.None
        this.AnswerBytes <- 0L
        this.ProbedAt <- -1L
        this.AllocatedClusters <- 0

    /// Sends a child request.
    member this.Send
        (
            sink: ChildRequests,
            child: int,
            tag: int,
            kind: RequestKind,
            flags,
            offset: int64,
            length: int64,
            buffer: int,
            at: int64
        ) =
        this.Outstanding <- this.Outstanding + 1

        if tag <> Tag.data then
            this.StepOutstanding <- this.StepOutstanding + 1

        sink.Add {
            Child = child
            Tag = tag
            Kind = kind
            Flags = flags
            Offset = offset
            Length = length
            Buffer = buffer
            BufferOffset = at
        }

/// Getting at tables, for any request.
module internal Tables =
    /// Reads a table that is to be in a cache, for everybody who waits for it; the request waits, too.
    let load (request: Request) (cache: TableCache) (key: int64) (hostOffset: int64) (sink: ChildRequests) : unit =
        let table = cache.Take(key, hostOffset)
        request.Loading <- table
        request.LoadingFrom <- cache
        request.Wait FrameOp.Wait

        request.Send(
            sink,
            0,
            Tag.table,
            RequestKind.Read,
            RequestFlags.None,
            hostOffset,
            int64 cache.TableBytes,
            int FrameBuffer.Address,
            int64 table.Address
        )

    /// The table that the request has read is there, or cannot be read.
    let loaded (image: Image) (request: Request) (error: int) (sink: ChildRequests) : unit =
        let table = request.Loading
        request.Loading <- null

        if error = 0 then
            table.IsReady <- true

            if obj.ReferenceEquals(request.LoadingFrom, image.Slices) then
                image.LearnSlice table
        else
            request.LoadingFrom.Drop table
            request.Fail error

        sink.WakeAll table.Waiters

    /// Brings a refcount block into the cache, for an operation that is tried again afterwards.
    let loadBlock (image: Image) (request: Request) (index: int64) (sink: ChildRequests) : unit =
        match image.Refcounts.Blocks.Find index with
        | null -> load request image.Refcounts.Blocks index (image.Refcounts.BlockOffset index) sink
        // Another request reads it.
        | table -> request.ParkAt table.Waiters

    let private sliceNumber (image: Image) (guestOffset: int64) : int =
        let g = image.Geometry
        let inTable = int (guestOffset >>> g.ClusterBits) &&& (Geometry.l2Entries &g - 1)
        inTable / image.SliceEntries

    /// The key in `Image.Slices` of the slice that has a guest offset's entry.
    let sliceKey (image: Image) (guestOffset: int64) : int64 =
        let g = image.Geometry
        image.SliceKey(int (guestOffset >>> Geometry.l1Bits &g), sliceNumber image guestOffset)

    /// The slice of an L2 table for a guest offset, ready. Null where there is no table, and where the request waits
    /// or has failed.
    let slice (image: Image) (request: Request) (guestOffset: int64) (sink: ChildRequests) : CachedTable =
        let g = image.Geometry
        let l1Index = int (guestOffset >>> Geometry.l1Bits &g)
        let entry = image.L1[l1Index]

        if L1Entry.l2Offset entry = 0L then
            null
        elif L1Entry.fault &g entry <> EntryFault.None then
            Corruption.unalignedTable image l1Index
            request.Fail Errno.EIO
            null
        else
            let number = sliceNumber image guestOffset
            let key = image.SliceKey(l1Index, number)
            let hostOffset = L1Entry.l2Offset entry + int64 (number * image.SliceBytes)

            match image.Slices.Find key with
            | null when image.NewTables.Contains l1Index ->
                let made = image.Slices.Take(key, hostOffset)
                System.Array.Clear made.Bytes
                made.IsReady <- true
                made
            | null ->
                load request image.Slices key hostOffset sink
                null
            | table when not table.IsReady ->
                request.ParkAt table.Waiters
                null
            | table -> table

    /// The number of a guest offset's entry in its slice.
    let indexInSlice (image: Image) (guestOffset: int64) : int =
        int (guestOffset >>> image.Geometry.ClusterBits) &&& (image.SliceEntries - 1)

    /// Guest bytes from an offset to the end of its slice.
    let bytesToSliceEnd (image: Image) (guestOffset: int64) : int64 =
        let bits = image.Geometry.ClusterBits
        let span = int64 image.SliceEntries <<< bits
        span - (guestOffset &&& (span - 1L))
