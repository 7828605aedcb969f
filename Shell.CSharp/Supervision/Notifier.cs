using System;
using System.Text;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Supervision;

/// <summary>
/// The supervisor's notification socket (sd_notify(3)): datagrams of NAME=VALUE lines to the address in NOTIFY_SOCKET,
/// a path or, with a leading '@', an abstract name. Nobody waits for it, and a failure harms nothing.
/// </summary>
internal sealed unsafe class Notifier : IDisposable
{
    private readonly SocketName _address;
    private readonly int _fd;

    private Notifier(SocketName address, int fd)
    {
        _address = address;
        _fd = fd;
    }

    /// <summary>The socket of NOTIFY_SOCKET's value; null where there is none, or none that can be used.</summary>
    internal static Notifier? Open(string? address)
    {
        if (address is not { Length: > 1 } || address[0] is not ('/' or '@'))
        {
            return null;
        }

        bool isAbstract = address[0] == '@';
        SocketName? name = SocketName.OfUnix(new UnixAddress(isAbstract ? address[1..] : address, isAbstract));
        int fd = name == null ? -1 : Libc.Socket(Libc.AF_UNIX, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC, 0);
        return fd < 0 ? null : new Notifier(name!.Value, fd);
    }

    /// <summary>Sends one message of several lines.</summary>
    internal void Send(params ReadOnlySpan<string> lines)
    {
        byte[] message = Encoding.UTF8.GetBytes(string.Join('\n', lines));
        SocketName address = _address;
        fixed (byte* bytes = message)
        {
            nint sent;
            do
            {
                sent = Libc.SendTo(
                    _fd, bytes, (nuint)message.Length, Libc.MSG_NOSIGNAL | Libc.MSG_DONTWAIT,
                    &address.Storage, address.Length);
            }
            while (sent < 0 && Libc.Errno == Core.Errno.EINTR);
        }
    }

    public void Dispose() => _ = Libc.Close(_fd);
}
