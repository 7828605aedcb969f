using System;
using System.Collections.Generic;
using Microsoft.FSharp.Collections;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Core.Observe;
using StorageDaemon.Core.Qapi;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// The NBD server: its listener, and the clients that are still in the handshake. Clients above the limit wait in the
/// listener's backlog. On the control thread.
/// </summary>
internal sealed class NbdListener
{
    private readonly HashSet<NbdHandshake> _handshakes = [];
    private readonly byte[] _received = new byte[NbdHandshake.ReceiveLength];
    private readonly Reactor _reactor;
    private readonly ExportTable _exports;
    private readonly Func<FSharpList<ExportInfo>> _infos;
    private Listener? _listener;
    private uint _maxConnections;
    private uint _handshakeSeconds;
    private uint _connections;
    private long _connected;
    private ulong _accepted;
    private ulong _handshakesDone;
    private ulong _handshakesFailed;
    private int _generation;
    private bool _serving;

    /// <param name="reactor">The control thread's loop.</param>
    /// <param name="exports">Where clients go after the handshake.</param>
    /// <param name="infos">What clients may ask for now.</param>
    internal NbdListener(Reactor reactor, ExportTable exports, Func<FSharpList<ExportInfo>> infos)
    {
        _reactor = reactor;
        _exports = exports;
        _infos = infos;
    }

    /// <summary>Clients now and since the start, those of servers that were closed included.</summary>
    internal NbdMetrics Metrics() => new(_connected, _accepted, _handshakesDone, _handshakesFailed);

    internal Answer Open(NbdServerOptions options)
    {
        _maxConnections = options.MaxConnections.Or(NbdServer.DefaultMaxConnections);
        _handshakeSeconds = options.HandshakeMaxSeconds.Or(NbdServer.DefaultHandshakeSeconds);
        int backlog = (int)Math.Min(_maxConnections == 0 ? 4096 : Math.Max(_maxConnections, 1), 4096);
        Net.Outcome<Listener> opened = Listener.Open(SocketMapping.ToNet(options.Addr, fromMonitor: _serving), backlog);
        if (opened.Error != null)
        {
            return Answer.NewRefused(opened.ToQapiError());
        }

        if (options.TlsCreds != null)
        {
            opened.Value.Dispose();
            return Answer.NewRefused(
                QapiErrorModule.generic("No TLS credentials with id '" + options.TlsCreds.Value + "'"));
        }

        _listener = opened.Value;
        _connections = 0;
        _generation++;
        Trace.Write(TracePoints.NbdServerStart, "max-connections=" + _maxConnections);
        UpdateAccepting();
        return Answer.Finished;
    }

    /// <summary>From now on clients are let in, those of servers that start later at once.</summary>
    internal void StartAccepting()
    {
        _serving = true;
        UpdateAccepting();
    }

    private void UpdateAccepting()
    {
        if (_listener == null || !_serving)
        {
            return;
        }

        if (_maxConnections == 0 || _connections < _maxConnections)
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
        _connections++;
        _connected++;
        _accepted++;
        UpdateAccepting();
        DataSocket.Prepare(fd);
        Trace.Write(TracePoints.NbdAccept, "fd=" + fd);
        NbdHandshake handshake = new(_reactor, fd, _received, _infos, Finished);
        _ = _handshakes.Add(handshake);
        handshake.Start(_handshakeSeconds);
    }

    /// <summary>A handshake has ended, in transmission or not.</summary>
    private void Finished(NbdHandshake handshake, Session? session, byte[] unread)
    {
        _ = _handshakes.Remove(handshake);
        int generation = _generation;
        if (session is { } entered
            && _exports.Connect(entered.ExportKey, handshake.Fd, entered, unread, () => Left(generation)))
        {
            _handshakesDone++;
            Trace.Write(TracePoints.NbdHandshakeDone, "fd=" + handshake.Fd);
            return;
        }

        _handshakesFailed++;
        Trace.Write(TracePoints.NbdHandshakeFail, "fd=" + handshake.Fd);
        _ = Libc.Close(handshake.Fd);
        Left(generation);
    }

    /// <summary>A client of that server has gone.</summary>
    private void Left(int generation)
    {
        _connected--;
        if (generation == _generation && _connections > 0)
        {
            _connections--;
            UpdateAccepting();
        }
    }

    /// <summary>Closes the listener, and clients that have not chosen an export.</summary>
    internal void Close()
    {
        if (_listener == null)
        {
            return;
        }

        _generation++;
        _listener.Dispose();
        _listener = null;
        foreach (NbdHandshake handshake in new List<NbdHandshake>(_handshakes))
        {
            handshake.Abort();
        }

        Trace.Write(TracePoints.NbdServerStop, "");
    }
}
