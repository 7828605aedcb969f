using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>struct statx (uapi/linux/stat.h): 256 bytes; only what this daemon reads is named.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct Statx
{
    [FieldOffset(0)] internal uint Mask;
    [FieldOffset(4)] internal uint BlockSize;
    [FieldOffset(28)] internal ushort Mode;
    [FieldOffset(32)] internal ulong Inode;
    [FieldOffset(40)] internal ulong Size;

    /// <summary>Allocated, in units of 512 bytes.</summary>
    [FieldOffset(48)] internal ulong Blocks;
    [FieldOffset(128)] internal uint RdevMajor;
    [FieldOffset(132)] internal uint RdevMinor;
    [FieldOffset(136)] internal uint DevMajor;
    [FieldOffset(140)] internal uint DevMinor;

    /// <summary>O_DIRECT alignment of memory and of offset and length, zero where unknown (Linux 6.1).</summary>
    [FieldOffset(152)] internal uint DioMemoryAlign;
    [FieldOffset(156)] internal uint DioOffsetAlign;
}

/// <summary>struct flock (64-bit).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct Flock
{
    internal short Type;
    internal short Whence;
    internal long Start;
    internal long Length;
    internal int Pid;
}

/// <summary>File attributes, sizes and locks.</summary>
internal static unsafe partial class Libc
{
    internal const int AT_FDCWD = -100;
    internal const int AT_EMPTY_PATH = 0x1000;
    internal const uint STATX_BASIC_STATS = 0x7ff;
    internal const uint STATX_DIOALIGN = 0x2000;
    internal const int S_IFMT = 0xF000;
    internal const int S_IFREG = 0x8000;
    internal const int S_IFBLK = 0x6000;
    internal const int S_IFCHR = 0x2000;
    internal const int S_IFSOCK = 0xC000;
    internal const int S_IFDIR = 0x4000;
    internal const nuint BLKGETSIZE64 = 0x80081272;
    internal const nuint BLKSSZGET = 0x1268;
    internal const int F_OFD_GETLK = 36;
    internal const int F_OFD_SETLK = 37;
    internal const short F_RDLCK = 0;
    internal const short F_WRLCK = 1;
    internal const short F_UNLCK = 2;

    [LibraryImport(Name, EntryPoint = "statx")]
    internal static partial int StatxAt(int dirFd, byte* path, int flags, uint mask, Statx* result);

    [LibraryImport(Name, EntryPoint = "fcntl")]
    internal static partial int FcntlLock(int fd, int command, Flock* argument);

    [LibraryImport(Name, EntryPoint = "ftruncate")]
    internal static partial int Ftruncate(int fd, long length);

    /// <summary>statx of an open descriptor; zero, or -1 with <see cref="Errno"/>.</summary>
    internal static int Fstat(int fd, Statx* result)
    {
        byte empty = 0;
        return StatxAt(fd, &empty, AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, result);
    }
}
