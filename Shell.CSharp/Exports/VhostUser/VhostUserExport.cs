using System;
using System.Collections.Generic;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Virtio;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Exports.VhostUser;

/// <summary>
/// A disk for a virtual machine: the listening socket, one front end at a time (the next waits in the backlog), and the
/// queues, which stay while front ends come and go. On the control thread.
/// </summary>
internal sealed class VhostUserExport : IExportServer
{
    private const int Backlog = 16;
    private const long SectorLength = 512;

    private readonly SharedExport _export;
    private readonly VhostUserOffer _offer;
    private readonly Reactor _reactor;
    private readonly Listener _listener;
    private VhostUserQueue[] _queues = [];
    private VhostUserConnection? _connection;
    private bool _stopped;

    private VhostUserExport(SharedExport export, VhostUserOffer offer, Reactor reactor, Listener listener)
    {
        _export = export;
        _offer = offer;
        _reactor = reactor;
        _listener = listener;
    }

    /// <summary>Listens for front ends; null, and why, if that fails.</summary>
    internal static VhostUserExport? TryListen(
        SharedExport export, VhostUserOffer offer, Reactor reactor, bool fromMonitor, out QapiError? error)
    {
        Net.Outcome<Listener> opened = Listener.Open(
            SocketMapping.ToNet(offer.Addr, fromMonitor), Backlog, unlinkPassed: true);
        error = opened.Error == null ? null : opened.ToQapiError();
        return opened.Error == null ? new VhostUserExport(export, offer, reactor, opened.Value) : null;
    }

    /// <summary>What the disk is like on a path; anybody may ask.</summary>
    internal BlkDevice Device(long sizeBytes) => new(
        (ulong)(sizeBytes / SectorLength),
        _offer.LogicalBlockSize,
        _offer.NumQueues,
        !_offer.Writable,
        packed: false);

    public IEnumerable<IExportClient> Start(Action<IExportClient> ended)
    {
        _queues = new VhostUserQueue[_offer.NumQueues];
        for (int i = 0; i < _queues.Length; i++)
        {
            _queues[i] = new VhostUserQueue(this, _export, i, ended);
        }

        _listener.StartAccepting(_reactor, Accepted);
        return _queues;
    }

    private void Accepted(int fd)
    {
        _listener.StopAccepting();
        BlkDevice device = Device(_export.Path.SizeBytes);
        _connection = new VhostUserConnection(
            _reactor, fd, _queues, in device, writeCache: !_export.Writethrough, Left);
        _connection.Start();
    }

    /// <summary>The front end has gone, and nothing of its memory is in use: the next one may come.</summary>
    private void Left()
    {
        _connection = null;
        if (!_stopped)
        {
            _listener.StartAccepting(_reactor, Accepted);
        }
    }

    public void Updated() => _connection?.Resize((ulong)(_export.Path.SizeBytes / SectorLength));

    public void Stop()
    {
        _stopped = true;
        _listener.Dispose();
        _connection?.Close("the export ends");
    }

    public void Dispose()
    {
        Stop();
        _connection?.Release();
        _connection = null;
    }
}
