using System;
using System.Runtime.InteropServices;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// A pseudo-terminal. It is open while some process has the slave side open; the kernel does not tell when that
/// happens, so a closed one is looked at from time to time.
/// </summary>
internal sealed unsafe class PtyChardev : CharacterDevice, IByteStreamOwner
{
    private const int PollIntervalMs = 200;

    private readonly Reactor _reactor;
    private readonly int _master;
    private readonly string? _link;
    private ByteStream? _stream;
    private ReactorTimer? _timer;

    private PtyChardev(Reactor reactor, string id, OutputLog? log, int master, string slavePath, string? link)
        : base(id, log)
    {
        _reactor = reactor;
        _master = master;
        _link = link is null ? null : System.IO.Path.GetFullPath(link);
        PtyPath = slavePath;
        _timer = reactor.AfterMs(PollIntervalMs, LookForSlave);
    }

    internal override string PtyPath { get; }

    internal override string Filename => Label.pty(PtyPath);

    internal override int PendingBytes => _stream?.PendingBytes ?? 0;

    internal static Outcome<CharacterDevice> Open(Reactor reactor, string id, PtyOptions options, OutputLog? log)
    {
        int master = Libc.PosixOpenPt(Libc.O_RDWR | Libc.O_NOCTTY | Libc.O_CLOEXEC | Libc.O_NONBLOCK);
        byte* path = stackalloc byte[128];
        if (master < 0 || Libc.GrantPt(master) < 0 || Libc.UnlockPt(master) < 0
            || Libc.PtsName(master, path, 128) != 0)
        {
            return Fail(master, "Failed to create PTY: ");
        }

        string slavePath = Marshal.PtrToStringUTF8((nint)path) ?? "";
        int slave = Libc.Open(slavePath, Libc.O_RDWR | Libc.O_NOCTTY | Libc.O_CLOEXEC, 0);
        if (slave < 0)
        {
            return Fail(master, "Failed to create PTY: ");
        }

        MakeRaw(slave);
        _ = Libc.Close(slave); // The master reports a hang-up from here until somebody opens the slave.
        if (options.Link is string _link && Libc.Symlink(slavePath, _link) < 0)
        {
            return Fail(master, "Failed to create PTY symlink: ");
        }

        return Outcome<CharacterDevice>.Ok(new PtyChardev(reactor, id, log, master, slavePath, options.Link));
    }

    void IByteStreamOwner.OnStreamBytes(Span<byte> bytes) => RaiseBytes(bytes);

    void IByteStreamOwner.OnStreamEnd(StreamEnd end) => SlaveClosed();

    void IByteStreamOwner.OnStreamHungUp()
    {
        if (!FrontendOpen)
        {
            SlaveClosed();
        }
    }

    void IByteStreamOwner.OnStreamDrained() => RaiseDrained();

    protected override void OnInputWanted() => _stream?.WantInput(WantsInput);

    protected override void WriteOut(ReadOnlySpan<byte> bytes) => _stream?.Write(bytes);

    protected override void DisposeDevice()
    {
        _timer?.Cancel();
        _stream?.Dispose();
        _ = Libc.Close(_master);
        if (_link is not null)
        {
            _ = Libc.Unlink(_link);
        }
    }

    private static Outcome<CharacterDevice> Fail(int master, string what)
    {
        string reason = Libc.Strerror(Libc.Errno);
        if (master >= 0)
        {
            _ = Libc.Close(master);
        }

        return Outcome<CharacterDevice>.Fail(what + reason);
    }

    private static void MakeRaw(int slave)
    {
        Termios mode;
        if (Libc.TcGetAttr(slave, &mode) == 0)
        {
            Libc.CfMakeRaw(&mode);
            _ = Libc.TcSetAttr(slave, Libc.TCSANOW, &mode);
        }
    }

    private void LookForSlave()
    {
        _timer = null;
        var polled = new PollFd { Fd = _master, Events = (short)Libc.EPOLLIN };
        bool hungUp = Libc.Poll(&polled, 1, 0) > 0 && (polled.Revents & (short)Libc.EPOLLHUP) != 0;
        if (hungUp)
        {
            _timer = _reactor.AfterMs(PollIntervalMs, LookForSlave);
            return;
        }

        _stream = new ByteStream(_reactor, _master, _master, this);
        _stream.WantInput(WantsInput);
        RaiseOpened();
    }

    private void SlaveClosed()
    {
        _stream?.Dispose();
        _stream = null;
        _timer ??= _reactor.AfterMs(PollIntervalMs, LookForSlave);
        RaiseClosed();
    }
}
