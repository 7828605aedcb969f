using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>struct termios (glibc).</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Termios
{
    internal const int VTIME = 5;
    internal const int VMIN = 6;

    internal uint InputFlags;
    internal uint OutputFlags;
    internal uint ControlFlags;
    internal uint LocalFlags;
    internal byte LineDiscipline;
    internal fixed byte ControlCharacters[32];
    internal uint InputSpeed;
    internal uint OutputSpeed;
}

/// <summary>Terminals and pseudo-terminals.</summary>
internal static unsafe partial class Libc
{
    internal const int TCSANOW = 0;
    internal const uint IGNBRK = 1;
    internal const uint BRKINT = 2;
    internal const uint PARMRK = 8;
    internal const uint ISTRIP = 0x20;
    internal const uint INLCR = 0x40;
    internal const uint IGNCR = 0x80;
    internal const uint ICRNL = 0x100;
    internal const uint IXON = 0x400;
    internal const uint OPOST = 1;
    internal const uint CSIZE = 0x30;
    internal const uint CS8 = 0x30;
    internal const uint PARENB = 0x100;
    internal const uint PARODD = 0x200;
    internal const uint CSTOPB = 0x40;
    internal const uint CRTSCTS = 0x80000000;
    internal const uint B115200 = 0x1002;
    internal const uint ISIG = 1;
    internal const uint ICANON = 2;
    internal const uint ECHO = 8;
    internal const uint ECHONL = 0x40;
    internal const uint IEXTEN = 0x8000;
    internal const int O_NOCTTY = 0x100;

    [LibraryImport(Name, EntryPoint = "tcgetattr")]
    internal static partial int TcGetAttr(int fd, Termios* attributes);

    [LibraryImport(Name, EntryPoint = "tcsetattr")]
    internal static partial int TcSetAttr(int fd, int when, Termios* attributes);

    [LibraryImport(Name, EntryPoint = "cfsetspeed")]
    internal static partial int CfSetSpeed(Termios* attributes, uint speed);

    [LibraryImport(Name, EntryPoint = "cfmakeraw")]
    internal static partial void CfMakeRaw(Termios* attributes);

    [LibraryImport(Name, EntryPoint = "posix_openpt")]
    internal static partial int PosixOpenPt(int flags);

    [LibraryImport(Name, EntryPoint = "grantpt")]
    internal static partial int GrantPt(int fd);

    [LibraryImport(Name, EntryPoint = "unlockpt")]
    internal static partial int UnlockPt(int fd);

    [LibraryImport(Name, EntryPoint = "ptsname_r")]
    internal static partial int PtsName(int fd, byte* buffer, nuint length);
}
