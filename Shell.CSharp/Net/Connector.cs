using System;
using System.Threading;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>
/// Connects to a stream socket. The result is a blocking, close-on-exec descriptor that the caller owns.
/// </summary>
internal static class Connector
{
    /// <summary>Resolves and connects; blocks for as long as the network takes.</summary>
    internal static Outcome<int> Connect(SocketAddress address) =>
        address switch
        {
            UnixAddress unix => ConnectUnix(unix),
            InetAddress inet => ConnectInet(inet),
            VsockAddress vsock => ConnectVsock(vsock),
            FdAddress fd => PassedSocket.Take(fd),
            _ => throw new ArgumentOutOfRangeException(nameof(address)),
        };

    /// <summary>
    /// Connects on a thread of its own and hands the result to the loop, unless it is cancelled before; a connection
    /// that comes too late is closed.
    /// </summary>
    internal static PendingConnect Start(SocketAddress address, Reactor reactor, Action<Outcome<int>> completed)
    {
        var pending = new PendingConnect();
        var thread = new Thread(() =>
        {
            Outcome<int> outcome = Connect(address);
            reactor.Post(() =>
            {
                if (!pending.IsCancelled)
                {
                    completed(outcome);
                }
                else if (outcome.Error is null)
                {
                    _ = Libc.Close(outcome.Value);
                }
            });
        })
        {
            IsBackground = true,
            Name = "connect",
        };
        thread.Start();
        return pending;
    }

    private static Outcome<int> ConnectUnix(UnixAddress address) =>
        SocketName.OfUnix(address) is SocketName name
            ? ConnectTo(name, 0, "'" + address.Path + "'")
            : Outcome<int>.Fail(AddressRules.unixPathTooLong(address.Path), AddressRules.unixPathHint(address.Abstract));

    private static Outcome<int> ConnectVsock(VsockAddress address)
    {
        Outcome<SocketName> name = VsockName.Of(address);
        return name.Error is null
            ? ConnectTo(name.Value, 0, "'" + address.Cid + ":" + address.Port + "'")
            : Outcome<int>.Fail(name.Error);
    }

    private static Outcome<int> ConnectInet(InetAddress address)
    {
        var family = AddressRules.family(address.Host, address.Ipv4, address.Ipv6);
        if (family.IsError)
        {
            return Outcome<int>.Fail(family.ErrorValue);
        }

        var names = Resolver.Resolve(address, family.ResultValue, passive: false);
        if (names.Error is not null)
        {
            return Outcome<int>.Fail(names.Error);
        }

        var outcome = Outcome<int>.Fail("address resolution failed for " + address.Host + ":" + address.Port);
        foreach (SocketName name in names.Value)
        {
            int protocol = address.Mptcp ? Libc.IPPROTO_MPTCP : Libc.IPPROTO_TCP;
            outcome = ConnectTo(name, protocol, "'" + address.Host + ":" + address.Port + "'");
            if (outcome.Error is null)
            {
                break;
            }
        }

        if (outcome.Error is null && address.KeepAlive)
        {
            _ = Libc.SetSockOptInt(outcome.Value, Libc.SOL_SOCKET, Libc.SO_KEEPALIVE, 1);
        }

        return outcome;
    }

    private static unsafe Outcome<int> ConnectTo(SocketName name, int protocol, string target)
    {
        int fd = Libc.Socket(name.Family, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC, protocol);
        if (fd < 0)
        {
            return Outcome<int>.Fail("Failed to create a socket: " + Libc.Strerror(Libc.Errno));
        }

        int error = 0;
        if (Libc.Connect(fd, &name.Storage, name.Length) < 0)
        {
            error = Libc.Errno;
            if (error == Core.Errno.EINTR)
            {
                error = AwaitInterruptedConnect(fd);
            }
        }

        if (error == 0)
        {
            return Outcome<int>.Ok(fd);
        }

        _ = Libc.Close(fd);
        return Outcome<int>.Fail("Failed to connect to " + target + ": " + Libc.Strerror(error));
    }

    /// <summary>A connect(2) that a signal interrupted goes on by itself; its result is a socket option.</summary>
    private static unsafe int AwaitInterruptedConnect(int fd)
    {
        var polled = new PollFd { Fd = fd, Events = (short)Libc.EPOLLOUT };
        while (Libc.Poll(&polled, 1, -1) < 0)
        {
            if (Libc.Errno != Core.Errno.EINTR)
            {
                return Libc.Errno;
            }
        }

        return Libc.GetSockOptInt(fd, Libc.SOL_SOCKET, Libc.SO_ERROR) ?? Libc.Errno;
    }

    /// <summary>A connection under way on another thread.</summary>
    internal sealed class PendingConnect
    {
        internal bool IsCancelled { get; private set; }

        /// <summary>To be called on the loop's thread.</summary>
        internal void Cancel() => IsCancelled = true;
    }
}
