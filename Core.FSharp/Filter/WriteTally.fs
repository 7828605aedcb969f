namespace StorageDaemon.Core.Filter

/// Whether anything was written since the last flush: writes that have ended, and how many of them had when the last
/// good flush began. The caller guards it.
[<Sealed>]
type WriteTally() =
    let mutable written = 0L
    let mutable flushed = 0L

    /// A write has ended; one that fails may have changed something, too.
    member _.WriteEnded() = written <- written + 1L

    /// What a flush that begins now covers; to be kept until its end.
    member _.Covered = written

    /// A flush has nothing to do.
    member _.IsClean = flushed = written

    /// A flush has ended well. Flushes may end in another order than they began in.
    member _.Flushed(covered: int64) = flushed <- max flushed covered
