using System.Collections.Generic;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Cli;

/// <summary>What a file holds, or the error number of what failed: opening it, or reading it when it was opened.</summary>
internal readonly record struct FileContent(byte[] Bytes, int Error, bool IsOpened);

/// <summary>Reads whole files of people's making, which should be short.</summary>
internal static unsafe class BoundedFile
{
    private const int ChunkBytes = 65536;

    /// <summary>
    /// The content, or of a longer file more than <paramref name="maxBytes"/> bytes of it. Pipes are read to their end.
    /// </summary>
    internal static Outcome<byte[]> Read(string path, int maxBytes)
    {
        FileContent content = ReadContent(path, maxBytes);
        return content.Error == 0
            ? Outcome<byte[]>.Ok(content.Bytes)
            : Outcome<byte[]>.Fail(
                "Could not " + (content.IsOpened ? "read" : "open") + " '" + path + "': " + Libc.Strerror(content.Error));
    }

    /// <summary>As <see cref="Read"/>, for callers that word errors themselves.</summary>
    internal static FileContent ReadContent(string path, int maxBytes)
    {
        int fd = Libc.Open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            return new FileContent([], Libc.Errno, false);
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
        return new FileContent(error == 0 ? [.. content] : [], error, true);
    }
}
