using System.Threading;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>
/// The memory that requests in flight may hold, over all exports and IOThreads. A request that finds none left waits
/// with its connection or is worked off in small pieces; nobody is refused.
/// </summary>
internal sealed class MemoryBudget
{
    internal const long DefaultBytes = 512L << 20;

    /// <summary>Free buffers that the threads may keep for reuse, together.</summary>
    internal const long MaxKeptBytes = 64L << 20;

    private readonly long _limit;
    private IOThread[] _threads = [];
    private long _used;
    private long _kept;
    private int _waiting;

    internal MemoryBudget(long limitBytes) => _limit = limitBytes;

    /// <summary>Bytes held by requests now.</summary>
    internal long UsedBytes => Volatile.Read(ref _used);

    /// <summary>The threads to wake when memory comes back; set by the control thread.</summary>
    internal void SetThreads(IOThread[] threads) => Volatile.Write(ref _threads, threads);

    internal bool TryTake(long bytes)
    {
        long used = Volatile.Read(ref _used);
        while (used + bytes <= _limit)
        {
            long now = Interlocked.CompareExchange(ref _used, used + bytes, used);
            if (now == used)
            {
                return true;
            }

            used = now;
        }

        return false;
    }

    /// <summary>
    /// Takes memory beyond the limit: a little for a client that holds none, so that others, who may never read their
    /// replies, cannot keep it from being served at all.
    /// </summary>
    internal void TakeAnyway(long bytes) => Interlocked.Add(ref _used, bytes);

    /// <summary>What one connection may hold.</summary>
    internal long PerConnection => _limit / 4;

    internal void Release(long bytes)
    {
        _ = Interlocked.Add(ref _used, -bytes);
        if (Volatile.Read(ref _waiting) != 0 && Interlocked.Exchange(ref _waiting, 0) != 0)
        {
            foreach (IOThread thread in Volatile.Read(ref _threads))
            {
                thread.MemoryReturned();
            }
        }
    }

    /// <summary>A thread would like to keep a free buffer.</summary>
    internal bool TryKeep(long bytes)
    {
        if (Interlocked.Add(ref _kept, bytes) <= MaxKeptBytes)
        {
            return true;
        }

        _ = Interlocked.Add(ref _kept, -bytes);
        return false;
    }

    /// <summary>A kept buffer is in use again or given back to the kernel.</summary>
    internal void Unkeep(long bytes) => Interlocked.Add(ref _kept, -bytes);

    /// <summary>A thread has requests that wait: it wants to be woken by the next release.</summary>
    internal void AskForWake() => Interlocked.Exchange(ref _waiting, 1);
}
