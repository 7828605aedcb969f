using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Shell.Chardev;
using ChardevOptions = StorageDaemon.Shell.Chardev.ChardevOptions;
using StorageDaemon.Shell.Net;
using Schema = StorageDaemon.Core.Qapi;

namespace StorageDaemon.Shell.Control;

/// <summary>The open character devices, by id.</summary>
internal sealed class ChardevTable(ChardevContext context) : IDisposable
{
    private readonly SortedDictionary<string, CharacterDevice> _chardevs = new(StringComparer.Ordinal);

    /// <summary>The device for a new frontend; the core has seen to it that it can have one.</summary>
    internal CharacterDevice PortOf(string id) => _chardevs[id].NewPort() ?? throw new UnreachableException();

    internal void Write(string id, ReadOnlySpan<byte> bytes) => _chardevs[id].Write(bytes);

    internal byte[] ReadRing(string id, long limit) => ((RingBufferChardev)_chardevs[id]).Read(limit);

    /// <summary>True while the command line is worked off: descriptors are given by number then.</summary>
    internal bool Starting { get; set; } = true;

    internal Answer Open(string id, Schema.ChardevBackend backend)
    {
        Outcome<CharacterDevice> opened = ChardevFactory.Open(context, id, ToOptions(backend));
        if (opened.Error != null)
        {
            return Answer.NewRefused(opened.ToQapiError());
        }

        _chardevs.Add(id, opened.Value);
        string? pty = opened.Value.PtyPath;
        if (pty != null && Starting)
        {
            // Over QMP the reply tells.
            context.Print("char device redirected to " + pty + " (label " + id + ")\n");
        }

        return Answer.NewChardevOpened(new Schema.ChardevReturn(
            pty == null ? FSharpOption<string>.None : FSharpOption<string>.Some(pty)));
    }

    /// <summary>Opens anew under the same id; the old device stays if that fails.</summary>
    internal Answer Replace(string id, Schema.ChardevBackend backend)
    {
        CharacterDevice old = _chardevs[id];
        _ = _chardevs.Remove(id);
        Answer answer = Open(id, backend);
        if (answer.IsRefused)
        {
            _chardevs.Add(id, old);
        }
        else
        {
            old.Dispose();
        }

        return answer;
    }

    internal void Close(string id)
    {
        if (_chardevs.Remove(id, out CharacterDevice? chardev))
        {
            chardev.Dispose();
        }
    }

    internal FSharpList<ChardevStatus> Describe() => ListModule.OfSeq(_chardevs.Select(pair => new ChardevStatus(
        new Schema.ChardevInfo(pair.Key, pair.Value.Filename, pair.Value.FrontendOpen),
        pair.Value.HasPeer,
        pair.Value.Bound is LabelAddress bound
            ? FSharpOption<Schema.SocketAddress>.Some(Label.toAddress(bound))
            : FSharpOption<Schema.SocketAddress>.None)));

    private ChardevOptions ToOptions(Schema.ChardevBackend backend)
    {
        ChardevOptions options = backend switch
        {
            Schema.ChardevBackend.File { Item: var file } =>
                new FileOptions(file.Out, file.In.OrNull(), file.Append.Or(false)),
            Schema.ChardevBackend.Socket { Item: var socket } => ToSocket(socket),
            Schema.ChardevBackend.Pty { Item: var pty } => new PtyOptions(pty.Path.OrNull()),
            Schema.ChardevBackend.Null => new NullOptions(),
            Schema.ChardevBackend.Stdio { Item: var stdio } => new StdioOptions(stdio.Signal.Or(true)),
            Schema.ChardevBackend.Serial { Item: var serial } => new SerialOptions(serial.Device),
            Schema.ChardevBackend.Parallel { Item: var parallel } => new ParallelOptions(parallel.Device),
            Schema.ChardevBackend.Pipe { Item: var pipe } => new PipeOptions(pipe.Device),
            Schema.ChardevBackend.Udp { Item: var udp } => ToUdp(udp),
            Schema.ChardevBackend.Mux { Item: var mux } => new MuxOptions(PortOf(mux.Chardev)),
            Schema.ChardevBackend.Hub { Item: var hub } => new HubOptions([.. hub.Chardevs.Select(PortOf)]),
            Schema.ChardevBackend.Ringbuf { Item: var ring } => ToRing(ring, "ringbuf"),
            Schema.ChardevBackend.Memory { Item: var ring } => ToRing(ring, "memory"),
            _ => throw new UnreachableException(),
        };
        Schema.ChardevCommon common = CommonOf(backend);
        return options with { LogFile = common.Logfile.OrNull(), LogAppend = common.Logappend.Or(false) };
    }

    private static Schema.ChardevCommon CommonOf(Schema.ChardevBackend backend) => backend switch
    {
        Schema.ChardevBackend.File file => file.Item.Common,
        Schema.ChardevBackend.Socket socket => socket.Item.Common,
        Schema.ChardevBackend.Pty pty => pty.Item.Common,
        Schema.ChardevBackend.Null plain => plain.Item,
        Schema.ChardevBackend.Stdio stdio => stdio.Item.Common,
        Schema.ChardevBackend.Serial serial => serial.Item.Common,
        Schema.ChardevBackend.Parallel parallel => parallel.Item.Common,
        Schema.ChardevBackend.Pipe pipe => pipe.Item.Common,
        Schema.ChardevBackend.Udp udp => udp.Item.Common,
        Schema.ChardevBackend.Mux mux => mux.Item.Common,
        Schema.ChardevBackend.Hub hub => hub.Item.Common,
        Schema.ChardevBackend.Ringbuf ring => ring.Item.Common,
        Schema.ChardevBackend.Memory memory => memory.Item.Common,
        _ => throw new UnreachableException(),
    };

    /// <summary>Over QMP a server does not wait unless told to; the command line has settled that already.</summary>
    private SocketOptions ToSocket(Schema.ChardevSocket socket) => new(
        SocketMapping.ToNet(socket.Addr, fromMonitor: !Starting),
        socket.Server.Or(true),
        socket.Wait.Or(false),
        socket.Nodelay.Or(false),
        socket.Telnet.Or(false),
        socket.Tn3270.Or(false),
        Core.Chardev.ChardevOptions.reconnectDelayMs(socket),
        socket.Websocket.Or(false));

    private static UdpOptions ToUdp(Schema.ChardevUdp udp) => new(
        (InetAddress)SocketMapping.ToNet(udp.Remote, fromMonitor: true),
        udp.Local == null ? null : (InetAddress)SocketMapping.ToNet(udp.Local.Value, fromMonitor: true));

    private static RingBufferOptions ToRing(Schema.ChardevRingbuf ring, string label) =>
        new(RingBufferRules.capacity(ring.Size).ResultValue, label);

    public void Dispose()
    {
        // Those that stand on others go first, to hand their last output down.
        foreach (CharacterDevice chardev in _chardevs.Values.OrderByDescending(device => device.Height))
        {
            chardev.Dispose();
        }

        _chardevs.Clear();
    }
}
