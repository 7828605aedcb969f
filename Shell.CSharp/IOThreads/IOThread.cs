using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using StorageDaemon.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Ring;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>A descriptor's owner on an IOThread.</summary>
internal interface IReadyHandler
{
    /// <summary>The descriptor's readiness changed (edge-triggered).</summary>
    void OnReady(uint events);

    /// <summary>One turn of work; true if more work is ready at once.</summary>
    bool Run();

    /// <summary>True while the handler stands in the thread's queue; kept by the thread.</summary>
    bool Scheduled { get; set; }
}

/// <summary>
/// One OS thread, one epoll, one io_uring: everything that one request touches stays here. Other threads reach it
/// only through <see cref="Post"/> and <see cref="Wake"/>. Files of <c>aio=threads</c>, and all files where the
/// kernel offers no io_uring, use a pool of worker threads instead of the ring.
/// </summary>
internal sealed unsafe partial class IOThread : IDisposable
{
    /// <summary>Bytes of the receive and reply buffers that the connections of a thread share.</summary>
    internal const int ScratchLength = 256 << 10;

    private const uint RingEntries = 256;
    private const int MaxEvents = 64;
    private const int MaxCompletions = 64;
    private const int IdleTrimMs = 2000;
    private const int ChunkShift = 8;
    private const ulong MailboxKey = ulong.MaxValue;
    private const ulong UringKey = ulong.MaxValue - 1;
    private const ulong WorkersKey = ulong.MaxValue - 2;

    private readonly int _epollFd;
    private readonly int _mailboxFd;

    // Made with the thread, so that a lack of descriptors later cannot keep the workers from starting.
    private readonly int _workerFd;
    private readonly ConcurrentQueue<Action> _mailbox = new();
    private readonly List<IReadyHandler?> _handlers = [];
    private readonly Stack<int> _freeHandlers = new();
    private readonly Queue<IReadyHandler> _ready = new();
    private readonly List<IoSlot[]> _slotChunks = [];
    private readonly Completion[] _completions = new Completion[MaxCompletions];
    private readonly Func<string, int, IRing?> _ringFactory;
    private readonly TimerHeap _timers = new();
    private readonly byte* _scratch;

    private IRing? _ring;
    private WorkerRing? _workers;
    private int _maxWorkers = 64;
    private bool _ringTried;
    private int _freeSlot = -1;
    private int _waitingHead = -1;
    private int _waitingTail = -1;
    private readonly List<IReadyHandler> _memoryWaiters = [];
    private readonly List<IPolled> _polled = [];
    private int _memoryReturned;
    private int _sleeping;
    private Thread? _thread;
    private volatile bool _stop;

    /// <summary>Whether writes into the page cache may be done on this thread.</summary>
    internal InlineWriteGuard InlineWrites;

    private PollingPolicy _polling = new() { MaxNs = PollingPolicy.DefaultMaxNs };

