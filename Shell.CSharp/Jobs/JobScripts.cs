using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Job;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Jobs;

/// <summary>Scripts that jobs run on nodes, beside everything else. On the control thread only.</summary>
/// <param name="post">Runs an action on the control thread.</param>
/// <param name="progressed">Told how far a job's script has come.</param>
internal sealed class JobScripts(
    JobRunner runner,
    PathCompiler paths,
    FileTable files,
    NodeTable nodes,
    IOThreadPool threads,
    Action<Action> post,
    Action<int, JobProgress> progressed)
{
    private readonly Dictionary<int, ScriptNodes> _scripts = [];
    private readonly object _progressGate = new();
    private readonly Dictionary<int, JobProgress> _progress = [];

    /// <summary>Begins with a job's script.</summary>
    internal void Run(int job, NodeScript script)
    {
        StopSignal stop = new();
        try
        {
            IOThread thread = threads.Any();
            ScriptNodes own = new(Compile(script.Children), stop, (current, total) => Note(job, current, total));
            _scripts.Add(job, own);
            runner.Run(job, stop, () => Work(thread, own, script), () => Forget(job));
        }
        catch (IOException e)
        {
            // The process can have no more descriptors.
            runner.Run(job, stop, () => Report(FSharpOption<FSharpResult<ScriptValue, string>>.Some(FSharpResult<ScriptValue, string>.NewError(e.Message)), []));
        }
    }

    private static JobReport Work(IOThread thread, ScriptNodes nodes, NodeScript script)
    {
        bool ended = ScriptRunner.TryRun(
            thread,
            nodes,
            script.Script.Invoke(FSharpFunc<int, string>.FromConverter(Libc.Strerror)),
            out FSharpResult<ScriptValue, string> result);
        return Report(
            ended ? FSharpOption<FSharpResult<ScriptValue, string>>.Some(result) : FSharpOption<FSharpResult<ScriptValue, string>>.None,
            nodes.FileBytes());
    }

    private static JobReport Report(FSharpOption<FSharpResult<ScriptValue, string>> result, IEnumerable<long> fileBytes) =>
        JobReport.NewNodes(new NodeScriptReport(result, ListModule.OfSeq(fileBytes)));

    /// <summary>On the thread of the script. However often it tells, the control thread has one thing to do.</summary>
    private void Note(int job, long current, long total)
    {
        lock (_progressGate)
        {
            bool isFirst = !_progress.ContainsKey(job);
            _progress[job] = new JobProgress(current, total);
            if (!isFirst)
            {
                return;
            }
        }

        post(() => Tell(job));
    }

    private void Tell(int job)
    {
        JobProgress? progress;
        lock (_progressGate)
        {
            _ = _progress.Remove(job, out progress);
        }

        if (progress != null && _scripts.ContainsKey(job))
        {
            progressed(job, progress);
        }
    }

    /// <summary>Scripts come to rest; no request of theirs is in flight.</summary>
    internal void Rest(IEnumerable<int> jobs)
    {
        foreach (int job in jobs)
        {
            _scripts[job].Rest();
        }
    }

    /// <summary>A script that rests has other nodes below it.</summary>
    internal void Update(int job, IEnumerable<ScriptChild> children)
    {
        ScriptNodes script = _scripts[job];
        Retire(script);
        script.Nodes = Compile(children);
    }

    internal void GoOn(IEnumerable<int> jobs)
    {
        foreach (int job in jobs)
        {
            _scripts[job].GoOn();
        }
    }

    private void Forget(int job)
    {
        _ = _scripts.Remove(job, out ScriptNodes? script);
        Retire(script!);
    }

    /// <summary>What the paths have counted stays.</summary>
    private void Retire(ScriptNodes script)
    {
        foreach (ScriptNode node in script.Nodes)
        {
            nodes.Retire(node.Path);
        }
    }

    private ScriptNode[] Compile(IEnumerable<ScriptChild> children) =>
    [
        .. children.Select(child => new ScriptNode(
            paths.Compile(child.Path, threads.IndexCount),
            child.Resizing,
            child.Resizing.IsOk ? files[child.Resizing.ResultValue.File] : null)),
    ];
}
