using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Core.Observe;
using StorageDaemon.Core;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Exports.Fuse;
using StorageDaemon.Shell.Exports.Nbd;
using StorageDaemon.Shell.Exports.VhostUser;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Exports;

/// <summary>
/// The exports that are served, and their clients. On the control thread only, but for the notice that a client has
/// ended.
/// </summary>
internal sealed class ExportTable
{
    private sealed class Served(SharedExport export, IExportServer? server)
    {
        internal SharedExport Export { get; } = export;

        /// <summary>Null where the clients come from a server that many exports share.</summary>
        internal IExportServer? Server { get; } = server;

        internal HashSet<IExportClient> Clients { get; } = [];

        /// <summary>Counts of the paths that were in force before.</summary>
        internal IoStats Before { get; } = new();

        internal bool Stopping { get; set; }
    }

    private readonly Dictionary<int, Served> _exports = [];
    // A monitor, not a Lock: the control thread waits on it for clients to end.
    private readonly object _gate = new();
    private readonly PathCompiler _paths;
    private readonly FileTable _files;
    private readonly NodeTable _nodes;
    private readonly IOThreadPool _threads;
    private readonly Action<Action> _post;
    private readonly Action<int> _stopped;
    private readonly Func<int, long, bool, int> _resize;
    private readonly Reactor? _reactor;

    /// <param name="paths">Makes paths of the graph's.</param>
    /// <param name="nodes">Keeps what paths have counted.</param>
    /// <param name="threads">Threads to serve on.</param>
    /// <param name="post">Runs an action on the control thread.</param>
    /// <param name="stopped">Called on the control thread when an export that is to stop has lost its last client.</param>
    /// <param name="resize">
    /// On the control thread: gives the node of an export a length in bytes, or at least that one; an error number.
    /// </param>
    /// <param name="reactor">The control thread's loop, for exports that listen by themselves.</param>
    internal ExportTable(
        PathCompiler paths,
        FileTable files,
        NodeTable nodes,
        IOThreadPool threads,
        Action<Action> post,
        Action<int> stopped,
        Func<int, long, bool, int> resize,
        Reactor? reactor)
    {
        _paths = paths;
        _files = files;
        _resize = resize;
        _reactor = reactor;
        _nodes = nodes;
        _threads = threads;
        _post = post;
        _stopped = stopped;
    }

    /// <summary>Exports are made by monitor commands from now on.</summary>
    internal bool FromMonitor { get; set; }

    internal Answer Serve(ServedExport offer)
    {
        IOThread[] threads = _threads.ForExport(offer.Iothreads);
        SharedExport export = new(
            _paths.Compile(offer.Path, _threads.IndexCount), offer.Writethrough, threads, Files(offer));
        IExportServer? server = null;
        if (MakeServer(offer, export, ref server) is { } error)
        {
            return Answer.NewRefused(error);
        }

        Served served = new(export, server);
        _exports.Add(offer.Key, served);
        if (server != null)
        {
            lock (_gate)
            {
                foreach (IExportClient client in server.Start(ended => End(offer.Key, served, ended, null)))
                {
                    Begin(served, client);
                }
            }
        }

        return Answer.Finished;
    }

    /// <summary>Makes what the protocol of an export needs of its own; or says why that cannot be.</summary>
    private QapiError? MakeServer(ServedExport offer, SharedExport export, ref IExportServer? server)
    {
        QapiError? error = null;
        if (offer.Protocol is ExportProtocol.Fuse fuse)
        {
            server = FuseExport.TryMount(
                export,
                fuse.Item,
                _exports.Values.Select(other => other.Server).OfType<FuseExport>().Select(other => other.Path),
                (bytes, growOnly, done) => _post(() => done(_resize(offer.Key, bytes, growOnly))),
                out error);
        }
        else if (offer.Protocol is ExportProtocol.VhostUser vhostUser)
        {
            server = VhostUserExport.TryListen(export, vhostUser.Item, _reactor!, FromMonitor, out error);
        }

        return error;
    }

    private OpenFile[] Files(ServedExport offer) => [.. offer.Files.Select(node => _files[node])];

    private void Begin(Served served, IExportClient client)
    {
        lock (_gate)
        {
            _ = served.Clients.Add(client);
        }

        client.Thread.Post(client.Attach);
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
            foreach (IExportClient client in Clients(served))
            {
                drain.Expect();
                client.Thread.Post(() => client.Pause(drain));
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
            known.Export.Files = Files(served);
            Retire(known, old);
            Move(known, _threads.ForExport(served.Iothreads));
            known.Server?.Updated();
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
        IExportClient[] moving = [.. Clients(served).Where(client => Array.IndexOf(threads, client.Thread) < 0)];
        Drain left = new();
        foreach (IExportClient client in moving)
        {
            left.Expect();
            client.Thread.Post(() => client.Leave(left));
        }

        left.Wait();
        foreach (IExportClient client in moving)
        {
            client.MoveTo(served.Export.NextThread());
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
            foreach (IExportClient client in Clients(served))
            {
                client.Thread.Post(client.Resume);
            }
        }
    }

    private IExportClient[] Clients(Served served)
    {
        lock (_gate)
        {
            return [.. served.Clients];
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
            served.Server?.Dispose();
            served.Export.Path.ResumeThrottling();
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

    /// <summary>Clients that came by themselves: of an export that has a way of its own to clients, those are not known.</summary>
    internal int CountClients(int key) =>
        _exports.TryGetValue(key, out Served? served) && served.Server == null ? Count(served) : 0;

    /// <summary>Requests of an export that have begun and not ended.</summary>
    internal int CountInFlight(int key)
    {
        if (!_exports.TryGetValue(key, out Served? served))
        {
            return 0;
        }

        lock (_gate)
        {
            return served.Clients.Sum(client => client.InFlight);
        }
    }

    private int Count(Served served)
    {
        lock (_gate)
        {
            return served.Clients.Count;
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
        Begin(served, new NbdConnection(thread, served.Export, fd, in session, unread, c => End(key, served, c, left)));
        return true;
    }

    /// <summary>On the IOThread: a client has ended.</summary>
    private void End(int key, Served served, IExportClient client, Action? left)
    {
        lock (_gate)
        {
            _ = served.Clients.Remove(client);
            System.Threading.Monitor.PulseAll(_gate);
        }

        _post(() =>
        {
            if (left != null)
            {
                left();
                Trace.Write(TracePoints.NbdDisconnect, "key=" + key);
            }

            if (served.Stopping && Count(served) == 0 && _exports.ContainsKey(key))
            {
                Forget(key);
                _stopped(key);
            }
        });
    }

    /// <summary>Begins to end an export's clients. Without any, the export is gone at once, and nobody is told.</summary>
    internal void Stop(int key)
    {
        if (!_exports.TryGetValue(key, out Served? served))
        {
            return;
        }

        served.Stopping = true;
        served.Export.Path.SuspendThrottling();
        served.Server?.Stop();
        lock (_gate)
        {
            foreach (IExportClient client in served.Clients)
            {
                client.Thread.Post(client.Abort);
            }

            if (served.Clients.Count == 0)
            {
                // The last client may have gone since it was counted; who knows the export as gone does not mind.
                Forget(key);
                _post(() => _stopped(key));
            }
        }
    }

    /// <summary>Ends exports and waits until their clients are gone; nobody is told.</summary>
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
                while (served.Clients.Count > 0)
                {
                    _ = System.Threading.Monitor.Wait(_gate);
                }
            }

            Forget(key);
        }
    }
}
