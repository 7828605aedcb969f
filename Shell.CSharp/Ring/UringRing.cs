using System;
using System.Diagnostics;
using System.Threading;
using StorageDaemon.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Ring;

/// <summary>io_uring by its raw system calls (uapi/linux/io_uring.h); no liburing.</summary>
internal sealed unsafe class UringRing : IRing
{
    private readonly int _fd;
    private readonly byte* _rings;
    private readonly nuint _ringsLength;
    private readonly IoUringSqe* _sqes;
    private readonly nuint _sqesLength;
    private readonly uint* _sqHead;
    private readonly uint* _sqTail;
    private readonly uint* _sqFlags;
    private readonly uint _sqMask;
    private readonly uint _sqEntries;
    private readonly uint* _cqHead;
    private readonly uint* _cqTail;
    private readonly uint _cqMask;
    private readonly uint _cqEntries;
    private readonly IoUringCqe* _cqes;
    private readonly uint _maxBatch;
    private uint _queued;
    private int _inFlight;

    /// <summary>
    /// Sets a ring up, or returns null with the error number where the kernel has none or forbids it (seccomp,
    /// kernel.io_uring_disabled, RLIMIT_MEMLOCK): the caller falls back to worker threads.
    /// </summary>
    internal static UringRing? TryCreate(uint entries, uint maxBatch, out int errno)
    {
        IoUringParams parameters = default;
        parameters.Flags = IoUring.IORING_SETUP_COOP_TASKRUN | IoUring.IORING_SETUP_TASKRUN_FLAG
            | IoUring.IORING_SETUP_CQSIZE;
        parameters.CqEntries = entries * 4;
        long fd = Libc.Syscall(IoUring.SysSetup, (nint)entries, (nint)(&parameters), 0, 0, 0, 0);
        if (fd < 0 && Libc.Errno == Errno.EINVAL)
        {
            // Kernels before 5.19 do not know COOP_TASKRUN.
            parameters = default;
            fd = Libc.Syscall(IoUring.SysSetup, (nint)entries, (nint)(&parameters), 0, 0, 0, 0);
        }

        errno = fd < 0 ? Libc.Errno : 0;
        if (fd < 0)
        {
            return null;
        }

        const uint needed = IoUring.IORING_FEAT_SINGLE_MMAP | IoUring.IORING_FEAT_NODROP;
        if ((parameters.Features & needed) != needed)
        {
            _ = Libc.Close((int)fd);
            errno = Errno.ENOSYS;
            return null;
        }

        try
        {
            return new UringRing((int)fd, parameters, maxBatch);
        }
        catch (System.IO.IOException)
        {
            _ = Libc.Close((int)fd);
            errno = Errno.ENOMEM;
            return null;
        }
    }

    private UringRing(int fd, in IoUringParams p, uint maxBatch)
    {
        _fd = fd;
        nuint sqLength = p.SqOffsets.Array + (p.SqEntries * sizeof(uint));
        nuint cqLength = p.CqOffsets.Cqes + (p.CqEntries * (uint)sizeof(IoUringCqe));
        _ringsLength = Math.Max(sqLength, cqLength);
        _sqesLength = p.SqEntries * (uint)sizeof(IoUringSqe);
        _rings = (byte*)Map(_ringsLength, IoUring.IORING_OFF_SQ_RING);
        _sqes = (IoUringSqe*)Map(_sqesLength, IoUring.IORING_OFF_SQES);

        _sqHead = (uint*)(_rings + p.SqOffsets.Head);
        _sqTail = (uint*)(_rings + p.SqOffsets.Tail);
        _sqFlags = (uint*)(_rings + p.SqOffsets.Flags);
        _sqMask = *(uint*)(_rings + p.SqOffsets.RingMask);
        _sqEntries = p.SqEntries;
        _cqHead = (uint*)(_rings + p.CqOffsets.Head);
        _cqTail = (uint*)(_rings + p.CqOffsets.Tail);
        _cqMask = *(uint*)(_rings + p.CqOffsets.RingMask);
        _cqEntries = p.CqEntries;
        _cqes = (IoUringCqe*)(_rings + p.CqOffsets.Cqes);
        _maxBatch = maxBatch == 0 ? uint.MaxValue : maxBatch;

        // The indirection array is not used: entry i of the array is always sqe i.
        uint* array = (uint*)(_rings + p.SqOffsets.Array);
        for (uint i = 0; i < p.SqEntries; i++)
        {
            array[i] = i;
        }
    }

    private void* Map(nuint length, long offset)
    {
        void* address = Libc.Mmap(
            null, length, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_SHARED | Libc.MAP_POPULATE, _fd, offset);
        return address == Libc.MapFailed ? throw new System.IO.IOException("cannot map the ring") : address;
    }

    public int PollFd => _fd;

    public int InFlight => _inFlight;

    /// <remarks>Also while the kernel was too short of memory to take what is queued: then the loop comes round again.</remarks>
    public bool HasCompletions =>
        _queued > 0
        || Volatile.Read(ref *_cqTail) != *_cqHead
        || (Volatile.Read(ref *_sqFlags) & (IoUring.IORING_SQ_TASKRUN | IoUring.IORING_SQ_CQ_OVERFLOW)) != 0;

