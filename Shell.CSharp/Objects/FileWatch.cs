using System;
using System.IO;
using System.Runtime.CompilerServices;
using System.Text;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Objects;

/// <summary>
/// Tells when a file has another content: when somebody has written to it and closed it, or moved another one into its
/// place. Its directory is watched, since editors replace files. On the control thread only.
/// </summary>
internal sealed unsafe class FileWatch : IDisposable
{
    private const int BufferBytes = 65536;

    private readonly int _fd;
    private readonly byte[] _name;
    private readonly Action _changed;
    private readonly Reactor.Registration _registration;

    private FileWatch(int fd, string name, Reactor reactor, Action changed)
    {
        _fd = fd;
        _name = Encoding.UTF8.GetBytes(name);
        _changed = changed;
        _registration = reactor.Register(fd, Libc.EPOLLIN, _ => OnReadable());
    }

    internal static Outcome<FileWatch> Start(string path, Reactor reactor, Action changed)
    {
        string directory = Path.GetDirectoryName(path) is { Length: > 0 } parent ? parent : ".";
        int fd = Libc.InotifyInit1(Libc.IN_NONBLOCK | Libc.IN_CLOEXEC);
        if (fd < 0)
        {
            return Outcome<FileWatch>.Fail("Unable to watch files: " + Libc.Strerror(Libc.Errno));
        }

        uint events = Libc.IN_CLOSE_WRITE | Libc.IN_MOVED_TO | Libc.IN_ONLYDIR;
        if (Libc.InotifyAddWatch(fd, directory, events) < 0)
        {
            int error = Libc.Errno;
            _ = Libc.Close(fd);
            return Outcome<FileWatch>.Fail("Unable to watch '" + directory + "': " + Libc.Strerror(error));
        }

        return Outcome<FileWatch>.Ok(new FileWatch(fd, Path.GetFileName(path), reactor, changed));
    }

    private void OnReadable()
    {
        byte[] buffer = new byte[BufferBytes];
        bool hasChanged = false;
        nint count;
        do
        {
            fixed (byte* start = buffer)
            {
                count = Libc.Read(_fd, start, BufferBytes);
            }

            hasChanged |= count > 0 && Concerns(buffer.AsSpan(0, (int)count));
        }
        while (count > 0);

        if (hasChanged)
        {
            _changed();
        }
    }

    /// <summary>Whether one of several events is about the file, or may have been: some were lost.</summary>
    private bool Concerns(ReadOnlySpan<byte> events)
    {
        int header = sizeof(InotifyEvent);
        while (events.Length >= header)
        {
            InotifyEvent first = Unsafe.ReadUnaligned<InotifyEvent>(in events[0]);
            ReadOnlySpan<byte> name = events.Slice(header, (int)first.NameLength).TrimEnd((byte)0);
            if ((first.Mask & Libc.IN_Q_OVERFLOW) != 0 || name.SequenceEqual(_name))
            {
                return true;
            }

            events = events[(header + (int)first.NameLength)..];
        }

        return false;
    }

    public void Dispose()
    {
        _registration.Dispose();
        _ = Libc.Close(_fd);
    }
}
