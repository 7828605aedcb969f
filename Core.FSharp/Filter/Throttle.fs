namespace StorageDaemon.Core.Filter

open StorageDaemon.Core.Io

/// One limit of a throttle group (qapi/block-core.json, ThrottleLimits): a leaky bucket. Units are bytes or requests.
[<Struct; NoComparison>]
type ThrottleBucket = {
    /// Units per second in the long run; zero for no limit.
    Average: float
    /// Units per second in a burst; zero for none.
    Max: float
    /// Seconds that a burst may last.
    BurstSeconds: float
}

/// All limits of a throttle group, settled.
[<NoComparison>]
type ThrottleLimits = {
    BytesTotal: ThrottleBucket
    BytesRead: ThrottleBucket
    BytesWrite: ThrottleBucket
    RequestsTotal: ThrottleBucket
    RequestsRead: ThrottleBucket
    RequestsWrite: ThrottleBucket
    /// Bytes that count as one request; a longer one counts for several. Zero: every request counts once.
    RequestBytes: uint64
}

/// How full one bucket is.
[<Struct; NoEquality; NoComparison>]
type ThrottleLevel =
    val mutable Level: float
    /// The level against the burst rate, for bursts longer than a second.
    val mutable BurstLevel: float

/// How full the buckets of a group are.
[<Sealed>]
type ThrottleState(nowNs: int64) =
    let levels: ThrottleLevel[] = Array.zeroCreate 6

    member val internal LeakedNs = nowNs with get, set
    member internal _.Levels = levels

    /// Begins anew, as when the limits change.
    member this.Empty(nowNs: int64) =
        System.Array.Clear levels
        this.LeakedNs <- nowNs

/// The arithmetic of throttling: buckets that requests fill and time empties. A request must wait while one of its
/// buckets is fuller than its size: a tenth of a second's worth of the average, or the burst.
module Throttle =
    let private nsPerSecond = 1e9

    /// The limits in the order of the levels: total, reads, writes; bytes first.
    let inline private bucket (limits: ThrottleLimits) (index: int) : ThrottleBucket =
        match index with
        | 0 -> limits.BytesTotal
        | 1 -> limits.BytesRead
        | 2 -> limits.BytesWrite
        | 3 -> limits.RequestsTotal
        | 4 -> limits.RequestsRead
        | _ -> limits.RequestsWrite

    /// Whether a bucket counts requests of that direction.
    let inline private counts (isWrite: bool) (index: int) =
        let place = index % 3
        place = 0 || place = (if isWrite then 2 else 1)

    /// Whether the group limits anything.
    let isLimiting (limits: ThrottleLimits) : bool =
        let mutable any = false

        for i in 0..5 do
            any <- any || (bucket limits i).Average > 0.0

        any

    /// Lets time pass.
    let leak (limits: ThrottleLimits) (nowNs: int64) (state: ThrottleState) : unit =
        let seconds = float (max 0L (nowNs - state.LeakedNs)) / nsPerSecond
        state.LeakedNs <- max nowNs state.LeakedNs

        for i in 0..5 do
            let bucket = bucket limits i
            let level = &state.Levels[i]
            level.Level <- max 0.0 (level.Level - bucket.Average * seconds)

            if bucket.BurstSeconds > 1.0 then
                level.BurstLevel <- max 0.0 (level.BurstLevel - bucket.Max * seconds)

    let private bucketWaitNs (bucket: ThrottleBucket) (level: inref<ThrottleLevel>) : float =
        if bucket.Average <= 0.0 then
            0.0
        else
            let struct (size, burstSize) =
                if bucket.Max > 0.0 then
                    struct (bucket.Max * bucket.BurstSeconds, bucket.Max / 10.0)
                else
                    struct (bucket.Average / 10.0, 0.0)

            let extra = level.Level - size

            if extra > 0.0 then
                extra * nsPerSecond / bucket.Average
            elif bucket.BurstSeconds > 1.0 && level.BurstLevel > burstSize then
                (level.BurstLevel - burstSize) * nsPerSecond / bucket.Max
            else
                0.0

    /// Nanoseconds that the next request of that direction must wait; zero if it may go. `leak` comes first.
    let waitNs (limits: ThrottleLimits) (isWrite: bool) (state: ThrottleState) : int64 =
        let mutable longest = 0.0

        for i in 0..5 do
            if counts isWrite i then
                longest <- max longest (bucketWaitNs (bucket limits i) &state.Levels[i])

        // A wait longer than this is looked at again then.
        if longest <= 0.0 then 0L
        elif longest >= 3.6e12 then 3_600_000_000_000L
        else max 1L (int64 longest)

    /// Counts a request that goes.
    let account (limits: ThrottleLimits) (isWrite: bool) (lengthBytes: int64) (state: ThrottleState) : unit =
        let bytes = float lengthBytes

        let requests =
            if limits.RequestBytes > 0UL && uint64 lengthBytes > limits.RequestBytes then
                bytes / float limits.RequestBytes
            else
                1.0

        for i in 0..5 do
            if counts isWrite i then
                let units = if i < 3 then bytes else requests
                let level = &state.Levels[i]
                level.Level <- level.Level + units

                if (bucket limits i).BurstSeconds > 1.0 then
                    level.BurstLevel <- level.BurstLevel + units

/// The throttle filter's machine: a request is let in by the group, then passed on.
[<Sealed>]
type ThrottleLayer() =
    inherit Layer()

    override _.Start(_, _, frame, sink) =
        match frame.Kind with
        | RequestKind.Flush
        | RequestKind.BlockStatus -> Frame.pass 0 &frame sink
        | _ ->
            frame.AdmitBytes <- frame.Length
            frame.Op <- FrameOp.Admit

    override _.Resume(_, _, frame, sink) = Frame.pass 0 &frame sink

    override _.ChildDone(_, _, frame, _, error, _) = Frame.finish error &frame
