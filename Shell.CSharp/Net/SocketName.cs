using System;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Text;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>A socket address in the kernel's form.</summary>
internal unsafe struct SocketName
{
    private const int UnixPathOffset = 2;

    internal SockAddrStorage Storage;
    internal uint Length;

    /// <summary>A unix address, or null when the path does not fit.</summary>
    internal static SocketName? OfUnix(UnixAddress address)
    {
        byte[] path = Encoding.UTF8.GetBytes(address.Path);
        if (path.Length > AddressRules.maxUnixPathBytes(address.Abstract))
        {
            return null;
        }

        int start = address.Abstract ? 1 : 0;
        var name = new SocketName();
        name.Storage.Family = Libc.AF_UNIX;
        path.CopyTo(name.Bytes()[(UnixPathOffset + start)..]);
        name.Length = address.Abstract && address.Tight
            ? (uint)(UnixPathOffset + start + path.Length)
            : UnixPathOffset + AddressRules.SunPathLength;
        return name;
    }

    /// <summary>sockaddr_vm: reserved 16 bits, then port and context id, each 32 bits in host order.</summary>
    internal static SocketName OfVsock(uint cid, uint port)
    {
        var name = new SocketName { Length = 16 };
        name.Storage.Family = Libc.AF_VSOCK;
        BinaryPrimitives.WriteUInt32LittleEndian(name.Bytes()[4..], port);
        BinaryPrimitives.WriteUInt32LittleEndian(name.Bytes()[8..], cid);
        return name;
    }

    /// <summary>A copy of what the name resolution answered.</summary>
    internal static SocketName OfResolved(AddrInfo* info)
    {
        var name = new SocketName { Length = Math.Min(info->AddressLength, SockAddrStorage.SizeBytes) };
        new ReadOnlySpan<byte>(info->Address, (int)name.Length).CopyTo(name.Bytes());
        return name;
    }

    /// <summary>The address a socket is bound to; null for no socket.</summary>
    internal static SocketName? OfLocal(int fd)
    {
        var name = new SocketName { Length = SockAddrStorage.SizeBytes };
        return Libc.GetSockName(fd, &name.Storage, &name.Length) == 0 ? name : null;
    }

    /// <summary>The address of the other side; null for no connected socket.</summary>
    internal static SocketName? OfPeer(int fd)
    {
        var name = new SocketName { Length = SockAddrStorage.SizeBytes };
        return Libc.GetPeerName(fd, &name.Storage, &name.Length) == 0 ? name : null;
    }

    internal readonly int Family => Storage.Family;

    internal readonly int Port => BinaryPrimitives.ReadUInt16BigEndian(ReadOnlyBytes()[2..]);

    internal void SetPort(int port) => BinaryPrimitives.WriteUInt16BigEndian(Bytes()[2..], (ushort)port);

    /// <summary>The path of a unix socket up to its first NUL byte: empty for abstract and unnamed ones.</summary>
    internal readonly string UnixPath
    {
        get
        {
            ReadOnlySpan<byte> path = ReadOnlyBytes()[UnixPathOffset..(int)Math.Max(UnixPathOffset, Length)];
            int end = path.IndexOf((byte)0);
            return Encoding.UTF8.GetString(end < 0 ? path : path[..end]);
        }
    }

    /// <summary>The address as the label of a listening socket shows it.</summary>
    internal readonly LabelAddress ToLabel()
    {
        switch (Family)
        {
            case Libc.AF_INET:
            case Libc.AF_INET6:
                return LabelAddress.NewInetLabel(NumericHost, Decimal((uint)Port));
            case Libc.AF_VSOCK:
                uint port = BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlyBytes()[4..]);
                uint cid = BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlyBytes()[8..]);
                return LabelAddress.NewVsockLabel(Decimal(cid), Decimal(port));
            default:
                return UnixLabel();
        }
    }

    /// <summary>The address as one end of a connection in a label.</summary>
    internal readonly ConnectionEnd ToEnd() =>
        Family switch
        {
            Libc.AF_UNIX => ConnectionEnd.NewUnixEnd(UnixPath),
            Libc.AF_INET or Libc.AF_INET6 =>
                ConnectionEnd.NewInetEnd(NumericHost, Port, Family == Libc.AF_INET6),
            _ => ConnectionEnd.OtherEnd,
        };

    private readonly string NumericHost =>
        Family == Libc.AF_INET
            ? new IPAddress(ReadOnlyBytes().Slice(4, 4)).ToString()
            : new IPAddress(ReadOnlyBytes().Slice(8, 16)).ToString();

    private readonly LabelAddress UnixLabel()
    {
        bool isAbstract = Length > UnixPathOffset && ReadOnlyBytes()[UnixPathOffset] == 0;
        if (!isAbstract)
        {
            return LabelAddress.NewUnixLabel(UnixPath, false, false);
        }

        ReadOnlySpan<byte> name = ReadOnlyBytes()[(UnixPathOffset + 1)..(int)Length];
        bool tight = Length < UnixPathOffset + AddressRules.SunPathLength;
        return LabelAddress.NewUnixLabel(Encoding.UTF8.GetString(tight ? name : name.TrimEnd((byte)0)), true, tight);
    }

    private static string Decimal(uint number) => number.ToString(CultureInfo.InvariantCulture);

    [UnscopedRef]
    private Span<byte> Bytes() => MemoryMarshal.AsBytes(
        MemoryMarshal.CreateSpan(ref Storage, 1));

    [UnscopedRef]
    private readonly ReadOnlySpan<byte> ReadOnlyBytes() => MemoryMarshal.AsBytes(
        MemoryMarshal.CreateReadOnlySpan(in Storage, 1));
}
