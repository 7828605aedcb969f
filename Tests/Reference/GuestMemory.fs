/// A guest's memory: native regions, some of them neighbours for the guest but not in this process. Everything goes
/// byte by byte through a translation of its own, and throws where the guest has no memory.
module StorageDaemon.Tests.Reference.GuestMemory

open System
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop
open StorageDaemon.Core.Virtio

/// What the front end adds to guest addresses.
[<Literal>]
let UserBase = 0x7f0000000000UL

/// Rings lie in the third region.
[<Literal>]
let RingBase = 0x100000UL

/// Guest addresses and lengths: the first two touch each other.
let private layout = [ 0UL, 0x20000UL; 0x20000UL, 0x20000UL; RingBase, 0x40000UL ]

/// Bytes between and around the regions that nobody may touch.
let private guard = 4096

let private guardByte = 0xa5uy

type GuestMemory() =
    let length = layout |> List.sumBy (fun (_, length) -> int length + guard)
    let block =
        NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte>(NativeMemory.AlignedAlloc(unativeint (length + guard), 64un)))

    let regions =
        // In another order than the guest's.
        let mutable at = block + nativeint guard

        [
            for guest, length in List.rev layout do
                yield guest, length, at
                at <- at + nativeint length + nativeint guard
        ]

    do Span<byte>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> block), length + guard).Fill guardByte

    let place (address: uint64) =
        match
            regions
            |> List.tryFind (fun (guest, length, _) -> address >= guest && address - guest < length)
        with
        | Some(guest, _, at) -> at + nativeint (address - guest)
        | None -> failwith ("the guest has no memory at " + string address)

    let table =
        [|
            for guest, length, at in regions ->
                struct ({
                            GuestAddress = guest
                            UserAddress = guest + UserBase
                            LengthBytes = length
                        },
                        at)
        |]
        |> MemoryTable.Create
        |> function
            | Ok table -> table
            | Error error -> failwith ("no table: " + string error)

    do
        for _, length, at in regions do
            Span<byte>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> at), int length).Clear()

    member _.Table = table
    member _.Regions = regions
    member _.Place(address: uint64) = place address
    member _.GetByte(address: uint64) : byte =
        NativePtr.read (NativePtr.ofNativeInt (place address))
    member _.SetByte(address: uint64, value: byte) =
        NativePtr.write (NativePtr.ofNativeInt (place address)) value

    member this.Get(address: uint64, bytes: int) : uint64 =
        let mutable value = 0UL

        for i in bytes - 1 .. -1 .. 0 do
            value <- (value <<< 8) ||| uint64 (this.GetByte(address + uint64 i))

        value

    member this.Set(address: uint64, bytes: int, value: uint64) =
        for i in 0 .. bytes - 1 do
            this.SetByte(address + uint64 i, byte (value >>> (8 * i)))

    member this.Read(address: uint64, length: int) : byte[] =
        Array.init length (fun i -> this.GetByte(address + uint64 i))

    member this.Write(address: uint64, bytes: byte[]) =
        bytes |> Array.iteri (fun i value -> this.SetByte(address + uint64 i, value))

    /// Whether a piece of this process's memory belongs to the guest.
    member _.Contains(segment: Iovec) =
        segment.Length > 0un
        && regions
           |> List.exists (fun (_, length, at) ->
               segment.Base >= at
               && uint64 (segment.Base - at) < length
               && uint64 segment.Length <= length - uint64 (segment.Base - at))

    /// Whether nobody has written outside the regions.
    member _.GuardsAreWhole =
        let mutable whole = true
        let mutable at = block

        for _, length, start in regions do
            while at < start do
                whole <- whole && NativePtr.read (NativePtr.ofNativeInt<byte> at) = guardByte
                at <- at + 1n

            at <- start + nativeint length

        whole

    interface IDisposable with
        member _.Dispose() =
            NativeMemory.AlignedFree(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> block))

/// The bytes of segments, one after the other.
let bytesOf (segments: Iovec[]) : byte[] = [|
    for segment in segments do
        for i in 0 .. int segment.Length - 1 do
            NativePtr.read (NativePtr.ofNativeInt<byte>(segment.Base + nativeint i))
|]

/// Puts bytes into segments, as far as they go.
let fill (segments: Iovec[]) (bytes: byte[]) =
    let mutable at = 0

    for segment in segments do
        for i in 0 .. int segment.Length - 1 do
            if at < bytes.Length then
                NativePtr.write (NativePtr.ofNativeInt<byte>(segment.Base + nativeint i)) bytes[at]
                at <- at + 1
