using System.Collections.Generic;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>
/// Keeps unaligned writes of an O_DIRECT file apart from all its other writes. An unaligned write goes through the page
/// cache; a direct write to another sector of the same page, in flight at the same time, would be undone when that page
/// is written back. Aligned writes pass together; an unaligned one passes alone; who waits is let in in turn.
/// </summary>
internal sealed class WriteGate
{
    private readonly object _gate = new();
    private readonly Queue<(IOThread Thread, int Slot, bool Alone)> _waiting = new();
    private int _inside;
    private bool _alone;

    /// <summary>Lets a write in; false if it has to wait, and its thread will resume it.</summary>
    internal bool TryEnter(IOThread thread, int slot, bool alone)
    {
        lock (_gate)
        {
            if (_waiting.Count == 0 && MayEnter(alone))
            {
                Enter(alone);
                return true;
            }

            _waiting.Enqueue((thread, slot, alone));
            return false;
        }
    }

    /// <summary>A write that was let in has ended.</summary>
    internal void Leave()
    {
        lock (_gate)
        {
            _inside--;
            _alone = false;
            while (_waiting.TryPeek(out (IOThread Thread, int Slot, bool Alone) next) && MayEnter(next.Alone))
            {
                _ = _waiting.Dequeue();
                Enter(next.Alone);
                next.Thread.Post(() => next.Thread.Resume(next.Slot));
            }
        }
    }

    private bool MayEnter(bool alone) => _inside == 0 || (!alone && !_alone);

    private void Enter(bool alone)
    {
        _inside++;
        _alone = alone;
    }
}
