using System;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>The log file of a character device: a copy of its output.</summary>
internal sealed unsafe class OutputLog : IDisposable
{
    private readonly int _fd;

    private OutputLog(int fd) => _fd = fd;

    internal static Outcome<OutputLog> Open(string path, bool append)
    {
        int flags = Libc.O_WRONLY | Libc.O_CREAT | Libc.O_CLOEXEC | (append ? Libc.O_APPEND : Libc.O_TRUNC);
        int fd = Libc.Open(path, flags, 0x1b6 /* 0666 */);
        return fd >= 0
            ? Outcome<OutputLog>.Ok(new OutputLog(fd))
            : Outcome<OutputLog>.Fail("Could not create '" + path + "': " + Libc.Strerror(Libc.Errno));
    }

    /// <summary>A log that cannot be written does not stop the device.</summary>
    internal void Write(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
        {
            int done = 0;
            while (done < bytes.Length)
            {
                nint count = Libc.Write(_fd, start + done, (nuint)(bytes.Length - done));
                if (count <= 0)
                {
                    return;
                }

                done += (int)count;
            }
        }
    }

    public void Dispose() => _ = Libc.Close(_fd);
}
