using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>
/// struct statx (uapi/linux/stat.h), the same on every architecture; members behind the device numbers are left out.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = SizeBytes)]
internal struct Statx
{
    internal const int SizeBytes = 256;

    internal uint Mask;
    internal uint BlockSize;
    internal ulong Attributes;
    internal uint LinkCount;
    internal uint UserId;
    internal uint GroupId;
    internal ushort Mode;
    internal ushort Spare;
    internal ulong Inode;
    internal ulong Size;
    internal ulong Blocks;
    internal ulong AttributesMask;
    internal long AccessSeconds;
    internal ulong AccessNanoseconds;
    internal long BirthSeconds;
    internal ulong BirthNanoseconds;
    internal long ChangeSeconds;
    internal ulong ChangeNanoseconds;
    internal long ModifySeconds;
    internal ulong ModifyNanoseconds;
    internal uint DeviceMajorOfNode;
    internal uint DeviceMinorOfNode;
    internal uint DeviceMajor;
    internal uint DeviceMinor;
    internal ulong MountId;

    /// <summary>O_DIRECT alignment of memory and of offset and length, zero where unknown (Linux 6.1).</summary>
    internal uint DioMemoryAlign;
    internal uint DioOffsetAlign;
}

/// <summary>Which file a path or a descriptor is: stays the same while the file exists.</summary>
internal readonly record struct FileIdentity(uint DeviceMajor, uint DeviceMinor, ulong Inode)
{
    /// <summary>Identity of what stands at a path (a symbolic link itself), or null when there is nothing.</summary>
    internal static FileIdentity? OfPath(string path) =>
        Libc.TryStat(path, out Statx stat) == 0 ? Of(stat) : null;

    /// <summary>Identity of an open file, or null for a bad descriptor.</summary>
    internal static FileIdentity? OfDescriptor(int fd) =>
        Libc.TryStat(fd, out Statx stat) == 0 ? Of(stat) : null;

    private static FileIdentity Of(in Statx stat) => new(stat.DeviceMajor, stat.DeviceMinor, stat.Inode);
}

/// <summary>What a file is.</summary>
internal static unsafe partial class Libc
{
    internal const int AT_FDCWD = -100;
    internal const int AT_SYMLINK_NOFOLLOW = 0x100;
    internal const int AT_EMPTY_PATH = 0x1000;
    internal const uint STATX_BASIC_STATS = 0x7ff;
    internal const uint STATX_DIOALIGN = 0x2000;
    internal const int S_IFBLK = 0x6000;
    internal const int S_IFMT = 0xf000;
    internal const int S_IFSOCK = 0xc000;
    internal const int S_IFLNK = 0xa000;
    internal const int S_IFREG = 0x8000;
    internal const int S_IFDIR = 0x4000;
    internal const int S_IFCHR = 0x2000;
    internal const int S_IFIFO = 0x1000;

    [LibraryImport(Name, EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int StatxRaw(int directory, string path, int flags, uint mask, Statx* result);

    /// <summary>What stands at a path, without following a symbolic link; 0 or the error number.</summary>
    internal static int TryStat(string path, out Statx stat)
    {
        fixed (Statx* result = &stat)
        {
            return StatxRaw(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, result) == 0 ? 0 : Errno;
        }
    }

    /// <summary>What an open descriptor is; 0 or the error number.</summary>
    internal static int TryStat(int fd, out Statx stat)
    {
        fixed (Statx* result = &stat)
        {
            return StatxRaw(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, result) == 0 ? 0 : Errno;
        }
    }
}
