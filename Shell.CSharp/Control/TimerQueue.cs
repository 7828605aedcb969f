using System;
using System.Collections.Generic;

namespace StorageDaemon.Shell.Control;

/// <summary>A timer of the <see cref="Reactor"/> that has not run yet.</summary>
internal sealed class ReactorTimer
{
    private readonly TimerQueue queue;
    private Action? action;

    internal ReactorTimer(TimerQueue queue, Action action)
    {
        this.queue = queue;
        this.action = action;
    }

    internal bool IsCancelled => action is null;

    /// <summary>Keeps the action from running; does nothing once it has run.</summary>
    internal void Cancel()
    {
        if (action is not null)
        {
            action = null;
            queue.NoteCancelled();
        }
    }

    internal void Fire()
    {
        Action? due = action;
        action = null;
        due?.Invoke();
    }
}

/// <summary>Timers ordered by due time (milliseconds of a monotonic clock); equal times run in order of arrival.</summary>
internal sealed class TimerQueue
{
    private const int CompactionFloor = 64;

    private PriorityQueue<ReactorTimer, (long DueMs, long Sequence)> heap = new();
    private long sequence;
    private int cancelled;

    internal ReactorTimer Add(long dueMs, Action action)
    {
        var timer = new ReactorTimer(this, action);
        heap.Enqueue(timer, (dueMs, sequence++));
        return timer;
    }

    /// <summary>Milliseconds until the earliest timer is due, 0 when one is, -1 without timers.</summary>
    internal long MsUntilNext(long nowMs)
    {
        DropCancelledHead();
        return heap.TryPeek(out _, out var key) ? Math.Max(0, key.DueMs - nowMs) : -1;
    }

    /// <summary>Runs the timers due at this time; those that they start wait for the next call.</summary>
    internal void RunDue(long nowMs)
    {
        long before = sequence;
        while (heap.TryPeek(out ReactorTimer? timer, out var key) && key.DueMs <= nowMs && key.Sequence < before)
        {
            _ = heap.Dequeue();
            if (timer.IsCancelled)
            {
                cancelled--;
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
        cancelled++;
        if (cancelled < CompactionFloor || cancelled * 2 < heap.Count)
        {
            return;
        }

        var kept = new PriorityQueue<ReactorTimer, (long DueMs, long Sequence)>();
        foreach (var (timer, key) in heap.UnorderedItems)
        {
            if (!timer.IsCancelled)
            {
                kept.Enqueue(timer, key);
            }
        }

        heap = kept;
        cancelled = 0;
    }

    private void DropCancelledHead()
    {
        while (heap.TryPeek(out ReactorTimer? timer, out _) && timer.IsCancelled)
        {
            _ = heap.Dequeue();
            cancelled--;
        }
    }
}
