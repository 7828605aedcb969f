namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core

/// The refcounts of one refcount block, 1 to 64 bits each ("Refcount block entry"). The width is given as its binary
/// logarithm, 0 to 6; indexes are the caller's to check.
module RefcountBlock =
    /// The greatest refcount that the width can hold.
    let inline max (order: int) : uint64 =
        UInt64.MaxValue >>> (64 - (1 <<< order))

    /// Narrow refcounts fill a byte from its least significant bit up.
    let get (order: int) (block: ReadOnlySpan<byte>) (index: int) : uint64 =
        match order with
        | 6 -> BigEndian.readU64 block (index * 8)
        | 5 -> uint64 (BigEndian.readU32 block (index * 4))
        | 4 -> uint64 (BigEndian.readU16 block (index * 2))
        | 3 -> uint64 block[index]
        | _ ->
            let shift = (index <<< order) &&& 7
            let mask = (1 <<< (1 <<< order)) - 1
            uint64 ((int block[index >>> (3 - order)] >>> shift) &&& mask)

    /// Takes a value up to `max`.
    let set (order: int) (block: Span<byte>) (index: int) (value: uint64) : unit =
        match order with
        | 6 -> BigEndian.writeU64 block (index * 8) value
        | 5 -> BigEndian.writeU32 block (index * 4) (uint32 value)
        | 4 -> BigEndian.writeU16 block (index * 2) (uint16 value)
        | 3 -> block[index] <- byte value
        | _ ->
            let shift = (index <<< order) &&& 7
            let mask = ((1 <<< (1 <<< order)) - 1) <<< shift
            let at = index >>> (3 - order)
            block[at] <- byte ((int block[at] &&& ~~~mask) ||| ((int value <<< shift) &&& mask))

    /// Adds `references`; false, and nothing changes, if the width cannot hold the sum.
    let tryIncrease (order: int) (block: Span<byte>) (index: int) (references: uint64) : bool =
        let before = get order (Span<byte>.op_Implicit block) index

        if references > max order - before then
            false
        else
            set order block index (before + references)
            true

    /// Takes `references` away; false, and nothing changes, if there are fewer.
    let tryDecrease (order: int) (block: Span<byte>) (index: int) (references: uint64) : bool =
        let before = get order (Span<byte>.op_Implicit block) index

        if references > before then
            false
        else
            set order block index (before - references)
            true
