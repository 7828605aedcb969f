using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>Opens serial lines: 115200 baud, 8 bits, no parity, one stop bit, nothing interpreted.</summary>
internal static unsafe class SerialChardev
{
    internal static Outcome<CharacterDevice> Open(Reactor reactor, string id, SerialOptions options, OutputLog? log)
    {
        int fd = FileChardev.OpenFile(options.Path, Libc.O_RDWR);
        if (fd < 0)
        {
            return FileChardev.CannotOpen(options.Path);
        }

        SetUp(fd);
        return Outcome<CharacterDevice>.Ok(
            new StreamChardev(reactor, id, log, "serial", fd, fd, ownsDescriptors: true));
    }

    /// <summary>What is no terminal is taken as it is.</summary>
    private static void SetUp(int fd)
    {
        Termios mode;
        if (Libc.TcGetAttr(fd, &mode) != 0)
        {
            return;
        }

        _ = Libc.CfSetSpeed(&mode, Libc.B115200);
        mode.InputFlags &= ~(Libc.IGNBRK | Libc.BRKINT | Libc.PARMRK | Libc.ISTRIP
            | Libc.INLCR | Libc.IGNCR | Libc.ICRNL | Libc.IXON);
        mode.OutputFlags &= ~Libc.OPOST;
        mode.LocalFlags &= ~(Libc.ECHO | Libc.ECHONL | Libc.ICANON | Libc.IEXTEN | Libc.ISIG);
        mode.ControlFlags &= ~(Libc.CSIZE | Libc.PARENB | Libc.PARODD | Libc.CRTSCTS | Libc.CSTOPB);
        mode.ControlFlags |= Libc.CS8;
        _ = Libc.TcSetAttr(fd, Libc.TCSANOW, &mode);
    }
}
