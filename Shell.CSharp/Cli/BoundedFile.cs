using System.Collections.Generic;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Cli;

/// <summary>Reads whole files of people's making, which should be short.</summary>
internal static unsafe class BoundedFile
{
    private const int ChunkBytes = 65536;

    /// <summary>
    /// The content, or of a longer file more than <paramref name="maxBytes"/> bytes of it. Pipes are read to their end.
    /// </summary>
    internal static FSharpResult<byte[], ReadFault> Read(string path, int maxBytes)
    {
        int fd = Libc.Open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            return FSharpResult<byte[], ReadFault>.NewError(ReadFault.NewCannotOpen(Libc.Strerror(Libc.Errno)));
        }

        List<byte> content = [];
        byte[] chunk = new byte[ChunkBytes];
        int error = 0;
        while (content.Count <= maxBytes)
        {
            nint count;
            fixed (byte* start = chunk)
            {
                count = Libc.Read(fd, start, ChunkBytes);
            }

            if (count > 0)
            {
                content.AddRange(chunk[..(int)count]);
                continue;
            }

            error = count < 0 ? Libc.Errno : 0;
            if (error != Core.Errno.EINTR)
            {
                break;
            }
        }

        _ = Libc.Close(fd);
        return error == 0
            ? FSharpResult<byte[], ReadFault>.NewOk([.. content])
            : FSharpResult<byte[], ReadFault>.NewError(ReadFault.NewCannotRead(Libc.Strerror(error)));
    }
}
