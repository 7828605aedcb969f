using System;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.VhostUser;

/// <summary>Part of a file that another process writes, too, in this process's address space.</summary>
internal sealed unsafe class SharedMapping : IDisposable
{
    private const ulong PageLength = 4096;

    private readonly nint _start;
    private readonly ulong _mappedLength;
    private bool _isDisposed;

    private SharedMapping(nint start, ulong mappedLength, nint address, ulong length)
    {
        _start = start;
        _mappedLength = mappedLength;
        Address = address;
        Length = length;
    }

    /// <summary>Where the first byte is.</summary>
    internal nint Address { get; }

    internal ulong Length { get; }

    /// <summary>
    /// Maps a range; null if that fails, or if the file ends before the range does: an access there would end the
    /// process. The descriptor remains the caller's.
    /// </summary>
    internal static SharedMapping? TryMap(int fd, ulong offset, ulong length)
    {
        if (length == 0 || offset > long.MaxValue - length || Libc.TryStat(fd, out Statx stat) != 0)
        {
            return null;
        }

        int kind = stat.Mode & Libc.S_IFMT;
        if (kind == Libc.S_IFREG ? stat.Size < offset + length : kind != Libc.S_IFCHR)
        {
            return null;
        }

        // Files of huge pages can be mapped and unmapped in whole pages of theirs only, which are their blocks.
        ulong page = Math.Max(stat.BlockSize, PageLength);
        if ((page & (page - 1)) != 0)
        {
            page = PageLength;
        }

        ulong skipped = offset & (page - 1);
        ulong mapped = (skipped + length + page - 1) & ~(page - 1);
        void* start = Libc.Mmap(
            null,
            (nuint)mapped,
            Libc.PROT_READ | Libc.PROT_WRITE,
            Libc.MAP_SHARED | Libc.MAP_NORESERVE,
            fd,
            (long)(offset - skipped));
        return start == Libc.MapFailed
            ? null
            : new SharedMapping((nint)start, mapped, (nint)start + (nint)skipped, length);
    }

    public void Dispose()
    {
        if (!_isDisposed)
        {
            _isDisposed = true;
            _ = Libc.Munmap((void*)_start, (nuint)_mappedLength);
        }
    }
}
