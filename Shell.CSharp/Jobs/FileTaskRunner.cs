using System;
using System.Collections.Generic;
using System.Diagnostics;
using Microsoft.FSharp.Collections;
using StorageDaemon.Core;
using StorageDaemon.Core.Job;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Jobs;

/// <summary>Takes the steps of a file task. Which steps, and what their failures mean, is decided in the core.</summary>
internal static unsafe class FileTaskRunner
{
    private const nuint ZeroesBytes = 1 << 20;

    /// <summary>Takes the steps in order, to the end, to one that must not fail, or to where it is told to stop.</summary>
    internal static FileTaskReport Run(int fd, FileTask task, StopSignal stop)
    {
        List<FailedStep> failed = [];
        bool fatal = false;
        int index = 0;
        foreach (Tuple<FileStep, StepFailure> step in task.Steps)
        {
            if (stop.IsSet)
            {
                break;
            }

            int errno = Take(fd, step.Item1, stop);
            if (errno != 0 && !(errno == Errno.ECANCELED && stop.IsSet))
            {
                failed.Add(new FailedStep(index, Libc.Strerror(errno)));
                fatal = FileTaskModule.isFatal(task, index);
                if (fatal)
                {
                    break;
                }
            }

            index++;
        }

        bool stopped = !fatal && stop.IsSet;
        if (stopped || fatal || task.Verdict.IsError)
        {
            _ = Libc.FTruncate(fd, task.LengthOnFailureBytes);
        }

        return new FileTaskReport(ListModule.OfSeq(failed), stopped);
    }

    /// <summary>Zero, or an error number.</summary>
    private static int Take(int fd, FileStep step, StopSignal stop) =>
        step switch
        {
            FileStep.SetLength set => Check(Libc.FTruncate(fd, set.bytes)),
            FileStep.Allocate allocate => Allocate(fd, allocate.from, allocate.bytes),
            FileStep.FillWithZeroes fill => FillWithZeroes(fd, fill.from, fill.bytes, stop),
            FileStep.ExtendBy extend => ExtendBy(fd, extend.bytes),
            { IsFlushToDisk: true } => Check(Libc.Fsync(fd)),
            { IsWriteInPlace: true } => WriteInPlace(fd),
            _ => throw new UnreachableException(),
        };

    private static int Check(int result) => result < 0 ? Libc.Errno : 0;

    private static int Allocate(int fd, long from, long bytes)
    {
        int errno;
        do
        {
            errno = Libc.PosixFallocate(fd, from, bytes);
        }
        while (errno == Errno.EINTR);
        return errno;
    }

    private static int FillWithZeroes(int fd, long from, long bytes, StopSignal stop)
    {
        // Never written to, so that all of it is the kernel's one page of zeroes.
        void* zeroes = Libc.Mmap(null, ZeroesBytes, Libc.PROT_READ, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        if (zeroes == Libc.MapFailed)
        {
            return Libc.Errno;
        }

        int errno = 0;
        long offset = from;
        long end = from + bytes;
        while (offset < end && errno == 0)
        {
            if (stop.IsSet)
            {
                errno = Errno.ECANCELED;
                break;
            }

            IoVec iov = new() { Base = zeroes, Length = (nuint)Math.Min((long)ZeroesBytes, end - offset) };
            nint count = Libc.Pwritev2(fd, &iov, 1, offset, 0);
            if (count > 0)
            {
                offset += count;
            }
            else if (count == 0)
            {
                errno = Errno.ENOSPC;
            }
            else if (Libc.Errno is int failure and not Errno.EINTR)
            {
                errno = failure;
            }
        }

        _ = Libc.Munmap(zeroes, ZeroesBytes);
        return errno;
    }

    private static int WriteInPlace(int fd)
    {
        long flags = 0;
        if (Libc.Ioctl(fd, Libc.FS_IOC_GETFLAGS, &flags) < 0)
        {
            return Libc.Errno;
        }

        flags |= Libc.FS_NOCOW_FL;
        return Check(Libc.Ioctl(fd, Libc.FS_IOC_SETFLAGS, &flags));
    }

    private static int ExtendBy(int fd, uint bytes)
    {
        FsXAttr attributes = default;
        if (Libc.Ioctl(fd, Libc.FS_IOC_FSGETXATTR, &attributes) < 0)
        {
            return Libc.Errno;
        }

        attributes.Flags |= Libc.FS_XFLAG_EXTSIZE;
        attributes.ExtentSizeBytes = bytes;
        return Check(Libc.Ioctl(fd, Libc.FS_IOC_FSSETXATTR, &attributes));
    }
}
