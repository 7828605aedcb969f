using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Core.Observe;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// The exports that are served, and their connections. On the control thread only, but for the notice that a
/// connection has ended.
/// </summary>
internal sealed class ExportTable
{
    private sealed class Served(NbdExport export)
    {
        internal NbdExport Export { get; } = export;

        internal HashSet<NbdConnection> Connections { get; } = [];

        /// <summary>Counts of the paths that were in force before.</summary>
        internal IoStats Before { get; } = new();

        internal bool Stopping { get; set; }
    }

    private readonly Dictionary<int, Served> _exports = [];
    // A monitor, not a Lock: the control thread waits on it for connections to end.
    private readonly object _gate = new();
    private readonly PathCompiler _paths;
    private readonly NodeTable _nodes;
    private readonly IOThreadPool _threads;
    private readonly Action<Action> _post;
    private readonly Action<int> _stopped;

    /// <param name="paths">Makes paths of the graph's.</param>
    /// <param name="nodes">Keeps what paths have counted.</param>
    /// <param name="threads">Threads to serve on.</param>
    /// <param name="post">Runs an action on the control thread.</param>
    /// <param name="stopped">Called on the control thread when an export that is to stop has lost its last connection.</param>
    internal ExportTable(
        PathCompiler paths, NodeTable nodes, IOThreadPool threads, Action<Action> post, Action<int> stopped)
    {
        _paths = paths;
        _nodes = nodes;
        _threads = threads;
        _post = post;
        _stopped = stopped;
    }

    internal void Serve(ServedExport served)
    {
        IOThread[] threads = _threads.ForExport(served.Iothreads);
        NodePath path = _paths.Compile(served.Path, _threads.IndexCount);
        _exports.Add(served.Key, new Served(new NbdExport(path, served.Writethrough, threads)));
    }

    /// <summary>Stops exports from sending requests and waits until none is in flight.</summary>
    internal void Quiesce(IEnumerable<int> keys)
    {
        Drain drain = new();
        foreach (int key in keys)
        {
            if (!_exports.TryGetValue(key, out Served? served))
            {
                continue;
            }

            served.Export.Path.SuspendThrottling();
            foreach (NbdConnection connection in Connections(served))
            {
                drain.Expect();
                connection.Thread.Post(() => connection.Pause(drain));
            }
        }

        drain.Wait();
    }

    /// <summary>
    /// The graph below a quiesced export has changed, or its threads: requests from now on take the new path, there.
    /// </summary>
    internal void Update(ServedExport served)
    {
        if (_exports.TryGetValue(served.Key, out Served? known))
        {
            NodePath old = known.Export.Path;
            NodePath next = _paths.Compile(served.Path, _threads.IndexCount);
            next.SuspendThrottling();
            old.ResumeThrottling();
            known.Export.Path = next;
            Retire(known, old);
            Move(known, _threads.ForExport(served.Iothreads));
        }
    }

    /// <summary>Has a quiesced export served by these threads from now on.</summary>
    private void Move(Served served, IOThread[] threads)
    {
        if (threads.AsSpan().SequenceEqual(served.Export.Threads))
        {
            return;
        }

        served.Export.Threads = threads;
        NbdConnection[] moving =
            [.. Connections(served).Where(connection => Array.IndexOf(threads, connection.Thread) < 0)];
        Drain left = new();
        foreach (NbdConnection connection in moving)
        {
            left.Expect();
            connection.Thread.Post(() => connection.Leave(left));
        }

        left.Wait();
        foreach (NbdConnection connection in moving)
        {
            connection.MoveTo(served.Export.NextThread());
        }
    }

    /// <summary>The limits of writes below an export have changed; the path stays.</summary>
    internal void LimitWrites(ServedExport served)
    {
        if (_exports.TryGetValue(served.Key, out Served? known))
        {
            PathCompiler.Limit(known.Export.Path, served.Path);
        }
    }

    /// <summary>Lets quiesced exports go on.</summary>
    internal void Resume(IEnumerable<int> keys)
    {
        foreach (int key in keys)
        {
            if (!_exports.TryGetValue(key, out Served? served))
            {
                continue;
            }

            served.Export.Path.ResumeThrottling();
            foreach (NbdConnection connection in Connections(served))
            {
                connection.Thread.Post(connection.Resume);
            }
        }
    }

