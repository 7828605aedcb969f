using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Control;

/// <summary>
/// The control thread's event loop: level-triggered epoll, timers, and work posted by other threads.
/// All members but <see cref="Post"/> belong to the thread that runs the loop. An exception in a handler is a bug of
/// ours and leaves <see cref="Run"/>.
/// </summary>
internal sealed unsafe class Reactor : IDisposable
{
    private const int BatchSize = 64;
    private const uint AlwaysReady = Libc.EPOLLIN | Libc.EPOLLOUT;
    private const ulong WakeToken = ulong.MaxValue;

    /// <summary>Longer than a client takes to be woken up by a reply and to send its next command.</summary>
    private const long MaxPollNs = 200_000;

    private readonly int _epollFd;
    private readonly int _wakeFd;
    private readonly List<Registration?> _slots = [];
    private readonly Stack<int> _freeSlots = new();
    private readonly List<Registration> _alwaysReady = [];
    private readonly TimerQueue _timers = new();
    private readonly object _postGate = new();
    private List<Action> _posted = [];
    private List<Action> _postedSpare = [];
    private List<Action> _deferred = [];
    private List<Action> _deferredSpare = [];
    private uint _generation;
    private bool _stopRequested;
    private PollingPolicy _polling = new() { MaxNs = MaxPollNs };

    internal Reactor()
    {
        _epollFd = Libc.EpollCreate1(Libc.EPOLL_CLOEXEC);
        _wakeFd = Libc.Eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        if (_epollFd < 0 || _wakeFd < 0)
        {
            throw new InvalidOperationException("cannot create the event loop: " + Libc.Strerror(Libc.Errno));
        }

        var wake = new EpollEvent { Events = Libc.EPOLLIN, Data = WakeToken };
        if (Libc.EpollCtl(_epollFd, Libc.EPOLL_CTL_ADD, _wakeFd, &wake) < 0)
        {
            throw new InvalidOperationException("cannot create the event loop: " + Libc.Strerror(Libc.Errno));
        }
    }

    /// <summary>A descriptor whose readiness ends <see cref="WaitForAny"/> early (the signals'); -1 for none.</summary>
    internal int InterruptFd { get; set; } = -1;

    /// <summary>
    /// Watches a descriptor until the result is disposed, which must happen before the descriptor is closed.
    /// A file that epoll does not take (regular files, /dev/null) counts as always readable and writable.
    /// </summary>
    internal Registration Register(int fd, uint events, Action<uint> handler) =>
        TryRegister(fd, events, handler)
            ?? throw new InvalidOperationException("cannot watch a descriptor: " + Libc.Strerror(Libc.Errno));

    /// <summary>As <see cref="Register"/>, but null, with the error in errno, where the kernel watches no more.</summary>
    internal Registration? TryRegister(int fd, uint events, Action<uint> handler)
    {
        int slot = _freeSlots.Count > 0 ? _freeSlots.Pop() : _slots.Count;
        if (slot == _slots.Count)
        {
            _slots.Add(null);
        }

        var registration = new Registration(this, fd, slot, ++_generation, events, handler);
        _slots[slot] = registration;
        if (Control(Libc.EPOLL_CTL_ADD, registration) != 0)
        {
            if (Libc.Errno != Core.Errno.EPERM)
            {
                _slots[slot] = null;
                _freeSlots.Push(slot);
                return null;
            }

            registration.IsAlwaysReady = true;
            _alwaysReady.Add(registration);
        }

        return registration;
    }

    /// <summary>Runs an action once, at least this many milliseconds from now.</summary>
    internal ReactorTimer AfterMs(long delayMs, Action action) =>
        _timers.Add(NowMs() + Math.Max(0, delayMs), action);

    /// <summary>Runs an action on the loop's thread; may be called from any thread.</summary>
    internal void Post(Action action)
    {
        bool first;
        lock (_postGate)
        {
            first = _posted.Count == 0;
            _posted.Add(action);
        }

        if (first)
        {
            ulong one = 1;
            _ = Libc.Write(_wakeFd, &one, sizeof(ulong));
        }
    }

    /// <summary>Runs an action after the events of the present batch.</summary>
    internal void Defer(Action action) => _deferred.Add(action);

    /// <summary>Runs until <see cref="Stop"/>.</summary>
    internal void Run()
    {
        while (!_stopRequested)
        {
            RunOnce(-1);
        }

        _stopRequested = false;
    }

    /// <summary>Makes <see cref="Run"/> return after the present batch.</summary>
    internal void Stop() => _stopRequested = true;

    /// <summary>
    /// One batch: waits for events up to a number of milliseconds (-1: until something happens), then runs their
    /// handlers, the timers that are due, posted and deferred actions.
    /// </summary>
    internal void RunOnce(int maxWaitMs)
    {
        EpollEvent* events = stackalloc EpollEvent[BatchSize];
        int count = Wait(events, WaitMs(maxWaitMs));
        for (int i = 0; i < count; i++)
        {
            if (events[i].Data == WakeToken)
            {
                ulong ignored;
                _ = Libc.Read(_wakeFd, &ignored, sizeof(ulong));
            }
            else
            {
                Dispatch(events[i]);
            }
        }

        DispatchAlwaysReady();
        _timers.RunDue(NowMs());
        RunPosted();
        RunDeferred();
    }

