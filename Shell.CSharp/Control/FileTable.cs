using System;
using System.Collections.Generic;
using System.Linq;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Graph;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Observe;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Control;

/// <summary>
/// The open files of the graph's nodes, and the steps of a graph change on them: open, lock, reopen, close. On the
/// control thread only.
/// </summary>
internal sealed class FileTable(NodeTable nodes) : IDisposable
{
    private readonly Dictionary<long, OpenFile> _files = [];
    private readonly List<HostFile> _opened = [];

    internal OpenFile this[long node] => _files[node];

    /// <summary>Opens files in order; they wait to be adopted or discarded.</summary>
    internal Answer Open(FSharpList<OpenRequest> requests) =>
        Answer.NewOpenOutcomes(ListModule.OfSeq(requests.Select(OpenOne).ToArray()));

    private OpenOutcome OpenOne(OpenRequest request)
    {
        int fd = OpenDescriptor(request);
        if (fd < 0)
        {
            return OpenOutcome.NewNotOpened(Libc.Strerror(-fd));
        }

        int errno = FileOpener.Inspect(fd, request.Direct, out HostFile opened);
        if (errno != 0)
        {
            _ = Libc.Close(fd);
            return OpenOutcome.NewNotOpened(Libc.Strerror(errno));
        }

        _opened.Add(opened);
        OpenedKind kind = opened.IsRegular ? OpenedKind.PlainFile
            : opened.IsBlockDevice ? OpenedKind.BlockDevice
            : opened.IsCharDevice ? OpenedKind.CharacterDevice
            : OpenedKind.OtherFile;
        return OpenOutcome.NewOpened(new OpenedFile(kind, opened.SizeBytes, opened.Alignment));
    }

    /// <summary>A CD-ROM drive without a disc can only be opened without waiting for one.</summary>
    private static int OpenDescriptor(OpenRequest request) =>
        FileOpener.Open(request.Path, request.Writable, request.Direct, nonBlocking: request.Kind.IsHostCdrom);

    internal void DiscardOpened()
    {
        foreach (HostFile file in _opened)
        {
            _ = Libc.Close(file.Fd);
        }

        _opened.Clear();
    }

    /// <summary>Gives the opened files to their new nodes, then runs the change's steps: all of them or none.</summary>
    internal Answer Apply(FSharpList<AdoptedFile> adopted, FSharpList<FileChange> changes)
    {
        int next = 0;
        foreach (AdoptedFile file in adopted)
        {
            HostFile opened = _opened[next++];
            Trace.Write(TracePoints.NodeOpen, "node=" + file.Node + " fd=" + opened.Fd);
            _files.Add(file.Node, Adopt(opened, file));
        }

        _opened.RemoveRange(0, next);
        FileChange[] all = [.. changes];
        int[] reopened = new int[all.Length];
        Array.Fill(reopened, -1);
        for (int i = 0; i < all.Length; i++)
        {
            QapiError? error = Prepare(all[i], out reopened[i]);
            if (error != null)
            {
                Abandon(all, i, reopened);
                return Answer.NewRefused(error);
            }
        }

        List<Tuple<long, int>> alignments = [];
        for (int i = 0; i < all.Length; i++)
        {
            if (Complete(all[i], reopened[i]))
            {
                alignments.Add(Tuple.Create(all[i].Node, _files[all[i].Node].Alignment));
            }
        }

        return Answer.NewApplied(ListModule.OfSeq(alignments));
    }

    private static OpenFile Adopt(in HostFile host, AdoptedFile file)
    {
        FileTraits traits = (host.IsBlockDevice ? FileTraits.BlockDevice : FileTraits.None)
            | (file.Direct ? FileTraits.Direct : FileTraits.None);
        AioEngine engine = file.Aio.IsAioThreads ? AioEngine.Threads : AioEngine.IoUring;
        return new OpenFile(host.Fd, engine, traits, host.Alignment);
    }

    /// <summary>Opens anew where that is asked, and takes the locks; after an error nothing of this change is left.</summary>
    private QapiError? Prepare(FileChange change, out int reopened)
    {
        reopened = -1;
        if (change.Reopen is { } request)
        {
            reopened = OpenDescriptor(request.Value);
            if (reopened < 0)
            {
                int errno = -reopened;
                reopened = -1;
                return OpenFailure.error(change.Filename, Libc.Strerror(errno));
            }
        }

        int fd = _files[change.Node].Fd;
        int done = 0;
        foreach (LockStep step in change.Locks.Steps)
        {
            if (!ImageLocks.TryRun(fd, step))
            {
                Release(fd, Locks.rollback(change.Locks, done));
                if (reopened >= 0)
                {
                    _ = Libc.Close(reopened);
                    reopened = -1;
                }

                return Locks.failure(change.Filename, step);
            }

            done++;
        }

        return null;
    }

