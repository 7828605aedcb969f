using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>struct inotify_event (sys/inotify.h); <see cref="NameLength"/> bytes of a name follow, with NULs behind it.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct InotifyEvent
{
    internal int Watch;
    internal uint Mask;
    internal uint Cookie;
    internal uint NameLength;
}

/// <summary>Changes of files (inotify(7)).</summary>
internal static partial class Libc
{
    internal const int IN_NONBLOCK = 0x800;
    internal const int IN_CLOEXEC = 0x80000;
    internal const uint IN_CLOSE_WRITE = 8;
    internal const uint IN_MOVED_TO = 0x80;
    internal const uint IN_Q_OVERFLOW = 0x4000;
    internal const uint IN_ONLYDIR = 0x1000000;

    [LibraryImport(Name, EntryPoint = "inotify_init1")]
    internal static partial int InotifyInit1(int flags);

    [LibraryImport(Name, EntryPoint = "inotify_add_watch", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int InotifyAddWatch(int fd, string path, uint mask);
}