    public bool TrySubmit(in Submission submission)
    {
        // Completions must always find room: IORING_FEAT_NODROP keeps them otherwise, but at a cost.
        if ((uint)_inFlight >= _cqEntries)
        {
            return false;
        }

        uint tail = *_sqTail;
        if (tail - Volatile.Read(ref *_sqHead) >= _sqEntries)
        {
            Flush();
            if (tail - Volatile.Read(ref *_sqHead) >= _sqEntries)
            {
                return false;
            }
        }

        IoUringSqe* sqe = _sqes + (tail & _sqMask);
        *sqe = default;
        sqe->Fd = submission.Fd;
        sqe->UserData = submission.UserData;
        Fill(sqe, submission);
        Volatile.Write(ref *_sqTail, tail + 1);
        _queued++;
        _inFlight++;
        if (_queued >= _maxBatch)
        {
            Flush();
        }

        return true;
    }

    /// <summary>True for what io_uring can do; the rest goes to the workers.</summary>
    internal static bool Supports(FileOp op) => op != FileOp.DiscardDevice;

    private static void Fill(IoUringSqe* sqe, in Submission s)
    {
        switch (s.Op)
        {
            case FileOp.Read:
                sqe->Opcode = IoUring.IORING_OP_READ;
                break;
            case FileOp.Write:
            case FileOp.WriteZeroBuffer:
                sqe->Opcode = IoUring.IORING_OP_WRITE;
                break;
            case FileOp.WriteDsync:
                sqe->Opcode = IoUring.IORING_OP_WRITE;
                sqe->OpFlags = Libc.RWF_DSYNC;
                break;
            case FileOp.Fdatasync:
                sqe->Opcode = IoUring.IORING_OP_FSYNC;
                sqe->OpFlags = IoUring.IORING_FSYNC_DATASYNC;
                return;
            case FileOp.PunchHole:
                FillFallocate(sqe, s, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE);
                return;
            case FileOp.ZeroRange:
                FillFallocate(sqe, s, Libc.FALLOC_FL_ZERO_RANGE);
                return;
            case FileOp.Allocate:
                FillFallocate(sqe, s, 0);
                return;
            case FileOp.Readahead:
                sqe->Opcode = IoUring.IORING_OP_FADVISE;
                sqe->Offset = (ulong)s.Offset;
                sqe->Length = (uint)Math.Min(s.Length, uint.MaxValue);
                sqe->OpFlags = Libc.POSIX_FADV_WILLNEED;
                return;
            default:
                throw new UnreachableException();
        }

        sqe->Offset = (ulong)s.Offset;
        sqe->Address = (ulong)s.Buffer;
        sqe->Length = (uint)s.Length;
    }

    /// <summary>fallocate takes its length in the address member and its mode in the length member.</summary>
    private static void FillFallocate(IoUringSqe* sqe, in Submission s, int mode)
    {
        sqe->Opcode = IoUring.IORING_OP_FALLOCATE;
        sqe->Offset = (ulong)s.Offset;
        sqe->Address = (ulong)s.Length;
        sqe->Length = (uint)mode;
    }

    public void Flush()
    {
        while (_queued > 0)
        {
            long submitted = Libc.Syscall(IoUring.SysEnter, _fd, (nint)_queued, 0, 0, 0, 0);
            if (submitted >= 0)
            {
                _queued -= (uint)Math.Min(submitted, _queued);
                if (submitted == 0)
                {
                    return;
                }

                continue;
            }

            int errno = Libc.Errno;
            if (errno == Errno.EINTR)
            {
                continue;
            }

            // EAGAIN or EBUSY: out of memory for requests, or completions overflowed. They go out with a later flush.
            if (errno is Errno.EAGAIN or Errno.EBUSY)
            {
                return;
            }

            throw new InvalidOperationException("io_uring_enter: " + Libc.Strerror(errno));
        }
    }

    public int Reap(Span<Completion> completions)
    {
        if ((Volatile.Read(ref *_sqFlags) & (IoUring.IORING_SQ_TASKRUN | IoUring.IORING_SQ_CQ_OVERFLOW)) != 0)
        {
            _ = Libc.Syscall(IoUring.SysEnter, _fd, 0, 0, (nint)IoUring.IORING_ENTER_GETEVENTS, 0, 0);
        }

        uint head = *_cqHead;
        uint available = Volatile.Read(ref *_cqTail) - head;
        int count = (int)Math.Min(available, (uint)completions.Length);
        for (int i = 0; i < count; i++)
        {
            IoUringCqe* cqe = _cqes + ((head + (uint)i) & _cqMask);
            completions[i].UserData = cqe->UserData;
            completions[i].Result = cqe->Result;
        }

        Volatile.Write(ref *_cqHead, head + (uint)count);
        _inFlight -= count;
        return count;
    }

    public void Dispose()
    {
        _ = Libc.Munmap(_sqes, _sqesLength);
        _ = Libc.Munmap(_rings, _ringsLength);
        _ = Libc.Close(_fd);
    }
}
