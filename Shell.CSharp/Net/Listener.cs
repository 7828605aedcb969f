using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Threading;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>
/// Listening sockets of one address. Accepts through the loop while it is told to; clients wait in the backlog
/// otherwise. Belongs to the loop's thread.
/// </summary>
internal sealed class Listener : IDisposable
{
    /// <summary>How long accepting rests when the process or the system has no descriptor left.</summary>
    private const int ExhaustedPauseMs = 200;

    private const int EnfileErrno = 23;
    private const int EnobufsErrno = 105;

    private readonly List<int> _sockets;
    private readonly UnixSocketFile? _file;
    private readonly List<Reactor.Registration> _registrations = [];
    private Reactor? _reactor;
    private Action<int>? _accepted;
    private ReactorTimer? _exhaustedTimer;
    private bool _isDisposed;

    private Listener(List<int> sockets, UnixSocketFile? file)
    {
        _sockets = sockets;
        _file = file;
        foreach (int fd in sockets)
        {
            _ = Libc.Fcntl(fd, Libc.F_SETFL, Libc.Fcntl(fd, Libc.F_GETFL, 0) | Libc.O_NONBLOCK);
        }
    }

    /// <summary>The listening descriptors, one for each bound address; at least one.</summary>
    internal IReadOnlyList<int> Sockets => _sockets;

    /// <summary>The first bound address as labels show it.</summary>
    internal LabelAddress Label => SocketName.OfLocal(_sockets[0])?.ToLabel() ?? LabelAddress.NewFdLabel("");

    /// <summary>
    /// Binds and listens. <paramref name="unlinkPassed"/>: a unix socket that was passed by number loses its file at
    /// the end too, as character devices and vhost-user exports have it.
    /// </summary>
    internal static Outcome<Listener> Open(SocketAddress address, int backlog, bool unlinkPassed = false)
    {
        if (address is InetAddress inet)
        {
            Outcome<List<int>> many = ListeningSockets.OpenInet(inet, backlog);
            return many.Error is null
                ? Outcome<Listener>.Ok(new Listener(many.Value, null))
                : Outcome<Listener>.Fail(many.Error);
        }

        Outcome<int> one = address switch
        {
            UnixAddress unix => ListeningSockets.OpenUnix(unix, backlog),
            VsockAddress vsock => ListeningSockets.OpenVsock(vsock, backlog),
            FdAddress fd => ListeningSockets.OpenPassed(fd, backlog),
            _ => throw new ArgumentOutOfRangeException(nameof(address)),
        };
        return one.Error is null
            ? Outcome<Listener>.Ok(new Listener([one.Value], FileOf(address, one.Value, unlinkPassed)))
            : Outcome<Listener>.Fail(one.Error, one.Hint);
    }

    /// <summary>
    /// Hands each new connection (non-blocking, close-on-exec, the callee's to close) to a handler, until
    /// <see cref="StopAccepting"/>. The handler may stop or dispose the listener.
    /// </summary>
    internal void StartAccepting(Reactor loop, Action<int> handler)
    {
        _reactor = loop;
        _accepted = handler;
        if (_registrations.Count > 0 || _exhaustedTimer is not null || _isDisposed)
        {
            return;
        }

        foreach (int fd in _sockets)
        {
            _registrations.Add(loop.Register(fd, Libc.EPOLLIN, _ => AcceptFrom(fd)));
        }
    }

    internal void StopAccepting()
    {
        _exhaustedTimer?.Cancel();
        _exhaustedTimer = null;
        Unregister();
    }

    /// <summary>
    /// Blocks for one client without running the loop. Null when a signal asked the process to end.
    /// </summary>
    internal int? WaitForClient(Reactor loop)
    {
        int ready;
        while ((ready = loop.WaitForAny(CollectionsMarshal.AsSpan(_sockets), Libc.EPOLLIN)) >= 0)
        {
            int fd = Accept(_sockets[ready], out int error);
            if (fd >= 0)
            {
                return fd;
            }

            if (IsExhausted(error))
            {
                Thread.Sleep(ExhaustedPauseMs);
            }
        }

        return null;
    }

    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        StopAccepting();
        _file?.Remove();
        foreach (int fd in _sockets)
        {
            _ = Libc.Close(fd);
        }
    }

    private static UnixSocketFile? FileOf(SocketAddress address, int fd, bool unlinkPassed)
    {
        if (address is UnixAddress unix)
        {
            return unix.Abstract ? null : UnixSocketFile.Claim(unix.Path);
        }

        // The file of a socket that a supervisor has passed is the supervisor's.
        bool isSupervisors = address is FdAddress passed && PassedSocket.IsNamed(passed);
        bool isPassedUnix = unlinkPassed && !isSupervisors && SocketName.OfLocal(fd) is { Family: Libc.AF_UNIX };
        string path = isPassedUnix ? SocketName.OfLocal(fd)?.UnixPath ?? "" : "";
        return path.Length > 0 ? UnixSocketFile.Claim(path) : null;
    }

    private static unsafe int Accept(int socket, out int error)
    {
        int fd = Libc.Accept4(socket, null, null, Libc.SOCK_NONBLOCK | Libc.SOCK_CLOEXEC);
        error = fd < 0 ? Libc.Errno : 0;
        return fd;
    }

    private static bool IsExhausted(int error) =>
        error is Core.Errno.EMFILE or EnfileErrno or EnobufsErrno or Core.Errno.ENOMEM;

    private void AcceptFrom(int socket)
    {
        int fd = Accept(socket, out int error);
        if (fd >= 0)
        {
            _accepted?.Invoke(fd);
        }
        else if (IsExhausted(error))
        {
            // The connection stays in the backlog, so a level-triggered wait would return at once, forever.
            Unregister();
            _exhaustedTimer = _reactor!.AfterMs(ExhaustedPauseMs, () =>
            {
                _exhaustedTimer = null;
                StartAccepting(_reactor!, _accepted!);
            });
        }
    }

    private void Unregister()
    {
        foreach (Reactor.Registration registration in _registrations)
        {
            registration.Dispose();
        }

        _registrations.Clear();
    }
}
