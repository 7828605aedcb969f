using System;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>A device on a stream socket with at most one connection at a time.</summary>
internal abstract class SocketChardev : CharacterDevice, IByteStreamOwner
{
    private readonly SocketOptions options;
    private ByteStream? stream;
    private int fd = -1;
    private string connectedLabel = "";
    private TelnetState telnetState;

    protected SocketChardev(ChardevContext context, string id, SocketOptions options, OutputLog? log)
        : base(id, log)
    {
        Context = context;
        this.options = options;
    }

    internal override string Filename => stream is null ? DisconnectedLabel : connectedLabel;

    internal override int PendingBytes => stream?.PendingBytes ?? 0;

    protected ChardevContext Context { get; }

    protected bool IsConnected => stream is not null;

    protected abstract bool IsServer { get; }

    protected abstract string DisconnectedLabel { get; }

    // The real daemon shows a tn3270 device as plain TCP.
    protected SocketProtocol Protocol => options.Telnet ? SocketProtocol.Telnet : SocketProtocol.Plain;

    private bool FiltersTelnet => options.Telnet || options.Tn3270;

    internal override void Disconnect()
    {
        ByteStream? current = stream;
        Context.Reactor.Defer(() =>
        {
            if (current is not null && current == stream)
            {
                DropConnection();
            }
        });
    }

    void IByteStreamOwner.OnStreamBytes(Span<byte> bytes)
    {
        if (FiltersTelnet)
        {
            var (kept, state) = Telnet.strip(telnetState, bytes);
            telnetState = state;
            bytes = bytes[..kept];
        }

        if (bytes.Length > 0)
        {
            RaiseBytes(bytes);
        }
    }

    void IByteStreamOwner.OnStreamEnd(StreamEnd end) => DropConnection();

    void IByteStreamOwner.OnStreamHungUp()
    {
        if (!FrontendOpen)
        {
            DropConnection();
        }
    }

    void IByteStreamOwner.OnStreamDrained() => RaiseDrained();

    /// <summary>The connection is closed already; the device may wait for or make the next.</summary>
    protected abstract void OnDisconnected();

    /// <summary>Takes a new connection, which the device owns from here on.</summary>
    protected void Connected(int connection)
    {
        fd = connection;
        int flags = Libc.Fcntl(fd, Libc.F_GETFL, 0);
        _ = Libc.Fcntl(fd, Libc.F_SETFL, flags | Libc.O_NONBLOCK);
        if (options.NoDelay)
        {
            _ = Libc.SetSockOptInt(fd, Libc.IPPROTO_TCP, Libc.TCP_NODELAY, 1);
        }

        ConnectionEnd local = SocketName.OfLocal(fd)?.ToEnd() ?? ConnectionEnd.OtherEnd;
        ConnectionEnd peer = SocketName.OfPeer(fd)?.ToEnd() ?? ConnectionEnd.OtherEnd;
        connectedLabel = Label.connected(Protocol, local, peer, IsServer);
        telnetState = TelnetState.Data;
        stream = new ByteStream(Context.Reactor, fd, fd, this);
        stream.WantInput(WantsInput);
        if (FiltersTelnet)
        {
            stream.Write(options.Tn3270 ? Telnet.greetingTn3270 : Telnet.greeting);
        }

        RaiseOpened();
    }

    protected override void OnInputWanted() => stream?.WantInput(WantsInput);

    protected override void WriteOut(ReadOnlySpan<byte> bytes) => stream?.Write(bytes);

    protected override void DisposeDevice()
    {
        stream?.Flush(FinalFlushMs);
        CloseConnection();
    }

    private void DropConnection()
    {
        CloseConnection();
        RaiseClosed();
        OnDisconnected();
    }

    private void CloseConnection()
    {
        stream?.Dispose();
        stream = null;
        if (fd >= 0)
        {
            _ = Libc.Close(fd);
            fd = -1;
        }
    }
}
