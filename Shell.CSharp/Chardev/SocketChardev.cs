using System;
using Microsoft.FSharp.Collections;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>A device on a stream socket with at most one connection at a time.</summary>
internal abstract class SocketChardev : CharacterDevice, IByteStreamOwner
{
    private readonly SocketOptions _options;
    private ByteStream? _stream;
    private int _fd = -1;
    private string _connectedLabel = "";
    private TelnetState _telnetState;
    private WebSocketState? _webSocket;
    private bool _isGreeted;

    protected SocketChardev(ChardevContext context, string id, SocketOptions options, OutputLog? log)
        : base(id, log)
    {
        Context = context;
        _options = options;
    }

    internal override string Filename => _stream is null ? DisconnectedLabel : _connectedLabel;

    internal override int PendingBytes => _stream?.PendingBytes ?? 0;

    protected ChardevContext Context { get; }

    protected bool IsConnected => _stream is not null;

    protected abstract bool IsServer { get; }

    protected abstract string DisconnectedLabel { get; }

    // The real daemon shows a tn3270 device as plain TCP.
    protected SocketProtocol Protocol =>
        _options.Telnet ? SocketProtocol.Telnet
        : _options.WebSocket ? SocketProtocol.WebSocket
        : SocketProtocol.Plain;

    internal override bool HasPeer => IsConnected;

    private bool FiltersTelnet => _options.Telnet || _options.Tn3270;

    internal override void Disconnect()
    {
        ByteStream? current = _stream;
        Context.Reactor.Defer(() =>
        {
            if (current is not null && current == _stream)
            {
                DropConnection();
            }
        });
    }

    void IByteStreamOwner.OnStreamBytes(Span<byte> bytes)
    {
        if (_webSocket is null)
        {
            TakeBytes(bytes);
            return;
        }

        (WebSocketState state, FSharpList<WebSocketOutput> outputs) =
            WebSocket.feed(DateTime.UtcNow, _webSocket, bytes);
        _webSocket = state;
        ByteStream? current = _stream;
        foreach (WebSocketOutput output in outputs)
        {
            // A frontend may cut the connection while it reads.
            if (_stream is null || _stream != current)
            {
                return;
            }

            RunWebSocket(output);
        }
    }

    private void RunWebSocket(WebSocketOutput output)
    {
        switch (output)
        {
            case WebSocketOutput.Send send:
                _stream?.Write(send.Item.Span);
                break;
            case WebSocketOutput.Data data:
                TakeBytes(data.Item.ToArray());
                break;
            default:
                if (output.IsOpened)
                {
                    Greet();
                }
                else
                {
                    _stream?.Flush(FinalFlushMs);
                    DropConnection();
                }

                break;
        }
    }

    private void TakeBytes(Span<byte> bytes)
    {
        if (FiltersTelnet)
        {
            var (kept, state) = Telnet.strip(_telnetState, bytes);
            _telnetState = state;
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
        _fd = connection;
        int flags = Libc.Fcntl(_fd, Libc.F_GETFL, 0);
        _ = Libc.Fcntl(_fd, Libc.F_SETFL, flags | Libc.O_NONBLOCK);
        if (_options.NoDelay)
        {
            _ = Libc.SetSockOptInt(_fd, Libc.IPPROTO_TCP, Libc.TCP_NODELAY, 1);
        }

        ConnectionEnd local = SocketName.OfLocal(_fd)?.ToEnd() ?? ConnectionEnd.OtherEnd;
        ConnectionEnd peer = SocketName.OfPeer(_fd)?.ToEnd() ?? ConnectionEnd.OtherEnd;
        _connectedLabel = Label.connected(Protocol, local, peer, IsServer);
        _telnetState = TelnetState.Data;
        _stream = new ByteStream(Context.Reactor, _fd, _fd, this);
        _isGreeted = false;
        _webSocket = _options.WebSocket ? WebSocket.initial : null;
        _stream.WantInput(ReadsStream);
        if (_webSocket is null)
        {
            Greet();
        }
    }

    /// <summary>A handshake is read even while no frontend wants input.</summary>
    private bool ReadsStream => WantsInput || (_webSocket is not null && !_isGreeted);

    /// <summary>The connection carries data from here on.</summary>
    private void Greet()
    {
        _isGreeted = true;
        _stream?.WantInput(ReadsStream);
        if (FiltersTelnet)
        {
            WriteOut(_options.Tn3270 ? Telnet.greetingTn3270 : Telnet.greeting);
        }

        RaiseOpened();
    }

    protected override void OnInputWanted() => _stream?.WantInput(ReadsStream);

    protected override void WriteOut(ReadOnlySpan<byte> bytes)
    {
        if (_webSocket is null)
        {
            _stream?.Write(bytes);
        }
        else if (_isGreeted)
        {
            foreach (byte[] frame in WebSocket.encode(bytes))
            {
                _stream?.Write(frame);
            }
        }
    }

    protected override void DisposeDevice()
    {
        _stream?.Flush(FinalFlushMs);
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
        _stream?.Dispose();
        _stream = null;
        if (_fd >= 0)
        {
            _ = Libc.Close(_fd);
            _fd = -1;
        }
    }
}
