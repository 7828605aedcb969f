using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>A connecting socket, which may try again after a failure or a disconnect.</summary>
internal sealed class SocketClientChardev : SocketChardev
{
    private readonly SocketOptions _options;
    private Connector.PendingConnect? _pending;
    private ReactorTimer? _reconnectTimer;
    private bool _failureReported;
    private bool _isDisposed;

    private SocketClientChardev(ChardevContext context, string id, SocketOptions options, OutputLog? log)
        : base(context, id, options, log)
    {
        _options = options;
        DisconnectedLabel = Label.disconnected(Protocol, LabelOf(options.Address), isServer: false);
    }

    protected override bool IsServer => false;

    protected override string DisconnectedLabel { get; }

    /// <summary>
    /// Connects. Without reconnecting, the first failure is that of opening the device; with it, the device starts
    /// disconnected and the first failure in a row is reported.
    /// </summary>
    internal static Outcome<CharacterDevice> Open(ChardevContext context, string id, SocketOptions options, OutputLog? log)
    {
        var device = new SocketClientChardev(context, id, options, log);
        if (options.ReconnectMs > 0)
        {
            device.StartConnecting();
            return Outcome<CharacterDevice>.Ok(device);
        }

        Outcome<int> connection = Connector.Connect(options.Address);
        if (connection.Error is not null)
        {
            return Outcome<CharacterDevice>.Fail(connection.Error, connection.Hint);
        }

        device.Connected(connection.Value);
        return Outcome<CharacterDevice>.Ok(device);
    }

    protected override void OnDisconnected()
    {
        if (_options.ReconnectMs > 0 && !_isDisposed)
        {
            _reconnectTimer = Context.Reactor.AfterMs(_options.ReconnectMs, StartConnecting);
        }
    }

    protected override void DisposeDevice()
    {
        _isDisposed = true;
        _pending?.Cancel();
        _reconnectTimer?.Cancel();
        base.DisposeDevice();
    }

    private static LabelAddress LabelOf(SocketAddress address) =>
        address switch
        {
            UnixAddress unix => LabelAddress.NewUnixLabel(unix.Path, unix.Abstract, unix.Tight),
            InetAddress inet => LabelAddress.NewInetLabel(inet.Host, inet.Port),
            VsockAddress vsock => LabelAddress.NewVsockLabel(vsock.Cid, vsock.Port),
            FdAddress fd => LabelAddress.NewFdLabel(fd.Name),
            _ => LabelAddress.NewFdLabel(""),
        };

    private void StartConnecting()
    {
        _reconnectTimer = null;
        _pending = Connector.Start(_options.Address, Context.Reactor, OnConnectCompleted);
    }

    private void OnConnectCompleted(Outcome<int> outcome)
    {
        _pending = null;
        if (outcome.Error is null)
        {
            _failureReported = false;
            Connected(outcome.Value);
            return;
        }

        if (!_failureReported)
        {
            _failureReported = true;
            Context.Report("Unable to connect character device " + Id + ": " + outcome.Error);
        }

        OnDisconnected();
    }
}
