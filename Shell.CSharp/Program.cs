using System;
using System.Diagnostics;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Json;
using StorageDaemon.Core.Options;
using StorageDaemon.Shell.Chardev;
using StorageDaemon.Shell.Cli;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Net;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell;

/// <summary>From the command line to the control loop and back to an exit status.</summary>
internal static class Program
{
    /// <summary>What <c>query-version</c> and <c>-V</c> say beside QEMU's version number.</summary>
    private const string Package = "storage-daemon 0.1.0";

    private static int Main(string[] args)
    {
        string argv0 = Environment.GetCommandLineArgs()[0];
        ErrorReport.Init(argv0);
        switch (CommandLine.parse(argv0, ListModule.OfSeq(args)))
        {
            case CommandLineRequest.Start start:
                return Run(start.Item);
            case CommandLineRequest.UsageError usage:
                ErrorReport.WriteLine(usage.Item.TrimEnd('\n'));
                return 1;
            case var request:
                ErrorReport.Print(request.IsHelp
                    ? CommandLine.helpText(ErrorReport.ProgramName)
                    : CommandLine.versionText(ErrorReport.ProgramName, Package));
                return 0;
        }
    }

    private static int Run(Core.Options.Startup startup)
    {
        Signals.Block();
        Daemonizer? daemonizer = Daemonizer.EnterChild();
        if (startup.Daemonize && daemonizer == null)
        {
            return Daemonizer.SpawnAndWait();
        }

        using Reactor reactor = new();
        bool interrupted = false;
        using Signals signals = Signals.Attach(reactor, _ =>
        {
            interrupted = true;
            reactor.Stop();
        });
        ChardevContext chardevs = new(
            reactor, ErrorReport.ErrorWithoutLocation, ErrorReport.Info, startup.Daemonize);
        ulong seed = (ulong)Stopwatch.GetTimestamp() ^ ((ulong)Environment.ProcessId << 32);
        using ControlLoop control = new(reactor, Package, seed, chardevs);
        int? status = StartUp(control, startup, daemonizer, out PidFile? pidFile);
        using (pidFile)
        {
            if (status == null && !interrupted)
            {
                control.StartServing();
                reactor.Run();
            }

            control.Shutdown();
            return status ?? 0;
        }
    }

    /// <summary>Takes all options in order and says that the daemon is ready; an exit status if it is to end instead.</summary>
    private static int? StartUp(
        ControlLoop control, Core.Options.Startup startup, Daemonizer? daemonizer, out PidFile? pidFile)
    {
        pidFile = null;
        foreach (StartupItem item in startup.Items)
        {
            ErrorReport.Location = (item.Location as Location.Arguments)?.Item;
            if (Take(control, item) is { } status)
            {
                return status;
            }
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

    /// <summary>Takes one step of the command line; an exit status if it ends the program.</summary>
    private static int? Take(ControlLoop control, StartupItem item)
    {
        (FSharpList<Warning> warnings, Begun begun) = Core.Daemon.Startup.step(control.State, item.Step);
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
                FSharpResult<Json, QapiError> result = control.Settle(run.Item);
                if (result.IsError)
                {
                    ErrorReport.Error(result.ErrorValue.Desc, result.ErrorValue.Hint?.Value);
                    return 1;
                }

                return null;
            default:
                throw new UnreachableException();
        }
    }
}
