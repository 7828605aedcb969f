namespace StorageDaemon.Core.Nbd

open System
open StorageDaemon.Core
open StorageDaemon.Core.Nbd.Wire

/// The descriptors of one block status chunk as they grow. Plain data, so that it can outlive a wait for I/O; the bytes
/// go to a buffer that the caller keeps.
[<Struct; NoEquality; NoComparison>]
type ExtentList =
    /// Descriptors written so far.
    [<DefaultValue>]
    val mutable Count: int

    /// Bytes of the range that the descriptors cover.
    [<DefaultValue>]
    val mutable CoveredBytes: uint64

    /// Bytes of the range that was asked for.
    [<DefaultValue>]
    val mutable RangeBytes: uint64

    /// Most descriptors.
    [<DefaultValue>]
    val mutable MaxCount: int

    /// Descriptors are of 64 bits (NBD_REPLY_TYPE_BLOCK_STATUS_EXT).
    [<DefaultValue>]
    val mutable IsWide: bool

    /// Nothing may follow: an extent had to be cut.
    [<DefaultValue>]
    val mutable IsClosed: bool

    [<DefaultValue>]
    val mutable LastLength: uint64

    [<DefaultValue>]
    val mutable LastFlags: uint32

/// Builds the descriptors of NBD_REPLY_TYPE_BLOCK_STATUS and NBD_REPLY_TYPE_BLOCK_STATUS_EXT. They describe consecutive
/// parts of the range from its start, neighbours differ in their flags, and they never exceed the range; they may
/// stop short of its end ("NBD_CMD_BLOCK_STATUS"). Nothing here allocates or throws.
[<RequireQualifiedAccess>]
module Extents =

    /// Bytes of one descriptor.
    let private entryLength (list: inref<ExtentList>) = if list.IsWide then 16 else 8

    /// Bytes of the descriptors written so far.
    let payloadLength (list: inref<ExtentList>) = list.Count * entryLength &list

    /// An empty list for a request that has been checked. `capacityBytes` is the length of the buffer for descriptors:
    /// at least 16.
    let start
        (session: inref<Session>)
        (request: inref<Request>)
        (capacityBytes: int)
        (list: byref<ExtentList>)
        : unit =
        list <- ExtentList()
        list.IsWide <- (session.Mode = ReplyMode.Extended)
        list.RangeBytes <- request.Length

        list.MaxCount <-
            if request.Flags &&& NBD_CMD_FLAG_REQ_ONE <> 0us then
                1
            else
                min NBD_MAX_BLOCK_STATUS_EXTENTS (capacityBytes / entryLength &list)

    /// Whether the list is complete: the range is covered, or no further extent can be told.
    let isComplete (list: inref<ExtentList>) =
        list.IsClosed || list.CoveredBytes >= list.RangeBytes

    let private writeLast (list: inref<ExtentList>) (target: Span<byte>) =
        let at = (list.Count - 1) * entryLength &list

        if list.IsWide then
            BigEndian.writeU64 target at list.LastLength
            BigEndian.writeU64 target (at + 8) (uint64 list.LastFlags)
        else
            BigEndian.writeU32 target at (uint32 list.LastLength)
            BigEndian.writeU32 target (at + 4) list.LastFlags

    /// Adds the next `length` bytes of the range, all with these flags; what lies beyond the range is ignored, an
    /// extent of no bytes too. `target` is the buffer of `start`. Returns whether more is wanted.
    let add (list: byref<ExtentList>) (target: Span<byte>) (length: uint64) (flags: uint32) : bool =
        if length > 0UL && not (isComplete &list) then
            let isMerge = list.Count > 0 && list.LastFlags = flags

            if not isMerge && list.Count >= list.MaxCount then
                list.IsClosed <- true
            else
                let previous = if isMerge then list.LastLength else 0UL
                let inRange = min length (list.RangeBytes - list.CoveredBytes)
                let room =
                    if list.IsWide then
                        UInt64.MaxValue - previous
                    else
                        uint64 UInt32.MaxValue - previous
                let added = min inRange room
                list.IsClosed <- added < inRange

                if added > 0UL then
                    list.Count <- if isMerge then list.Count else list.Count + 1
                    list.LastLength <- previous + added
                    list.LastFlags <- flags
                    list.CoveredBytes <- list.CoveredBytes + added
                    writeLast &list target

        not (isComplete &list)