    /// <param name="name">The thread's name; the id of the iothread object.</param>
    /// <param name="index">A small number that no other thread has while this one lives.</param>
    /// <param name="budget">The daemon's memory for requests in flight.</param>
    /// <param name="ringFactory">Makes the ring, or returns null to do without; a simulated device in tests.</param>
    internal IOThread(string name, int index, MemoryBudget budget, Func<string, int, IRing?>? ringFactory = null)
    {
        Name = name;
        Index = index;
        Buffers = new BufferPool(budget);
        Budget = budget;
        _ringFactory = ringFactory ?? CreateUring;
        _epollFd = Libc.EpollCreate1(Libc.EPOLL_CLOEXEC);
        _mailboxFd = Libc.Eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        _workerFd = Libc.Eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        if (_epollFd < 0 || _mailboxFd < 0 || _workerFd < 0)
        {
            throw new System.IO.IOException("epoll: " + Libc.Strerror(Libc.Errno));
        }

        Watch(_mailboxFd, MailboxKey, Libc.EPOLLIN);
        _scratch = (byte*)Libc.Mmap(
            null, 2 * ScratchLength, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        if (_scratch == Libc.MapFailed || Zeroes == Libc.MapFailed)
        {
            throw new System.IO.IOException("mmap: " + Libc.Strerror(Libc.Errno));
        }
    }

    private static UringRing? CreateUring(string name, int maxBatch) =>
        UringRing.TryCreate(RingEntries, (uint)maxBatch, out _);

    internal string Name { get; }

    /// <summary>Which of the counts of a path are this thread's.</summary>
    internal int Index { get; }

    /// <summary>Told, on this thread, of what layers report about a node; set before the thread starts.</summary>
    internal Action<long, IEnumerable<LayerNotice>>? LayerNotices { get; set; }

    internal BufferPool Buffers { get; }

    internal MemoryBudget Budget { get; }

    /// <summary>Kernel thread id, zero before the thread runs.</summary>
    internal int ThreadId { get; private set; }

    /// <summary>Requests per submission (<c>aio-max-batch</c>); zero leaves it to the ring.</summary>
    internal int MaxBatch { get; set; }

    /// <summary>Upper bound of worker threads (<c>thread-pool-max</c>).</summary>
    internal int MaxWorkers
    {
        get => _maxWorkers;
        set
        {
            _maxWorkers = value;
            if (_workers is { } workers)
            {
                workers.MaxWorkers = value;
            }
        }
    }

    /// <summary>Where received bytes go first; free for use within one turn.</summary>
    internal byte* ReceiveScratch => _scratch;

    /// <summary>Where replies are gathered; free for use within one turn.</summary>
    internal byte* ReplyScratch => _scratch + ScratchLength;

    /// <summary>
    /// Zero bytes to send or write, <see cref="FileRequestModule.ZeroBufferLength"/> of them. They are the process's:
    /// a reply that waits for its client may move to another thread.
    /// </summary>
    internal static byte* Zeroes { get; } = (byte*)Libc.Mmap(
        null,
        (nuint)FileRequestModule.ZeroBufferLength,
        Libc.PROT_READ,
        Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS,
        -1,
        0);

    internal void Start()
    {
        _thread = new Thread(Loop, 512 * 1024) { IsBackground = true, Name = Name };
        _thread.Start();
    }

    /// <summary>Runs an action on the thread, soon. From any thread.</summary>
    internal void Post(Action action)
    {
        _mailbox.Enqueue(action);
        Wake();
    }

    /// <summary>Makes the thread look at what waits. From any thread.</summary>
    internal void Wake()
    {
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _sleeping) != 0)
        {
            ulong one = 1;
            _ = Libc.Write(_mailboxFd, &one, sizeof(ulong));
        }
    }

    /// <summary>Some request gave memory back. From any thread.</summary>
    internal void MemoryReturned()
    {
        Volatile.Write(ref _memoryReturned, 1);
        Wake();
    }

    /// <summary>Schedules the handler again when a request, here or on another thread, gives memory back.</summary>
    internal void WaitForMemory(IReadyHandler handler)
    {
        if (!_memoryWaiters.Contains(handler))
        {
            _memoryWaiters.Add(handler);
        }

        Budget.AskForWake();
    }

    internal void SetPolling(long maxNs, long grow, long shrink) =>
        Post(() => _polling = new PollingPolicy { MaxNs = maxNs, Grow = grow, Shrink = shrink });

    /// <summary>Ends the loop and waits for it. Not from the thread itself.</summary>
    internal void Stop()
    {
        _stop = true;
        ulong one = 1;
        _ = Libc.Write(_mailboxFd, &one, sizeof(ulong));
        _thread?.Join();
    }

    /// <summary>Watches a descriptor, edge-triggered, in and out; returns the key for <see cref="Unregister"/>, or -1.</summary>
    internal int Register(int fd, IReadyHandler handler)
    {
        int key = _freeHandlers.Count > 0 ? _freeHandlers.Pop() : _handlers.Count;
        if (key == _handlers.Count)
        {
            _handlers.Add(handler);
        }
        else
        {
            _handlers[key] = handler;
        }

        if (TryWatch(fd, (ulong)key, Libc.EPOLLIN | Libc.EPOLLOUT | Libc.EPOLLRDHUP | Libc.EPOLLET))
        {
            return key;
        }

        _handlers[key] = null;
        _freeHandlers.Push(key);
        return -1;
    }

    internal void Unregister(int fd, int key)
    {
        if (key < 0)
        {
            return;
        }

        EpollEvent unused;
        _ = Libc.EpollCtl(_epollFd, Libc.EPOLL_CTL_DEL, fd, &unused);
        _handlers[key] = null;
        _freeHandlers.Push(key);
    }

    /// <summary>Puts a handler into the queue of those that have work.</summary>
    internal void Schedule(IReadyHandler handler)
    {
        if (!handler.Scheduled)
        {
            handler.Scheduled = true;
            _ready.Enqueue(handler);
        }
    }

    /// <summary>Gives a handler up that another thread takes over; on this thread, and not in the handler's own turn.</summary>
    internal void Forget(IReadyHandler handler)
    {
        _ = _memoryWaiters.Remove(handler);
        if (!handler.Scheduled)
        {
            return;
        }

        handler.Scheduled = false;
        for (int left = _ready.Count; left > 0; left--)
        {
            IReadyHandler other = _ready.Dequeue();
            if (other != handler)
            {
                _ready.Enqueue(other);
            }
        }
    }

    /// <summary>Runs an action after a time; only for rare things, as it allocates.</summary>
    internal void After(long delayNs, IRequestOwner owner, int tag) =>
        _timers.Add(Stopwatch.GetTimestamp() + delayNs, owner, tag);

    /// <summary>Looks for a handler's work whenever the thread is awake.</summary>
    internal void AddPolled(IPolled handler)
    {
        if (!_polled.Contains(handler))
        {
            _polled.Add(handler);
        }
    }

    internal void RemovePolled(IPolled handler) => _polled.Remove(handler);

    /// <summary>Schedules those that have work; whether there are any.</summary>
    private bool LookAtPolled()
    {
        bool any = false;
        foreach (IPolled handler in _polled)
        {
            if (handler.HasWork)
            {
                Schedule(handler);
                any = true;
            }
        }

        return any;
    }

    /// <summary>Before sleep; true if there is work after all.</summary>
    private bool AskPolledToTell()
    {
        bool any = false;
        foreach (IPolled handler in _polled)
        {
            if (handler.AskToBeTold())
            {
                Schedule(handler);
                any = true;
            }
        }

        return any;
    }

    private void Watch(int fd, ulong key, uint events)
    {
        if (!TryWatch(fd, key, events))
        {
            throw new System.IO.IOException("epoll_ctl: " + Libc.Strerror(Libc.Errno));
        }
    }

    private bool TryWatch(int fd, ulong key, uint events)
    {
        EpollEvent ev = new() { Events = events, Data = key };
        return Libc.EpollCtl(_epollFd, Libc.EPOLL_CTL_ADD, fd, &ev) == 0;
    }

    private void Loop()
    {
        ThreadId = (int)Libc.Syscall(186 /* gettid */, 0, 0, 0, 0, 0, 0);
        while (!_stop)
        {
            bool busy = RunMailbox();
            busy |= RunResumedFrames();
            _ = LookAtPolled();
            busy |= RunReady();
            busy |= ReapAll();
            busy |= RunTimers();
            SubmitWaiting();
            _ring?.Flush();
            if (_ready.Count > 0)
            {
                _ = Poll(0);
            }
            else if (!busy)
            {
                WaitForWork();
            }
        }

        // Throttle groups look for another thread to wake them.
        while (_timers.TryTakeDue(long.MaxValue, out IRequestOwner? owner, out int tag))
        {
            owner.OnRequestDone(tag, default);
        }
    }

    /// <summary>Looks for work for a while without blocking, then blocks.</summary>
    private void WaitForWork()
    {
        long start = Stopwatch.GetTimestamp();
        long until = start + _polling.CurrentNs(start);
        long now = start;
        while (true)
        {
            if (LookAtPolled() || Poll(0) > 0 || HasCompletions() || !_mailbox.IsEmpty || !_resumedFrames.IsEmpty)
            {
                return;
            }

            if (now >= until)
            {
                break;
            }

            // Who will give work to this thread may be waiting for this very processor.
            long before = now;
            _ = Libc.SchedYield();
            now = Stopwatch.GetTimestamp();
            if (!_polling.Yielded(now, now - before))
            {
                break;
            }
        }

        Volatile.Write(ref _sleeping, 1);
        Interlocked.MemoryBarrier();
        int timeout = _timers.TimeoutMs(IdleTrimMs);
        if (_mailbox.IsEmpty && _resumedFrames.IsEmpty && !_stop && !HasCompletions()
            && Volatile.Read(ref _memoryReturned) == 0 && !AskPolledToTell())
        {
            if (Poll(timeout) == 0 && timeout == IdleTrimMs)
            {
                Buffers.Trim();
                _ = Poll(_timers.TimeoutMs(-1));
            }
        }

        Volatile.Write(ref _sleeping, 0);
        _polling.Waited(Stopwatch.GetTimestamp() - start);
    }

    private bool HasCompletions() =>
        (_ring != null && _ring.HasCompletions) || (_workers != null && _workers.HasCompletions);

    /// <summary>One epoll_wait; the number of events, zero for a time-out, negative when interrupted.</summary>
    private int Poll(int timeoutMs)
    {
        EpollEvent* events = stackalloc EpollEvent[MaxEvents];
        int count = Libc.EpollWait(_epollFd, events, MaxEvents, timeoutMs);
        for (int i = 0; i < count; i++)
        {
            ulong key = events[i].Data;
            if (key == MailboxKey)
            {
                ulong signals;
                _ = Libc.Read(_mailboxFd, &signals, sizeof(ulong));
            }
            else if (key < WorkersKey && _handlers[(int)key] is { } handler)
            {
                handler.OnReady(events[i].Events);
            }
        }

        return count;
    }

    private bool RunMailbox()
    {
        bool any = false;
        // Reset without waiters, too: the thread does not sleep while it is set.
        if (Volatile.Read(ref _memoryReturned) != 0 && Interlocked.Exchange(ref _memoryReturned, 0) != 0)
        {
            foreach (IReadyHandler handler in _memoryWaiters)
            {
                Schedule(handler);
            }

            _memoryWaiters.Clear();
        }

        while (_mailbox.TryDequeue(out Action? action))
        {
            action();
            any = true;
        }

        return any;
    }

    private bool RunReady()
    {
        int turns = _ready.Count;
        for (int i = 0; i < turns; i++)
        {
            IReadyHandler handler = _ready.Dequeue();
            handler.Scheduled = false;
            if (handler.Run())
            {
                Schedule(handler);
            }
        }

        return turns > 0;
    }

    private bool RunTimers()
    {
        bool any = false;
        while (_timers.TryTakeDue(Stopwatch.GetTimestamp(), out IRequestOwner? owner, out int tag))
        {
            owner.OnRequestDone(tag, default);
            any = true;
        }

        return any;
    }

    public void Dispose()
    {
        Stop();
        _ring?.Dispose();
        _workers?.Dispose();

        Buffers.Dispose();
        _ = Libc.Munmap(_scratch, 2 * ScratchLength);
        if (_workers == null)
        {
            // A worker may still be about to signal it otherwise.
            _ = Libc.Close(_workerFd);
        }

        _ = Libc.Close(_mailboxFd);
        _ = Libc.Close(_epollFd);
    }
}
