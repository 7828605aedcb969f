using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>cachestat_range and cachestat (uapi/linux/mman.h).</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CacheStatRange
{
    internal ulong Offset;
    internal ulong Length;
}

[StructLayout(LayoutKind.Sequential)]
internal struct CacheStat
{
    internal ulong Cache;
    internal ulong Dirty;
    internal ulong Writeback;
    internal ulong Evicted;
    internal ulong RecentlyEvicted;
}

/// <summary>Block I/O, stream I/O and memory: the calls of the data path.</summary>
internal static unsafe partial class Libc
{
    internal const int RWF_DSYNC = 2;
    internal const int RWF_NOWAIT = 8;
    internal const int FALLOC_FL_KEEP_SIZE = 1;
    internal const int FALLOC_FL_PUNCH_HOLE = 2;
    internal const int FALLOC_FL_ZERO_RANGE = 16;
    internal const int SEEK_END = 2;
    internal const int SEEK_DATA = 3;
    internal const int SEEK_HOLE = 4;
    internal const int POSIX_FADV_WILLNEED = 3;
    internal const int MSG_MORE = 0x8000;
    internal const int PROT_READ = 1;
    internal const int PROT_WRITE = 2;
    internal const int MAP_SHARED = 1;
    internal const int MAP_PRIVATE = 2;
    internal const int MAP_ANONYMOUS = 0x20;
    internal const int MAP_POPULATE = 0x8000;
    internal const nuint BLKDISCARD = 0x1277;
    internal const long SYS_cachestat = 451;

    internal const int F_OFD_GETLK = 36;
    internal const short F_RDLCK = 0;
    internal const short F_UNLCK = 2;
    internal const nuint BLKGETSIZE64 = 0x80081272;
    internal const nuint BLKSSZGET = 0x1268;
    internal const nuint FIONREAD = 0x541B;

    [LibraryImport(Name, EntryPoint = "preadv2")]
    internal static partial nint Preadv2(int fd, IoVec* iov, int iovcnt, long offset, int flags);

    [LibraryImport(Name, EntryPoint = "pwritev2")]
    internal static partial nint Pwritev2(int fd, IoVec* iov, int iovcnt, long offset, int flags);

    [LibraryImport(Name, EntryPoint = "fallocate")]
    internal static partial int Fallocate(int fd, int mode, long offset, long length);

    [LibraryImport(Name, EntryPoint = "fdatasync")]
    internal static partial int Fdatasync(int fd);

    [LibraryImport(Name, EntryPoint = "lseek")]
    internal static partial long Lseek(int fd, long offset, int whence);

    [LibraryImport(Name, EntryPoint = "posix_fadvise")]
    internal static partial int PosixFadvise(int fd, long offset, long length, int advice);

    [LibraryImport(Name, EntryPoint = "ioctl")]
    internal static partial int Ioctl(int fd, nuint request, void* argument);

    [LibraryImport(Name, EntryPoint = "sendfile")]
    internal static partial nint Sendfile(int outFd, int inFd, long* offset, nuint count);

    [LibraryImport(Name, EntryPoint = "readv")]
    internal static partial nint Readv(int fd, IoVec* iov, int iovcnt);

    [LibraryImport(Name, EntryPoint = "mmap")]
    internal static partial void* Mmap(void* address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport(Name, EntryPoint = "munmap")]
    internal static partial int Munmap(void* address, nuint length);

    [LibraryImport(Name, EntryPoint = "syscall")]
    internal static partial long Syscall(long number, nint a, nint b, nint c, nint d, nint e, nint f);

    /// <summary>MAP_FAILED.</summary>
    internal static readonly void* MapFailed = (void*)-1;
}
