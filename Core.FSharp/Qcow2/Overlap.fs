namespace StorageDaemon.Core.Qcow2

open System

/// Metadata that a write might hit; also a set of it, as the switches of `overlap-check` choose it.
[<Flags>]
type MetadataSection =
    | None = 0
    | MainHeader = 1
    | ActiveL1 = 2
    | ActiveL2 = 4
    | RefcountTable = 8
    | RefcountBlock = 16
    | SnapshotTable = 32
    | InactiveL1 = 64
    | InactiveL2 = 128
    | BitmapDirectory = 256

/// A part of the file, in bytes.
[<Struct>]
type FileRange = { Offset: int64; LengthBytes: int64 }

/// The tables of an image as far as they are known. Entries are as they stand in the tables.
[<NoComparison; NoEquality>]
type MetadataTables = {
    ClusterBits: int
    ActiveL1: FileRange
    ActiveL1Entries: uint64[]
    RefcountTable: FileRange
    RefcountTableEntries: uint64[]
    SnapshotTable: FileRange
    InactiveL1: FileRange list
    /// Entries of snapshots' L1 tables, each with its table's length; empty as long as they have not been read.
    InactiveL1Entries: uint64[] list
    BitmapDirectory: FileRange
}

/// Which metadata a write to the file would overwrite: writes of data and of other metadata ask before they go out.
module Overlap =
    /// In the order in which they are looked for, with the name of the switch and the words in error messages.
    let private sections = [
        struct (MetadataSection.MainHeader, "main-header", "qcow2_header")
        struct (MetadataSection.ActiveL1, "active-l1", "active L1 table")
        struct (MetadataSection.ActiveL2, "active-l2", "active L2 table")
        struct (MetadataSection.RefcountTable, "refcount-table", "refcount table")
        struct (MetadataSection.RefcountBlock, "refcount-block", "refcount block")
        struct (MetadataSection.SnapshotTable, "snapshot-table", "snapshot table")
        struct (MetadataSection.InactiveL1, "inactive-l1", "inactive L1 table")
        struct (MetadataSection.InactiveL2, "inactive-l2", "inactive L2 table")
        struct (MetadataSection.BitmapDirectory, "bitmap-directory", "bitmap directory")
    ]

    /// What can be told in constant time from the header alone.
    let constant =
        MetadataSection.MainHeader
        ||| MetadataSection.ActiveL1
        ||| MetadataSection.RefcountTable
        ||| MetadataSection.SnapshotTable
        ||| MetadataSection.BitmapDirectory

    /// What can be told without reading from the file.
    let cached =
        constant
        ||| MetadataSection.ActiveL2
        ||| MetadataSection.RefcountBlock
        ||| MetadataSection.InactiveL1

    let all = cached ||| MetadataSection.InactiveL2

    /// The sections of a template of `overlap-check`.
    let ofTemplate (name: string) : MetadataSection voption =
        match name with
        | "none" -> ValueSome MetadataSection.None
        | "constant" -> ValueSome constant
        | "cached" -> ValueSome cached
        | "all" -> ValueSome all
        | _ -> ValueNone

    /// The section of a single switch, as in `overlap-check.active-l1`.
    let ofSwitch (name: string) : MetadataSection voption =
        sections
        |> List.tryPick (fun (struct (section, switch, _)) -> if switch = name then Some section else None)
        |> function
            | Some section -> ValueSome section
            | None -> ValueNone

    /// The words for one section in messages.
    let description (section: MetadataSection) : string =
        sections
        |> List.tryPick (fun (struct (candidate, _, text)) -> if candidate = section then Some text else None)
        |> Option.defaultValue ""

    /// Whether a range has bytes in common with `lengthBytes` at `offset`. Ranges are an image's own words: negative
    /// offsets are nowhere in a file.
    let overlaps (range: FileRange) (offset: int64) (lengthBytes: int64) : bool =
        range.Offset >= 0L
        && range.LengthBytes > 0L
        && offset - range.Offset < range.LengthBytes
        && range.Offset - offset < lengthBytes

    /// Whether one of the clusters that the entries point to is hit.
    let private hitsCluster (clusterBytes: int64) (mask: uint64) (entries: uint64[]) (offset: int64) (length: int64) =
        entries
        |> Array.exists (fun entry ->
            let target = int64 (entry &&& mask)
            target > 0L
            && overlaps { Offset = target; LengthBytes = clusterBytes } offset length)

    let private isHit (tables: MetadataTables) (section: MetadataSection) (offset: int64) (length: int64) : bool =
        let cluster = 1L <<< tables.ClusterBits

        match section with
        | MetadataSection.MainHeader -> overlaps { Offset = 0L; LengthBytes = cluster } offset length
        | MetadataSection.ActiveL1 -> overlaps tables.ActiveL1 offset length
        | MetadataSection.ActiveL2 -> hitsCluster cluster Entry.offsetMask tables.ActiveL1Entries offset length
        | MetadataSection.RefcountTable -> overlaps tables.RefcountTable offset length
        | MetadataSection.RefcountBlock ->
            hitsCluster cluster ~~~RefcountTableEntry.reserved tables.RefcountTableEntries offset length
        | MetadataSection.SnapshotTable -> overlaps tables.SnapshotTable offset length
        | MetadataSection.InactiveL1 -> tables.InactiveL1 |> List.exists (fun range -> overlaps range offset length)
        | MetadataSection.InactiveL2 ->
            tables.InactiveL1Entries
            |> List.exists (fun entries -> hitsCluster cluster Entry.offsetMask entries offset length)
        | MetadataSection.BitmapDirectory -> overlaps tables.BitmapDirectory offset length
        | _ -> false

    /// The first of the chosen sections that a write of `lengthBytes` at `offset`, neither negative, would hit. Whole
    /// clusters count: what shares a cluster with a table is the table's.
    let find
        (chosen: MetadataSection)
        (tables: MetadataTables)
        (offset: int64)
        (lengthBytes: int64)
        : MetadataSection voption =
        if lengthBytes = 0L then
            ValueNone
        else
            let cluster = 1L <<< tables.ClusterBits
            let start = offset &&& ~~~(cluster - 1L)
            // The last byte's cluster, so that ranges up to the greatest offset do not wrap.
            let last = (offset + lengthBytes - 1L) ||| (cluster - 1L)
            let length =
                if last - start = Int64.MaxValue then
                    Int64.MaxValue
                else
                    last - start + 1L

            sections
            |> List.tryPick (fun (struct (section, _, _)) ->
                if chosen &&& section <> MetadataSection.None && isHit tables section start length then
                    Some section
                else
                    None)
            |> function
                | Some section -> ValueSome section
                | None -> ValueNone
