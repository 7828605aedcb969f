using System;
using Microsoft.FSharp.Collections;
using StorageDaemon.Core;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// One client in the handshake. A client that says nothing is dropped when its time is up; one that does not read is
/// not read from. On the control thread.
/// </summary>
internal sealed unsafe class NbdHandshake
{
    /// <summary>Bytes of the buffer into which handshakes receive.</summary>
    internal const int ReceiveLength = 64 << 10;

    private const int MaxStepsPerTurn = 256;

    private readonly Reactor _reactor;
    private readonly byte[] _received;
    private readonly Func<FSharpList<ExportInfo>> _exports;
    private readonly Action<NbdHandshake, Session?, byte[]> _finished;
    private Reactor.Registration? _registration;
    private ReactorTimer? _timer;
    private Handshake.State _state;
    private byte[] _input = [];
    private int _inputStart;
    private byte[] _output = [];
    private bool _ending;

    /// <param name="reactor">The control thread's loop.</param>
    /// <param name="fd">The connection, non-blocking; the callee of <paramref name="finished"/> closes it.</param>
    /// <param name="received">A buffer that all handshakes of the thread share: free for use within one turn.</param>
    /// <param name="exports">What the client may ask for now.</param>
    /// <param name="finished">Told once: the session and what came after the handshake, or null for a failure.</param>
    internal NbdHandshake(
        Reactor reactor,
        int fd,
        byte[] received,
        Func<FSharpList<ExportInfo>> exports,
        Action<NbdHandshake, Session?, byte[]> finished)
    {
        _reactor = reactor;
        _received = received;
        _exports = exports;
        _finished = finished;
        Fd = fd;
        (_state, _output) = Handshake.start(Policy.NoTls);
    }

    internal int Fd { get; }

    /// <param name="maxSeconds">Time for the whole handshake; zero for no limit.</param>
    internal void Start(uint maxSeconds)
    {
        _registration = _reactor.TryRegister(Fd, Libc.EPOLLIN, _ => OnReady());
        if (_registration == null)
        {
            // The kernel's limit of watches: this client goes, the daemon and the others stay.
            _finished(this, null, []);
            return;
        }

        if (maxSeconds > 0)
        {
            _timer = _reactor.AfterMs(maxSeconds * 1000L, Abort);
        }

        SendAndWatch();
    }

    /// <summary>Gives the client up.</summary>
    internal void Abort() => Finish(null);

    private void OnReady()
    {
        if (_output.Length > 0 && !SendAndWatch())
        {
            return;
        }

        if (_registration == null || _output.Length > 0)
        {
            return;
        }

        if (_inputStart < _input.Length)
        {
            // The client has read what held the rest of its options up.
            Work();
        }
        else
        {
            Receive();
        }
    }

    private void Receive()
    {
        nint count;
        fixed (byte* bytes = _received)
        {
            count = Libc.Recv(Fd, bytes, (nuint)_received.Length, 0);
        }

        if (count > 0)
        {
            _input = [.. _input.AsSpan(_inputStart), .. _received.AsSpan(0, (int)count)];
            _inputStart = 0;
            Work();
        }
        else if (count == 0 || Libc.Errno is not (Errno.EAGAIN or Errno.EINTR))
        {
            Abort();
        }
    }

    /// <summary>
    /// Feeds what was received until the core wants more, or the client must read first. After some options others
    /// have their turn.
    /// </summary>
    private void Work()
    {
        int steps = 0;
        while (_output.Length == 0 && _registration != null)
        {
            if (++steps > MaxStepsPerTurn)
            {
                _reactor.Post(Work);
                return;
            }

            (int consumed, Handshake.State state, Output output) =
                Handshake.feed(_exports(), _state, _input.AsSpan(_inputStart));
            _state = state;
            _inputStart += consumed;
            switch (output)
            {
                case Output.Send send:
                    _output = send.Item;
                    break;
                case Output.Enter enter:
                    _output = enter.reply;
                    _entered = enter.session;
                    _ending = true;
                    break;
                case Output.Close close:
                    _output = close.Item;
                    _ending = true;
                    break;
                default:
                    return;
            }

            if (!SendAndWatch())
            {
                return;
            }
        }
    }

    private Session? _entered;

    /// <summary>Sends what waits; true if all of it went and the handshake goes on.</summary>
    private bool SendAndWatch()
    {
        int sent = 0;
        while (sent < _output.Length)
        {
            nint count;
            fixed (byte* bytes = _output)
            {
                count = Libc.Send(Fd, bytes + sent, (nuint)(_output.Length - sent), Libc.MSG_NOSIGNAL);
            }

            if (count >= 0)
            {
                sent += (int)count;
                continue;
            }

            int errno = Libc.Errno;
            if (errno == Errno.EAGAIN)
            {
                break;
            }

            if (errno != Errno.EINTR)
            {
                Abort();
                return false;
            }
        }

        _output = sent == _output.Length ? [] : _output[sent..];
        if (_output.Length == 0 && _ending)
        {
            Finish(_entered);
            return false;
        }

        _registration?.Modify(_output.Length == 0 ? Libc.EPOLLIN : Libc.EPOLLOUT);
        return _output.Length == 0;
    }

    private void Finish(Session? session)
    {
        if (_registration == null)
        {
            return;
        }

        _registration.Dispose();
        _registration = null;
        _timer?.Cancel();
        _finished(this, session, _input[_inputStart..]);
    }
}