    private NbdConnection[] Connections(Served served)
    {
        lock (_gate)
        {
            return [.. served.Connections];
        }
    }

    /// <summary>Keeps the counts of a path that is in force no longer.</summary>
    private void Retire(Served served, NodePath path)
    {
        path.AddStatsTo(served.Before, 0);
        _nodes.Retire(path);
    }

    private void Forget(int key)
    {
        if (_exports.Remove(key, out Served? served))
        {
            _nodes.Retire(served.Export.Path);
        }
    }

    /// <summary>What has been asked of each export.</summary>
    internal IEnumerable<(int Key, IoStats Stats)> ExportStats()
    {
        foreach ((int key, Served served) in _exports)
        {
            IoStats sum = new();
            sum.Add(served.Before, 0);
            served.Export.Path.AddStatsTo(sum, 0);
            yield return (key, sum);
        }
    }

    /// <summary>What has been asked of each node, by exports that are gone, too.</summary>
    internal Dictionary<long, IoStats> NodeStats()
    {
        Dictionary<long, IoStats> sums = _nodes.RetiredStats();
        foreach (Served served in _exports.Values)
        {
            NodeTable.AddTo(sums, served.Export.Path);
        }

        return sums;
    }

    internal int CountClients(int key) =>
        _exports.TryGetValue(key, out Served? served) ? Count(served) : 0;

    /// <summary>Requests of an export that have begun and not ended.</summary>
    internal int CountInFlight(int key)
    {
        if (!_exports.TryGetValue(key, out Served? served))
        {
            return 0;
        }

        lock (_gate)
        {
            return served.Connections.Sum(connection => connection.InFlight);
        }
    }

    private int Count(Served served)
    {
        lock (_gate)
        {
            return served.Connections.Count;
        }
    }

    /// <summary>
    /// Hands a client that has finished its handshake to the export's next thread; false if the export is going.
    /// <paramref name="left"/> is called on the control thread when the client has gone.
    /// </summary>
    internal bool Connect(int key, int fd, in Session session, ReadOnlySpan<byte> unread, Action left)
    {
        if (!_exports.TryGetValue(key, out Served? served) || served.Stopping)
        {
            return false;
        }

        IOThread thread = served.Export.NextThread();
        NbdConnection connection = new(thread, served.Export, fd, in session, unread, c => End(key, served, c, left));
        lock (_gate)
        {
            _ = served.Connections.Add(connection);
        }

        thread.Post(connection.Attach);
        return true;
    }

    /// <summary>On the IOThread: a connection has ended.</summary>
    private void End(int key, Served served, NbdConnection connection, Action left)
    {
        lock (_gate)
        {
            _ = served.Connections.Remove(connection);
            System.Threading.Monitor.PulseAll(_gate);
        }

        _post(() =>
        {
            left();
            Trace.Write(TracePoints.NbdDisconnect, "key=" + key);
            if (served.Stopping && Count(served) == 0 && _exports.ContainsKey(key))
            {
                Forget(key);
                _stopped(key);
            }
        });
    }

    /// <summary>Begins to end an export's connections. Without any, the export is gone at once, and nobody is told.</summary>
    internal void Stop(int key)
    {
        if (!_exports.TryGetValue(key, out Served? served))
        {
            return;
        }

        served.Stopping = true;
        lock (_gate)
        {
            foreach (NbdConnection connection in served.Connections)
            {
                connection.Thread.Post(connection.Abort);
            }

            if (served.Connections.Count == 0)
            {
                // The last client may have gone since it was counted; who knows the export as gone does not mind.
                Forget(key);
                _post(() => _stopped(key));
            }
        }
    }

    /// <summary>Ends exports and waits until their connections are gone; nobody is told.</summary>
    internal void StopAndWait(IEnumerable<int> keys)
    {
        foreach (int key in keys)
        {
            if (!_exports.TryGetValue(key, out Served? served))
            {
                continue;
            }

            Stop(key);
            lock (_gate)
            {
                while (served.Connections.Count > 0)
                {
                    _ = System.Threading.Monitor.Wait(_gate);
                }
            }

            Forget(key);
        }
    }
}
