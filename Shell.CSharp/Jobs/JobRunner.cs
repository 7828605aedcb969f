using System;
using System.Collections.Generic;
using System.Threading.Tasks;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Job;

namespace StorageDaemon.Shell.Jobs;

/// <summary>The work of jobs, each on a thread of its own. On the control thread only.</summary>
/// <param name="post">Runs an action on the control thread.</param>
/// <param name="worked">Told how the work of a job went, unless somebody has waited for it.</param>
internal sealed class JobRunner(Action<Action> post, Action<int, JobReport> worked)
{
    private readonly JobThreads _threads = new();
    private readonly Dictionary<int, Running> _running = [];

    /// <summary>Begins with a job's work.</summary>
    /// <param name="stop">What the work looks at now and then.</param>
    /// <param name="ended">Called on the control thread when the work is over, before anybody is told.</param>
    internal void Run(int job, StopSignal stop, Func<JobReport> work, Action? ended = null)
    {
        Running running = new(stop, ended);
        _running.Add(job, running);
        _threads.Run(() =>
        {
            running.End(work());
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
                ? FSharpOption<JobReport>.Some(running.Await())
                : FSharpOption<JobReport>.None);
    }

    /// <summary>Work under way.</summary>
    private sealed class Running(StopSignal stop, Action? ended)
    {
        private readonly TaskCompletionSource<JobReport> _ended = new();

        internal StopSignal Stop => stop;

        /// <summary>On the thread of the work.</summary>
        internal void End(JobReport report) => _ended.SetResult(report);

        internal JobReport Await()
        {
            JobReport report = _ended.Task.GetAwaiter().GetResult();
            ended?.Invoke();
            return report;
        }
    }
}
