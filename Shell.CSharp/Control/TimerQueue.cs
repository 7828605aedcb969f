using System;
using System.Collections.Generic;

namespace StorageDaemon.Shell.Control;

/// <summary>A timer of the <see cref="Reactor"/> that has not run yet.</summary>
internal sealed class ReactorTimer
{
    private readonly TimerQueue _queue;
    private Action? _action;

    internal ReactorTimer(TimerQueue queue, Action action)
    {
        _queue = queue;
        _action = action;
    }

    internal bool IsCancelled => _action is null;

    /// <summary>Keeps the action from running; does nothing once it has run.</summary>
    internal void Cancel()
    {
        if (_action is not null)
        {
            _action = null;
            _queue.NoteCancelled();
        }
    }

    internal void Fire()
    {
        Action? due = _action;
        _action = null;
        due?.Invoke();
    }
}

/// <summary>Timers ordered by due time (milliseconds of a monotonic clock); equal times run in order of arrival.</summary>
internal sealed class TimerQueue
{
    private const int CompactionFloor = 64;

    private PriorityQueue<ReactorTimer, (long DueMs, long Sequence)> _heap = new();
    private long _sequence;
    private int _cancelled;

    internal ReactorTimer Add(long dueMs, Action action)
    {
        var timer = new ReactorTimer(this, action);
        _heap.Enqueue(timer, (dueMs, _sequence++));
        return timer;
    }

    /// <summary>Milliseconds until the earliest timer is due, 0 when one is, -1 without timers.</summary>
    internal long MsUntilNext(long nowMs)
    {
        DropCancelledHead();
        return _heap.TryPeek(out _, out var key) ? Math.Max(0, key.DueMs - nowMs) : -1;
    }

    /// <summary>Runs the timers due at this time; those that they start wait for the next call.</summary>
    internal void RunDue(long nowMs)
    {
        long before = _sequence;
        while (_heap.TryPeek(out ReactorTimer? timer, out var key) && key.DueMs <= nowMs && key.Sequence < before)
        {
            _ = _heap.Dequeue();
            if (timer.IsCancelled)
            {
                _cancelled--;
            }
            else
            {
                timer.Fire();
            }
        }
    }

    /// <summary>A cancelled timer stays in the heap until it is its turn, unless these become the majority.</summary>
    internal void NoteCancelled()
    {
        _cancelled++;
        if (_cancelled < CompactionFloor || _cancelled * 2 < _heap.Count)
        {
            return;
        }

        var kept = new PriorityQueue<ReactorTimer, (long DueMs, long Sequence)>();
        foreach (var (timer, key) in _heap.UnorderedItems)
        {
            if (!timer.IsCancelled)
            {
                kept.Enqueue(timer, key);
            }
        }

        _heap = kept;
        _cancelled = 0;
    }

    private void DropCancelledHead()
    {
        while (_heap.TryPeek(out ReactorTimer? timer, out _) && timer.IsCancelled)
        {
            _ = _heap.Dequeue();
            _cancelled--;
        }
    }
}
