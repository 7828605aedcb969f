namespace StorageDaemon.Core.Virtio

open System
open System.Runtime.CompilerServices

/// A part of the guest's memory, as the front end describes it ("Memory regions description").
[<Struct; NoComparison>]
type Region = {
    /// Where descriptors find it.
    GuestAddress: uint64
    /// Where the front end has it, and where the addresses of rings find it.
    UserAddress: uint64
    LengthBytes: uint64
}

/// Why regions make no table.
type RegionError =
    | None = 0
    | TooMany = 1
    | Empty = 2
    /// The region reaches the end of an address space: the address behind a region is always a number.
    | Wraps = 3
    /// Two regions have a guest address in common.
    | Overlaps = 4
    /// More bytes than this process can address.
    | TooLong = 5

/// A region and where it is mapped in this process.
[<Struct; NoEquality; NoComparison; IsReadOnly>]
type MappedRegion =
    val GuestAddress: uint64
    val UserAddress: uint64
    val LengthBytes: uint64
    val Mapped: nativeint

    new(region: Region, mapped) =
        {
            GuestAddress = region.GuestAddress
            UserAddress = region.UserAddress
            LengthBytes = region.LengthBytes
            Mapped = mapped
        }

module Region =
    /// Most regions of one guest: what the kernel's vhost has, and the real daemon says (VHOST_USER_GET_MAX_MEM_SLOTS).
    [<Literal>]
    let MaxCount = 509

    /// No address space of a guest or a process has more.
    [<Literal>]
    let MaxLength = 0x0100_0000_0000_0000UL

    let private checkOne (region: Region) =
        if region.LengthBytes = 0UL then
            RegionError.Empty
        elif region.LengthBytes > MaxLength then
            RegionError.TooLong
        elif
            region.LengthBytes > UInt64.MaxValue - region.GuestAddress
            || region.LengthBytes > UInt64.MaxValue - region.UserAddress
        then
            RegionError.Wraps
        else
            RegionError.None

    let private overlaps (first: Region) (second: Region) =
        // The first starts no later than the second; the subtraction cannot wrap.
        second.GuestAddress - first.GuestAddress < first.LengthBytes

    /// Whether regions make a table. User addresses may overlap: a front end may show one piece of its memory at two
    /// guest addresses.
    let check (regions: Region seq) : RegionError =
        let sorted = regions |> Seq.truncate (MaxCount + 1) |> Seq.toArray

        if sorted.Length > MaxCount then
            RegionError.TooMany
        else
            match sorted |> Array.tryFind (fun region -> checkOne region <> RegionError.None) with
            | Some region -> checkOne region
            | None ->
                let sorted = sorted |> Array.sortBy _.GuestAddress

                if sorted |> Array.pairwise |> Array.exists (fun (a, b) -> overlaps a b) then
                    RegionError.Overlaps
                else
                    RegionError.None

/// The guest's memory: an immutable value. A change makes another table, and the rings are bound anew.
[<Sealed>]
type MemoryTable private (regions: MappedRegion[]) =

    static member Empty = MemoryTable Array.empty

    /// Regions with the addresses of their first bytes in this process.
    static member Create(regions: struct (Region * nativeint)[]) : Result<MemoryTable, RegionError> =
        match Region.check (regions |> Seq.map (fun (struct (region, _)) -> region)) with
        | RegionError.None ->
            regions
            |> Array.map (fun (struct (region, mapped)) -> MappedRegion(region, mapped))
            |> Array.sortBy _.GuestAddress
            |> MemoryTable
            |> Ok
        | error -> Error error

    member _.Regions: ReadOnlySpan<MappedRegion> = ReadOnlySpan<MappedRegion> regions

    /// Where a guest address is mapped, and how many bytes there are from it to the end of its region, which is at
    /// least one; zero if it is in no region.
    member _.Translate(guestAddress: uint64, available: byref<uint64>) : nativeint =
        // The last region that starts at the address or before.
        let mutable low = 0
        let mutable high = regions.Length

        while low < high do
            let middle = int (uint32 (low + high) >>> 1)

            if regions[middle].GuestAddress <= guestAddress then
                low <- middle + 1
            else
                high <- middle

        if low = 0 then
            available <- 0UL
            0n
        else
            let region = &regions[low - 1]
            let offset = guestAddress - region.GuestAddress

            if offset >= region.LengthBytes then
                available <- 0UL
                0n
            else
                available <- region.LengthBytes - offset
                region.Mapped + nativeint offset

    /// Where a range of guest addresses is mapped; zero if it does not lie in one region.
    member this.TranslateWhole(guestAddress: uint64, length: uint64) : nativeint =
        let mutable available = 0UL
        let mapped = this.Translate(guestAddress, &available)
        if available >= length then mapped else 0n

    /// Where a range of the front end's addresses is mapped; zero if it does not lie in one region.
    member _.TranslateUser(userAddress: uint64, length: uint64) : nativeint =
        let mutable mapped = 0n
        let mutable i = 0

        while mapped = 0n && i < regions.Length do
            let region = &regions[i]
            let offset = userAddress - region.UserAddress

            if offset < region.LengthBytes && region.LengthBytes - offset >= length then
                mapped <- region.Mapped + nativeint offset

            i <- i + 1

        mapped

    /// The guest address of a byte of this process's, as `Translate` gave it; `UInt64.MaxValue` if it is in no region.
    member _.GuestAddressOf(mapped: nativeint) : uint64 =
        let mutable address = UInt64.MaxValue
        let mutable i = 0

        while address = UInt64.MaxValue && i < regions.Length do
            let region = &regions[i]
            let offset = uint64 (mapped - region.Mapped)

            if offset < region.LengthBytes then
                address <- region.GuestAddress + offset

            i <- i + 1

        address
