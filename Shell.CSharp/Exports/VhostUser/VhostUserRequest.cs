using System;
using StorageDaemon.Core.Virtio;
using StorageDaemon.Shell.IOThreads;

namespace StorageDaemon.Shell.Exports.VhostUser;

/// <summary>A request in flight; used again and again.</summary>
internal sealed class VhostUserRequest(int tag)
{
    private const int FirstSegments = 8;

    internal int Tag { get; } = tag;

    internal BlkRequest Blk;

    /// <summary>The chain's identifier, to be given back.</summary>
    internal ushort Head;

    /// <summary>Where the data are: pieces of the guest's memory, none of which touches the next.</summary>
    internal Iovec[] Segments = new Iovec[FirstSegments];

    internal int SegmentCount;

    /// <summary>Where the data lie that are not in one piece; null while none is needed.</summary>
    internal PoolBuffer Buffer;

    /// <summary>Bytes that are complete, and those under way behind them.</summary>
    internal long Done;
    internal long UnderWay;

    /// <summary>I/O is being begun right now, and may end meanwhile.</summary>
    internal bool IsStarting;
    internal bool HasEnded;

    /// <summary>When it was taken up, in Stopwatch ticks.</summary>
    internal long Start;

    /// <summary>Whether all data are in one piece, or there are none.</summary>
    internal bool IsPlain => SegmentCount <= 1;

    internal void TakeSegments(ReadOnlySpan<Iovec> segments)
    {
        SegmentCount = 0;
        if (Segments.Length < segments.Length)
        {
            Segments = new Iovec[Math.Max(segments.Length, Math.Min(2 * Segments.Length, ChainModule.MaxSegments))];
        }

        foreach (ref readonly Iovec segment in segments)
        {
            if (SegmentCount > 0
                && Segments[SegmentCount - 1].Base + (nint)Segments[SegmentCount - 1].Length == segment.Base)
            {
                Segments[SegmentCount - 1].Length += segment.Length;
            }
            else
            {
                Segments[SegmentCount++] = segment;
            }
        }
    }

    /// <summary>Copies between the bounce buffer and the part of the guest's data that is under way.</summary>
    internal unsafe void CopyUnderWay(bool toGuest)
    {
        long skip = Done;
        long left = UnderWay;
        byte* buffer = Buffer.Data;
        for (int i = 0; i < SegmentCount && left > 0; i++)
        {
            ref Iovec segment = ref Segments[i];
            if ((ulong)skip >= (ulong)segment.Length)
            {
                skip -= (long)segment.Length;
                continue;
            }

            byte* guest = (byte*)segment.Base + skip;
            long part = Math.Min(left, (long)segment.Length - skip);
            skip = 0;
            System.Buffer.MemoryCopy(toGuest ? buffer : guest, toGuest ? guest : buffer, part, part);
            buffer += part;
            left -= part;
        }
    }
}
