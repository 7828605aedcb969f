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

    private readonly Reactor reactor;
    private readonly int master;
    private readonly string? link;
    private ByteStream? stream;
    private ReactorTimer? timer;

    private PtyChardev(Reactor reactor, string id, OutputLog? log, int master, string slavePath, string? link)
        : base(id, log)
    {
        this.reactor = reactor;
        this.master = master;
        this.link = link is null ? null : System.IO.Path.GetFullPath(link);
        PtyPath = slavePath;
        timer = reactor.AfterMs(PollIntervalMs, LookForSlave);
    }

    internal override string PtyPath { get; }

    internal override string Filename => Label.pty(PtyPath);

    internal override int PendingBytes => stream?.PendingBytes ?? 0;

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
        if (options.Link is string link && Libc.Symlink(slavePath, link) < 0)
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

    protected override void OnInputWanted() => stream?.WantInput(WantsInput);

    protected override void WriteOut(ReadOnlySpan<byte> bytes) => stream?.Write(bytes);

    protected override void DisposeDevice()
    {
        timer?.Cancel();
        stream?.Dispose();
        _ = Libc.Close(master);
        if (link is not null)
        {
            _ = Libc.Unlink(link);
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
        timer = null;
        var polled = new PollFd { Fd = master, Events = (short)Libc.EPOLLIN };
        bool hungUp = Libc.Poll(&polled, 1, 0) > 0 && (polled.Revents & (short)Libc.EPOLLHUP) != 0;
        if (hungUp)
        {
            timer = reactor.AfterMs(PollIntervalMs, LookForSlave);
            return;
        }

        stream = new ByteStream(reactor, master, master, this);
        stream.WantInput(WantsInput);
        RaiseOpened();
    }

    private void SlaveClosed()
    {
        stream?.Dispose();
        stream = null;
        timer ??= reactor.AfterMs(PollIntervalMs, LookForSlave);
        RaiseClosed();
    }
}
