using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>struct fsxattr (uapi/linux/fs.h).</summary>
[StructLayout(LayoutKind.Sequential, Size = SizeBytes)]
internal struct FsXAttr
{
    internal const int SizeBytes = 28;

    internal uint Flags;
    internal uint ExtentSizeBytes;
    internal uint Extents;
    internal uint ProjectId;
    internal uint CowExtentSizeBytes;
}

/// <summary>How file systems are asked to store a file, and room for it.</summary>
internal static unsafe partial class Libc
{
    internal const nuint FS_IOC_GETFLAGS = 0x80086601;
    internal const nuint FS_IOC_SETFLAGS = 0x40086602;
    internal const nuint FS_IOC_FSGETXATTR = 0x801c581f;
    internal const nuint FS_IOC_FSSETXATTR = 0x401c5820;
    internal const int FS_NOCOW_FL = 0x00800000;
    internal const uint FS_XFLAG_EXTSIZE = 0x00000800;

    /// <summary>Returns the error number itself. Where the file system cannot, the C library writes to the file.</summary>
    [LibraryImport(Name, EntryPoint = "posix_fallocate")]
    internal static partial int PosixFallocate(int fd, long offset, long length);

    [LibraryImport(Name, EntryPoint = "fsync")]
    internal static partial int Fsync(int fd);
}
