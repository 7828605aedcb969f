using System;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>
/// How long an idle IOThread looks for work before it blocks: the time grows while work keeps arriving within reach
/// and shrinks while looking is in vain (the iothread object's poll-max-ns, poll-grow and poll-shrink).
/// </summary>
internal struct PollingPolicy
{
    internal const long DefaultMaxNs = 32768;
    private const long FirstNs = 4000;

    private long _currentNs;

    internal long MaxNs;
    internal long Grow;
    internal long Shrink;

    internal readonly long CurrentNs => Math.Min(_currentNs, MaxNs);

    /// <summary>The thread had to wait that long in all, polling included, before work came.</summary>
    internal void Waited(long ns)
    {
        if (ns <= _currentNs)
        {
            return;
        }

        if (ns > MaxNs)
        {
            // Work that comes later than the limit allows makes polling pure waste.
            _currentNs = Shrink > 1 ? _currentNs / Shrink : 0;
            return;
        }

        long factor = Grow > 1 ? Grow : 2;
        _currentNs = Math.Min(_currentNs == 0 ? FirstNs : _currentNs * factor, MaxNs);
    }
}
