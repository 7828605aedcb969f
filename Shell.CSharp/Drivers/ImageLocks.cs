using StorageDaemon.Core;
using StorageDaemon.Core.Graph;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Drivers;

/// <summary>
/// Single-byte open-file-description locks on image files, as all users of an image agree on them. Which bytes, and in
/// which order, is decided in the core.
/// </summary>
internal static unsafe class ImageLocks
{
    /// <summary>Takes a shared lock; zero or an error number.</summary>
    internal static int Take(int fd, long position) => Set(fd, position, Libc.F_RDLCK);

    internal static void Release(int fd, long position) => _ = Set(fd, position, Libc.F_UNLCK);

    /// <summary>Takes one step of a change; whether it succeeds.</summary>
    internal static bool TryRun(int fd, LockStep step) =>
        step.IsTake
            ? Take(fd, step.takenByte) == 0
            : !IsHeldByOthers(fd, step.probedByte, out int errno) && errno == 0;

    /// <summary>Whether an exclusive lock would be refused because of somebody else's; or an error number in <paramref name="errno"/>.</summary>
    internal static bool IsHeldByOthers(int fd, long position, out int errno)
    {
        FLock flock = new() { Type = Libc.F_WRLCK, Start = position, Length = 1 };
        errno = Libc.Fcntl(fd, Libc.F_OFD_GETLK, (nint)(&flock)) < 0 ? Libc.Errno : 0;
        return errno == 0 && flock.Type != Libc.F_UNLCK;
    }

    private static int Set(int fd, long position, short type)
    {
        FLock flock = new() { Type = type, Start = position, Length = 1 };
        while (Libc.Fcntl(fd, Libc.F_OFD_SETLK, (nint)(&flock)) < 0)
        {
            int errno = Libc.Errno;
            if (errno != Errno.EINTR)
            {
                return errno;
            }
        }

        return 0;
    }
}
