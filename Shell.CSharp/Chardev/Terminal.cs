using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// The mode of a terminal, changed for a device and given back afterwards. Does nothing on what is no terminal.
/// </summary>
internal sealed unsafe class Terminal
{
    private readonly int fd;
    private readonly bool allowSignals;
    private readonly Termios original;
    private readonly bool isTerminal;

    /// <param name="fd">A descriptor that the caller keeps open.</param>
    /// <param name="allowSignals">Ctrl-C and the like still send signals.</param>
    internal Terminal(int fd, bool allowSignals)
    {
        this.fd = fd;
        this.allowSignals = allowSignals;
        Termios mode;
        isTerminal = Libc.TcGetAttr(fd, &mode) == 0;
        original = mode;
    }

    /// <summary>With echo the terminal edits lines as before; without it, every key comes at once, as typed.</summary>
    internal void SetEcho(bool echo)
    {
        Termios mode = original;
        if (!echo)
        {
            mode.InputFlags &= ~(Libc.IGNBRK | Libc.BRKINT | Libc.PARMRK | Libc.ISTRIP
                | Libc.INLCR | Libc.IGNCR | Libc.ICRNL | Libc.IXON);
            mode.OutputFlags |= Libc.OPOST;
            mode.LocalFlags &= ~(Libc.ECHO | Libc.ECHONL | Libc.ICANON | Libc.IEXTEN);
            mode.ControlFlags = (mode.ControlFlags & ~(Libc.CSIZE | Libc.PARENB)) | Libc.CS8;
            mode.ControlCharacters[Termios.VMIN] = 1;
            mode.ControlCharacters[Termios.VTIME] = 0;
        }

        if (!allowSignals)
        {
            mode.LocalFlags &= ~Libc.ISIG;
        }

        Apply(mode);
    }

    internal void Restore() => Apply(original);

    private void Apply(Termios mode)
    {
        if (isTerminal)
        {
            _ = Libc.TcSetAttr(fd, Libc.TCSANOW, &mode);
        }
    }
}
