using System;
using System.Collections.Generic;
using StorageDaemon.Core.Observe;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Observe;

/// <summary>
/// Answers HTTP clients that ask for metrics, on the control thread. Clients above a limit wait in the backlog.
/// </summary>
internal sealed class MetricsServer : IDisposable
{
    private const int MaxClients = 16;

    private readonly Reactor _reactor;
    private readonly Listener _listener;
    private readonly Func<MetricsSnapshot> _snapshot;
    private readonly HashSet<MetricsConnection> _clients = [];

    private MetricsServer(Reactor reactor, Listener listener, Func<MetricsSnapshot> snapshot)
    {
        _reactor = reactor;
        _listener = listener;
        _snapshot = snapshot;
    }

    internal static Outcome<MetricsServer> Open(SocketAddress address, Reactor reactor, Func<MetricsSnapshot> snapshot)
    {
        Outcome<Listener> opened = Listener.Open(address, MaxClients);
        if (opened.Error != null)
        {
            return Outcome<MetricsServer>.Fail(opened.Error, opened.Hint);
        }

        MetricsServer server = new(reactor, opened.Value, snapshot);
        server.UpdateAccepting();
        return Outcome<MetricsServer>.Ok(server);
    }

    private void UpdateAccepting()
    {
        if (_clients.Count < MaxClients)
        {
            _listener.StartAccepting(_reactor, Accepted);
        }
        else
        {
            _listener.StopAccepting();
        }
    }

    private void Accepted(int fd)
    {
        MetricsConnection client = new(_reactor, fd, () => PrometheusText.encode(_snapshot()), Left);
        _ = _clients.Add(client);
        UpdateAccepting();
        client.Start();
    }

    private void Left(MetricsConnection client)
    {
        if (_clients.Remove(client))
        {
            UpdateAccepting();
        }
    }

    public void Dispose()
    {
        _listener.Dispose();
        foreach (MetricsConnection client in new List<MetricsConnection>(_clients))
        {
            client.Dispose();
        }
    }
}
