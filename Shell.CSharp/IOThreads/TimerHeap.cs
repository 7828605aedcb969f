using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>Requests that end at a set time (the latency of null devices), soonest first.</summary>
internal sealed class TimerHeap
{
    private readonly PriorityQueue<(IRequestOwner Owner, int Tag), long> _queue = new();

    /// <param name="deadline">In <see cref="Stopwatch"/> ticks, which are nanoseconds here.</param>
    internal void Add(long deadline, IRequestOwner owner, int tag) => _queue.Enqueue((owner, tag), deadline);

    internal bool TryTakeDue(long now, [NotNullWhen(true)] out IRequestOwner? owner, out int tag)
    {
        if (_queue.TryPeek(out (IRequestOwner Owner, int Tag) first, out long deadline) && deadline <= now)
        {
            _ = _queue.Dequeue();
            (owner, tag) = first;
            return true;
        }

        owner = null;
        tag = 0;
        return false;
    }

    /// <summary>Milliseconds that a poll may block: until the first deadline (rounded down, so that it spins the rest), or the default.</summary>
    internal int TimeoutMs(int otherwise)
    {
        if (!_queue.TryPeek(out _, out long deadline))
        {
            return otherwise;
        }

        long ms = (deadline - Stopwatch.GetTimestamp()) / (Stopwatch.Frequency / 1000);
        ms = Math.Clamp(ms, 0, int.MaxValue);
        return otherwise < 0 ? (int)ms : (int)Math.Min(ms, otherwise);
    }
}
