using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Graph;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Core.Observe;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Drivers;
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

        internal bool Stopping { get; set; }
    }

    private readonly Dictionary<int, Served> _exports = [];
    // A monitor, not a Lock: the control thread waits on it for connections to end.
    private readonly object _gate = new();
    private readonly FileTable _files;
    private readonly IOThreadPool _threads;
    private readonly Action<Action> _post;
    private readonly Action<int> _stopped;

    /// <param name="files">Open files of the nodes.</param>
    /// <param name="threads">Threads to serve on.</param>
    /// <param name="post">Runs an action on the control thread.</param>
    /// <param name="stopped">Called on the control thread when an export that is to stop has lost its last connection.</param>
    internal ExportTable(FileTable files, IOThreadPool threads, Action<Action> post, Action<int> stopped)
    {
        _files = files;
        _threads = threads;
        _post = post;
        _stopped = stopped;
    }

    internal void Serve(ServedExport served) =>
        _exports.Add(served.Key, new Served(new NbdExport(
            Compile(served), served.Writethrough, _threads.ForExport(served.Iothreads))));

    /// <summary>The graph below an export has changed: requests from now on take the new path.</summary>
    internal void Update(ServedExport served)
    {
        if (_exports.TryGetValue(served.Key, out Served? known))
        {
            known.Export.Path = Compile(served);
        }
    }

    private NodePath Compile(ServedExport served)
    {
        DataPath path = served.Path;
        Leaf.NullLeaf? nullLeaf = path.Leaf as Leaf.NullLeaf;
        return new NodePath
        {
            File = path.Leaf is Leaf.FileLeaf leaf ? _files[leaf.Item] : null,
            BaseOffset = path.BaseOffset,
            SizeBytes = path.SizeBytes,
            ReadOnly = path.ReadOnly,
            Traits = (path.Discard ? FileTraits.Unmap : FileTraits.None)
                | (path.NoFlush ? FileTraits.NoFlush : FileTraits.None),
            DetectZeroes = path.DetectZeroes.IsDetectZeroesOff ? DetectZeroes.Off
                : path.DetectZeroes.IsDetectZeroesOn ? DetectZeroes.On
                : DetectZeroes.Unmap,
            LatencyNs = nullLeaf?.latencyNs ?? 0,
            ReadsZeroes = nullLeaf?.readZeroes ?? false,
            Nodes = [.. served.Passes.Select(pass => new PassedNode(_files.CountersOf(pass.Item1), pass.Item2))],
        };
    }

    internal int CountClients(int key) =>
        _exports.TryGetValue(key, out Served? served) ? Count(served) : 0;

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
            if (served.Stopping && Count(served) == 0 && _exports.Remove(key))
            {
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
                _ = _exports.Remove(key);
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

            _ = _exports.Remove(key);
        }
    }
}
