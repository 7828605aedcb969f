using System;
using System.Runtime.CompilerServices;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Cli;

/// <summary>
/// SIGINT, SIGHUP and SIGTERM as events of the loop. They are blocked in every thread and read from a descriptor, so
/// that no code ever runs in a signal handler.
/// </summary>
internal sealed unsafe class Signals : IDisposable
{
    private readonly int _fd;
    private readonly Reactor _reactor;
    private readonly Reactor.Registration _registration;
    private readonly Action<int> _received;

    private Signals(int fd, Reactor reactor, Action<int> received)
    {
        _fd = fd;
        _reactor = reactor;
        _received = received;
        _registration = reactor.Register(fd, Libc.EPOLLIN, _ => ReadAll());
        reactor.InterruptFd = fd;
    }

    /// <summary>
    /// Blocks the signals for the calling thread, the runtime's finalizer thread and all threads made later, which
    /// inherit it; ignores SIGPIPE. To be called first thing in Main, before any thread is started.
    /// </summary>
    internal static void Block()
    {
        _ = Libc.Signal(Libc.SIGPIPE, Libc.SIG_IGN);
        BlockInThisThread();

        // The finalizer thread exists before Main. A signal that one thread does not block ends the process.
        MakeGarbage();
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    /// <summary>Hands the signals that arrive, and those that have since <see cref="Block"/>, to a handler.</summary>
    internal static Signals Attach(Reactor reactor, Action<int> received)
    {
        SigSet set = TerminationSet();
        int fd = Libc.SignalFd(-1, &set, Libc.SFD_CLOEXEC | Libc.SFD_NONBLOCK);
        return fd >= 0
            ? new Signals(fd, reactor, received)
            : throw new InvalidOperationException("cannot watch signals: " + Libc.Strerror(Libc.Errno));
    }

    public void Dispose()
    {
        _reactor.InterruptFd = -1;
        _registration.Dispose();
        _ = Libc.Close(_fd);
    }

    private void ReadAll()
    {
        SignalFdSigInfo info;
        while (Libc.Read(_fd, &info, SignalFdSigInfo.SizeBytes) == SignalFdSigInfo.SizeBytes)
        {
            _received((int)info.Signal);
        }
    }

    private static SigSet TerminationSet()
    {
        var set = new SigSet();
        foreach (int signal in new[] { Libc.SIGHUP, Libc.SIGINT, Libc.SIGTERM })
        {
            set.Words[0] |= 1ul << (signal - 1);
        }

        return set;
    }

    private static void BlockInThisThread()
    {
        SigSet set = TerminationSet();
        set.Words[0] |= 1ul << (Libc.SIGUSR1 - 1);
        _ = Libc.PthreadSigmask(Libc.SIG_BLOCK, &set, null);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void MakeGarbage() => _ = new FinalizerThreadBlocker();

    /// <summary>Its finalizer runs on the finalizer thread, the only way to reach that thread.</summary>
    private sealed class FinalizerThreadBlocker
    {
        ~FinalizerThreadBlocker() => BlockInThisThread();
    }
}
