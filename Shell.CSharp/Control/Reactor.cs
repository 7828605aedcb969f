using System;
using System.Collections.Generic;
using System.Diagnostics;
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

    private readonly int epollFd;
    private readonly int wakeFd;
    private readonly List<Registration?> slots = [];
    private readonly Stack<int> freeSlots = new();
    private readonly List<Registration> alwaysReady = [];
    private readonly TimerQueue timers = new();
    private readonly object postGate = new();
    private List<Action> posted = [];
    private List<Action> postedSpare = [];
    private List<Action> deferred = [];
    private List<Action> deferredSpare = [];
    private uint generation;
    private bool stopRequested;

    internal Reactor()
    {
        epollFd = Libc.EpollCreate1(Libc.EPOLL_CLOEXEC);
        wakeFd = Libc.Eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        if (epollFd < 0 || wakeFd < 0)
        {
            throw new InvalidOperationException("cannot create the event loop: " + Libc.Strerror(Libc.Errno));
        }

        var wake = new EpollEvent { Events = Libc.EPOLLIN, Data = WakeToken };
        if (Libc.EpollCtl(epollFd, Libc.EPOLL_CTL_ADD, wakeFd, &wake) < 0)
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
    internal Registration Register(int fd, uint events, Action<uint> handler)
    {
        int slot = freeSlots.Count > 0 ? freeSlots.Pop() : slots.Count;
        if (slot == slots.Count)
        {
            slots.Add(null);
        }

        var registration = new Registration(this, fd, slot, ++generation, events, handler);
        slots[slot] = registration;
        if (Control(Libc.EPOLL_CTL_ADD, registration) != 0)
        {
            int error = Libc.Errno;
            if (error != Core.Errno.EPERM)
            {
                slots[slot] = null;
                freeSlots.Push(slot);
                throw new InvalidOperationException("cannot watch a descriptor: " + Libc.Strerror(error));
            }

            registration.IsAlwaysReady = true;
            alwaysReady.Add(registration);
        }

        return registration;
    }

    /// <summary>Runs an action once, at least this many milliseconds from now.</summary>
    internal ReactorTimer AfterMs(long delayMs, Action action) =>
        timers.Add(NowMs() + Math.Max(0, delayMs), action);

    /// <summary>Runs an action on the loop's thread; may be called from any thread.</summary>
    internal void Post(Action action)
    {
        bool first;
        lock (postGate)
        {
            first = posted.Count == 0;
            posted.Add(action);
        }

        if (first)
        {
            ulong one = 1;
            _ = Libc.Write(wakeFd, &one, sizeof(ulong));
        }
    }

    /// <summary>Runs an action after the events of the present batch.</summary>
    internal void Defer(Action action) => deferred.Add(action);

    /// <summary>Runs until <see cref="Stop"/>.</summary>
    internal void Run()
    {
        while (!stopRequested)
        {
            RunOnce(-1);
        }

        stopRequested = false;
    }

    /// <summary>Makes <see cref="Run"/> return after the present batch.</summary>
    internal void Stop() => stopRequested = true;

    /// <summary>
    /// One batch: waits for events up to a number of milliseconds (-1: until something happens), then runs their
    /// handlers, the timers that are due, posted and deferred actions.
    /// </summary>
    internal void RunOnce(int maxWaitMs)
    {
        EpollEvent* events = stackalloc EpollEvent[BatchSize];
        int count = Libc.EpollWait(epollFd, events, BatchSize, WaitMs(maxWaitMs));
        for (int i = 0; i < count; i++)
        {
            if (events[i].Data == WakeToken)
            {
                ulong ignored;
                _ = Libc.Read(wakeFd, &ignored, sizeof(ulong));
            }
            else
            {
                Dispatch(events[i]);
            }
        }

        DispatchAlwaysReady();
        timers.RunDue(NowMs());
        RunPosted();
        RunDeferred();
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
        _ = Libc.Close(epollFd);
        _ = Libc.Close(wakeFd);
    }

    private static long NowMs() => Stopwatch.GetTimestamp() / (Stopwatch.Frequency / 1000);

    private int WaitMs(int maxWaitMs)
    {
        bool busy = deferred.Count > 0 || stopRequested;
        foreach (Registration registration in alwaysReady)
        {
            busy |= (registration.Events & AlwaysReady) != 0;
        }

        if (busy)
        {
            return 0;
        }

        long untilTimer = timers.MsUntilNext(NowMs());
        long wait = maxWaitMs < 0 ? untilTimer : untilTimer < 0 ? maxWaitMs : Math.Min(maxWaitMs, untilTimer);
        return (int)Math.Min(wait, int.MaxValue);
    }

    private void Dispatch(in EpollEvent ready)
    {
        // A handler earlier in this batch may have dropped the registration or given its slot to another.
        int slot = (int)(uint)ready.Data;
        Registration? registration = slot < slots.Count ? slots[slot] : null;
        if (registration is not null && registration.Generation == (uint)(ready.Data >> 32))
        {
            registration.Handler(ready.Events);
        }
    }

    private void DispatchAlwaysReady()
    {
        if (alwaysReady.Count == 0)
        {
            return;
        }

        foreach (Registration registration in alwaysReady.ToArray())
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
        lock (postGate)
        {
            batch = posted;
            posted = postedSpare;
        }

        RunBatch(batch);
        postedSpare = batch;
    }

    private void RunDeferred()
    {
        List<Action> batch = deferred;
        deferred = deferredSpare;
        RunBatch(batch);
        deferredSpare = batch;
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
        return Libc.EpollCtl(epollFd, operation, registration.Fd, &ev);
    }

    /// <summary>One watched descriptor.</summary>
    internal sealed class Registration : IDisposable
    {
        private readonly Reactor reactor;

        internal Registration(
            Reactor reactor, int fd, int slot, uint generation, uint events, Action<uint> handler)
        {
            this.reactor = reactor;
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
                _ = reactor.Control(Libc.EPOLL_CTL_MOD, this);
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
                _ = reactor.alwaysReady.Remove(this);
            }
            else
            {
                _ = reactor.Control(Libc.EPOLL_CTL_DEL, this);
            }

            reactor.slots[Slot] = null;
            reactor.freeSlots.Push(Slot);
        }
    }
}
