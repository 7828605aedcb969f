/// Sizes and offsets of the structures shared with the kernel and the C library (x86-64, glibc), from their headers.
module StorageDaemon.Tests.Shell.LayoutTests

open System.Runtime.InteropServices
open Expecto
open StorageDaemon.Shell.Crypto
open StorageDaemon.Shell.Native

let private hasLayout<'T when 'T: unmanaged> size (offsets: (string * int) list) =
    test typeof<'T>.Name {
        Expect.equal sizeof<'T> size "size"

        for name, offset in offsets do
            Expect.equal (int (Marshal.OffsetOf<'T> name)) offset name
    }

[<Tests>]
let tests =
    testList "Shell.Layout" [
        hasLayout<IoVec> 16 [ "Base", 0; "Length", 8 ]
        hasLayout<EpollEvent> 12 [ "Events", 0; "Data", 4 ]
        hasLayout<PollFd> 8 [ "Fd", 0; "Events", 4; "Revents", 6 ]
        hasLayout<SockAddrStorage> 128 [ "Family", 0; "Data", 2 ]
        hasLayout<AddrInfo> 48 [
            "SocketType", 8
            "AddressLength", 16
            "Address", 24
            "CanonicalName", 32
            "Next", 40
        ]
        hasLayout<MsgHdr> 56 [
            "NameLength", 8
            "Vectors", 16
            "Control", 32
            "ControlLength", 40
            "Flags", 48
        ]
        hasLayout<CmsgHdr> 16 [ "Length", 0; "Level", 8; "Type", 12 ]
        hasLayout<InotifyEvent> 16 [ "Watch", 0; "Mask", 4; "Cookie", 8; "NameLength", 12 ]
        hasLayout<GnuTlsDatum> 16 [ "Data", 0; "Size", 8 ]
        hasLayout<SigSet> 128 []
        hasLayout<SignalFdSigInfo> 128 [ "Signal", 0; "Code", 8; "ProcessId", 12 ]
        hasLayout<FLock> 32 [ "Type", 0; "Whence", 2; "Start", 8; "Length", 16; "ProcessId", 24 ]
        hasLayout<SpawnAttributes> 336 []
        hasLayout<SpawnFileActions> 80 []
        hasLayout<Termios> 60 [
            "LineDiscipline", 16
            "ControlCharacters", 17
            "InputSpeed", 52
            "OutputSpeed", 56
        ]
        hasLayout<Statx> 256 [
            "Mode", 28
            "Inode", 32
            "Size", 40
            "Blocks", 48
            "AccessSeconds", 64
            "DeviceMajor", 136
            "DioMemoryAlign", 152
            "DioOffsetAlign", 156
        ]
        hasLayout<IoUringSqe> 64 [
            "Opcode", 0
            "Flags", 1
            "IoPriority", 2
            "Fd", 4
            "Offset", 8
            "Address", 16
            "Length", 24
            "OpFlags", 28
            "UserData", 32
        ]
        hasLayout<IoUringCqe> 16 [ "UserData", 0; "Result", 8; "Flags", 12 ]
        hasLayout<IoSqRingOffsets> 40 [
            "Head", 0
            "Tail", 4
            "RingMask", 8
            "Flags", 16
            "Array", 24
            "UserAddress", 32
        ]
        hasLayout<IoCqRingOffsets> 40 [
            "Head", 0
            "Tail", 4
            "RingMask", 8
            "Cqes", 20
            "Flags", 24
            "UserAddress", 32
        ]
        hasLayout<IoUringParams> 120 [
            "SqEntries", 0
            "CqEntries", 4
            "Flags", 8
            "Features", 20
            "WqFd", 24
            "SqOffsets", 40
            "CqOffsets", 80
        ]
        hasLayout<FsXAttr> 28 [ "Flags", 0; "ExtentSizeBytes", 4; "ProjectId", 12; "CowExtentSizeBytes", 16 ]
        hasLayout<CacheStatRange> 16 [ "Offset", 0; "Length", 8 ]
        hasLayout<CacheStat> 40 [ "Cache", 0; "RecentlyEvicted", 32 ]
    ]
