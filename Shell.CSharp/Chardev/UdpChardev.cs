using System;
using System.Collections.Generic;
using System.Globalization;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// Datagrams to and from one peer. The device opens with the peer's first datagram: before it nobody is known to
/// listen. What the network loses or refuses is gone.
/// </summary>
internal sealed unsafe class UdpChardev : CharacterDevice
{
    /// <summary>The most that one datagram holds over IPv4, and more than enough for one over IPv6.</summary>
    private const int MaxDatagram = 65507;

    private readonly Reactor _reactor;
    private readonly int _fd;
    private readonly byte[] _input = GC.AllocateUninitializedArray<byte>(64 * 1024);
    private Reactor.Registration? _registration;

    private UdpChardev(Reactor reactor, string id, OutputLog? log, int fd)
        : base(id, log)
    {
        _reactor = reactor;
        _fd = fd;
    }

    internal override string Filename => "udp";

    internal static Outcome<CharacterDevice> Open(Reactor reactor, string id, UdpOptions options, OutputLog? log)
    {
        Outcome<int> socket = Connect(options);
        return socket.Error is null
            ? Outcome<CharacterDevice>.Ok(new UdpChardev(reactor, id, log, socket.Value))
            : Outcome<CharacterDevice>.Fail(socket.Error);
    }

    protected override void OnInputWanted()
    {
        if (WantsInput)
        {
            _registration ??= _reactor.Register(_fd, Libc.EPOLLIN, _ => Receive());
        }
        else
        {
            _registration?.Dispose();
            _registration = null;
        }
    }

    protected override void WriteOut(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
        {
            for (int done = 0; done < bytes.Length; done += MaxDatagram)
            {
                _ = Libc.Send(_fd, start + done, (nuint)Math.Min(MaxDatagram, bytes.Length - done), 0);
            }
        }
    }

    protected override void DisposeDevice()
    {
        _registration?.Dispose();
        _ = Libc.Close(_fd);
    }

    private void Receive()
    {
        nint count;
        fixed (byte* buffer = _input)
        {
            count = Libc.Recv(_fd, buffer, (nuint)_input.Length, 0);
        }

        // An error tells of a datagram that was sent before and refused; it is over with being read.
        if (count < 0)
        {
            return;
        }

        RaiseOpened();
        if (count > 0)
        {
            RaiseBytes(_input.AsSpan(0, (int)count));
        }
    }

    private static Outcome<int> Connect(UdpOptions options)
    {
        InetAddress remote = options.Remote with
        {
            Host = options.Remote.Host.Length > 0 ? options.Remote.Host : "localhost",
            Numeric = false,
        };
        var family = AddressRules.family(remote.Host, remote.Ipv4, remote.Ipv6);
        if (family.IsError)
        {
            return Outcome<int>.Fail(family.ErrorValue);
        }

        Outcome<List<SocketName>> peers =
            Resolver.Resolve(remote, family.ResultValue, passive: false, Libc.SOCK_DGRAM);
        if (peers.Error is not null)
        {
            return Outcome<int>.Fail(peers.Error);
        }

        SocketName peer = peers.Value[0];
        InetAddress local = options.Local ?? new InetAddress("", "0");
        Outcome<List<SocketName>> own = Resolver.Resolve(
            local.Port.Length > 0 ? local : local with { Port = "0" },
            peer.Family == Libc.AF_INET ? FamilyChoice.Ipv4Only : FamilyChoice.Ipv6Only,
            passive: true,
            Libc.SOCK_DGRAM);
        return own.Error is null ? Bind(own.Value[0], peer, remote) : Outcome<int>.Fail(own.Error);
    }

    private static Outcome<int> Bind(SocketName own, SocketName peer, InetAddress remote)
    {
        int fd = Libc.Socket(peer.Family, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK, 0);
        if (fd < 0)
        {
            return Outcome<int>.Fail("Failed to create socket family "
                + peer.Family.ToString(CultureInfo.InvariantCulture) + ": " + Libc.Strerror(Libc.Errno));
        }

        _ = Libc.SetSockOptInt(fd, Libc.SOL_SOCKET, Libc.SO_REUSEADDR, 1);
        string? failed = Libc.Bind(fd, &own.Storage, own.Length) < 0 ? "Failed to bind socket"
            : Libc.Connect(fd, &peer.Storage, peer.Length) < 0
                ? "Failed to connect to '" + remote.Host + ":" + remote.Port + "'"
                : null;
        if (failed is null)
        {
            return Outcome<int>.Ok(fd);
        }

        string reason = Libc.Strerror(Libc.Errno);
        _ = Libc.Close(fd);
        return Outcome<int>.Fail(failed + ": " + reason);
    }
}