    /// <summary>
    /// Looks for events for a while before it blocks, if they have come soon after one another: waking a thread up takes
    /// longer than most commands of a client that waits for each reply.
    /// </summary>
    private int Wait(EpollEvent* events, int waitMs)
    {
        long pollNs = _polling.CurrentNs(Stopwatch.GetTimestamp());
        if (waitMs == 0)
        {
            return Libc.EpollWait(_epollFd, events, BatchSize, 0);
        }

        long start = Stopwatch.GetTimestamp();
        while (pollNs > 0 && Stopwatch.GetTimestamp() - start < pollNs)
        {
            int ready = Libc.EpollWait(_epollFd, events, BatchSize, 0);
            if (ready != 0)
            {
                return ready;
            }

            // Whoever the event is to come from may need this very processor.
            Thread.Yield();
        }

        int count = Libc.EpollWait(_epollFd, events, BatchSize, waitMs);
        _polling.Waited(Stopwatch.GetTimestamp() - start);
        return count;
    }

    /// <summary>
    /// Blocks the thread until one of a few descriptors is ready or has failed, without running any handler.
    /// Returns its index, or -1 when <see cref="InterruptFd"/> is ready.
    /// </summary>
    internal int WaitForAny(ReadOnlySpan<int> fds, uint events)
    {
        Span<PollFd> polled = new PollFd[fds.Length + 1];
        for (int i = 0; i < fds.Length; i++)
        {
            polled[i] = new PollFd { Fd = fds[i], Events = (short)events };
        }

        polled[^1] = new PollFd { Fd = InterruptFd, Events = (short)Libc.EPOLLIN };
        fixed (PollFd* first = polled)
        {
            while (Libc.Poll(first, (nuint)polled.Length, -1) <= 0)
            {
                // Interrupted: poll again.
            }
        }

        for (int i = 0; polled[^1].Revents == 0 && i < fds.Length; i++)
        {
            if (polled[i].Revents != 0)
            {
                return i;
            }
        }

        return -1;
    }

    public void Dispose()
    {
        _ = Libc.Close(_epollFd);
        _ = Libc.Close(_wakeFd);
    }

    private static long NowMs() => Stopwatch.GetTimestamp() / (Stopwatch.Frequency / 1000);

    private int WaitMs(int maxWaitMs)
    {
        bool busy = _deferred.Count > 0 || _stopRequested;
        foreach (Registration registration in _alwaysReady)
        {
            busy |= (registration.Events & AlwaysReady) != 0;
        }

        if (busy)
        {
            return 0;
        }

        long untilTimer = _timers.MsUntilNext(NowMs());
        long wait = maxWaitMs < 0 ? untilTimer : untilTimer < 0 ? maxWaitMs : Math.Min(maxWaitMs, untilTimer);
        return (int)Math.Min(wait, int.MaxValue);
    }

    private void Dispatch(in EpollEvent ready)
    {
        // A handler earlier in this batch may have dropped the registration or given its slot to another.
        int slot = (int)(uint)ready.Data;
        Registration? registration = slot < _slots.Count ? _slots[slot] : null;
        if (registration is not null && registration.Generation == (uint)(ready.Data >> 32))
        {
            registration.Handler(ready.Events);
        }
    }

    private void DispatchAlwaysReady()
    {
        if (_alwaysReady.Count == 0)
        {
            return;
        }

        foreach (Registration registration in _alwaysReady.ToArray())
        {
            uint events = registration.Events & AlwaysReady;
            if (events != 0 && !registration.IsDisposed)
            {
                registration.Handler(events);
            }
        }
    }

    private void RunPosted()
    {
        List<Action> batch;
        lock (_postGate)
        {
            batch = _posted;
            _posted = _postedSpare;
        }

        RunBatch(batch);
        _postedSpare = batch;
    }

    private void RunDeferred()
    {
        List<Action> batch = _deferred;
        _deferred = _deferredSpare;
        RunBatch(batch);
        _deferredSpare = batch;
    }

    private static void RunBatch(List<Action> batch)
    {
        foreach (Action action in batch)
        {
            action();
        }

        batch.Clear();
    }

    private int Control(int operation, Registration registration)
    {
        var ev = new EpollEvent
        {
            Events = registration.Events,
            Data = ((ulong)registration.Generation << 32) | (uint)registration.Slot,
        };
        return Libc.EpollCtl(_epollFd, operation, registration.Fd, &ev);
    }

    /// <summary>One watched descriptor.</summary>
    internal sealed class Registration : IDisposable
    {
        private readonly Reactor _reactor;

        internal Registration(
            Reactor reactor, int fd, int slot, uint generation, uint events, Action<uint> handler)
        {
            _reactor = reactor;
            Fd = fd;
            Slot = slot;
            Generation = generation;
            Events = events;
            Handler = handler;
        }

        internal int Fd { get; }

        internal int Slot { get; }

        internal uint Generation { get; }

        internal Action<uint> Handler { get; }

        /// <summary>The events waited for; errors and hang-ups are always reported besides.</summary>
        internal uint Events { get; private set; }

        internal bool IsAlwaysReady { get; set; }

        internal bool IsDisposed { get; private set; }

        internal void Modify(uint events)
        {
            if (IsDisposed || events == Events)
            {
                return;
            }

            Events = events;
            if (!IsAlwaysReady)
            {
                _ = _reactor.Control(Libc.EPOLL_CTL_MOD, this);
            }
        }

        public void Dispose()
        {
            if (IsDisposed)
            {
                return;
            }

            IsDisposed = true;
            if (IsAlwaysReady)
            {
                _ = _reactor._alwaysReady.Remove(this);
            }
            else
            {
                _ = _reactor.Control(Libc.EPOLL_CTL_DEL, this);
            }

            _reactor._slots[Slot] = null;
            _reactor._freeSlots.Push(Slot);
        }
    }
}
