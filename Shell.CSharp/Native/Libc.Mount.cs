using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>Mounts, and the device behind FUSE file systems.</summary>
internal static unsafe partial class Libc
{
    internal const nuint MS_NOSUID = 2;
    internal const nuint MS_NODEV = 4;
    internal const int MNT_DETACH = 2;
    internal const int UMOUNT_NOFOLLOW = 8;

    /// <summary>Makes another descriptor of /dev/fuse one of a mount, with a queue of its own (uapi/linux/fuse.h).</summary>
    internal const nuint FUSE_DEV_IOC_CLONE = 0x8004e500;

    /// <summary>statfs.f_type of file systems over FUSE.</summary>
    internal const long FUSE_SUPER_MAGIC = 0x65735546;

    [LibraryImport(Name, EntryPoint = "fstatfs")]
    private static partial int FStatFs(int fd, long* result);

    /// <summary>The kind of file system that an open file is in: its magic number; zero where it cannot be told.</summary>
    internal static long FileSystemType(int fd)
    {
        // struct statfs (bits/statfs.h): 120 bytes, the type first.
        long* result = stackalloc long[15];
        return FStatFs(fd, result) == 0 ? *result : 0;
    }

    [LibraryImport(Name, EntryPoint = "mount", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Mount(string source, string target, string type, nuint flags, string data);

    [LibraryImport(Name, EntryPoint = "umount2", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Unmount(string target, int flags);

    [LibraryImport(Name, EntryPoint = "realpath", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial byte* RealPath(string path, byte* buffer);

    [LibraryImport(Name, EntryPoint = "geteuid")]
    internal static partial uint GetEffectiveUserId();

    [LibraryImport(Name, EntryPoint = "getegid")]
    internal static partial uint GetEffectiveGroupId();

    [LibraryImport(Name, EntryPoint = "access", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Access(string path, int mode);
}
