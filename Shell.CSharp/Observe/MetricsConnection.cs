using System;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.Observe;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Observe;

/// <summary>One HTTP client: a request, its answer, the end. Whoever is slow is let go.</summary>
internal sealed unsafe class MetricsConnection : IDisposable
{
    private const int PatienceMs = 5000;

    private readonly Reactor _reactor;
    private readonly int _fd;
    private readonly Func<string> _metrics;
    private readonly Action<MetricsConnection> _left;
    private readonly byte[] _input = new byte[Http.MaxHeadBytes];
    private Reactor.Registration? _registration;
    private ReactorTimer? _deadline;
    private int _received;
    private byte[]? _output;
    private int _sent;
    private bool _isDisposed;

    /// <param name="reactor">The control thread's loop.</param>
    /// <param name="fd">A non-blocking socket, ours to close.</param>
    /// <param name="metrics">Makes the text of the metrics.</param>
    /// <param name="left">Called once when the client is gone.</param>
    internal MetricsConnection(Reactor reactor, int fd, Func<string> metrics, Action<MetricsConnection> left)
    {
        _reactor = reactor;
        _fd = fd;
        _metrics = metrics;
        _left = left;
    }

    internal void Start()
    {
        _registration = _reactor.Register(_fd, Libc.EPOLLIN, _ => Advance());
        _deadline = _reactor.AfterMs(PatienceMs, Dispose);
    }

    private void Advance()
    {
        if (_output == null ? Receive() : Send())
        {
            Dispose();
        }
    }

    /// <summary>True if the client is done with.</summary>
    private bool Receive()
    {
        nint count;
        fixed (byte* start = _input)
        {
            count = Libc.Recv(_fd, start + _received, (nuint)(_input.Length - _received), Libc.MSG_DONTWAIT);
        }

        if (count <= 0)
        {
            return count == 0 || !IsTransient(Libc.Errno);
        }

        _received += (int)count;
        HttpRequest request = Http.parse(_input.AsSpan(0, _received));
        if (request.IsIncomplete)
        {
            return false;
        }

        _output = Http.answer(FuncConvert.FromFunc(_metrics), request);
        return Send();
    }

    private bool Send()
    {
        while (_sent < _output!.Length)
        {
            nint count;
            fixed (byte* start = _output)
            {
                count = Libc.Send(
                    _fd, start + _sent, (nuint)(_output.Length - _sent), Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL);
            }

            if (count < 0)
            {
                if (!IsTransient(Libc.Errno))
                {
                    return true;
                }

                _registration!.Modify(Libc.EPOLLOUT);
                return false;
            }

            _sent += (int)count;
        }

        return true;
    }

    private static bool IsTransient(int error) => error is Core.Errno.EAGAIN or Core.Errno.EINTR;

    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        _deadline?.Cancel();
        _registration?.Dispose();
        _ = Libc.Close(_fd);
        _left(this);
    }
}
