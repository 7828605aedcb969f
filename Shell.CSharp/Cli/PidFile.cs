using System;
using System.Globalization;
using System.Text;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Cli;

/// <summary>
/// The file with our process id. A lock on it, held as long as the process lives, keeps a second daemon from using
/// the same one.
/// </summary>
internal sealed unsafe class PidFile : IDisposable
{
    private const uint OwnerOnly = 0x180; // 0600

    private readonly int _fd;
    private readonly string _absolutePath;

    private PidFile(int fd, string absolutePath)
    {
        _fd = fd;
        _absolutePath = absolutePath;
    }

    /// <summary>
    /// Creates or takes over the file, locks it and writes our id. The error is complete but for the program's name.
    /// To be called when all options are processed.
    /// </summary>
    internal static Outcome<PidFile> Create(string path)
    {
        while (true)
        {
            int fd = Libc.Open(path, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_CLOEXEC, OwnerOnly);
            if (fd < 0)
            {
                return Fail(-1, "Could not create '" + path + "': " + Libc.Strerror(Libc.Errno));
            }

            var wholeFile = new FLock { Type = Libc.F_WRLCK, Whence = Libc.SEEK_SET };
            if (Libc.Fcntl(fd, Libc.F_SETLK, (nint)(&wholeFile)) < 0)
            {
                return Fail(fd, "Cannot lock pid file: " + Libc.Strerror(Libc.Errno));
            }

            // Its last owner may have unlinked it between our open and our lock.
            string realPath = RealPath(fd);
            if (FileIdentity.OfPath(realPath) != FileIdentity.OfDescriptor(fd))
            {
                _ = Libc.Close(fd);
                continue;
            }

            return WriteId(fd, realPath);
        }
    }

    /// <summary>Unlinks the file, if it is still ours, and releases the lock.</summary>
    public void Dispose()
    {
        if (FileIdentity.OfPath(_absolutePath) == FileIdentity.OfDescriptor(_fd))
        {
            _ = Libc.Unlink(_absolutePath);
        }

        _ = Libc.Close(_fd);
    }

    private static Outcome<PidFile> WriteId(int fd, string realPath)
    {
        if (Libc.FTruncate(fd, 0) < 0)
        {
            return Fail(fd, "Failed to truncate pid file: " + Libc.Strerror(Libc.Errno));
        }

        byte[] line = Encoding.ASCII.GetBytes(Libc.GetPid().ToString(CultureInfo.InvariantCulture) + "\n");
        fixed (byte* start = line)
        {
            return Libc.Write(fd, start, (nuint)line.Length) == line.Length
                ? Outcome<PidFile>.Ok(new PidFile(fd, realPath))
                : Fail(fd, "Failed to write pid file: " + Libc.Strerror(Libc.Errno));
        }
    }

    /// <summary>The absolute path of an open file, symbolic links resolved; stays right after chdir(2).</summary>
    private static string RealPath(int fd)
    {
        byte* buffer = stackalloc byte[4096];
        nint length = Libc.Readlink("/proc/self/fd/" + fd.ToString(CultureInfo.InvariantCulture), buffer, 4096);
        return length > 0 ? Encoding.UTF8.GetString(buffer, (int)length) : "";
    }

    private static Outcome<PidFile> Fail(int fd, string reason)
    {
        if (fd >= 0)
        {
            _ = Libc.Close(fd);
        }

        return Outcome<PidFile>.Fail("cannot create PID file: " + reason);
    }
}
