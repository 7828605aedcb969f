using System.Collections.Generic;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>How to open a character device (QAPI ChardevBackend).</summary>
internal abstract record ChardevOptions
{
    /// <summary>A file that gets a copy of all output; null for none.</summary>
    internal string? LogFile { get; init; }

    internal bool LogAppend { get; init; }
}

internal sealed record NullOptions : ChardevOptions;

/// <param name="Signal">Ctrl-C at the terminal still sends SIGINT.</param>
internal sealed record StdioOptions(bool Signal = true) : ChardevOptions;

/// <param name="Output">Created, and truncated unless appending.</param>
/// <param name="Input">Read to its end; null for no input.</param>
internal sealed record FileOptions(string Output, string? Input = null, bool Append = false) : ChardevOptions;

/// <summary>Two named pipes PATH.in and PATH.out, or one of the plain name for both directions.</summary>
internal sealed record PipeOptions(string Path) : ChardevOptions;

/// <param name="Link">A symbolic link to the terminal's path, made and removed by the device; null for none.</param>
internal sealed record PtyOptions(string? Link = null) : ChardevOptions;

/// <summary>A stream socket, listening or connecting.</summary>
/// <param name="Wait">Server only: opening blocks until the first client is there.</param>
/// <param name="ReconnectMs">Client only: tries again this long after a failure or a disconnect; 0 does not.</param>
internal sealed record SocketOptions(
    SocketAddress Address,
    bool Server = true,
    bool Wait = false,
    bool NoDelay = false,
    bool Telnet = false,
    bool Tn3270 = false,
    long ReconnectMs = 0,
    bool WebSocket = false) : ChardevOptions;

/// <summary>Datagrams to and from one peer.</summary>
/// <param name="Local">Where to receive; null for any free port.</param>
internal sealed record UdpOptions(InetAddress Remote, InetAddress? Local) : ChardevOptions;

/// <summary>A serial line of the host.</summary>
internal sealed record SerialOptions(string Path) : ChardevOptions;

/// <summary>A parallel port of the host.</summary>
internal sealed record ParallelOptions(string Path) : ChardevOptions;

/// <param name="Label">The name of the type: it has two.</param>
internal sealed record RingBufferOptions(int CapacityBytes, string Label) : ChardevOptions;

/// <summary>Shares a device between several frontends.</summary>
internal sealed record MuxOptions(CharacterDevice Base) : ChardevOptions;

/// <summary>Gives one frontend several devices.</summary>
internal sealed record HubOptions(IReadOnlyList<CharacterDevice> Devices) : ChardevOptions;
