using System;
using System.Collections.Generic;
using System.Diagnostics;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Json;
using StorageDaemon.Core.Options;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Net;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Cli;

/// <summary>Works off the steps of the command line, and keeps what they have opened beside the daemon's state.</summary>
internal sealed class StartupRun : IDisposable
{
    private readonly Reactor _reactor;
    private readonly ControlLoop _control;
    private readonly List<MetricsServer> _metrics = [];

    internal StartupRun(Reactor reactor, ControlLoop control)
    {
        _reactor = reactor;
        _control = control;
    }

    /// <summary>Takes all options in order and says that the daemon is ready; an exit status if it is to end instead.</summary>
    internal int? TakeAll(Core.Options.Startup startup, Daemonizer? daemonizer, out PidFile? pidFile)
    {
        pidFile = null;
        if (TakeItems(startup.Items) is { } status)
        {
            return status;
        }

        ErrorReport.Location = null;
        if (startup.PidFile is { } path)
        {
            Net.Outcome<PidFile> created = PidFile.Create(path.Value);
            if (created.Error != null)
            {
                ErrorReport.Error(created.Error);
                return 1;
            }

            pidFile = created.Value;
        }

        if (daemonizer?.Ready() is { } reason)
        {
            ErrorReport.Error(reason);
            return 1;
        }

        return null;
    }

    private int? TakeItems(FSharpList<StartupItem> items)
    {
        foreach (StartupItem item in items)
        {
            Locate(item.Location);
            if (Take(item) is { } status)
            {
                return status;
            }
        }

        return null;
    }

    private static void Locate(Location location) =>
        ErrorReport.Location = (location as Location.Arguments)?.Item;

    /// <summary>Takes one step of the command line; an exit status if it ends the program.</summary>
    private int? Take(StartupItem item)
    {
        (FSharpList<Warning> warnings, Begun begun) = Core.Daemon.Startup.step(_control.State, item.Step);
        foreach (Warning warning in warnings)
        {
            ErrorReport.Warning(warning.Text, warning.Hint?.Value);
        }

        switch (begun)
        {
            case Begun.Print print:
                ErrorReport.Print(print.text);
                return print.status;
            case Begun.SetTrace trace:
                return Observe.Trace.Configure(trace.Item);
            case Begun.Run run:
                FSharpResult<Json, QapiError> result = _control.Settle(run.Item);
                if (result.IsError)
                {
                    ErrorReport.Error(result.ErrorValue.Desc, result.ErrorValue.Hint?.Value);
                    return 1;
                }

                return null;
            case Begun.ReadConfig config:
                return TakeConfig(config.path, ErrorReport.Location ?? "--config");
            case Begun.ServeMetrics metrics:
                return ServeMetrics(metrics.Item);
            default:
                throw new UnreachableException();
        }
    }

    /// <summary>Takes the steps in a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="option">The option as it was typed.</param>
    private int? TakeConfig(string path, string option)
    {
        Outcome<byte[]> content = BoundedFile.Read(path, ConfigFile.MaxBytes);
        if (content.Error != null)
        {
            ErrorReport.Error(content.Error);
            return 1;
        }

        FSharpResult<FSharpList<StartupItem>, Tuple<Location, QapiError>> steps =
            ConfigFile.steps(option, content.Value);
        if (steps.IsError)
        {
            Locate(steps.ErrorValue.Item1);
            ErrorReport.Error(steps.ErrorValue.Item2.Desc);
            return 1;
        }

        return TakeItems(steps.ResultValue);
    }

    private int? ServeMetrics(Core.Qapi.SocketAddress address)
    {
        Outcome<MetricsServer> opened = MetricsServer.Open(
            SocketMapping.ToNet(address, fromMonitor: false), _reactor, _control.MetricsSnapshot);
        if (opened.Error != null)
        {
            ErrorReport.Error(opened.Error, opened.Hint);
            return 1;
        }

        _metrics.Add(opened.Value);
        return null;
    }

    public void Dispose()
    {
        foreach (MetricsServer server in _metrics)
        {
            server.Dispose();
        }

        _metrics.Clear();
    }
}
