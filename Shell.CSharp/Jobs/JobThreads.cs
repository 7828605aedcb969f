using System;
using System.Collections.Generic;
using System.Diagnostics.CodeAnalysis;
using System.Threading;

namespace StorageDaemon.Shell.Jobs;

/// <summary>
/// Threads for work that may take minutes. They start when there is work for them and end when there is none; what finds
/// all of them busy waits.
/// </summary>
internal sealed class JobThreads
{
    private const int MaxThreads = 64;
    private const int StackBytes = 256 * 1024;

    private readonly Lock _gate = new();
    private readonly Queue<Action> _waiting = [];
    private int _threads;

    internal void Run(Action work)
    {
        lock (_gate)
        {
            _waiting.Enqueue(work);
            if (_threads == MaxThreads)
            {
                return;
            }

            _threads++;
        }

        try
        {
            new Thread(Work, StackBytes) { IsBackground = true, Name = "job" }.Start();
        }
        catch (OutOfMemoryException)
        {
            // No thread is to be had: it is done here and now, late rather than never.
            Work();
        }
    }

    private void Work()
    {
        while (TryTake(out Action? work))
        {
            work();
        }
    }

    private bool TryTake([NotNullWhen(true)] out Action? work)
    {
        lock (_gate)
        {
            if (_waiting.TryDequeue(out work))
            {
                return true;
            }

            _threads--;
            return false;
        }
    }
}
