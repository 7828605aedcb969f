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

    // Longer than what a client does between two requests, shorter than what the scheduler grants a thread that has much
    // to do.
    private const long CrowdedNs = 100_000;
    private const long FirstRestNs = 1_000_000;
    private const long LastRestNs = 512_000_000;

    private long _currentNs;
    private long _restNs;
    private long _restUntil;

    internal long MaxNs;
    internal long Grow;
    internal long Shrink;

    /// <summary>How long to look for work from now on.</summary>
    internal readonly long CurrentNs(long now) => now < _restUntil ? 0 : Math.Min(_currentNs, MaxNs);

    /// <summary>
    /// The thread offered its processor and had it back after so long; false if there is more work for the processor
    /// than it can do. Then a thread that polls gets its turn late, while one that wakes up gets it soon: no polling for
    /// a while, and for longer each time this is found again.
    /// </summary>
    internal bool Yielded(long now, long ns)
    {
        if (ns < CrowdedNs)
        {
            return true;
        }

        bool isRecent = now - _restUntil < LastRestNs;
        _restNs = isRecent ? Math.Min(2 * _restNs, LastRestNs) : FirstRestNs;
        _restUntil = now + _restNs;
        return false;
    }

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