    private static void Release(int fd, FSharpList<long> positions)
    {
        foreach (long position in positions)
        {
            ImageLocks.Release(fd, position);
        }
    }

    /// <summary>Undoes the first changes, which had been prepared.</summary>
    private void Abandon(FileChange[] changes, int count, int[] reopened)
    {
        for (int i = 0; i < count; i++)
        {
            Release(_files[changes[i].Node].Fd, Locks.rollback(changes[i].Locks, changes[i].Locks.Steps.Length));
            if (reopened[i] >= 0)
            {
                _ = Libc.Close(reopened[i]);
            }
        }
    }

    /// <summary>Puts a prepared change in place; whether the file has another alignment now.</summary>
    private bool Complete(FileChange change, int reopened)
    {
        OpenFile file = _files[change.Node];
        Cut(change);
        if (reopened < 0)
        {
            Release(file.Fd, change.Locks.Release);
            return false;
        }

        foreach (long held in change.Locks.Held)
        {
            _ = ImageLocks.Take(reopened, held);
        }

        bool direct = change.Reopen.Value.Direct;
        if (direct != ((file.Traits & FileTraits.Direct) != 0)
            && FileOpener.Inspect(reopened, direct, out HostFile host) == 0)
        {
            // Nothing is in flight: whoever uses the file rests, and takes the new one.
            FileTraits traits = (file.Traits & FileTraits.BlockDevice) | (direct ? FileTraits.Direct : FileTraits.None);
            _files[change.Node] = new OpenFile(host.Fd, file.Engine, traits, host.Alignment);
            file.Dispose();
            return true;
        }

        // The number stays: requests in flight have the old description, new ones get the new.
        _ = Libc.Dup3(reopened, file.Fd, Libc.O_CLOEXEC);
        _ = Libc.Close(reopened);
        file.FollowReopen();
        return false;
    }

    /// <summary>
    /// Lets a file that no longer grows ahead of its data end with them. Whoever wrote to it rests. Where that fails,
    /// the file stays longer than it has to be.
    /// </summary>
    private void Cut(FileChange change)
    {
        if (change.Cut is { } node && nodes.EndPreallocation(node.Value) is { } machine)
        {
            int fd = _files[change.Node].Fd;
            FSharpValueOption<long> end = machine.CutFrom(FileOpener.Size(fd));
            if (end.IsSome)
            {
                _ = Libc.FTruncate(fd, end.Value);
            }
        }
    }

    /// <summary>Steps that only give something up: errors are ignored.</summary>
    internal void Relax(FSharpList<FileChange> changes)
    {
        foreach (FileChange change in changes)
        {
            if (!_files.ContainsKey(change.Node))
            {
                continue;
            }

            Cut(change);
            if (Prepare(change, out int reopened) == null)
            {
                _ = Complete(change, reopened);
            }
        }
    }

    internal void Close(FSharpList<long> nodes)
    {
        foreach (long node in nodes)
        {
            if (_files.Remove(node, out OpenFile? file))
            {
                Trace.Write(TracePoints.NodeClose, "node=" + node);
                file.Dispose();
            }
        }
    }

    internal Answer Truncate(long node, long bytes) =>
        Libc.FTruncate(_files[node].Fd, bytes) == 0 ? Measure(node) : NotMeasured(Libc.Errno);

    internal Answer Measure(long node)
    {
        long bytes = FileOpener.Size(_files[node].Fd);
        return bytes >= 0 ? Answer.NewMeasured(bytes) : NotMeasured((int)-bytes);
    }

    private static Answer NotMeasured(int errno) => Answer.NewNotMeasured(errno, Libc.Strerror(errno));

    internal Answer AllocatedSizes(FSharpList<long> nodes) =>
        Answer.NewSizes(new FSharpMap<long, long>(
            nodes.Select(node => Tuple.Create(node, Math.Max(0, FileOpener.AllocatedSize(_files[node].Fd))))));

    /// <summary>Discards that reached each file.</summary>
    internal IEnumerable<(long Node, Core.Qapi.BlockStatsSpecificFile Discards)> Discards() =>
        _files.Select(entry => (
            entry.Key,
            new Core.Qapi.BlockStatsSpecificFile(
                entry.Value.DiscardsOk, entry.Value.DiscardsFailed, entry.Value.DiscardedBytes)));

    public void Dispose()
    {
        DiscardOpened();
        foreach (OpenFile file in _files.Values)
        {
            file.Dispose();
        }

        _files.Clear();
    }
}
