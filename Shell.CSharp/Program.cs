using System;
using System.Diagnostics;
using Microsoft.FSharp.Collections;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Options;
using StorageDaemon.Shell.Chardev;
using StorageDaemon.Shell.Cli;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;
using StorageDaemon.Shell.Supervision;

namespace StorageDaemon.Shell;

/// <summary>From the command line to the control loop and back to an exit status.</summary>
internal static class Program
{
    /// <summary>What <c>query-version</c> and <c>-V</c> say beside QEMU's version number.</summary>
    private const string Package = "storage-daemon 0.1.0";

    private static int Main(string[] args)
    {
        StandardDescriptors.Fill();
        string argv0 = Environment.GetCommandLineArgs()[0];
        ErrorReport.Init(argv0);
        if (args is [Documentation.Word, .. string[] words])
        {
            return Documentation.Run(words, Package);
        }

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
        Daemonizer? daemonizer = null;
        if (startup.Daemonize)
        {
            if (!Daemonizer.IsChild)
            {
                return Daemonizer.SpawnAndWait();
            }

            daemonizer = Daemonizer.EnterChild();
            if (daemonizer == null)
            {
                return 1;
            }
        }

        // The parent of a daemonized process waits for it, and is the one that the supervisor knows.
        SupervisorEnvironment environment = SupervisorEnvironment.Take(
            daemonizer == null ? Libc.GetPid() : Libc.GetParentPid());
        PassedSocket.Named = environment.Passed;

        using Reactor reactor = new();
        bool interrupted = false;
        using Signals signals = Signals.Attach(reactor, _ =>
        {
            interrupted = true;
            reactor.Stop();
        });
        ChardevContext chardevs = new(
            reactor, ErrorReport.ErrorWithoutLocation, ErrorReport.Info, startup.Daemonize)
        {
            Print = ErrorReport.Print,
        };
        ulong seed = (ulong)Stopwatch.GetTimestamp() ^ ((ulong)Environment.ProcessId << 32);
        using ControlLoop control = new(reactor, Package, seed, chardevs);
        using Supervisor supervisor = new(reactor, environment, () => Metrics.statusText(control.State));
        StartupRun run = new(reactor, control);
        int? status = run.TakeAll(startup, daemonizer, out PidFile? pidFile);
        using (pidFile)
        {
            if (status == null && !interrupted)
            {
                control.StartServing();
                control.Changed = supervisor.Changed;
                supervisor.Ready();
                reactor.Run();
            }

            supervisor.Stopping();
            run.Dispose();
            control.Shutdown();
            return status ?? 0;
        }
    }
}
