using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>Sets a socket up for the requests and replies of an export.</summary>
internal static class DataSocket
{
    /// <summary>
    /// What a Unix socket holds of replies that the client has not read, in bytes; the kernel doubles it for its own
    /// needs. With its default, a fifth of this, client and server wake each other several times for each large reply:
    /// reads of 1 MiB are 2.4 times as fast this way, and more gains nothing.
    /// </summary>
    private const int UnixSendBuffer = 1 << 20;

    /// <summary>TCP sizes its buffers by itself, better than any constant.</summary>
    internal static void Prepare(int fd)
    {
        if (Libc.GetSockOptInt(fd, Libc.SOL_SOCKET, Libc.SO_DOMAIN) == Libc.AF_UNIX)
        {
            // The privileged form has no upper limit; where it is refused, the kernel cuts the other one to its own.
            if (Libc.SetSockOptInt(fd, Libc.SOL_SOCKET, Libc.SO_SNDBUFFORCE, UnixSendBuffer) != 0)
            {
                _ = Libc.SetSockOptInt(fd, Libc.SOL_SOCKET, Libc.SO_SNDBUF, UnixSendBuffer);
            }
        }
        else
        {
            // Of no meaning to vsock, which refuses it.
            _ = Libc.SetSockOptInt(fd, Libc.IPPROTO_TCP, Libc.TCP_NODELAY, 1);
        }
    }
}
