namespace StorageDaemon.Core.Filter

open System
open StorageDaemon.Core

/// The kinds of requests that a rule is about (qapi/block-core.json, BlkdebugIOType).
[<Flags>]
type BlkDebugIoType =
    | None = 0
    | Read = 1
    | Write = 2
    | WriteZeroes = 4
    | Discard = 8
    | Flush = 16
    | BlockStatus = 32

/// What a rule does when its event happens.
[<NoComparison>]
type BlkDebugAction =
    /// From then on requests fail with that error number; none fails for 0. A sector is 512 bytes; a negative one stands
    /// for all where it is -1, and for none otherwise.
    | InjectError of error: int * sector: int64 * once: bool * types: BlkDebugIoType
    | SetState of state: int

[<NoComparison>]
type BlkDebugRule = {
    /// A number of `BlkDebugRules.events`.
    Event: int
    /// Only in this state; 0 in all.
    State: int
    Action: BlkDebugAction
}

/// The rules of a blkdebug node and what has become of them (QEMU docs, "Block I/O error injection using blkdebug").
module BlkDebugRules =
    /// qapi/block-core.json, BlkdebugEvent: what image formats and the block layer are about to do.
    let events: string[] = [|
        "l1_update"
        "l1_grow_alloc_table"
        "l1_grow_write_table"
        "l1_grow_activate_table"
        "l2_load"
        "l2_update"
        "l2_update_compressed"
        "l2_alloc_cow_read"
        "l2_alloc_write"
        "read_aio"
        "read_backing_aio"
        "read_compressed"
        "write_aio"
        "write_compressed"
        "vmstate_load"
        "vmstate_save"
        "cow_read"
        "cow_write"
        "reftable_load"
        "reftable_grow"
        "reftable_update"
        "refblock_load"
        "refblock_update"
        "refblock_update_part"
        "refblock_alloc"
        "refblock_alloc_hookup"
        "refblock_alloc_write"
        "refblock_alloc_write_blocks"
        "refblock_alloc_write_table"
        "refblock_alloc_switch_table"
        "cluster_alloc"
        "cluster_alloc_bytes"
        "cluster_free"
        "flush_to_os"
        "flush_to_disk"
        "pwritev_rmw_head"
        "pwritev_rmw_after_head"
        "pwritev_rmw_tail"
        "pwritev_rmw_after_tail"
        "pwritev"
        "pwritev_zero"
        "pwritev_done"
        "empty_image_prepare"
        "l1_shrink_write_table"
        "l1_shrink_free_l2_clusters"
        "cor_write"
        "cluster_alloc_space"
        "none"
    |]

    /// qapi/block-core.json, BlkdebugIOType.
    let ioTypes: (string * BlkDebugIoType) list = [
        "read", BlkDebugIoType.Read
        "write", BlkDebugIoType.Write
        "write-zeroes", BlkDebugIoType.WriteZeroes
        "discard", BlkDebugIoType.Discard
        "flush", BlkDebugIoType.Flush
        "block-status", BlkDebugIoType.BlockStatus
    ]

    /// The kinds of a rule that names none: all that are about data.
    let allData =
        BlkDebugIoType.Read
        ||| BlkDebugIoType.Write
        ||| BlkDebugIoType.WriteZeroes
        ||| BlkDebugIoType.Discard
        ||| BlkDebugIoType.Flush

    let eventOf (name: string) : int = Array.IndexOf(events, name)

    let readAio = eventOf "read_aio"
    let writeAio = eventOf "write_aio"
    let flushToOs = eventOf "flush_to_os"
    let flushToDisk = eventOf "flush_to_disk"
    let pwritev = eventOf "pwritev"
    let pwritevZero = eventOf "pwritev_zero"
    let pwritevDone = eventOf "pwritev_done"
    let none = eventOf "none"

/// The engine: a state, which begins as 1, and the rules that are in force.
[<Sealed>]
type BlkDebugEngine(rules: BlkDebugRule[]) =
    let mutable state = 1
    let mutable inForce: int list = []
    let spent = Array.zeroCreate<bool> rules.Length

    static let touches (sector: int64) (offset: int64) (length: int64) =
        sector = -1L
        || (length > 0L
            && sector >= 0L
            && sector <= Int64.MaxValue / 512L
            && sector * 512L >= offset
            && sector * 512L - offset < length)

    let matches (index: int) (ioType: BlkDebugIoType) (offset: int64) (length: int64) =
        match rules[index].Action with
        | InjectError(_, sector, _, types) -> types &&& ioType <> BlkDebugIoType.None && touches sector offset length
        | SetState _ -> false

    member _.State = state

    /// An event happens: the rules that it puts in force take the place of those before, if there are any.
    member _.Happen(event: int) : unit =
        let before = state
        let mutable injected: int list = []

        for index in rules.Length - 1 .. -1 .. 0 do
            let rule = rules[index]

            if
                rule.Event = event
                && not spent[index]
                && (rule.State = 0 || rule.State = before)
            then
                match rule.Action with
                | InjectError _ -> injected <- index :: injected
                | SetState next -> state <- next

        if not injected.IsEmpty then
            inForce <- injected

    /// The error that a request meets; zero for none.
    member _.Check(ioType: BlkDebugIoType, offset: int64, length: int64) : int =
        match inForce |> List.tryFind (fun index -> matches index ioType offset length) with
        | None -> 0
        | Some index ->
            match rules[index].Action with
            | InjectError(error, _, once, _) ->
                if once then
                    spent[index] <- true
                    inForce <- inForce |> List.filter (fun other -> other <> index)

                error
            | SetState _ -> 0
