using System.Collections.Generic;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>Creates, binds and listens; the error texts are the real daemon's.</summary>
internal static unsafe class ListeningSockets
{
    private const int HighestPort = 65535;

    /// <summary>One socket that listens on a unix path or abstract name.</summary>
    internal static Outcome<int> OpenUnix(UnixAddress address, int backlog)
    {
        if (SocketName.OfUnix(address) is not SocketName name)
        {
            return Outcome<int>.Fail(AddressRules.unixPathTooLong(address.Path), AddressRules.unixPathHint(address.Abstract));
        }

        if (!address.Abstract && UnixSocketFile.MakeRoom(address, name) is string refusal)
        {
            return Outcome<int>.Fail(refusal);
        }

        return BindAndListen(name, backlog, "Failed to bind socket to " + address.Path);
    }

    internal static Outcome<int> OpenVsock(VsockAddress address, int backlog)
    {
        Outcome<SocketName> name = VsockName.Of(address);
        return name.Error is null
            ? BindAndListen(name.Value, backlog, "Failed to bind socket")
            : Outcome<int>.Fail(name.Error);
    }

    /// <summary>Takes a socket over from the parent process, which may or may not have made it listen.</summary>
    internal static Outcome<int> OpenPassed(FdAddress address, int backlog)
    {
        Outcome<int> taken = PassedSocket.Take(address);
        if (taken.Error is not null || Libc.Listen(taken.Value, backlog) == 0)
        {
            return taken;
        }

        return Outcome<int>.Fail("Failed to listen on fd socket: " + Libc.Strerror(Libc.Errno));
    }

    /// <summary>One socket for each address that the host resolves to and that can be bound; at least one.</summary>
    internal static Outcome<List<int>> OpenInet(InetAddress address, int backlog)
    {
        var family = AddressRules.family(address.Host, address.Ipv4, address.Ipv6);
        if (family.IsError)
        {
            return Outcome<List<int>>.Fail(family.ErrorValue);
        }

        var names = Resolver.Resolve(address, family.ResultValue, passive: true);
        if (names.Error is not null)
        {
            return Outcome<List<int>>.Fail(names.Error);
        }

        var sockets = new List<int>();
        string? firstError = null;
        foreach (SocketName name in names.Value)
        {
            Outcome<int> opened = OpenInetName(name, address, family.ResultValue, backlog);
            if (opened.Error is null)
            {
                sockets.Add(opened.Value);
            }
            else
            {
                firstError ??= opened.Error;
            }
        }

        return sockets.Count > 0 || firstError is null
            ? Outcome<List<int>>.Ok(sockets)
            : Outcome<List<int>>.Fail(firstError);
    }

    private static Outcome<int> OpenInetName(
        SocketName name, InetAddress address, FamilyChoice family, int backlog)
    {
        int first = name.Port;
        int last = address.To is ushort to ? to : first;
        int error = Core.Errno.EADDRINUSE;
        if (last < first)
        {
            return Outcome<int>.Fail("Failed to create a socket: " + Libc.Strerror(107 /* ENOTCONN */));
        }

        for (int port = first; port <= last && port <= HighestPort; port++)
        {
            name.SetPort(port);
            int fd = Libc.Socket(
                name.Family,
                Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC,
                address.Mptcp ? Libc.IPPROTO_MPTCP : Libc.IPPROTO_TCP);
            if (fd < 0)
            {
                return Outcome<int>.Fail("Failed to create a socket: " + Libc.Strerror(Libc.Errno));
            }

            _ = Libc.SetSockOptInt(fd, Libc.SOL_SOCKET, Libc.SO_REUSEADDR, 1);
            error = BindInet(fd, name, family);
            if (error == 0 && Libc.Listen(fd, backlog) == 0)
            {
                return Outcome<int>.Ok(fd);
            }

            string step = error == 0 ? "Failed to listen on socket: " : "Failed to bind socket: ";
            error = error == 0 ? Libc.Errno : error;
            _ = Libc.Close(fd);
            if (error != Core.Errno.EADDRINUSE)
            {
                return Outcome<int>.Fail(step + Libc.Strerror(error));
            }
        }

        return Outcome<int>.Fail("Failed to find an available port: " + Libc.Strerror(error));
    }

    /// <summary>
    /// An IPv6 socket takes IPv4 clients too when it may and when no IPv4 socket has the port already.
    /// </summary>
    private static int BindInet(int fd, SocketName name, FamilyChoice family)
    {
        if (name.Family != Libc.AF_INET6)
        {
            return BindError(fd, name);
        }

        bool dual = family != FamilyChoice.Ipv6Only;
        _ = Libc.SetSockOptInt(fd, Libc.IPPROTO_IPV6, Libc.IPV6_V6ONLY, dual ? 0 : 1);
        int error = BindError(fd, name);
        if (error == Core.Errno.EADDRINUSE && family == FamilyChoice.AnyFamily)
        {
            _ = Libc.SetSockOptInt(fd, Libc.IPPROTO_IPV6, Libc.IPV6_V6ONLY, 1);
            error = BindError(fd, name);
        }

        return error;
    }

    private static int BindError(int fd, SocketName name) =>
        Libc.Bind(fd, &name.Storage, name.Length) == 0 ? 0 : Libc.Errno;

    private static Outcome<int> BindAndListen(SocketName name, int backlog, string bindFailure)
    {
        int fd = Libc.Socket(name.Family, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC, 0);
        if (fd < 0)
        {
            return Outcome<int>.Fail("Failed to create a socket: " + Libc.Strerror(Libc.Errno));
        }

        int error = BindError(fd, name);
        string step = bindFailure;
        if (error == 0 && Libc.Listen(fd, backlog) < 0)
        {
            error = Libc.Errno;
            step = "Failed to listen on socket";
        }

        if (error == 0)
        {
            return Outcome<int>.Ok(fd);
        }

        _ = Libc.Close(fd);
        return Outcome<int>.Fail(step + ": " + Libc.Strerror(error));
    }
}
