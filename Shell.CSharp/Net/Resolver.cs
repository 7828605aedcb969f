using System.Collections.Generic;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>Host and service names to addresses; may block on the network.</summary>
internal static unsafe class Resolver
{
    /// <summary>
    /// All addresses of a host and port in the system's order of preference. <paramref name="passive"/>: for
    /// listening, where an empty host means every interface.
    /// </summary>
    internal static Outcome<List<SocketName>> Resolve(InetAddress address, FamilyChoice family, bool passive, int socketType = Libc.SOCK_STREAM)
    {
        var hints = new AddrInfo
        {
            Family = family switch
            {
                FamilyChoice.Ipv4Only => Libc.AF_INET,
                FamilyChoice.Ipv6Only or FamilyChoice.Ipv6Dual => Libc.AF_INET6,
                _ => Libc.AF_UNSPEC,
            },
            SocketType = socketType,
            Flags = (passive ? Libc.AI_PASSIVE : 0)
                | (address.Numeric ? Libc.AI_NUMERICHOST | Libc.AI_NUMERICSERV : 0),
        };
        string? host = passive && address.Host.Length == 0 ? null : address.Host;
        string service = address.Port.Length == 0 ? "0" : address.Port;

        // Over an IPv6 socket, datagrams reach IPv4 hosts too.
        if (socketType == Libc.SOCK_DGRAM && !passive)
        {
            hints.Flags |= Libc.AI_V4MAPPED;
        }

        // Families without an interface are left out, unless nothing would be left.
        hints.Flags |= Libc.AI_ADDRCONFIG;
        AddrInfo* results = null;
        int error = Libc.GetAddrInfo(host, service, &hints, &results);
        if (error != 0)
        {
            hints.Flags &= ~Libc.AI_ADDRCONFIG;
            error = Libc.GetAddrInfo(host, service, &hints, &results);
        }

        if (error != 0)
        {
            return Outcome<List<SocketName>>.Fail(
                "address resolution failed for " + address.Host + ":" + address.Port + ": "
                + Libc.GaiStrerror(error));
        }

        var names = new List<SocketName>();
        for (AddrInfo* info = results; info != null; info = info->Next)
        {
            names.Add(SocketName.OfResolved(info));
        }

        Libc.FreeAddrInfo(results);
        return Outcome<List<SocketName>>.Ok(names);
    }
}
