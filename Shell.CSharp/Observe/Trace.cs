using System;
using System.IO;
using System.Linq;
using System.Threading;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.Observe;
using StorageDaemon.Core.Options;
using StorageDaemon.Shell.Cli;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Observe;

/// <summary>
/// The trace points that are on, and where they are logged: standard error, or the file of <c>--trace file=</c>.
/// Lines have the form of the real daemon's log backend: an optional thread and time, the name, the text.
/// </summary>
internal static class Trace
{
    private static readonly Lock Gate = new();
    private static FSharpSet<string> _enabled = SetModule.Empty<string>();
    private static StreamWriter? _log;

    /// <summary>True if any trace point is on; the check before texts are put together.</summary>
    internal static bool IsAny => !_enabled.IsEmpty;

    internal static bool IsEnabled(string point) => !_enabled.IsEmpty && _enabled.Contains(point);

    /// <summary>Logs a line if the point is on.</summary>
    internal static void Write(string point, string text)
    {
        if (!IsEnabled(point))
        {
            return;
        }

        string line = point + " " + text;
        lock (Gate)
        {
            if (_log == null)
            {
                ErrorReport.WriteLine(line);
                return;
            }

            _log.WriteLine(line);
            _log.Flush();
        }
    }

    /// <summary>
    /// Takes a <c>--trace</c> option over. Returns an exit status if the option ends the program (a list was asked
    /// for, or a file cannot be read), else null.
    /// </summary>
    internal static int? Configure(TraceOptions options)
    {
        if (Value(options.Enable) is { } pattern)
        {
            if (TracePattern.isListRequest(pattern))
            {
                ErrorReport.Print(TracePattern.eventListText(TracePoints.all));
                return 0;
            }

            (FSharpSet<string> next, FSharpValueOption<Warning> warning) =
                TracePattern.apply(TracePoints.all, _enabled, pattern);
            _enabled = next;
            if (warning.IsValueSome)
            {
                ErrorReport.Warning(warning.Value.Text);
            }
        }

        return ReadEvents(options) ?? OpenLog(options);
    }

    private static int? ReadEvents(TraceOptions options)
    {
        if (Value(options.EventsFile) is not { } path)
        {
            return null;
        }

        string[] lines;
        try
        {
            // A directory can be opened, and has nothing to read.
            lines = Directory.Exists(path) ? [] : File.ReadAllLines(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            ErrorReport.WriteLine(LocationModule.errorText(
                ErrorReport.ProgramName, Location.NewFileLine(path, 0), Core.QapiErrorModule.generic(ReasonOf(e))).TrimEnd());
            return 1;
        }

        TraceSelection selection =
            TracePattern.applyFile(TracePoints.all, _enabled, path, ListModule.OfSeq(lines));
        _enabled = selection.Enabled;
        foreach ((Location where, Warning warning) in selection.Warnings.Select(w => (w.Item1, w.Item2)))
        {
            ErrorReport.WriteLine(LocationModule.warningText(ErrorReport.ProgramName, where, warning).TrimEnd());
        }

        if (selection.ListEvents)
        {
            ErrorReport.Print(TracePattern.eventListText(TracePoints.all));
            return 0;
        }

        return null;
    }

    private static int? OpenLog(TraceOptions options)
    {
        if (Value(options.LogFile) is not { } path)
        {
            return null;
        }

        try
        {
            _log = new StreamWriter(new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.ReadWrite));
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            string reason = Directory.Exists(path) ? Libc.Strerror(Core.Errno.EISDIR) : ReasonOf(e);
            ErrorReport.Error("Error opening logfile " + path + ": " + reason);
            return 1;
        }
    }

    private static string ReasonOf(Exception e) => Libc.Strerror(e switch
    {
        FileNotFoundException or DirectoryNotFoundException => Core.Errno.ENOENT,
        UnauthorizedAccessException => Core.Errno.EACCES,
        _ => Core.Errno.EIO,
    });

    private static string? Value(FSharpOption<string>? option) => option?.Value;
}
