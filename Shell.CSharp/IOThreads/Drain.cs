using System.Threading;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>Whoever sends requests down a path, on its IOThread.</summary>
internal interface IDrainable
{
    /// <summary>Begins no more requests, and tells once when none is in flight.</summary>
    void Pause(Drain drain);

    /// <summary>Goes on, with the path that is in force now.</summary>
    void Resume();
}

/// <summary>Waits until all that were told to pause have come to rest.</summary>
internal sealed class Drain
{
    private readonly object _gate = new();
    private int _busy;

    /// <summary>One more is told to pause.</summary>
    internal void Expect()
    {
        lock (_gate)
        {
            _busy++;
        }
    }

    /// <summary>One of them rests. From any thread.</summary>
    internal void Done()
    {
        lock (_gate)
        {
            _busy--;
            Monitor.PulseAll(_gate);
        }
    }

    internal void Wait()
    {
        lock (_gate)
        {
            while (_busy > 0)
            {
                _ = Monitor.Wait(_gate);
            }
        }
    }
}
