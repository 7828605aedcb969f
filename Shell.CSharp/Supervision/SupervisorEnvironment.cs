using System;
using System.Globalization;
using StorageDaemon.Core.Options;
using StorageDaemon.Shell.Native;
using Microsoft.FSharp.Collections;

namespace StorageDaemon.Shell.Supervision;

/// <summary>
/// What a supervisor has put into the environment: where to notify, how often to show signs of life, and which
/// descriptors it has passed. Read once and removed, so that nothing that is started later takes it for its own.
/// </summary>
internal sealed record SupervisorEnvironment(
    string? NotifySocket, long WatchdogMicroseconds, FSharpList<Tuple<string, int>> Passed)
{
    private static readonly string[] Variables =
        ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"];

    /// <param name="processId">
    /// The process that the supervisor has started: our own id, or after --daemonize that of the parent, which waits.
    /// </param>
    internal static SupervisorEnvironment Take(int processId)
    {
        string? watchdogPid = Get("WATCHDOG_PID");
        string id = processId.ToString(CultureInfo.InvariantCulture);
        bool isWatched = long.TryParse(
            Get("WATCHDOG_USEC"), NumberStyles.None, CultureInfo.InvariantCulture, out long watchdog)
            && (watchdogPid is null or "" || watchdogPid == id);
        SupervisorEnvironment taken = new(
            Get("NOTIFY_SOCKET"),
            isWatched ? watchdog : 0,
            Activation.decode(processId, Get("LISTEN_PID"), Get("LISTEN_FDS"), Get("LISTEN_FDNAMES")));
        foreach (string variable in Variables)
        {
            Environment.SetEnvironmentVariable(variable, null);
            _ = Libc.UnsetEnv(variable);
        }

        foreach ((string _, int fd) in taken.Passed)
        {
            _ = Libc.Fcntl(fd, Libc.F_SETFD, Libc.FD_CLOEXEC);
        }

        return taken;
    }

    private static string? Get(string variable) => Environment.GetEnvironmentVariable(variable);
}
