using System;
using System.Diagnostics;
using StorageDaemon.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Ring;

namespace StorageDaemon.Shell.Drivers;

/// <summary>The operations of <see cref="FileRequest"/> as blocking system calls.</summary>
internal static unsafe class FileOps
{
    /// <summary>Runs one operation to its end: a byte count or zero, or a negative error number.</summary>
    internal static long Execute(in Submission s)
    {
        IoVec iov = new() { Base = s.Buffer, Length = (nuint)s.Length };
        switch (s.Op)
        {
            case FileOp.Read:
                return Check(Libc.Preadv2(s.Fd, &iov, 1, s.Offset, 0));
            case FileOp.Write:
            case FileOp.WriteZeroBuffer:
                return Check(Libc.Pwritev2(s.Fd, &iov, 1, s.Offset, 0));
            case FileOp.WriteDsync:
                return Check(Libc.Pwritev2(s.Fd, &iov, 1, s.Offset, Libc.RWF_DSYNC));
            case FileOp.PunchHole:
                return Check(Libc.Fallocate(
                    s.Fd, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, s.Offset, s.Length));
            case FileOp.ZeroRange:
                return Check(Libc.Fallocate(
                    s.Fd, Libc.FALLOC_FL_ZERO_RANGE, s.Offset, s.Length));
            case FileOp.Allocate:
                return Check(Libc.Fallocate(s.Fd, 0, s.Offset, s.Length));
            case FileOp.Fdatasync:
                return Check(Libc.Fdatasync(s.Fd));
            case FileOp.DiscardDevice:
                ulong* range = stackalloc ulong[2] { (ulong)s.Offset, (ulong)s.Length };
                return Check(Libc.Ioctl(s.Fd, Libc.BLKDISCARD, range));
            case FileOp.Readahead:
                // posix_fadvise returns the error number itself.
                return -Libc.PosixFadvise(s.Fd, s.Offset, s.Length, Libc.POSIX_FADV_WILLNEED);
            default:
                throw new UnreachableException();
        }
    }

    private static long Check(nint result) => result >= 0 ? result : -Libc.Errno;
}
