using System;
using System.Threading;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Ring;

/// <summary>
/// The same operations on a pool of worker threads: for <c>aio=threads</c>, for what io_uring cannot do, and for
/// kernels or sandboxes without io_uring. Workers start when there is work for them and end after idling.
/// </summary>
internal sealed unsafe class WorkerRing : IRing
{
    private const int Capacity = 4096;
    private const int IdleMs = 10_000;

    // A monitor, not a Lock: workers wait on it for the queue to fill.
    private readonly object _gate = new();
    private readonly Submission[] _queue = new Submission[Capacity];
    private readonly Completion[] _done = new Completion[Capacity];
    private readonly string _name;
    private readonly int _eventFd;
    private uint _queueHead;
    private uint _queueTail;
    private uint _doneHead;
    private uint _doneTail;
    private int _inFlight;
    private int _workers;
    private int _idle;
    private bool _stopping;

    /// <param name="name">Of the threads.</param>
    /// <param name="maxWorkers">Upper bound of threads.</param>
    /// <param name="eventFd">Becomes readable when completions wait; the owner's.</param>
    internal WorkerRing(string name, int maxWorkers, int eventFd)
    {
        _name = name;
        MaxWorkers = maxWorkers;
        _eventFd = eventFd;
    }

    /// <summary>Upper bound of threads (<c>thread-pool-max</c>); may be changed while running.</summary>
    internal int MaxWorkers { get; set; }

    public int PollFd => _eventFd;

    public int InFlight => _inFlight;

    public bool HasCompletions => Volatile.Read(ref _doneTail) != _doneHead;

    public bool TrySubmit(in Submission submission)
    {
        if (_inFlight >= Capacity)
        {
            return false;
        }

        _inFlight++;
        bool grow;
        lock (_gate)
        {
            _queue[_queueTail++ % Capacity] = submission;
            grow = _queueTail - _queueHead > (uint)_idle && _workers < Math.Max(1, MaxWorkers);
            if (grow)
            {
                _workers++;
            }
            else
            {
                Monitor.Pulse(_gate);
            }
        }

        if (grow)
        {
            StartWorker();
        }

        return true;
    }

    /// <summary>Without a thread to be had, the first operation is done here and now.</summary>
    private void StartWorker()
    {
        try
        {
            new Thread(Work, 256 * 1024) { IsBackground = true, Name = _name }.Start();
        }
        catch (OutOfMemoryException)
        {
            bool none;
            Submission submission = default;
            lock (_gate)
            {
                none = --_workers == 0 && _queueHead != _queueTail;
                if (none)
                {
                    submission = _queue[_queueHead++ % Capacity];
                }
            }

            if (none)
            {
                Complete(new Completion { UserData = submission.UserData, Result = FileOps.Execute(submission) });
            }
        }
    }

    public void Flush()
    {
        // Workers take operations as they are submitted.
    }

    public int Reap(Span<Completion> completions)
    {
        lock (_gate)
        {
            int count = 0;
            while (count < completions.Length && _doneHead != _doneTail)
            {
                completions[count++] = _done[_doneHead++ % Capacity];
            }

            if (_doneHead == _doneTail)
            {
                ulong signals;
                _ = Libc.Read(_eventFd, &signals, sizeof(ulong));
            }

            _inFlight -= count;
            return count;
        }
    }

    private void Work()
    {
        while (TryTake(out Submission submission))
        {
            Completion completion = new()
            {
                UserData = submission.UserData,
                Result = FileOps.Execute(submission),
            };
            Complete(completion);
        }
    }

    /// <summary>Waits for an operation; false when this worker should end.</summary>
    private bool TryTake(out Submission submission)
    {
        lock (_gate)
        {
            while (_queueHead == _queueTail)
            {
                _idle++;
                bool pulsed = !_stopping && Monitor.Wait(_gate, IdleMs);
                _idle--;
                if (_stopping || (!pulsed && _queueHead == _queueTail))
                {
                    _workers--;
                    submission = default;
                    return false;
                }
            }

            submission = _queue[_queueHead++ % Capacity];
            return true;
        }
    }

    private void Complete(in Completion completion)
    {
        bool wake;
        lock (_gate)
        {
            wake = _doneHead == _doneTail;
            _done[_doneTail % Capacity] = completion;
            Volatile.Write(ref _doneTail, _doneTail + 1);
            if (wake)
            {
                ulong one = 1;
                _ = Libc.Write(_eventFd, &one, sizeof(ulong));
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _stopping = true;
            Monitor.PulseAll(_gate);
        }

    }
}
