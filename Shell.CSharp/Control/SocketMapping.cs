using System.Diagnostics;
using Microsoft.FSharp.Core;
using StorageDaemon.Shell.Net;
using Schema = StorageDaemon.Core.Qapi;

namespace StorageDaemon.Shell.Control;

/// <summary>From the schema's socket addresses to the network room's.</summary>
internal static class SocketMapping
{
    /// <param name="address">As the user gave it.</param>
    /// <param name="fromMonitor">Given over QMP, where descriptors have names instead of numbers.</param>
    internal static SocketAddress ToNet(Schema.SocketAddress address, bool fromMonitor) => address switch
    {
        Schema.SocketAddress.Inet { Item: var inet } => new InetAddress(
            inet.Host,
            inet.Port,
            inet.To.ToNullable(),
            inet.Ipv4.ToNullable(),
            inet.Ipv6.ToNullable(),
            inet.Numeric.Or(false),
            inet.KeepAlive.Or(false),
            inet.Mptcp.Or(false)),
        Schema.SocketAddress.Unix { Item: var unix } => new UnixAddress(
            unix.Path, unix.Abstract.Or(false), unix.Tight.Or(true)),
        Schema.SocketAddress.Vsock { Item: var vsock } => new VsockAddress(vsock.Cid, vsock.Port),
        Schema.SocketAddress.Fd fd => new FdAddress(fd.str, fromMonitor),
        _ => throw new UnreachableException(),
    };
}

/// <summary>Options of the core, which are null for None.</summary>
internal static class OptionExtensions
{
    internal static T Or<T>(this FSharpOption<T>? option, T otherwise) => option == null ? otherwise : option.Value;

    internal static T? ToNullable<T>(this FSharpOption<T>? option)
        where T : struct => option == null ? null : option.Value;

    internal static string? OrNull(this FSharpOption<string>? option) => option?.Value;
}
