namespace StorageDaemon.Core.Io

open System
open StorageDaemon.Core

/// What a parent asks of a node, in the block layer's terms.
type RequestKind =
    | Read = 0uy
    | Write = 1uy
    | WriteZeroes = 2uy
    | Discard = 3uy
    | Flush = 4uy
    /// Bring the range into the cache; nothing is returned.
    | Prefetch = 5uy
    /// Give the range space of its own, and let the file grow to its end; data stay as they are. ENOTSUP where that
    /// cannot be done without writing.
    | Allocate = 6uy
    /// What the first bytes of the range hold; the answer is about at least one byte.
    | BlockStatus = 7uy

/// What a node knows of a range.
[<Flags>]
type BlockStatus =
    | None = 0uy
    /// Something is stored for it. What is known to read as zeroes may be stored, too.
    | Data = 1uy
    /// It reads as zeroes.
    | Zero = 2uy
    /// The node has it (a filter: the child that it filters); else it comes from the backing child, or is nowhere.
    | Allocated = 4uy

[<Flags>]
type RequestFlags =
    | None = 0uy
    /// The data must be on stable storage before the request completes (forced unit access).
    | Fua = 1uy
    /// Zeroes may be left as a hole.
    | MayUnmap = 2uy
    /// Fail with ENOTSUP rather than write zeroes slowly as data.
    | NoFallback = 4uy
    /// The node that lets zeroes be left as a hole has found them itself (`detect-zeroes=unmap`): whether nodes above it
    /// let discards through does not matter.
    | Unmap = 8uy
    /// For a block status: what the node has by itself. Its backing child is not asked.
    | OwnOnly = 16uy
    /// Write compressed, where the node can: whole clusters, or the last one of the disk.
    | Compressed = 32uy
    /// Write only what the node does not have by itself: the data are what is read there already. Where all is there,
    /// nothing is written.
    | OnlyMissing = 64uy

/// What the shell asks of the kernel for one open file.
type FileOp =
    /// The request is complete; `FileRequest.Error` says how.
    | Done = 0uy
    | Read = 1uy
    | Write = 2uy
    /// A write with RWF_DSYNC.
    | WriteDsync = 3uy
    /// A write whose data are zeroes of the shell's own.
    | WriteZeroBuffer = 4uy
    | PunchHole = 5uy
    | ZeroRange = 6uy
    /// fallocate with mode 0.
    | Allocate = 7uy
    | Fdatasync = 8uy
    /// ioctl BLKDISCARD.
    | DiscardDevice = 9uy
    | Readahead = 10uy

/// What the file and the node's options allow; some of it is only learnt from the first refusal.
[<Flags>]
type FileTraits =
    | None = 0
    | BlockDevice = 1
    /// `discard=unmap` on every layer above: trims and unmapping zeroes reach the file.
    | Unmap = 2
    /// `cache.no-flush=on`: flushes are promised but not carried out.
    | NoFlush = 4
    | NoPunchHole = 8
    | NoZeroRange = 16
    | NoAllocate = 32
    | NoDsyncWrite = 64
    /// `cache.direct=on`.
    | Direct = 128

/// One request on one open file: a value in a pre-allocated slot, moved on by `FileRequest.start` and `step`.
[<Struct; NoEquality; NoComparison>]
type FileRequest =
    val mutable Kind: RequestKind
    val mutable Flags: RequestFlags
    /// The operation under way.
    val mutable Op: FileOp
    /// First byte in the file.
    val mutable Offset: int64
    /// Bytes; zero only for a flush.
    val mutable Length: int64
    /// Bytes of it that are complete. Of a block status: those that `Status` is about.
    val mutable Completed: int64
    /// Bytes of the operation under way, from `Offset + Completed`.
    val mutable OpLength: int64
    /// Linux error number, zero for success. Valid when `Op` is `Done`.
    val mutable Error: int
    /// For a read: bytes at the end of the buffer that lie past the end of the file and must read as zeroes.
    val mutable ZeroTail: int64
    /// Operations that the kernel refused for this request; they are not tried twice.
    val mutable Refused: FileTraits
    /// The answer to a block status.
    val mutable Status: BlockStatus
    /// The part of `Refused` that holds for the file as such and is worth remembering. (EINVAL may be about this
    /// range only, as on a block device that wants whole sectors.)
    val mutable Learnt: FileTraits
    /// A sync has failed, by itself or with a write that carried it: the kernel has told its error and dropped the
    /// pages, so that a later flush would succeed in vain.
    val mutable SyncFailed: bool

