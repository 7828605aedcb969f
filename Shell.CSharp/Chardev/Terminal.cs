using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// The mode of a terminal, changed for a device and given back afterwards. Does nothing on what is no terminal.
/// </summary>
internal sealed unsafe class Terminal
{
    private readonly int _fd;
    private readonly bool _allowSignals;
    private readonly Termios _original;
    private readonly bool _isTerminal;

    /// <param name="fd">A descriptor that the caller keeps open.</param>
    /// <param name="allowSignals">Ctrl-C and the like still send signals.</param>
    internal Terminal(int fd, bool allowSignals)
    {
        _fd = fd;
        _allowSignals = allowSignals;
        Termios mode;
        _isTerminal = Libc.TcGetAttr(fd, &mode) == 0;
        _original = mode;
    }

    /// <summary>With echo the terminal edits lines as before; without it, every key comes at once, as typed.</summary>
    internal void SetEcho(bool echo)
    {
        Termios mode = _original;
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

        if (!_allowSignals)
        {
            mode.LocalFlags &= ~Libc.ISIG;
        }

        Apply(mode);
    }

    internal void Restore() => Apply(_original);

    private void Apply(Termios mode)
    {
        if (_isTerminal)
        {
            _ = Libc.TcSetAttr(_fd, Libc.TCSANOW, &mode);
        }
    }
}
