using System.IO;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>The file of a listening unix socket: makes room for it, and removes it while it is still ours.</summary>
internal sealed class UnixSocketFile
{
    private readonly string _absolutePath;
    private readonly FileIdentity _identity;

    private UnixSocketFile(string absolutePath, FileIdentity identity)
    {
        _absolutePath = absolutePath;
        _identity = identity;
    }

    /// <summary>
    /// Removes what a dead process left at a path. A socket that someone listens on stays, and so does a file with
    /// contents: bind(2) then reports the path as taken. Returns an error text or null.
    /// </summary>
    internal static string? MakeRoom(UnixAddress address, SocketName name)
    {
        if (Libc.TryStat(address.Path, out Statx stat) != 0)
        {
            return null;
        }

        bool isSocket = (stat.Mode & Libc.S_IFMT) == Libc.S_IFSOCK;
        if (isSocket && IsAlive(name))
        {
            return "Failed to bind socket to " + address.Path
                + ": Address already in use (another process is listening on it)";
        }

        bool isFileWithContents = (stat.Mode & Libc.S_IFMT) == Libc.S_IFREG && stat.Size > 0;
        if (isFileWithContents)
        {
            return "Failed to bind socket to " + address.Path + ": File exists";
        }

        int error = Libc.Unlink(address.Path) == 0 ? 0 : Libc.Errno;
        return error is 0 or Core.Errno.ENOENT
            ? null
            : "Failed to unlink socket " + address.Path + ": " + Libc.Strerror(error);
    }

    /// <summary>Remembers the file just bound; the absolute path stays right when the working directory changes.</summary>
    internal static UnixSocketFile? Claim(string path) =>
        FileIdentity.OfPath(path) is FileIdentity _identity
            ? new UnixSocketFile(Path.GetFullPath(path), _identity)
            : null;

    /// <summary>Unlinks the file unless something else has taken its place.</summary>
    internal void Remove()
    {
        if (FileIdentity.OfPath(_absolutePath) == _identity)
        {
            _ = Libc.Unlink(_absolutePath);
        }
    }

    /// <summary>Connects without waiting: a full backlog counts as a listener too.</summary>
    private static unsafe bool IsAlive(SocketName name)
    {
        int fd = Libc.Socket(Libc.AF_UNIX, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK, 0);
        if (fd < 0)
        {
            return false;
        }

        bool alive = Libc.Connect(fd, &name.Storage, name.Length) == 0 || Libc.Errno == Core.Errno.EAGAIN;
        _ = Libc.Close(fd);
        return alive;
    }
}
