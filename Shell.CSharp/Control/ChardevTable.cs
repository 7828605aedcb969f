using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Shell.Chardev;
using StorageDaemon.Shell.Net;
using Schema = StorageDaemon.Core.Qapi;

namespace StorageDaemon.Shell.Control;

/// <summary>The open character devices, by id.</summary>
internal sealed class ChardevTable(ChardevContext context) : IDisposable
{
    private readonly SortedDictionary<string, CharacterDevice> _chardevs = new(StringComparer.Ordinal);

    internal CharacterDevice this[string id] => _chardevs[id];

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

    internal FSharpList<Schema.ChardevInfo> Describe() => ListModule.OfSeq(_chardevs.Select(pair =>
        new Schema.ChardevInfo(pair.Key, pair.Value.Filename, pair.Value.FrontendOpen)));

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
        Core.Chardev.ChardevOptions.reconnectDelayMs(socket));

    public void Dispose()
    {
        foreach (CharacterDevice chardev in _chardevs.Values)
        {
            chardev.Dispose();
        }

        _chardevs.Clear();
    }
}
