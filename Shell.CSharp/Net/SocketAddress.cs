namespace StorageDaemon.Shell.Net;

/// <summary>Where a stream socket listens or connects (QAPI SocketAddress).</summary>
internal abstract record SocketAddress;

/// <summary>
/// A unix socket. An abstract name (no file) that is not tight is padded with NUL bytes to the full length.
/// </summary>
internal sealed record UnixAddress(string Path, bool Abstract = false, bool Tight = true) : SocketAddress;

/// <summary>
/// A TCP port: a number or a service name. A listener takes the first free port up to <paramref name="To"/>.
/// Absent family flags mean both families.
/// </summary>
internal sealed record InetAddress(
    string Host,
    string Port,
    ushort? To = null,
    bool? Ipv4 = null,
    bool? Ipv6 = null,
    bool Numeric = false,
    bool KeepAlive = false,
    bool Mptcp = false) : SocketAddress;

/// <summary>A socket between a virtual machine and its host.</summary>
internal sealed record VsockAddress(string Cid, string Port) : SocketAddress;

/// <summary>
/// A socket that the parent process passed, by number or by the name that a supervisor has given it. Monitor commands
/// can use names only: a number there would be the name of a descriptor sent over the monitor, which the daemon does
/// not take.
/// </summary>
internal sealed record FdAddress(string Name, bool FromMonitor = false) : SocketAddress;
