using System;
using System.Collections.Generic;
using Microsoft.FSharp.Collections;
using StorageDaemon.Core;
using StorageDaemon.Core.Observe;
using StorageDaemon.Core.VhostUser;
using StorageDaemon.Core.Virtio;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Exports.VhostUser;

/// <summary>
/// A front end's connection, on the control thread: messages go to <see cref="Session"/>, and what that wants done is
/// done here or on the queues' threads. No message is looked at before the one before it has been carried out.
/// </summary>
internal sealed partial class VhostUserConnection
{
    private const int MaxMessagesPerTurn = 64;

    private readonly Reactor _reactor;
    private readonly int _fd;
    private readonly VhostUserQueue[] _queues;
    private readonly Action _left;
    private readonly byte[] _received = new byte[Wire.HeaderLength + Wire.MaxPayload];
    private readonly List<int> _descriptors = [];
    private Reactor.Registration? _registration;
    private SessionState _state;
    private int _length;
    private bool _closed;

    /// <param name="left">Called when the connection has ended and nothing of the front end's is in use.</param>
    internal VhostUserConnection(
        Reactor reactor, int fd, VhostUserQueue[] queues, in BlkDevice device, bool writeCache, Action left)
    {
        _reactor = reactor;
        _fd = fd;
        _queues = queues;
        _left = left;
        _state = Session.start(device, writeCache);
        _running = new bool[queues.Length];
        _touched = new bool[queues.Length];
        _writeCache = writeCache;
    }

    internal void Start()
    {
        Trace.Write(TracePoints.VhostUserConnect, "fd=" + _fd);
        Listen();
    }

    /// <summary>The disk has another length.</summary>
    internal void Resize(ulong sectors)
    {
        if (!_closed && sectors != _state.Device.CapacitySectors)
        {
            (SessionState next, FSharpList<Effect> effects) = Session.resize(sectors, _state);
            _state = next;
            Run(effects);
        }
    }

    private void Listen() => _registration ??= _reactor.Register(_fd, Libc.EPOLLIN, _ => Receive());

    private void Receive()
    {
        for (int i = 0; i < MaxMessagesPerTurn && !_closed; i++)
        {
            if (Session.isWaiting(_state))
            {
                // Until then the end of the connection would be reported again and again.
                _registration?.Dispose();
                _registration = null;
                return;
            }

            if (!TryReceiveMessage())
            {
                return;
            }
        }
    }

    /// <summary>Takes what is there of the next message; false if there is no more, for now or at all.</summary>
    private bool TryReceiveMessage()
    {
        Framing framing = MessageModule.frame(_received.AsSpan(0, _length));
        if (framing is Framing.Bad bad)
        {
            Close(bad.Item);
            return false;
        }

        if (framing is Framing.Whole whole)
        {
            _length = 0;
            Take(_received.AsSpan(0, whole.length));
            return true;
        }

        int needed = ((Framing.Needs)framing).Item;
        int count = DescriptorMessages.Receive(_fd, _received.AsSpan(_length, needed - _length), _descriptors);
        if (count > 0 && _descriptors.Count <= Wire.MaxRegionsPerMessage)
        {
            _length += count;
            return true;
        }

        if (count is -Errno.EAGAIN or -Errno.EINTR)
        {
            return false;
        }

        Close(count == 0 ? "end of the connection"
            : count < 0 ? Libc.Strerror(-count)
            : "too many descriptors");
        return false;
    }

    private void Take(ReadOnlySpan<byte> message)
    {
        (SessionState next, FSharpList<Effect> effects) = Session.step(message, _descriptors.Count, _state);
        _state = next;
        Run(effects);
        CloseDescriptors();
    }

    /// <summary>The outcome of what the session waits for.</summary>
    private void Completed(bool succeeded)
    {
        if (!_closed)
        {
            (SessionState next, FSharpList<Effect> effects) = Session.completed(succeeded, _state);
            GoOn(next, effects);
        }
    }

    private void Stopped(int queue, uint position)
    {
        _running[queue] = false;
        if (!_closed)
        {
            (SessionState next, FSharpList<Effect> effects) = Session.stopped(queue, position, _state);
            GoOn(next, effects);
        }
    }

    private void GoOn(SessionState next, FSharpList<Effect> effects)
    {
        _state = next;
        Run(effects);
        if (!_closed && !Session.isWaiting(_state))
        {
            Listen();
        }
    }

    private void CloseDescriptors()
    {
        foreach (int fd in _descriptors)
        {
            _ = Libc.Close(fd);
        }

        _descriptors.Clear();
    }

    /// <summary>Ends the connection; the queues let go of the front end's memory as soon as nothing is in flight.</summary>
    internal void Close(string reason)
    {
        if (_closed)
        {
            return;
        }

        _closed = true;
        Trace.Write(TracePoints.VhostUserDisconnect, "fd=" + _fd + " reason=" + reason);
        _registration?.Dispose();
        _registration = null;
        CloseDescriptors();
        _ = Libc.Close(_fd);
        int waiting = 1;
        Action oneLess = () =>
        {
            if (--waiting == 0)
            {
                Release();
                _left();
            }
        };

        for (int i = 0; i < _queues.Length; i++)
        {
            if (_touched[i])
            {
                waiting++;
                VhostUserQueue queue = _queues[i];
                queue.Thread.Post(() => queue.LetGo(() => _reactor.Post(oneLess)));
            }
        }

        _reactor.Post(oneLess);
    }
}
