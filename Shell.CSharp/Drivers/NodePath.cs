using System;
using System.Threading;
using StorageDaemon.Core.Filter;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Drivers;

/// <summary>A node that a request passes, and where its first byte lies in the leaf.</summary>
internal readonly record struct PassedNode(long Node, long LeafOffset);

/// <summary>What happens to writes that are all zeroes (<c>detect-zeroes</c>).</summary>
internal enum DetectZeroes
{
    Off,
    On,
    Unmap,
}

/// <summary>
/// A chain of nodes, compiled: from an offset of its top to a range of an open file, a null device, or a layer with
/// paths of its own below. Immutable but for its counts; a change of the graph makes a new one.
/// </summary>
internal sealed class NodePath
{
    private readonly IoStats?[] _stats;
    private readonly DataExtent[] _extents;
    private readonly Shortcuts?[] _shortcuts;
    private long _writeLimit = long.MaxValue;

    /// <param name="threads">More than the greatest <c>IOThread.Index</c> of those that serve the path.</param>
    internal NodePath(int threads)
    {
        _stats = new IoStats?[threads];
        _extents = new DataExtent[threads];
        _shortcuts = new Shortcuts?[threads];
    }

    /// <summary>The file at the end; null for the null drivers and for layers.</summary>
    internal required OpenFile? File { get; init; }

    /// <summary>The node at the end that does more than to pass requests on; null for files and null drivers.</summary>
    internal PathLayer? Layer
    {
        get;
        init
        {
            field = value;
            HasShortcuts = value is { Machine.RouteGrainBits: > 0 };
            foreach (NodePath child in value?.Children ?? [])
            {
                child.Parent = this;
            }
        }
    }

    /// <summary>The path whose layer is right above this one; null at the top.</summary>
    internal NodePath? Parent { get; private set; }

    /// <summary>Where the export's first byte lies in the leaf.</summary>
    internal required long BaseOffset { get; init; }

    internal required long SizeBytes { get; init; }

    /// <summary>Bytes from the path's first one to the end of its data: files may have grown since their nodes were made.</summary>
    internal long RealLength
    {
        get
        {
            if (File is { } file)
            {
                long bytes = FileOpener.Size(file.Fd);
                return bytes < 0 ? SizeBytes : bytes - BaseOffset;
            }

            if (Layer?.Machine is PreallocateLayer growing)
            {
                lock (growing)
                {
                    return growing.DataEnd - BaseOffset;
                }
            }

            return Layer != null && SizeBytes == Core.Graph.Path.GrowingBytes
                ? Layer.Children[0].RealLength - BaseOffset
                : SizeBytes;
        }
    }

    /// <summary>A node is read-only or inactive: writes fail whatever the export promised.</summary>
    internal required bool ReadOnly { get; init; }

    /// <summary>The node above the leaf is a format driver.</summary>
    internal bool ViaFormat { get; init; }

    /// <summary>What the nodes' options add to the file's own traits: unmapping, no flushes.</summary>
    internal required FileTraits Traits { get; init; }

    internal required DetectZeroes DetectZeroes { get; init; }

    /// <summary>null-co and null-aio: the time that a request takes, in nanoseconds.</summary>
    internal long LatencyNs { get; init; }

    /// <summary>null-co and null-aio with <c>read-zeroes=on</c>: the device is known to read as zeroes.</summary>
    internal bool ReadsZeroes { get; init; }

    /// <summary>The file that tells holes from data; null where nothing does.</summary>
    internal OpenFile? ExtentsFile { get; init; }

    /// <summary>Where the path's first byte lies in <see cref="ExtentsFile"/>.</summary>
    internal long ExtentsOffset { get; init; }

    /// <summary>Writes that end beyond this offset at the leaf are told to <see cref="BeyondLimit"/>.</summary>
    internal long WriteLimit
    {
        get => Volatile.Read(ref _writeLimit);
        set => Volatile.Write(ref _writeLimit, value);
    }

    /// <summary>Told, on an IOThread, of the first write beyond the limit, with its end at the leaf.</summary>
    internal Action<NodePath, long>? BeyondLimit { get; init; }

    /// <summary>A write is about to be begun.</summary>
    internal void NoteWrite(IoStats stats, long end)
    {
        stats.NoteWriteEnd(end);
        if (end > WriteLimit)
        {
            // Once: there are no limits until new ones are set.
            WriteLimit = long.MaxValue;
            BeyondLimit?.Invoke(this, end);
        }
    }

    /// <summary>The nodes on the way, the top one first.</summary>
    internal required PassedNode[] Nodes { get; init; }

    /// <summary>Whether requests end at a null device.</summary>
    internal bool IsNull => File == null && Layer == null;

    /// <summary>The stretch of data that one IOThread has found last in the path's file.</summary>
    internal ref DataExtent ExtentOf(int threadIndex) => ref _extents[threadIndex];

    /// <summary>Whether reads may end further below than at the path's layer.</summary>
    internal bool HasShortcuts { get; private set; }

    /// <summary>Where they end, as far as one IOThread knows. For paths that have shortcuts.</summary>
    internal Shortcuts ShortcutsOf(int threadIndex) =>
        _shortcuts[threadIndex] ?? (_shortcuts[threadIndex] = new Shortcuts(this));

    /// <summary>The counts of one IOThread; only that thread changes them.</summary>
    internal IoStats StatsOf(int threadIndex) => _stats[threadIndex] ?? (_stats[threadIndex] = new IoStats());

    /// <summary>Requests that wait for throttle groups go at once, until the path is resumed or replaced.</summary>
    internal void SuspendThrottling()
    {
        if (Layer is not { } layer)
        {
            return;
        }

        layer.Throttle?.Suspend();
        foreach (NodePath child in layer.Children)
        {
            child.SuspendThrottling();
        }
    }

    internal void ResumeThrottling()
    {
        if (Layer is not { } layer)
        {
            return;
        }

        layer.Throttle?.Unsuspend();
        foreach (NodePath child in layer.Children)
        {
            child.ResumeThrottling();
        }
    }

    /// <summary>Adds the counts of all threads to others.</summary>
    internal void AddStatsTo(IoStats sum, long baseOffset)
    {
        foreach (IoStats? stats in _stats)
        {
            if (stats != null)
            {
                sum.Add(stats, baseOffset);
            }
        }
    }
}
