using System;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.Observe;
using StorageDaemon.Core.VhostUser;
using StorageDaemon.Core.Virtio;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Exports.VhostUser;

/// <summary>The ring: it is bound to the guest's memory, buffers are taken from it and given back.</summary>
internal sealed partial class VhostUserQueue
{
    private const int MaxTakenPerTurn = 64;

    [ThreadStatic]
    private static Iovec[]? _segments;

    private SplitRing _ring;
    private QueueSetup? _setup;
    private GuestBinding _binding = GuestBinding.Empty;
    private bool _serving;
    private bool _broken;
    private bool _logsPages;
    private bool _logsUsedRing;
    private bool _writesThrough;

    /// <summary>The log of requests in flight; zero without one.</summary>
    private nint _inflightLog;
    private ulong _counter;

    /// <summary>Buffers that the daemon before this one took and did not give back.</summary>
    private ushort[] _retaken = [];
    private int _retakenAt;

    /// <summary>Buffers that were given back and are not published.</summary>
    private ushort[] _batch = [];
    private int _batchCount;

    private static Iovec[] Segments => _segments ??= new Iovec[ChainModule.MaxSegments];

    private bool CanTake =>
        _serving && !_broken && _attached && !_paused && !_closing && _whenQuiet.Count == 0 && _held == null
        && HasRoom;

    /// <summary>Begins to serve. Nothing is in flight.</summary>
    internal void Begin(QueueSetup setup, GuestBinding binding, bool writeCache, nint inflightLog)
    {
        _setup = setup;
        _binding = binding;
        _serving = true;
        _broken = false;
        _batchCount = 0;
        _ring = default;
        // What it says if it cannot be served.
        _ring.LastAvail = (ushort)setup.Base;
        _retaken = [];
        _retakenAt = 0;
        _counter = 0;
        _inflightLog = inflightLog;
        if (_batch.Length < setup.Size)
        {
            _batch = new ushort[setup.Size];
        }

        TakeFeatures(setup.Features, writeCache);
        if (!Bind())
        {
            Break(RingError.OutsideMemory);
            return;
        }

        SplitRingModule.start(setup.Size, (ushort)setup.Base, ref _ring);
        _ring.EventIndex = (setup.Features & BlkWire.VIRTIO_F_EVENT_IDX) != 0;
        _ring.Indirect = (setup.Features & BlkWire.VIRTIO_F_INDIRECT_DESC) != 0;
        _ring.NotifyOnEmpty = (setup.Features & BlkWire.VIRTIO_F_NOTIFY_ON_EMPTY) != 0;
        Recover(setup.Size);
        if (_attached)
        {
            _thread.AddPolled(this);
        }

        _thread.Schedule(this);
    }

    /// <summary>Serves no more when nothing is in flight, and then tells the available index.</summary>
    internal void End(Action<uint> done) => WhenQuiet(() =>
    {
        StopServing();
        done(_ring.LastAvail);
    });

    /// <summary>The guest's memory or the ring are elsewhere from the time on when nothing is in flight.</summary>
    internal void Rebind(GuestBinding binding, QueueSetup? setup, Action done) => WhenQuiet(() =>
    {
        _binding = binding;
        _setup = setup ?? _setup;
        if (_serving && !_broken && !Bind())
        {
            Break(RingError.OutsideMemory);
        }

        done();
    });

    /// <summary>The front end has gone: nothing of its is used when nothing is in flight.</summary>
    internal void LetGo(Action done)
    {
        if (_held is { } held)
        {
            _held = null;
            Release(held);
        }

        WhenQuiet(() =>
        {
            DropEvents();
            StopServing();
            _binding = GuestBinding.Empty;
            _inflightLog = 0;
            done();
        });
    }

    private void StopServing()
    {
        _serving = false;
        _thread.RemovePolled(this);
    }

    internal void UseFeatures(ulong features, bool writeCache) => TakeFeatures(features, writeCache);

    private void TakeFeatures(ulong features, bool writeCache)
    {
        _writesThrough = BlkDeviceModule.writesThrough(features, writeCache);
        _logsPages = (features & Wire.VHOST_F_LOG_ALL) != 0;
    }

    private bool Bind()
    {
        VringAddress address = _setup!.Address;
        int size = _setup.Size;
        _logsUsedRing = (address.Flags & Wire.VHOST_VRING_F_LOG) != 0;
        return SplitRingModule.bind(
            _binding.Memory.TranslateUser(address.Desc, SplitRingModule.descLength(size)),
            _binding.Memory.TranslateUser(address.Avail, SplitRingModule.availLength(size)),
            _binding.Memory.TranslateUser(address.Used, SplitRingModule.usedLength(size)),
            ref _ring);
    }

