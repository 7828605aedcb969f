using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Observe;

namespace StorageDaemon.Shell.Observe;

/// <summary>
/// Counts of requests: by one writer, which is an IOThread, or the sum of several. Readers on other threads may see a
/// request in one figure and not yet in another.
/// </summary>
internal sealed class IoStats
{
    private const int Kinds = (int)RequestKind.Allocate + 1;

    private const int Operations = 0;
    private const int Bytes = 1;
    private const int Failed = 2;
    private const int TotalNs = 3;
    private const int FirstBin = 4;
    private const int Stride = FirstBin + LatencyHistogram.BinCount;

    private readonly long[] _values = new long[Kinds * Stride];
    private long _writeHighestOffset;
    private long _lastEnd;

    /// <summary>One request has ended.</summary>
    /// <param name="end">When, in <see cref="Stopwatch"/> ticks, which are nanoseconds here.</param>
    internal void Note(RequestKind kind, long lengthBytes, long start, long end, bool failed)
    {
        Span<long> values = _values.AsSpan((int)kind * Stride, Stride);
        if (failed)
        {
            values[Failed]++;
        }
        else
        {
            values[Operations]++;
            values[Bytes] += lengthBytes;
        }

        long ns = Math.Max(0, end - start);
        values[TotalNs] += ns;
        values[FirstBin + LatencyHistogram.binOf(ns)]++;
        _lastEnd = end;
    }

    /// <summary>A write up to that offset has begun.</summary>
    internal void NoteWriteEnd(long end)
    {
        if (end > _writeHighestOffset)
        {
            _writeHighestOffset = end;
        }
    }

    /// <summary>Adds another place's counts; its write offsets begin <paramref name="baseOffset"/> bytes before this one's.</summary>
    internal void Add(IoStats other, long baseOffset)
    {
        for (int i = 0; i < _values.Length; i++)
        {
            _values[i] += Volatile.Read(ref other._values[i]);
        }

        long highest = Volatile.Read(ref other._writeHighestOffset);
        NoteWriteEnd(highest > 0 ? highest - baseOffset : 0);
        _lastEnd = Math.Max(_lastEnd, Volatile.Read(ref other._lastEnd));
    }

    /// <summary>No request has begun or ended.</summary>
    internal bool IsEmpty => _lastEnd == 0 && _writeHighestOffset == 0;

    internal IoCounters Snapshot() => new(
        Of(RequestKind.Read),
        Of(RequestKind.Write),
        Of(RequestKind.WriteZeroes),
        Of(RequestKind.Discard),
        Of(RequestKind.Flush),
        _writeHighestOffset,
        _lastEnd == 0 ? FSharpOption<long>.None : FSharpOption<long>.Some(Math.Max(0, Stopwatch.GetTimestamp() - _lastEnd)));

    private OperationCounters Of(RequestKind kind)
    {
        ArraySegment<long> values = new(_values, (int)kind * Stride, Stride);
        IEnumerable<long> bins = values.Slice(FirstBin);
        return new OperationCounters(
            values[Operations], values[Bytes], values[Failed], values[TotalNs], ListModule.OfSeq(bins));
    }
}
