using System;
using System.Collections.Generic;
using System.Threading.Tasks;
using Microsoft.FSharp.Core;
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
/// <param name="post">Runs an action on the control thread.</param>
/// <param name="worked">Told how the work of a job went, unless somebody has waited for it.</param>
internal sealed class JobFiles(Action<Action> post, Action<int, FileTaskReport> worked) : IDisposable
{
    private readonly JobThreads _threads = new();
    private readonly Dictionary<int, int> _opened = [];
    private readonly Dictionary<int, Running> _running = [];

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
        Running running = new();
        _running.Add(job, running);
        _threads.Run(() =>
        {
            FileTaskReport report = FileTaskRunner.Run(fd, task, running.Stop);
            _ = Libc.Close(fd);
            running.End(report);
            post(() => Finish(job));
        });
    }

    private void Finish(int job)
    {
        if (_running.Remove(job, out Running? running))
        {
            worked(job, running.Await());
        }
    }

    /// <summary>Lets work come to an end early.</summary>
    internal void Stop(int job)
    {
        if (_running.TryGetValue(job, out Running? running))
        {
            running.Stop.Set();
        }
    }

    /// <summary>Lets work come to an end early and waits for it; how it went, if there was any.</summary>
    internal Answer Await(int job)
    {
        Stop(job);
        return Answer.NewJobWorked(
            _running.Remove(job, out Running? running)
                ? FSharpOption<FileTaskReport>.Some(running.Await())
                : FSharpOption<FileTaskReport>.None);
    }

    public void Dispose()
    {
        foreach (int fd in _opened.Values)
        {
            _ = Libc.Close(fd);
        }

        _opened.Clear();
    }

    /// <summary>Work under way.</summary>
    private sealed class Running
    {
        private readonly TaskCompletionSource<FileTaskReport> _ended = new();

        internal StopSignal Stop { get; } = new();

        /// <summary>On the thread of the work.</summary>
        internal void End(FileTaskReport report) => _ended.SetResult(report);

        internal FileTaskReport Await() => _ended.Task.GetAwaiter().GetResult();
    }
}