    /// <summary>Finds out what was in flight when the daemon before this one ended.</summary>
    private void Recover(ushort size)
    {
        if (_inflightLog == 0)
        {
            return;
        }

        if (Inflight.isNew(_inflightLog))
        {
            SplitInflight.init(default(MemoryStores), _inflightLog, size, _ring.UsedIndex);
            return;
        }

        FSharpValueOption<Recovered> recovered = SplitInflight.recover(
            default(MemoryStores), _inflightLog, size, _ring.UsedIndex);
        if (recovered.IsNone)
        {
            // Of another queue, or not a log at all: no request can be told to have been in flight.
            Break(RingError.IndexOutOfRange);
            return;
        }

        _retaken = recovered.Value.Entries;
        _counter = recovered.Value.NextCounter;
        SplitRingModule.resumeAfter(_retaken.Length, ref _ring);
    }

    private void Break(RingError error)
    {
        _broken = true;
        Trace.Write(TracePoints.VhostUserRingBroken, "queue=" + _index + " error=" + error);
        Signal(_errFd);
    }

    public bool HasWork => CanTake
        && (_retakenAt < _retaken.Length || Shared.acquireU16(_ring.Avail + 2) != _ring.LastAvail);

    public bool AskToBeTold() => CanTake && SplitRingModule.enableKicks(ref _ring);

    /// <summary>Takes requests from the ring and begins them; true if there may be more.</summary>
    private bool TakeSome()
    {
        if (!CanTake)
        {
            return false;
        }

        SplitRingModule.disableKicks(ref _ring);
        Chain chain = default;
        Span<Iovec> segments = Segments;
        for (int taken = 0; taken < MaxTakenPerTurn && CanTake;)
        {
            switch (Pop(segments, ref chain, out bool isRetaken))
            {
                case Core.Virtio.Pop.Empty:
                    // Kicks are wanted when the thread goes to sleep.
                    return false;
                case Core.Virtio.Pop.Taken:
                    taken++;
                    Take(segments, in chain, isRetaken);
                    break;
                default:
                    Break(_ring.Error);
                    return false;
            }
        }

        return true;
    }

    private Pop Pop(Span<Iovec> segments, ref Chain chain, out bool isRetaken)
    {
        isRetaken = _retakenAt < _retaken.Length;
        return isRetaken
            ? SplitRingModule.retake(_binding.Memory, segments, ref chain, _retaken[_retakenAt++], ref _ring)
            : SplitRingModule.pop(_binding.Memory, segments, ref chain, ref _ring);
    }

    /// <summary>Gives a buffer back; <see cref="Publish"/> shows that to the driver.</summary>
    private void Put(ushort head, uint written)
    {
        if (_inflightLog != 0)
        {
            SplitInflight.link(default(MemoryStores), _inflightLog, head);
        }

        if (_logsPages && _logsUsedRing)
        {
            MarkUsedRing(4 + (8 * ((ulong)_ring.UsedIndex & ((ulong)_ring.Size - 1))), 8);
        }

        SplitRingModule.put(head, written, ref _ring);
        _batch[_batchCount++] = head;
    }

    private void Publish()
    {
        if (_batchCount == 0)
        {
            return;
        }

        SplitRingModule.publish(ref _ring);
        if (_logsPages && _logsUsedRing)
        {
            MarkUsedRing(0, 4);
        }

        if (_inflightLog != 0)
        {
            SplitInflight.settle(
                default(MemoryStores), _inflightLog, _batch.AsSpan(0, _batchCount), _ring.UsedIndex);
        }

        _batchCount = 0;
        if (SplitRingModule.needsCall(ref _ring))
        {
            Signal(_callFd);
        }
    }

    private void MarkUsedRing(ulong offset, ulong length) =>
        DirtyLog.mark(_binding.Log, _binding.LogLength, _setup!.Address.Log + offset, length);

    /// <summary>Marks what the device has written to.</summary>
    private void MarkWritten(VhostUserRequest request, bool wroteData)
    {
        for (int i = 0; wroteData && i < request.SegmentCount; i++)
        {
            DirtyLog.markSegment(
                _binding.Log, _binding.LogLength, _binding.Memory, in request.Segments[i]);
        }

        ulong status = _binding.Memory.GuestAddressOf(request.Blk.StatusPlace);
        DirtyLog.mark(_binding.Log, _binding.LogLength, status, 1);
    }
}
