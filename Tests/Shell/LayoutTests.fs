/// Sizes and offsets of the structures shared with the kernel and the C library (x86-64, glibc), from their headers.
module StorageDaemon.Tests.Shell.LayoutTests

open System.Runtime.InteropServices
open Expecto
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
        hasLayout<Statx> 256 [ "Mode", 28; "Inode", 32; "Size", 40; "AccessSeconds", 64; "DeviceMajor", 136 ]
    ]
