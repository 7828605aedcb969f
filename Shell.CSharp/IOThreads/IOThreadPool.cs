using System;
using System.Collections.Generic;
using System.Linq;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Qom;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>
/// The IOThreads of the process: those of iothread objects, and the daemon's own for exports that name none. The own
/// ones start with the first such export. On the control thread only.
/// </summary>
internal sealed class IOThreadPool : IDisposable
{
    private const int MaxOwnThreads = 4;

    // A client with one request at a time comes back after 20 to 40 microseconds.
    private const long OwnPollMaxNs = 50_000;

    private readonly Dictionary<string, IOThread> _named = [];
    private readonly MemoryBudget _budget;
    private readonly HashSet<int> _indices = [];
    private readonly Action<long, IEnumerable<LayerNotice>>? _notices;
    private IOThread[] _own = [];

    /// <param name="notices">Told, on the threads, of what layers report about a node.</param>
    internal IOThreadPool(MemoryBudget budget, Action<long, IEnumerable<LayerNotice>>? notices)
    {
        _budget = budget;
        _notices = notices;
    }

    /// <summary>More than the index of each thread.</summary>
    internal int IndexCount => _indices.Count == 0 ? 0 : _indices.Max() + 1;

    private IOThread Create(string name)
    {
        int index = 0;
        while (_indices.Contains(index))
        {
            index++;
        }

        IOThread thread = new(name, index, _budget) { LayerNotices = _notices };
        _ = _indices.Add(index);
        return thread;
    }

    /// <summary>Threads to serve an export with: the named ones, or the daemon's own.</summary>
    internal IOThread[] ForExport(IEnumerable<string> ids)
    {
        IOThread[] named = [.. ids.Select(id => _named[id])];
        return named.Length > 0 ? named : Own();
    }

    /// <summary>Starts the daemon's own threads; throws where the process can have no more descriptors.</summary>
    internal void Prepare() => _ = Own();

    /// <summary>A thread for work that belongs to no export.</summary>
    internal IOThread Any() => Own()[0];

    private IOThread[] Own()
    {
        if (_own.Length == 0)
        {
            _own = [.. Enumerable.Range(0, Math.Clamp(Environment.ProcessorCount, 1, MaxOwnThreads))
                .Select(i => Create("iothread-" + i))];
            foreach (IOThread thread in _own)
            {
                thread.SetPolling(OwnPollMaxNs, grow: 2, shrink: 2);
                thread.Start();
            }

            Announce();
        }

        return _own;
    }

    /// <summary>Starts the thread of a new object.</summary>
    internal void Start(string id, Iothread settings)
    {
        IOThread thread = Create(id);
        _named.Add(id, thread);
        Tune(id, settings);
        thread.Start();
        Announce();
    }

    /// <summary>Takes an object's settings over; those of the ring count for rings made later.</summary>
    internal void Tune(string id, Iothread settings)
    {
        IOThread thread = _named[id];
        thread.MaxBatch = (int)Math.Min(settings.Loop.AioMaxBatch, int.MaxValue);
        thread.MaxWorkers = (int)settings.Loop.ThreadPoolMax;
        thread.SetPolling(settings.PollMaxNs, settings.PollGrow, settings.PollShrink);
    }

    internal void Stop(string id)
    {
        if (_named.Remove(id, out IOThread? thread))
        {
            Announce();
            thread.Dispose();
            _ = _indices.Remove(thread.Index);
        }
    }

    private void Announce() => _budget.SetThreads([.. _own, .. _named.Values]);

    public void Dispose()
    {
        _budget.SetThreads([]);
        foreach (IOThread thread in _own.Concat(_named.Values))
        {
            thread.Dispose();
        }

        _own = [];
        _named.Clear();
    }
}
