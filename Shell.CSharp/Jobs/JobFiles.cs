using System;
using System.Collections.Generic;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Graph;
using StorageDaemon.Core.Job;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Jobs;

/// <summary>
/// The files that jobs work on: opened and locked on the control thread, worked on and closed on another. On the control
/// thread only.
/// </summary>
internal sealed class JobFiles(JobRunner runner) : IDisposable
{
    private readonly Dictionary<int, int> _opened = [];

    /// <summary>Opens or makes the file of a job, and locks it; nothing is left open after an error.</summary>
    internal Answer Open(int job, string path, LockChange locks)
    {
        int fd = FileOpener.OpenOrCreate(path);
        if (fd < 0)
        {
            return Answer.NewCouldNotOpen(Libc.Strerror(-fd));
        }

        foreach (LockStep step in locks.Steps)
        {
            if (!ImageLocks.TryRun(fd, step))
            {
                _ = Libc.Close(fd);
                return Answer.NewRefused(Locks.failure(path, step));
            }
        }

        _opened.Add(job, fd);
        return Answer.Finished;
    }

    /// <summary>Begins with the work on the opened file.</summary>
    internal void Run(int job, FileTask task)
    {
        _ = _opened.Remove(job, out int fd);
        StopSignal stop = new();
        runner.Run(job, stop, () =>
        {
            FileTaskReport report = FileTaskRunner.Run(fd, task, stop);
            _ = Libc.Close(fd);
            return JobReport.NewFile(report);
        });
    }

    public void Dispose()
    {
        foreach (int fd in _opened.Values)
        {
            _ = Libc.Close(fd);
        }

        _opened.Clear();
    }
}
