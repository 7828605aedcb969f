using System;
using System.Globalization;
using System.Threading;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Drivers;

/// <summary>How requests on a file reach the kernel (<c>aio=</c>).</summary>
internal enum AioEngine
{
    IoUring,
    Threads,
}

/// <summary>
/// An open file or device of a node, shared by all IOThreads. What is learnt about it on the way (missing fallocate
/// modes, a failed flush) is kept here.
/// </summary>
internal sealed unsafe class OpenFile : IDisposable
{
    private readonly bool _isLocal;
    private int _traits;
    private int _flushError;
    private int _holeGeneration;
    private int _bufferedFd = -1;
    private long _discardsOk;
    private long _discardsFailed;
    private long _discardedBytes;

    internal OpenFile(int fd, AioEngine engine, FileTraits traits, int alignment)
    {
        Fd = fd;
        Engine = engine;
        Alignment = alignment;
        _traits = (int)traits;
        _isLocal = Libc.FileSystemType(fd) != Libc.FUSE_SUPER_MAGIC;
        Gate = alignment > 1 ? new WriteGate() : null;
    }

    /// <summary>Keeps unaligned writes apart from the others; null where every write is aligned.</summary>
    internal WriteGate? Gate { get; }

    internal int Fd { get; private set; }

    internal AioEngine Engine { get; }

    /// <summary>Bytes to which offset, length and memory must be aligned; 1 without O_DIRECT.</summary>
    internal int Alignment { get; }

    internal FileTraits Traits => (FileTraits)Volatile.Read(ref _traits);

    /// <summary>
    /// What the page cache can do at once may be done without the ring. Of a file over FUSE it can do nothing: whoever
    /// serves it might be the thread that waits for it.
    /// </summary>
    internal bool CanReadInline => _isLocal && (Traits & FileTraits.Direct) == 0;

    /// <summary>
    /// The error of a flush that failed: the kernel has dropped the dirty pages, so later flushes must not claim
    /// success. Zero if none did.
    /// </summary>
    internal int FlushError => Volatile.Read(ref _flushError);

    /// <summary>Changes whenever a request may have made a hole, so that remembered data extents are looked up again.</summary>
    internal int HoleGeneration => Volatile.Read(ref _holeGeneration);

    internal void Learn(FileTraits missing)
    {
        if (missing != FileTraits.None)
        {
            _ = Interlocked.Or(ref _traits, (int)missing);
        }
    }

    internal void SetFlushError(int errno)
    {
        if ((Traits & FileTraits.Direct) == 0)
        {
            _ = Interlocked.CompareExchange(ref _flushError, errno, 0);
        }
    }

    internal ulong DiscardsOk => (ulong)Volatile.Read(ref _discardsOk);

    internal ulong DiscardsFailed => (ulong)Volatile.Read(ref _discardsFailed);

    internal ulong DiscardedBytes => (ulong)Volatile.Read(ref _discardedBytes);

    internal void NoteDiscard(long lengthBytes, bool ok)
    {
        if (ok)
        {
            _ = Interlocked.Increment(ref _discardsOk);
            _ = Interlocked.Add(ref _discardedBytes, lengthBytes);
        }
        else
        {
            _ = Interlocked.Increment(ref _discardsFailed);
        }
    }

    internal void NoteHole() => Interlocked.Increment(ref _holeGeneration);

    /// <summary>Whether a range and its memory can be transferred with O_DIRECT.</summary>
    internal bool IsAligned(long offset, long length, byte* buffer) =>
        ((offset | length | (long)buffer) & (Alignment - 1L)) == 0;

    /// <summary>
    /// The descriptor for a range: unaligned requests on an O_DIRECT file go through the page cache by a second
    /// descriptor. The kernel writes cached pages back and drops them around direct I/O, so both views agree as long as
    /// an unaligned write and another one do not overlap in time: see <see cref="Gate"/>.
    /// </summary>
    internal int FdFor(long offset, long length, byte* buffer)
    {
        if (IsAligned(offset, length, buffer))
        {
            return Fd;
        }

        int fd = Volatile.Read(ref _bufferedFd);
        return fd >= 0 ? fd : OpenBuffered();
    }

    /// <summary>The file was opened anew with other rights under the same number: the second descriptor follows.</summary>
    internal void FollowReopen()
    {
        int twin = Volatile.Read(ref _bufferedFd);
        int fd = twin < 0 ? -1 : OpenWithoutDirect();
        if (fd >= 0)
        {
            _ = Libc.Dup3(fd, twin, Libc.O_CLOEXEC);
            _ = Libc.Close(fd);
        }
    }

    private int OpenWithoutDirect()
    {
        int flags = Libc.Fcntl(Fd, Libc.F_GETFL, 0) & 3;
        string path = "/proc/self/fd/" + Fd.ToString(CultureInfo.InvariantCulture);
        return Libc.Open(path, flags | Libc.O_CLOEXEC, 0);
    }

    private int OpenBuffered()
    {
        int fd = OpenWithoutDirect();
        if (fd < 0)
        {
            return Fd;
        }

        int before = Interlocked.CompareExchange(ref _bufferedFd, fd, -1);
        if (before >= 0)
        {
            _ = Libc.Close(fd);
            return before;
        }

        return fd;
    }

    /// <summary>Closes; no request may be in flight.</summary>
    public void Dispose()
    {
        if (Fd >= 0)
        {
            _ = Libc.Close(Fd);
            Fd = -1;
        }

        if (_bufferedFd >= 0)
        {
            _ = Libc.Close(_bufferedFd);
            _bufferedFd = -1;
        }
    }
}
