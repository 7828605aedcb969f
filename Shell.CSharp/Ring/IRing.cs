using System;
using StorageDaemon.Core.Io;

namespace StorageDaemon.Shell.Ring;

/// <summary>One operation on an open file, as <see cref="FileRequest"/> asks for it.</summary>
internal unsafe struct Submission
{
    /// <summary>Comes back with the completion: slot number and generation.</summary>
    internal ulong UserData;
    internal FileOp Op;
    internal int Fd;
    internal long Offset;
    internal long Length;
    /// <summary>Where the data are or go; null for operations without data.</summary>
    internal byte* Buffer;
}

/// <summary>The end of one operation: a byte count or zero, or a negative error number.</summary>
internal struct Completion
{
    internal ulong UserData;
    internal long Result;
}

/// <summary>
/// Asynchronous file operations of one IOThread: the io_uring of the kernel, a pool of worker threads where there is
/// none (or <c>aio=threads</c> asks for it), or a simulated device in tests. All members belong to the IOThread.
/// </summary>
internal interface IRing : IDisposable
{
    /// <summary>Readable when completions wait; for epoll.</summary>
    int PollFd { get; }

    /// <summary>Operations submitted whose completion has not been reaped.</summary>
    int InFlight { get; }

    /// <summary>True without a system call when <see cref="Reap"/> would find something.</summary>
    bool HasCompletions { get; }

    /// <summary>Queues an operation; false when the ring is full: flush, reap, and come again.</summary>
    bool TrySubmit(in Submission submission);

    /// <summary>Hands all queued operations to the kernel or the workers.</summary>
    void Flush();

    /// <summary>Takes completions, as many as fit.</summary>
    int Reap(Span<Completion> completions);
}
