using System;
using System.Collections.Generic;
using System.Diagnostics;
using StorageDaemon.Core.Filter;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.IOThreads;

namespace StorageDaemon.Shell.Filters;

/// <summary>
/// The nodes of one throttle group, and their requests that wait. Reads and writes queue apart, each member by itself;
/// who has waited is let in by turns, so that no member starves the others. From any thread.
/// </summary>
internal sealed class ThrottleGroup(ThrottleLimits limits)
{
    private readonly object _gate = new();
    private readonly List<ThrottleMember> _members = [];
    private readonly ThrottleState _state = new(Stopwatch.GetTimestamp());
    private readonly Direction[] _directions = [new(false), new(true)];
    private readonly Dictionary<IOThread, Alarm> _alarms = [];
    private ThrottleLimits _limits = limits;
    private bool _limiting = Throttle.isLimiting(limits);

    /// <summary>Reads or writes.</summary>
    private sealed class Direction(bool isWrite)
    {
        internal bool IsWrite { get; } = isWrite;

        internal int Waiting { get; set; }

        /// <summary>A thread will look at the queue again.</summary>
        internal bool Armed { get; set; }

        /// <summary>Whose turn it is: an index into the members.</summary>
        internal int Turn { get; set; }

        /// <summary>Alarms set before the limits last changed are void.</summary>
        internal int Generation { get; set; }
    }

    /// <summary>Wakes the queue of one direction; belongs to the thread whose timer runs.</summary>
    private sealed class Alarm(ThrottleGroup group, IOThread thread) : IRequestOwner
    {
        public void OnRequestDone(int tag, in FileRequest request) =>
            group.Release(thread, group._directions[tag & 1], tag >> 1);
    }

    internal ThrottleMember Join()
    {
        ThrottleMember member = new(this);
        lock (_gate)
        {
            _members.Add(member);
        }

        return member;
    }

    internal void Leave(ThrottleMember member)
    {
        lock (_gate)
        {
            _ = _members.Remove(member);
        }
    }

    /// <summary>New limits begin with empty buckets; what waits is looked at anew.</summary>
    internal void SetLimits(ThrottleLimits limits)
    {
        lock (_gate)
        {
            _limits = limits;
            _limiting = Throttle.isLimiting(limits);
            _state.Empty(Stopwatch.GetTimestamp());
            foreach (Direction direction in _directions)
            {
                direction.Generation = (direction.Generation + 1) & 0xffff;
                direction.Armed = false;
                LetIn(direction);
                Arm(null, direction);
            }
        }
    }

    /// <summary>Lets a request in at once, or queues its frame, which is resumed in its turn.</summary>
    internal bool TryEnter(ThrottleMember member, IOThread thread, int frame, bool isWrite, long lengthBytes)
    {
        lock (_gate)
        {
            if (!_limiting || member.Suspended > 0)
            {
                return true;
            }

            Direction direction = _directions[isWrite ? 1 : 0];
            if (direction.Waiting == 0 && WaitNs(direction) == 0)
            {
                Throttle.account(_limits, isWrite, lengthBytes, _state);
                return true;
            }

            member.Queue(isWrite).Enqueue(new ThrottledRequest(thread, frame, lengthBytes));
            direction.Waiting++;
            Arm(thread, direction);
            return false;
        }
    }

    /// <summary>A change of the graph waits for the member's requests: they go without being counted.</summary>
    internal void Suspend(ThrottleMember member)
    {
        lock (_gate)
        {
            member.Suspended++;
            foreach (Direction direction in _directions)
            {
                while (member.Queue(direction.IsWrite).TryDequeue(out ThrottledRequest request))
                {
                    direction.Waiting--;
                    request.Thread.ResumeFrame(request.Frame);
                }
            }
        }
    }

    internal void Unsuspend(ThrottleMember member)
    {
        lock (_gate)
        {
            member.Suspended--;
        }
    }

    private long WaitNs(Direction direction)
    {
        Throttle.leak(_limits, Stopwatch.GetTimestamp(), _state);
        return Throttle.waitNs(_limits, direction.IsWrite, _state);
    }

    private void Release(IOThread thread, Direction direction, int generation)
    {
        lock (_gate)
        {
            if (generation == direction.Generation)
            {
                direction.Armed = false;
                LetIn(direction);
                Arm(thread, direction);
            }
        }
    }

    private void LetIn(Direction direction)
    {
        while (direction.Waiting > 0 && (!_limiting || WaitNs(direction) == 0))
        {
            ThrottledRequest request = TakeNext(direction);
            Throttle.account(_limits, direction.IsWrite, request.LengthBytes, _state);
            request.Thread.ResumeFrame(request.Frame);
        }
    }

    private ThrottledRequest TakeNext(Direction direction)
    {
        while (true)
        {
            direction.Turn = (direction.Turn + 1) % _members.Count;
            if (_members[direction.Turn].Queue(direction.IsWrite).TryDequeue(out ThrottledRequest request))
            {
                direction.Waiting--;
                return request;
            }
        }
    }

    /// <summary>
    /// Has a thread look again when the time has come: one with a request that waits, since a thread that serves
    /// nobody may end.
    /// </summary>
    /// <param name="current">The thread that this runs on; null for none.</param>
    private void Arm(IOThread? current, Direction direction)
    {
        if (direction.Armed || WaitingThread(direction) is not { } thread)
        {
            return;
        }

        direction.Armed = true;
        long wait = Math.Max(1, WaitNs(direction));
        int tag = (direction.Generation << 1) | (direction.IsWrite ? 1 : 0);
        if (!_alarms.TryGetValue(thread, out Alarm? alarm))
        {
            alarm = new Alarm(this, thread);
            _alarms.Add(thread, alarm);
        }

        if (thread == current)
        {
            thread.After(wait, alarm, tag);
        }
        else
        {
            thread.Post(() => thread.After(wait, alarm, tag));
        }
    }

    private IOThread? WaitingThread(Direction direction)
    {
        foreach (ThrottleMember member in _members)
        {
            if (member.Queue(direction.IsWrite).TryPeek(out ThrottledRequest request))
            {
                return request.Thread;
            }
        }

        return null;
    }
}

/// <summary>A request that waits for its group.</summary>
internal readonly record struct ThrottledRequest(IOThread Thread, int Frame, long LengthBytes);

/// <summary>One node of a throttle group.</summary>
internal sealed class ThrottleMember(ThrottleGroup group)
{
    private readonly Queue<ThrottledRequest> _reads = new();
    private readonly Queue<ThrottledRequest> _writes = new();

    /// <summary>How many changes of the graph wait for the member's requests; guarded by the group.</summary>
    internal int Suspended { get; set; }

    internal Queue<ThrottledRequest> Queue(bool isWrite) => isWrite ? _writes : _reads;

    internal bool TryEnter(IOThread thread, int frame, bool isWrite, long lengthBytes) =>
        group.TryEnter(this, thread, frame, isWrite, lengthBytes);

    internal void Suspend() => group.Suspend(this);

    internal void Unsuspend() => group.Unsuspend(this);

    internal void Leave() => group.Leave(this);
}
