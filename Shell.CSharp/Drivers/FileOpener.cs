using System;
using System.Runtime.InteropServices;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Shell.Exports.Fuse;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Drivers;

/// <summary>What an opened path turned out to be.</summary>
internal readonly record struct HostFile(
    int Fd, bool IsRegular, bool IsBlockDevice, bool IsCharDevice, long SizeBytes, int Alignment);

/// <summary>Opening image files and devices by their own system calls: the framework's streams would lock them.</summary>
internal static unsafe class FileOpener
{
    private const int MaxAlignment = 4096;

    // 0644, less what the umask takes away.
    private const uint NewFileMode = 0x1a4;

    /// <summary>Paths that name descriptors of a set, of which there are none.</summary>
    private const string DescriptorSets = "/dev/fdset/";

    /// <summary>Opens a path; a negative error number if that fails.</summary>
    internal static int Open(string path, bool writable, bool direct, bool nonBlocking)
    {
        if (path.StartsWith(DescriptorSets, StringComparison.Ordinal))
        {
            return -Errno.ENOSYS;
        }

        int flags = Libc.O_CLOEXEC
            | (writable ? Libc.O_RDWR : Libc.O_RDONLY)
            | (direct ? Libc.O_DIRECT : 0)
            | (nonBlocking ? Libc.O_NONBLOCK : 0);
        return Open(path, flags, 0);
    }

    /// <summary>Opens a path for reading and writing, and makes a file where nothing is; a negative error number if that fails.</summary>
    internal static int OpenOrCreate(string path) => Open(path, Libc.O_CLOEXEC | Libc.O_RDWR | Libc.O_CREAT, NewFileMode);

    private static int Open(string path, int flags, uint mode)
    {
        while (true)
        {
            int fd = Libc.Open(path, flags, mode);
            if (fd >= 0)
            {
                return fd;
            }

            // A daemon that was killed may have left its mount on the very image that it showed.
            int errno = Libc.Errno;
            if (errno != Errno.EINTR && !(errno == Errno.ENOTCONN && FuseMount.ClearDead(path)))
            {
                return -errno;
            }
        }
    }

    /// <summary>Looks an open descriptor over; zero, or the error number of what failed.</summary>
    internal static int Inspect(int fd, bool direct, out HostFile file)
    {
        file = default;
        int errno = Libc.TryStat(fd, out Statx stat);
        if (errno != 0)
        {
            return errno;
        }

        int type = stat.Mode & Libc.S_IFMT;
        bool isBlock = type == Libc.S_IFBLK;
        long size = (long)stat.Size;
        if (isBlock)
        {
            ulong bytes;
            if (Libc.Ioctl(fd, Libc.BLKGETSIZE64, &bytes) < 0)
            {
                return Libc.Errno;
            }

            size = (long)bytes;
        }

        int alignment = direct ? DirectAlignment(fd, isBlock, stat) : 1;
        if (alignment == 0)
        {
            return Errno.EINVAL;
        }

        file = new HostFile(fd, type == Libc.S_IFREG, isBlock, type == Libc.S_IFCHR, size, alignment);
        return 0;
    }

    /// <summary>Bytes to which direct I/O must be aligned: as the kernel says, or as trying shows; zero if nothing works.</summary>
    private static int DirectAlignment(int fd, bool isBlock, in Statx stat)
    {
        if (stat.DioOffsetAlign != 0)
        {
            return (int)Math.Max(stat.DioOffsetAlign, stat.DioMemoryAlign);
        }

        if (isBlock)
        {
            int sector;
            if (Libc.Ioctl(fd, Libc.BLKSSZGET, &sector) == 0 && sector > 0)
            {
                return sector;
            }
        }

        void* memory = NativeMemory.AlignedAlloc(MaxAlignment, MaxAlignment);
        try
        {
            for (int candidate = 512; candidate <= MaxAlignment; candidate *= 2)
            {
                IoVec iov = new() { Base = memory, Length = (nuint)candidate };
                if (Libc.Preadv2(fd, &iov, 1, candidate, 0) >= 0 || Libc.Errno != Errno.EINVAL)
                {
                    return candidate;
                }
            }

            return 0;
        }
        finally
        {
            NativeMemory.AlignedFree(memory);
        }
    }

    /// <summary>Current size in bytes, or a negative error number.</summary>
    internal static long Size(int fd)
    {
        int errno = Inspect(fd, direct: false, out HostFile file);
        return errno == 0 ? file.SizeBytes : -errno;
    }

    /// <summary>Bytes that a file takes on disk, or a negative error number.</summary>
    internal static long AllocatedSize(int fd)
    {
        int errno = Libc.TryStat(fd, out Statx stat);
        return errno != 0 ? -errno : (long)stat.Blocks * 512;
    }

    /// <summary>Whether a path leads to a device, and how its contents begin; nothing of what cannot be opened.</summary>
    internal static Answer Probe(string path)
    {
        int fd = Open(path, writable: false, direct: false, nonBlocking: true);
        if (fd < 0)
        {
            return Answer.NewProbed(false, []);
        }

        byte[] start = new byte[NamedImages.ProbeBytes];
        bool isDevice = false;
        nint count = 0;
        if (Inspect(fd, false, out HostFile file) == 0 && (file.IsRegular || file.IsBlockDevice || file.IsCharDevice))
        {
            isDevice = !file.IsRegular;
            fixed (byte* bytes = start)
            {
                count = Math.Max(0, Libc.Read(fd, bytes, (nuint)start.Length));
            }
        }

        _ = Libc.Close(fd);
        return Answer.NewProbed(isDevice, start[..(int)count]);
    }
}
