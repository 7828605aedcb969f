using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>A listening socket: one client at a time, the next one waits in the backlog.</summary>
internal sealed class SocketServerChardev : SocketChardev
{
    private const int Backlog = 1;

    private readonly Listener _listener;

    private SocketServerChardev(
        ChardevContext context, string id, SocketOptions options, OutputLog? log, Listener listener)
        : base(context, id, options, log)
    {
        _listener = listener;
        DisconnectedLabel = Label.disconnected(Protocol, listener.Label, isServer: true);
    }

    protected override bool IsServer => true;

    protected override string DisconnectedLabel { get; }

    internal override LabelAddress? Bound => _listener.Label;

    /// <summary>
    /// Listens. With `wait` this returns when the first client is there, or without one when a signal asks the
    /// process to end, which the loop then finds.
    /// </summary>
    internal static Outcome<CharacterDevice> Open(ChardevContext context, string id, SocketOptions options, OutputLog? log)
    {
        Outcome<Listener> listener = Listener.Open(options.Address, Backlog, unlinkPassed: true);
        if (listener.Error is not null)
        {
            return Outcome<CharacterDevice>.Fail(listener.Error, listener.Hint);
        }

        var device = new SocketServerChardev(context, id, options, log, listener.Value);
        int? firstClient = null;
        if (options.Wait)
        {
            context.Inform("QEMU waiting for connection on: " + device.DisconnectedLabel);
            firstClient = listener.Value.WaitForClient(context.Reactor);
        }

        if (firstClient is int client)
        {
            device.Connected(client);
        }
        else
        {
            device.OnDisconnected();
        }

        return Outcome<CharacterDevice>.Ok(device);
    }

    protected override void OnDisconnected() => _listener.StartAccepting(Context.Reactor, client =>
    {
        _listener.StopAccepting();
        Connected(client);
    });

    protected override void DisposeDevice()
    {
        base.DisposeDevice();
        _listener.Dispose();
    }
}
