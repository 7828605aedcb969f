using System;
using System.Threading;
using StorageDaemon.Core;
using StorageDaemon.Core.Fuse;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Exports.Fuse;

/// <summary>
/// One descriptor of a mount, on its IOThread: the kernel's requests come one by one, and each is answered when it is
/// done. Any channel of a mount may take any request up. What is to be done is <see cref="Session"/>'s to say.
/// </summary>
internal sealed unsafe partial class FuseChannel : IExportClient, IReadyHandler, IRequestOwner
{
    /// <summary>Requests in flight per channel; while there are so many, others take them up or they wait in the kernel.</summary>
    private const int MaxInFlight = 64;

    private const int MaxRoundsPerTurn = 32;

    private readonly FuseExport _mount;
    private readonly Action<IExportClient> _ended;
    private readonly int _fd;
    private IOThread _thread;

    // The thread's number for the descriptor; negative while no thread watches it.
    private int _key = -1;

    // Those of the export, taken over whenever no request is in flight.
    private NodePath _path;
    private IoStats _stats;

    /// <summary>Where the next message goes: the data of a write to its start, what comes before them into the room before it.</summary>
    private PoolBuffer _receive;
    private bool _readable = true;
    private bool _paused;
    private bool _closing;
    private bool _finished;
    private Drain? _drain;

    internal FuseChannel(FuseExport mount, IOThread thread, int fd, Action<IExportClient> ended)
    {
        _mount = mount;
        _thread = thread;
        _fd = fd;
        _ended = ended;
        _path = mount.Export.Path;
        _stats = _path.StatsOf(thread.Index);
        for (int i = MaxInFlight - 1; i >= 0; i--)
        {
            _pending[i].Next = _free;
            _free = i;
        }
    }

    public bool Scheduled { get; set; }

    public IOThread Thread => Volatile.Read(ref _thread);

    public int InFlight => Volatile.Read(ref _inFlight);

    public void Attach()
    {
        TakePath();
        _key = _thread.Register(_fd, this);
        if (_key < 0)
        {
            _closing = true;
        }

        _thread.Schedule(this);
    }

    public void OnReady(uint events)
    {
        _readable = true;
        _thread.Schedule(this);
    }

    public bool Run()
    {
        if (_finished)
        {
            return false;
        }

        for (int round = 0; round < MaxRoundsPerTurn && CanReceive; round++)
        {
            Receive();
        }

        if (_closing)
        {
            TryFinish();
            return false;
        }

        return CanReceive;
    }

    private bool CanReceive =>
        _readable && !_paused && !_closing && _free >= 0 && (!_receive.IsNull || TryRentReceive());

    /// <summary>
    /// Room for a message. A channel that has nothing in flight gets it in any case, so that it always gets on.
    /// </summary>
    private bool TryRentReceive()
    {
        bool anyway = _inFlight == 0;
        if (_thread.Buffers.TryRent(Session.MaxTransfer, anyway, out _receive))
        {
            return true;
        }

        _thread.WaitForMemory(this);
        return _thread.Buffers.TryRent(Session.MaxTransfer, anyway, out _receive);
    }

    private void Receive()
    {
        byte* start = _receive.Data - Wire.WriteDataOffset;
        nint count = Libc.Read(_fd, start, Wire.WriteDataOffset + Session.MaxTransfer);
        if (count > 0)
        {
            Take(new ReadOnlySpan<byte>(start, (int)count));
            return;
        }

        switch (count == 0 ? Errno.ENODEV : Libc.Errno)
        {
            case Errno.EAGAIN:
                _readable = false;
                break;
            case Errno.EINTR:
            case Errno.ENOENT:
                // Whoever asked has given up meanwhile.
                break;
            default:
                // The file system is mounted no longer.
                _closing = true;
                break;
        }
    }

    public void Pause(Drain drain)
    {
        _paused = true;
        _drain = drain;
        TellDrained();
    }

    private void TellDrained()
    {
        if (_drain is { } drain && _ioInFlight == 0)
        {
            _drain = null;
            drain.Done();
        }
    }

    public void Resume()
    {
        _paused = false;
        if (_finished)
        {
            return;
        }

        if (_key < 0)
        {
            Attach();
            return;
        }

        TakePath();
        _thread.Schedule(this);
    }

    public void Leave(Drain drain)
    {
        if (!_finished)
        {
            _thread.Unregister(_fd, _key);
            _key = -1;
            _thread.Forget(this);
            _thread.Buffers.Return(ref _receive);
        }

        drain.Done();
    }

    public void MoveTo(IOThread thread) => Volatile.Write(ref _thread, thread);

    private void TakePath()
    {
        _path = _mount.Export.Path;
        _stats = _path.StatsOf(_thread.Index);
    }

    public void Abort()
    {
        _closing = true;
        _thread.Schedule(this);
    }

    private void TryFinish()
    {
        if (_ioInFlight > 0)
        {
            return;
        }

        _finished = true;
        _thread.Unregister(_fd, _key);
        ReleaseAll();
        _thread.Buffers.Return(ref _receive);
        _ = Libc.Close(_fd);
        _ended(this);
    }
}