/// The life of a request on a file: short transfers, unsupported operations and their fall-backs, FUA. Pure: the
/// shell carries out `Op` on `[Offset + Completed, + OpLength)` and hands the result to `step`.
///
/// Semantics as QEMU's docs/interop/live-block-operations and block-layer options describe them: zeroes leave a hole
/// only if the caller allows it and `discard=unmap`; a discard is advice and never fails for lack of support.
[<RequireQualifiedAccess>]
module FileRequest =
    /// The most that one write of zero data carries; it bounds the shell's buffer of zeroes.
    [<Literal>]
    let ZeroBufferLength = 1048576L

    /// The most that one read or write asks of the kernel (MAX_RW_COUNT, rounded down to a power of two).
    [<Literal>]
    let MaxTransfer = 1073741824L

    let inline private has (traits: FileTraits) (trait': FileTraits) = traits &&& trait' <> FileTraits.None

    let inline private wants (r: byref<FileRequest>) (flag: RequestFlags) = r.Flags &&& flag <> RequestFlags.None

    /// Whether zeroes are to become a hole.
    let private unmaps (traits: FileTraits) (r: byref<FileRequest>) =
        wants &r RequestFlags.Unmap
        || wants &r RequestFlags.MayUnmap && has traits FileTraits.Unmap

    let private finish (r: byref<FileRequest>) (error: int) =
        r.Error <- error
        r.Op <- FileOp.Done

    let inline private issue (r: byref<FileRequest>) (op: FileOp) (length: int64) =
        r.Op <- op
        r.OpLength <- length

    /// The data are written; what FUA still needs.
    let private settle (traits: FileTraits) (r: byref<FileRequest>) =
        if
            wants &r RequestFlags.Fua
            && not (has traits FileTraits.NoFlush)
            && r.Op <> FileOp.WriteDsync
        then
            issue &r FileOp.Fdatasync 0L
        else
            finish &r 0

    let private issueWrite (traits: FileTraits) (r: byref<FileRequest>) =
        let dsync =
            wants &r RequestFlags.Fua
            && not (has traits FileTraits.NoFlush)
            && not (has (traits ||| r.Refused) FileTraits.NoDsyncWrite)

        issue &r (if dsync then FileOp.WriteDsync else FileOp.Write) (min (r.Length - r.Completed) MaxTransfer)

    let private issueZeroData (r: byref<FileRequest>) =
        if wants &r RequestFlags.NoFallback then
            finish &r Errno.ENOTSUP
        else
            issue &r FileOp.WriteZeroBuffer (min (r.Length - r.Completed) ZeroBufferLength)

    /// The first way of zeroing that is still thought to work: a hole if allowed, a zeroed range, a hole that is
    /// allocated again, data.
    let private issueZeroes (traits: FileTraits) (r: byref<FileRequest>) =
        let traits = traits ||| r.Refused
        let mayPunch = not (has traits FileTraits.NoPunchHole)

        if mayPunch && unmaps traits &r then
            issue &r FileOp.PunchHole r.Length
        elif has traits FileTraits.BlockDevice && wants &r RequestFlags.NoFallback then
            // The kernel may write the zeroes of a device that cannot do it by itself.
            finish &r Errno.ENOTSUP
        elif not (has traits FileTraits.NoZeroRange) then
            issue &r FileOp.ZeroRange r.Length
        elif
            mayPunch
            && not (has traits FileTraits.NoAllocate)
            && not (has traits FileTraits.BlockDevice)
        then
            issue &r FileOp.PunchHole r.Length
        else
            issueZeroData &r

    let private issueDiscard (traits: FileTraits) (r: byref<FileRequest>) =
        if not (has traits FileTraits.Unmap) then
            settle traits &r
        elif has traits FileTraits.BlockDevice then
            issue &r FileOp.DiscardDevice r.Length
        elif has (traits ||| r.Refused) FileTraits.NoPunchHole then
            settle traits &r
        else
            issue &r FileOp.PunchHole r.Length

    let private issueFlush (traits: FileTraits) (r: byref<FileRequest>) =
        if has traits FileTraits.NoFlush then
            finish &r 0
        else
            issue &r FileOp.Fdatasync 0L

    /// Sets the first operation. `Kind`, `Flags`, `Offset` and `Length` are the caller's; the range is checked.
    let start (traits: FileTraits) (r: byref<FileRequest>) =
        r.Op <- FileOp.Done
        r.Completed <- 0L
        r.Error <- 0
        r.ZeroTail <- 0L
        r.Refused <- FileTraits.None
        r.Learnt <- FileTraits.None
        r.SyncFailed <- false

        match r.Kind with
        | RequestKind.Flush -> issueFlush traits &r
        | _ when r.Length = 0L -> finish &r 0
        | RequestKind.Read -> issue &r FileOp.Read (min r.Length MaxTransfer)
        | RequestKind.Write -> issueWrite traits &r
        | RequestKind.WriteZeroes -> issueZeroes traits &r
        | RequestKind.Discard -> issueDiscard traits &r
        | RequestKind.Prefetch ->
            if has traits FileTraits.Direct then
                finish &r 0
            else
                issue &r FileOp.Readahead r.Length
        | RequestKind.Allocate ->
            if has traits FileTraits.BlockDevice || has traits FileTraits.NoAllocate then
                finish &r Errno.ENOTSUP
            else
                issue &r FileOp.Allocate r.Length
        | _ -> finish &r Errno.EINVAL

    /// Errors with which the kernel says "this file cannot do that", as opposed to "that went wrong".
    let private isUnsupported error =
        match error with
        | Errno.ENOTSUP
        | Errno.ENOSYS
        | Errno.ENODEV
        | Errno.EINVAL
        | 25 (* ENOTTY *) -> true
        | _ -> false

    let private refuse (r: byref<FileRequest>) (missing: FileTraits) (error: int) =
        r.Refused <- r.Refused ||| missing

        if error <> Errno.EINVAL then
            r.Learnt <- r.Learnt ||| missing

    let private afterTransfer (traits: FileTraits) (r: byref<FileRequest>) (count: int64) =
        r.Completed <- r.Completed + count

        if r.Completed < r.Length then
            match r.Op with
            | FileOp.Read -> issue &r FileOp.Read (min (r.Length - r.Completed) MaxTransfer)
            | FileOp.WriteZeroBuffer -> issueZeroData &r
            | _ -> issueWrite traits &r
        elif r.Op = FileOp.Read then
            finish &r 0
        else
            settle traits &r

    let private afterRefusal (traits: FileTraits) (r: byref<FileRequest>) (error: int) =
        match r.Op with
        | FileOp.WriteDsync when error = Errno.ENOTSUP ->
            refuse &r FileTraits.NoDsyncWrite error
            issueWrite traits &r
        | FileOp.PunchHole when isUnsupported error ->
            refuse &r FileTraits.NoPunchHole error

            if r.Kind = RequestKind.Discard then
                settle traits &r
            else
                issueZeroes traits &r
        | FileOp.ZeroRange when isUnsupported error ->
            refuse &r FileTraits.NoZeroRange error
            issueZeroes traits &r
        | FileOp.Allocate when isUnsupported error ->
            refuse &r FileTraits.NoAllocate error

            if r.Kind = RequestKind.Allocate then
                finish &r Errno.ENOTSUP
            else
                issueZeroes traits &r
        | FileOp.DiscardDevice when isUnsupported error -> settle traits &r
        | FileOp.Readahead -> finish &r 0
        | op ->
            r.SyncFailed <- op = FileOp.Fdatasync || (op = FileOp.WriteDsync && error = Errno.EIO)
            finish &r error

    let private afterSuccess (traits: FileTraits) (r: byref<FileRequest>) =
        match r.Op with
        | FileOp.PunchHole when r.Kind = RequestKind.WriteZeroes && not (unmaps traits &r) ->
            // The caller wants the space kept: the hole is only a way to zero it.
            issue &r FileOp.Allocate r.Length
        | FileOp.PunchHole
        | FileOp.ZeroRange
        | FileOp.Allocate
        | FileOp.DiscardDevice -> settle traits &r
        | _ -> finish &r 0

    /// Takes the result of the operation under way: a byte count or zero, or a negative error number. Sets the next
    /// operation, or `Done`.
    let step (traits: FileTraits) (r: byref<FileRequest>) (result: int64) =
        if result = -(int64 Errno.EINTR) || result = -(int64 Errno.EAGAIN) then
            ()
        elif result < 0L then
            afterRefusal traits &r (int -result)
        else
            match r.Op with
            | FileOp.Read when result = 0L ->
                r.ZeroTail <- r.Length - r.Completed
                finish &r 0
            | FileOp.Write
            | FileOp.WriteDsync
            | FileOp.WriteZeroBuffer when result = 0L -> finish &r Errno.ENOSPC
            | FileOp.Read
            | FileOp.Write
            | FileOp.WriteDsync
            | FileOp.WriteZeroBuffer when result > r.OpLength -> finish &r Errno.EIO
            | FileOp.Read
            | FileOp.Write
            | FileOp.WriteDsync
            | FileOp.WriteZeroBuffer -> afterTransfer traits &r result
            | _ -> afterSuccess traits &r
