using System;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>Opens character devices; the error texts are the real daemon's.</summary>
internal static class ChardevFactory
{
    internal static Outcome<CharacterDevice> Open(ChardevContext context, string id, ChardevOptions options)
    {
        OutputLog? log = null;
        if (options.LogFile is string logFile)
        {
            Outcome<OutputLog> opened = OutputLog.Open(logFile, options.LogAppend);
            if (opened.Error is not null)
            {
                return Outcome<CharacterDevice>.Fail(opened.Error);
            }

            log = opened.Value;
        }

        Outcome<CharacterDevice> device = OpenDevice(context, id, options, log);
        if (device.Error is not null)
        {
            log?.Dispose();
        }

        return device;
    }

    private static Outcome<CharacterDevice> OpenDevice(
        ChardevContext context, string id, ChardevOptions options, OutputLog? log) =>
        options switch
        {
            NullOptions => Outcome<CharacterDevice>.Ok(new NullChardev(id, log)),
            StdioOptions stdio => StdioChardev.Open(context, id, stdio, log),
            FileOptions file => FileChardev.Open(context.Reactor, id, file, log),
            PipeOptions pipe => FileChardev.OpenPipe(context.Reactor, id, pipe, log),
            PtyOptions pty => PtyChardev.Open(context.Reactor, id, pty, log),
            UdpOptions udp => UdpChardev.Open(context.Reactor, id, udp, log),
            SerialOptions serial => SerialChardev.Open(context.Reactor, id, serial, log),
            ParallelOptions parallel => ParallelChardev.Open(id, parallel, log),
            RingBufferOptions ring => Outcome<CharacterDevice>.Ok(new RingBufferChardev(id, ring, log)),
            MuxOptions mux => Outcome<CharacterDevice>.Ok(new MuxChardev(context, id, mux.Base, log)),
            HubOptions hub => Outcome<CharacterDevice>.Ok(new HubChardev(id, hub.Devices, log)),
            SocketOptions { Server: true } socket => SocketServerChardev.Open(context, id, socket, log),
            SocketOptions socket => SocketClientChardev.Open(context, id, socket, log),
            _ => throw new ArgumentOutOfRangeException(nameof(options)),
        };
}
