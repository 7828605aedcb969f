using System.Threading;
using StorageDaemon.Core.Io;

namespace StorageDaemon.Shell.Drivers;

/// <summary>What a node remembers of the requests that passed it.</summary>
internal sealed class NodeCounters
{
    private long _writeHighestOffset;

    /// <summary>End of the highest write so far, in bytes (<c>wr_highest_offset</c>).</summary>
    internal long WriteHighestOffset => Volatile.Read(ref _writeHighestOffset);

    internal void NoteWrite(long end)
    {
        long seen = Volatile.Read(ref _writeHighestOffset);
        while (end > seen)
        {
            long now = Interlocked.CompareExchange(ref _writeHighestOffset, end, seen);
            if (now == seen)
            {
                return;
            }

            seen = now;
        }
    }
}

/// <summary>A node that a request passes, and where its first byte lies in the leaf.</summary>
internal readonly record struct PassedNode(NodeCounters Counters, long LeafOffset);

/// <summary>What happens to writes that are all zeroes (<c>detect-zeroes</c>).</summary>
internal enum DetectZeroes
{
    Off,
    On,
    Unmap,
}

/// <summary>
/// The graph below an export, compiled: from an offset of the export to a range of an open file or a null device.
/// Immutable; a change of the graph makes a new one.
/// </summary>
internal sealed class NodePath
{
    /// <summary>Null for the null drivers.</summary>
    internal required OpenFile? File { get; init; }

    /// <summary>Where the export's first byte lies in the file.</summary>
    internal required long BaseOffset { get; init; }

    internal required long SizeBytes { get; init; }

    /// <summary>A layer is read-only or inactive: writes fail whatever the export promised.</summary>
    internal required bool ReadOnly { get; init; }

    /// <summary>What the nodes' options add to the file's own traits: unmapping, no flushes.</summary>
    internal required FileTraits Traits { get; init; }

    internal required DetectZeroes DetectZeroes { get; init; }

    /// <summary>null-co and null-aio: the time that a request takes, in nanoseconds.</summary>
    internal long LatencyNs { get; init; }

    /// <summary>null-co and null-aio with <c>read-zeroes=on</c>: the device is known to read as zeroes.</summary>
    internal bool ReadsZeroes { get; init; }

    /// <summary>The nodes on the way, the export's first.</summary>
    internal required PassedNode[] Nodes { get; init; }

    internal void NoteWrite(long offset, long length)
    {
        long end = BaseOffset + offset + length;
        foreach (PassedNode node in Nodes)
        {
            node.Counters.NoteWrite(end - node.LeafOffset);
        }
    }
}
