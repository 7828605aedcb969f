using System;
using System.Linq;
using System.Threading;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Graph;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Job;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Jobs;

/// <summary>A node of a script, and the file by whose length its own is changed, if it can be.</summary>
internal sealed record ScriptNode(NodePath Path, FSharpResult<ResizeLeaf, QapiError> Resizing, OpenFile? File);

/// <summary>
/// The nodes that a job's script works on. Between two requests the control thread may take hold of them: then the
/// script rests, and goes on with what they are afterwards.
/// </summary>
/// <param name="report">Told how far the script has come, on its thread.</param>
internal sealed class ScriptNodes(ScriptNode[] nodes, StopSignal stop, Action<long, long> report)
    : IScriptChildren
{
    // A monitor and not a semaphore: who is to let the script rest must not lose each race against its next request.
    private readonly object _gate = new();
    private bool _busy;
    private bool _resting;

    /// <summary>While the script rests or has ended, the control thread's.</summary>
    internal ScriptNode[] Nodes { get; set; } = nodes;

    /// <summary>Waits until no request is in flight, and lets none begin.</summary>
    internal void Rest()
    {
        lock (_gate)
        {
            _resting = true;
            while (_busy)
            {
                _ = Monitor.Wait(_gate);
            }
        }
    }

    internal void GoOn()
    {
        lock (_gate)
        {
            _resting = false;
            Monitor.PulseAll(_gate);
        }
    }

    public NodePath Enter(int child)
    {
        lock (_gate)
        {
            while (_resting)
            {
                _ = Monitor.Wait(_gate);
            }

            _busy = true;
            return Nodes[child].Path;
        }
    }

    public void Leave()
    {
        lock (_gate)
        {
            _busy = false;
            Monitor.PulseAll(_gate);
        }
    }

    public long Measure(int child)
    {
        _ = Enter(child);
        ScriptNode node = Nodes[child];
        long bytes = node.File is { } file
            ? Math.Max(0, FileOpener.Size(file.Fd) - node.Resizing.ResultValue.OffsetBytes)
            : node.Path.RealLength;
        Leave();
        return bytes;
    }

    public bool IsStopped => stop.IsSet;

    public void Report(long current, long total) => report(current, total);

    /// <summary>On a descriptor of its own: it may take minutes, which nobody is to wait for.</summary>
    public FSharpResult<Unit, string> Resize(int child, long bytes, GrowthMode mode)
    {
        _ = Enter(child);
        ScriptNode node = Nodes[child];
        int fd = node.File is { } file ? Libc.Fcntl(file.Fd, Libc.F_DUPFD_CLOEXEC, 0) : -1;
        int errno = fd < 0 ? Libc.Errno : 0;
        Leave();

        if (node.Resizing.IsError)
        {
            return FSharpResult<Unit, string>.NewError(node.Resizing.ErrorValue.Desc);
        }

        if (fd < 0)
        {
            return FSharpResult<Unit, string>.NewError("Could not resize file: " + Libc.Strerror(errno));
        }

        FSharpResult<Unit, string> result = Resize(fd, node.Resizing.ResultValue, bytes, mode);
        _ = Libc.Close(fd);
        return result;
    }

    private FSharpResult<Unit, string> Resize(int fd, ResizeLeaf leaf, long bytes, GrowthMode mode)
    {
        long current = FileOpener.Size(fd);
        if (current < 0)
        {
            return FSharpResult<Unit, string>.NewError("Could not resize file: " + Libc.Strerror((int)-current));
        }

        if (leaf.IsDevice)
        {
            return NodeScriptModule.checkDevice(current, leaf.OffsetBytes + bytes, mode);
        }

        FileTask task = GrowFile.task(current, leaf.OffsetBytes + bytes, mode);
        return NodeScriptModule.resized(task, FileTaskRunner.Run(fd, task, stop));
    }

    /// <summary>How long the nodes' files are.</summary>
    internal FSharpList<long> FileBytes()
    {
        _ = Enter(0);
        FSharpList<long> bytes = ListModule.OfSeq(
            Nodes.Select(node => node.File is { } file ? Math.Max(0, FileOpener.Size(file.Fd)) : 0));
        Leave();
        return bytes;
    }
}
