using System;
using System.Threading;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.PrHelper;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Objects;

/// <summary>A SCSI status with sense data, and what PERSISTENT RESERVE IN has found.</summary>
internal sealed record PrResult(int Status, byte[] Sense, byte[] Payload);

/// <summary>
/// A connection to qemu-pr-helper. Commands block, so they are for threads that may; one at a time is under way. A
/// connection that was lost is made again for the next command.
/// </summary>
internal sealed unsafe class PrHelperClient : IDisposable
{
    private const int Attempts = 5;
    private const int RetryMs = 1000;
    private const int SO_RCVTIMEO = 20;
    private const int SO_SNDTIMEO = 21;

    /// <summary>A helper that says nothing for so long while it is greeted is none. Commands may take as long as devices do.</summary>
    private const int GreetingSeconds = 5;

    private readonly Lock _lock = new();
    private int _fd;

    private PrHelperClient(string path, int fd)
    {
        Path = path;
        _fd = fd;
    }

    /// <summary>The socket for connections to come.</summary>
    internal string Path { get; set; }

    /// <summary>Told, with the lock held, that the connection came or went.</summary>
    internal Action<bool>? StatusChanged { get; set; }

    internal bool IsConnected => _fd >= 0;

    internal static Outcome<PrHelperClient> Connect(string path)
    {
        Outcome<int> connected = Open(path);
        return connected.Error is null
            ? Outcome<PrHelperClient>.Ok(new PrHelperClient(path, connected.Value))
            : Outcome<PrHelperClient>.Fail(connected.Error, connected.Hint);
    }

    /// <summary>
    /// Lets the helper carry out PERSISTENT RESERVE IN or OUT on a device. Fails for other commands, where there is no
    /// helper, and when it hangs up.
    /// </summary>
    internal Outcome<PrResult> Execute(int device, byte[] cdb, byte[] parameters)
    {
        FSharpOption<byte[]> request = Wire.encodeRequest(cdb, parameters);
        if (request is null)
        {
            return Outcome<PrResult>.Fail("Not a command for the helper of persistent reservations");
        }

        lock (_lock)
        {
            if (Reconnect() is { } error)
            {
                return Outcome<PrResult>.Fail(error);
            }

            Outcome<PrResult> result = Exchange(device, cdb, request.Value);
            if (result.Error is not null)
            {
                Disconnect();
                StatusChanged?.Invoke(false);
            }

            return result;
        }
    }

    private Outcome<PrResult> Exchange(int device, byte[] cdb, byte[] request)
    {
        byte[] head = new byte[Wire.ReplyLength];
        if ((Send(_fd, request, device) ?? Receive(_fd, head)) is { } error)
        {
            return Outcome<PrResult>.Fail(error);
        }

        FSharpOption<PrReply> reply = Wire.decodeReply(cdb, head);
        if (reply is null)
        {
            return Outcome<PrResult>.Fail("The helper of persistent reservations violates the protocol");
        }

        byte[] payload = new byte[reply.Value.PayloadLength];
        return Receive(_fd, payload) is { } lost
            ? Outcome<PrResult>.Fail(lost)
            : Outcome<PrResult>.Ok(new PrResult(reply.Value.Status, reply.Value.Sense, payload));
    }

    private string? Reconnect()
    {
        string? error = null;
        for (int attempt = 0; _fd < 0 && attempt < Attempts; attempt++)
        {
            if (attempt > 0)
            {
                Thread.Sleep(RetryMs);
            }

            Outcome<int> connected = Open(Path);
            error = connected.Error;
            if (error is null)
            {
                _fd = connected.Value;
                StatusChanged?.Invoke(true);
            }
        }

        return error;
    }

    private static Outcome<int> Open(string path)
    {
        Outcome<int> connected = Connector.Connect(new UnixAddress(path));
        if (connected.Error is not null)
        {
            return connected;
        }

        int fd = connected.Value;
        SetTimeout(fd, GreetingSeconds);
        byte[] features = new byte[Wire.FeaturesLength];
        if ((Receive(fd, features) ?? Send(fd, Wire.wantedFeatures, -1)) is { } error)
        {
            _ = Libc.Close(fd);
            return Outcome<int>.Fail(error);
        }

        SetTimeout(fd, 0);
        return connected;
    }

    private static void SetTimeout(int fd, long seconds)
    {
        long* time = stackalloc long[] { seconds, 0 };
        _ = Libc.SetSockOpt(fd, Libc.SOL_SOCKET, SO_RCVTIMEO, time, 2 * sizeof(long));
        _ = Libc.SetSockOpt(fd, Libc.SOL_SOCKET, SO_SNDTIMEO, time, 2 * sizeof(long));
    }

    private static string? Receive(int fd, byte[] bytes)
    {
        fixed (byte* start = bytes)
        {
            int done = 0;
            while (done < bytes.Length)
            {
                nint count = Libc.Recv(fd, start + done, (nuint)(bytes.Length - done), 0);
                if (count == 0)
                {
                    return "Unexpected end-of-file before all data were read";
                }

                if (count > 0)
                {
                    done += (int)count;
                }
                else if (Libc.Errno is not Core.Errno.EINTR and var error)
                {
                    return "Unable to read from the helper of persistent reservations: " + Libc.Strerror(error);
                }
            }
        }

        return null;
    }

    /// <summary>Sends bytes; with the first of them a descriptor, unless it is -1.</summary>
    private static string? Send(int fd, byte[] bytes, int passed)
    {
        int controlBytes = sizeof(CmsgHdr) + sizeof(ulong);
        byte* control = stackalloc byte[controlBytes];
        new Span<byte>(control, controlBytes).Clear();
        *(CmsgHdr*)control = new CmsgHdr
        {
            Length = (nuint)(sizeof(CmsgHdr) + sizeof(int)),
            Level = Libc.SOL_SOCKET,
            Type = Libc.SCM_RIGHTS,
        };
        *(int*)(control + sizeof(CmsgHdr)) = passed;
        fixed (byte* start = bytes)
        {
            int done = 0;
            while (done < bytes.Length)
            {
                bool withDescriptor = done == 0 && passed >= 0;
                var vector = new IoVec { Base = start + done, Length = (nuint)(bytes.Length - done) };
                var message = new MsgHdr
                {
                    Vectors = &vector,
                    VectorCount = 1,
                    Control = withDescriptor ? control : null,
                    ControlLength = withDescriptor ? (nuint)controlBytes : 0,
                };
                nint count = Libc.SendMsg(fd, &message, Libc.MSG_NOSIGNAL);
                if (count >= 0)
                {
                    done += (int)count;
                }
                else if (Libc.Errno is not Core.Errno.EINTR and var error)
                {
                    return "Unable to write to the helper of persistent reservations: " + Libc.Strerror(error);
                }
            }
        }

        return null;
    }

    private void Disconnect()
    {
        if (_fd >= 0)
        {
            _ = Libc.Close(_fd);
            _fd = -1;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            Disconnect();
        }
    }
}
