using System.Diagnostics;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>
/// Whether writes into the page cache may be done on the IOThread itself. A write that took far longer than copying
/// takes has been throttled or has waited for the disk: for a while, writes then go through the ring.
/// </summary>
internal struct InlineWriteGuard
{
    private const long SlowNs = 1_000_000;
    private const long NsPerByte = 2;
    private const long PenaltyNs = 50_000_000;

    private long _blockedUntil;

    internal readonly bool Allowed => _blockedUntil == 0 || Stopwatch.GetTimestamp() >= _blockedUntil;

    internal void Note(long ns, long lengthBytes) =>
        _blockedUntil = ns > SlowNs + (lengthBytes * NsPerByte) ? Stopwatch.GetTimestamp() + PenaltyNs : 0;
}
