using System;
using System.Collections.Generic;
using System.Linq;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Json;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Core.Observe;
using StorageDaemon.Core.Qmp;
using StorageDaemon.Shell.Chardev;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Exports;
using StorageDaemon.Shell.Exports.Nbd;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Jobs;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Control;

/// <summary>
/// The control plane: holds the one value that is the daemon's state, gives commands to the core and runs what it
/// answers. Everything here happens on the control thread.
/// </summary>
internal sealed class ControlLoop : IDisposable
{
    private readonly NodeTable _nodes;
    private readonly FileTable _files;
    private readonly IOThreadPool _threads;
    private readonly ExportTable _exports;
    private readonly NbdListener _nbdServer;
    private readonly ChardevTable _chardevs;
    private readonly ObjectTable _objects;
    private readonly MonitorTable _monitors;
    private readonly JobFiles _jobFiles;
    private readonly EffectRunner _runner;
    private State _state;

    internal ControlLoop(Reactor reactor, string package, ulong seed, ChardevContext chardevs)
    {
        _state = StateModule.create(seed, package);
        _threads = new IOThreadPool(
            new MemoryBudget(MemoryBudget.DefaultBytes), (node, notices) => reactor.Post(() => OnNotices(node, notices)));
        _nodes = new NodeTable(reactor);
        _files = new FileTable(_nodes);
        PathCompiler paths = new(_files, _nodes, (path, end) => reactor.Post(() => OnBeyondLimit(path, end)));
        _exports = new ExportTable(
            paths, _files, _nodes, _threads, reactor.Post, OnExportStopped, ResizeExport, reactor);
        _nbdServer = new NbdListener(reactor, _exports, () => StateModule.nbdExports(_state));
        _chardevs = new ChardevTable(chardevs with { Quit = Quit });
        _monitors = new MonitorTable(
            reactor,
            package,
            FSharpFunc<string, bool>.FromConverter(Step.isCommand),
            request => Settle(Step.execute(_state, request.Command, request.Arguments)));
        _objects = new ObjectTable(
            _threads, _nodes, reactor, (id, content) => _ = Settle(Step.authzFileRead(_state, id, content)));
        JobRunner jobs = new(reactor.Post, (job, report) => _ = Settle(Step.jobWorked(_state, job, report)));
        _jobFiles = new JobFiles(jobs);
        JobScripts scripts = new(
            jobs,
            paths,
            _files,
            _nodes,
            _threads,
            reactor.Post,
            (job, progress) => _ = Settle(Step.jobProgressed(_state, job, progress)));
        _runner = new EffectRunner(
            _files, _nodes, new LayerOpener(paths, _nodes, _threads), _objects, _threads, _exports, _nbdServer, _chardevs, _monitors,
            jobs, _jobFiles, scripts, new OverlayMaker(_threads), reactor.Stop);
    }

    internal State State => _state;

    /// <summary>Called when the state may have changed.</summary>
    internal Action? Changed { get; set; }

    /// <summary>What the daemon tells about itself now.</summary>
    internal MetricsSnapshot MetricsSnapshot() => Metrics.snapshot(_state, new MetricsSources(
        ProcessFigures.Read(),
        _nbdServer.Metrics(),
        _monitors.Metrics(),
        _exports.CountClients,
        _exports.CountInFlight,
        _runner.CountIo()));

    /// <summary>Runs a transition to its end: effects, calls and what follows from their answers.</summary>
    internal FSharpResult<Json, QapiError> Settle(Transition transition)
    {
        while (true)
        {
            _state = transition.State;
            foreach (Effect effect in transition.Effects)
            {
                _runner.Run(effect);
            }

            switch (transition.Outcome)
            {
                case Core.Daemon.Outcome.Done done:
                    Changed?.Invoke();
                    return done.Item;
                case Core.Daemon.Outcome.Waiting waiting:
                    transition = Step.resume(_state, waiting.Item2, _runner.Answer(waiting.Item1));
                    break;
            }
        }
    }

    private void OnBeyondLimit(NodePath path, long end) =>
        _ = Settle(Step.wrote(_state, path.Nodes.Select(node => Tuple.Create(node.Node, end - node.LeafOffset))));

    private void OnNotices(long node, IEnumerable<LayerNotice> notices) =>
        _ = Settle(Step.noticed(Libc.Strerror, _state, node, notices));

    private void Quit() =>
        _ = Settle(Step.execute(_state, Core.Qapi.Commands.quit.Name, FSharpList<Tuple<string, Json>>.Empty));

    private void OnExportStopped(int key) => _ = Settle(Step.exportStopped(_state, key));

    /// <summary>A client of an export asks for another length; zero or an error number.</summary>
    private int ResizeExport(int key, long bytes, bool growOnly)
    {
        FSharpResult<Json, QapiError> result = Settle(Step.resizeExport(_state, key, bytes, growOnly));
        return result.IsOk ? 0 : result.ErrorValue.Errno;
    }

    /// <summary>Begins to let clients in: everything has been set up.</summary>
    internal void StartServing()
    {
        _chardevs.Starting = false;
        _exports.FromMonitor = true;
        _nbdServer.StartAccepting();
    }

    /// <summary>Ends in good order: exports and jobs with their events, the server, nodes, monitors, threads.</summary>
    internal void Shutdown()
    {
        _ = Settle(Step.finish(_state));
        _nbdServer.Close();
        _files.Dispose();
    }

    public void Dispose()
    {
        _chardevs.Dispose();
        _objects.Dispose();
        _threads.Dispose();
        _jobFiles.Dispose();
        _files.Dispose();
    }
}
