using System;
using System.Collections.Generic;
using System.Threading;
using StorageDaemon.Core.Virtio;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Exports.VhostUser;

/// <summary>
/// One queue of the disk, on its IOThread: it is there as long as the export, whether a front end uses it or not. What
/// the control thread tells it comes as actions on its thread.
/// </summary>
internal sealed unsafe partial class VhostUserQueue : IExportClient, IPolled, IRequestOwner
{
    private readonly VhostUserExport _export;
    private readonly SharedExport _shared;
    private readonly int _index;
    private readonly Action<IExportClient> _ended;
    private IOThread _thread;

    // The front end's events.
    private int _kickFd = -1;
    private int _callFd = -1;
    private int _errFd = -1;

    // The thread's number for the kicks; negative while no thread watches them.
    private int _key = -1;

    // Those of the export, taken over whenever no request is in flight.
    private NodePath _path;
    private IoStats _stats;
    private BlkDevice _device;

    /// <summary>What waits until nothing is in flight; until then no request is taken.</summary>
    private readonly List<Action> _whenQuiet = [];
    private bool _attached;
    private bool _paused;
    private bool _closing;
    private bool _finished;
    private Drain? _drain;

    internal VhostUserQueue(VhostUserExport export, SharedExport shared, int index, Action<IExportClient> ended)
    {
        _export = export;
        _shared = shared;
        _index = index;
        _ended = ended;
        _thread = shared.NextThread();
        _path = shared.Path;
        _stats = _path.StatsOf(_thread.Index);
        _device = export.Device(_path.SizeBytes);
    }

    public bool Scheduled { get; set; }

    public IOThread Thread => Volatile.Read(ref _thread);

    public int InFlight => Volatile.Read(ref _inFlight);

    public void Attach()
    {
        _attached = true;
        TakePath();
        Watch();
        if (_serving)
        {
            _thread.AddPolled(this);
        }

        _thread.Schedule(this);
    }

    private void TakePath()
    {
        _path = _shared.Path;
        _stats = _path.StatsOf(_thread.Index);
        _device = _export.Device(_path.SizeBytes);
    }

    // Events ---------------------------------------------------------------------------------------------------------

    /// <summary>
    /// The events are never read: each one that is sent is told once, whatever has been sent before (edge-triggered).
    /// </summary>
    private void Watch()
    {
        if (_attached && _kickFd >= 0 && _key < 0)
        {
            _key = _thread.Register(_kickFd, this);
        }
    }

    private void Unwatch()
    {
        _thread.Unregister(_kickFd, _key);
        _key = -1;
    }

    /// <summary>Takes the descriptor of kicks over; negative for none.</summary>
    internal void UseKick(int fd)
    {
        Unwatch();
        Replace(ref _kickFd, fd);
        Watch();
        _thread.Schedule(this);
    }

    internal void UseCall(int fd)
    {
        Replace(ref _callFd, fd);
        if (_serving && _batchCount == 0)
        {
            // What was published before may not have been told to whoever has this one.
            Signal(_callFd);
        }
    }

    internal void UseErr(int fd) => Replace(ref _errFd, fd);

    private static void Replace(ref int place, int fd)
    {
        if (place >= 0)
        {
            _ = Libc.Close(place);
        }

        if (fd >= 0)
        {
            // Whatever it is: this thread waits for nobody.
            _ = Libc.Fcntl(fd, Libc.F_SETFL, Libc.Fcntl(fd, Libc.F_GETFL, 0) | Libc.O_NONBLOCK);
        }

        place = fd;
    }

    private static void Signal(int fd)
    {
        if (fd >= 0)
        {
            ulong one = 1;
            _ = Libc.Write(fd, &one, sizeof(ulong));
        }
    }

    public void OnReady(uint events) => _thread.Schedule(this);

    public bool Run()
    {
        if (_finished)
        {
            return false;
        }

        StartHeld();
        bool more = TakeSome();
        Publish();
        Settle();
        return more && CanTake;
    }

    /// <summary>Does what waits for requests in flight to end.</summary>
    private void Settle()
    {
        if (_closing && _held is { } held)
        {
            // Nobody waits for it any more.
            _held = null;
            Release(held);
        }

        TellDrained();
        if (_inFlight > 0)
        {
            return;
        }

        if (_whenQuiet.Count > 0)
        {
            foreach (Action action in _whenQuiet)
            {
                action();
            }

            _whenQuiet.Clear();
            _thread.Schedule(this);
        }

        if (_closing)
        {
            _finished = true;
            _serving = false;
            _thread.RemovePolled(this);
            DropEvents();
            _ended(this);
        }
    }

    private void WhenQuiet(Action action)
    {
        _whenQuiet.Add(action);
        _thread.Schedule(this);
    }

    private void DropEvents()
    {
        Unwatch();
        Replace(ref _kickFd, -1);
        Replace(ref _callFd, -1);
        Replace(ref _errFd, -1);
    }

    // The export ----------------------------------------------------------------------------------------------------

    public void Pause(Drain drain)
    {
        _paused = true;
        _drain = drain;
        TellDrained();
    }

    /// <summary>A request that waits for memory has not begun its I/O, and waits on.</summary>
    private void TellDrained()
    {
        if (_drain is { } drain && _inFlight == (_held == null ? 0 : 1))
        {
            _drain = null;
            drain.Done();
        }
    }

    public void Resume()
    {
        _paused = false;
        if (!_finished)
        {
            Attach();
        }
    }

    public void Leave(Drain drain)
    {
        if (!_finished)
        {
            Unwatch();
            _thread.RemovePolled(this);
            _attached = false;
            _thread.Forget(this);
        }

        drain.Done();
    }

    public void MoveTo(IOThread thread) => Volatile.Write(ref _thread, thread);

    public void Abort()
    {
        _closing = true;
        _thread.Schedule(this);
    }
}
