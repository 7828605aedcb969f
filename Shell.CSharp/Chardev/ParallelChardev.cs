using System;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// A parallel port, claimed for as long as the device is there. It is driven through its registers, which only an
/// emulated port does: as a byte stream it has no input, and output vanishes.
/// </summary>
internal sealed unsafe class ParallelChardev : CharacterDevice
{
    // linux/ppdev.h
    private const nuint PPCLAIM = 0x708b;
    private const nuint PPRELEASE = 0x708c;

    private readonly int _fd;

    private ParallelChardev(string id, OutputLog? log, int fd)
        : base(id, log)
    {
        _fd = fd;
        RaiseOpened();
    }

    internal override string Filename => "parallel";

    internal static Outcome<CharacterDevice> Open(string id, ParallelOptions options, OutputLog? log)
    {
        int fd = FileChardev.OpenFile(options.Path, Libc.O_RDWR);
        if (fd < 0)
        {
            return FileChardev.CannotOpen(options.Path);
        }

        if (Libc.Ioctl(fd, PPCLAIM, null) < 0)
        {
            string reason = Libc.Strerror(Libc.Errno);
            _ = Libc.Close(fd);
            return Outcome<CharacterDevice>.Fail("not a parallel port: " + reason);
        }

        return Outcome<CharacterDevice>.Ok(new ParallelChardev(id, log, fd));
    }

    protected override void WriteOut(ReadOnlySpan<byte> bytes)
    {
    }

    protected override void DisposeDevice()
    {
        _ = Libc.Ioctl(_fd, PPRELEASE, null);
        _ = Libc.Close(_fd);
    }
}
