namespace StorageDaemon.Core.Virtio

open System.Runtime.CompilerServices
open System.Runtime.InteropServices
open System.Threading
open Microsoft.FSharp.NativeInterop

/// Memory that another process writes at any time. What is read here is read once, into a local; only the local is
/// looked at afterwards. Virtio 1.x is little-endian, and so are the machines that the daemon runs on: fields are read
/// as they are. The caller has translated and aligned the addresses.
module Shared =
    let inline readU8 (address: nativeint) : byte =
        NativePtr.read (NativePtr.ofNativeInt address)
    let inline readU16 (address: nativeint) : uint16 =
        NativePtr.read (NativePtr.ofNativeInt address)
    let inline readU32 (address: nativeint) : uint32 =
        NativePtr.read (NativePtr.ofNativeInt address)
    let inline readU64 (address: nativeint) : uint64 =
        NativePtr.read (NativePtr.ofNativeInt address)
    let inline writeU8 (address: nativeint) (value: byte) =
        NativePtr.write (NativePtr.ofNativeInt address) value
    let inline writeU16 (address: nativeint) (value: uint16) =
        NativePtr.write (NativePtr.ofNativeInt address) value
    let inline writeU32 (address: nativeint) (value: uint32) =
        NativePtr.write (NativePtr.ofNativeInt address) value
    let inline writeU64 (address: nativeint) (value: uint64) =
        NativePtr.write (NativePtr.ofNativeInt address) value

    /// A field that may be at an odd address, as those of an indirect table.
    let inline readUnalignedU64 (address: nativeint) : uint64 =
        Unsafe.ReadUnaligned<uint64>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> address))

    /// No later access moves before this read.
    let inline acquireU16 (address: nativeint) : uint16 =
        let place = &Unsafe.AsRef<uint16>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> address))
        Volatile.Read &place

    /// No earlier access moves after this write.
    let inline releaseU16 (address: nativeint) (value: uint16) =
        let place = &Unsafe.AsRef<uint16>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> address))
        Volatile.Write(&place, value)

/// A piece of mapped memory, laid out as `struct iovec`: an array of them can be given to the kernel as it is.
[<Struct; NoEquality; NoComparison; StructLayout(LayoutKind.Sequential)>]
type Iovec =
    val mutable Base: nativeint
    val mutable Length: unativeint
