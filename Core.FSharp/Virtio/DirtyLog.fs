namespace StorageDaemon.Core.Virtio

open System.Runtime.CompilerServices
open System.Threading
open Microsoft.FSharp.NativeInterop

/// The bitmap in which the device marks the pages of the guest's memory that it writes while the guest migrates
/// (docs/interop/vhost-user.rst of the QEMU project, "Migration"). The front end clears bits at the same time.
module DirtyLog =
    /// Bytes of the guest's memory for each bit (VHOST_LOG_PAGE).
    [<Literal>]
    let PageLength = 4096UL

    let private markPage (log: nativeint) (page: uint64) =
        let place =
            &
                Unsafe.AsRef<uint32>(
                    NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte>(log + nativeint (page / 32UL * 4UL)))
                )
        let bit = 1u <<< int (page % 32UL)

        if Volatile.Read &place &&& bit = 0u then
            Interlocked.Or(&place, bit) |> ignore

    /// Marks the pages of a range of guest addresses. The log is aligned to four bytes; pages past its last whole four
    /// bytes are left out.
    let mark (log: nativeint) (logLength: uint64) (guestAddress: uint64) (length: uint64) : unit =
        let pages = logLength / 4UL * 32UL

        if length > 0UL && guestAddress / PageLength < pages then
            let mutable page = guestAddress / PageLength
            // The range may wrap: its end is then past the log in any case.
            let last =
                if guestAddress + (length - 1UL) < guestAddress then
                    pages - 1UL
                else
                    min (pages - 1UL) ((guestAddress + (length - 1UL)) / PageLength)

            while page <= last do
                markPage log page
                page <- page + 1UL

    /// Marks what the device has written to a chain's segments.
    let markSegment (log: nativeint) (logLength: uint64) (memory: MemoryTable) (segment: inref<Iovec>) : unit =
        let address = memory.GuestAddressOf segment.Base

        if address <> System.UInt64.MaxValue then
            mark log logLength address (uint64 segment.Length)
