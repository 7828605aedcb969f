using System;
using System.Globalization;
using System.IO;
using StorageDaemon.Core.Observe;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Observe;

/// <summary>The process as proc(5) shows it.</summary>
internal static class ProcessFigures
{
    // Indices behind the name in /proc/self/stat, which may hold blanks itself; proc(5) counts from 1, with two more.
    private const int UserTicks = 11;
    private const int SystemTicks = 12;
    private const int Threads = 17;
    private const int StartTicks = 19;
    private const int VirtualBytes = 20;
    private const int ResidentPages = 21;

    /// <summary>Figures of this moment; zeros where /proc is not mounted.</summary>
    internal static ProcessMetrics Read()
    {
        try
        {
            string stat = File.ReadAllText("/proc/self/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            double ticks = Libc.SysConf(Libc.SC_CLK_TCK);
            return new ProcessMetrics(
                (Number(fields[UserTicks]) + Number(fields[SystemTicks])) / ticks,
                Number(fields[ResidentPages]) * Environment.SystemPageSize,
                Number(fields[VirtualBytes]),
                CountOpen(),
                OpenLimit(),
                (int)Number(fields[Threads]),
                BootTimeSeconds() + Number(fields[StartTicks]) / ticks);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new ProcessMetrics(0, 0, 0, 0, 0, 0, 0);
        }
    }

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);

    /// <summary>Without the descriptor that reads the directory.</summary>
    private static int CountOpen()
    {
        int count = -1;
        foreach (string _ in Directory.EnumerateFileSystemEntries("/proc/self/fd"))
        {
            count++;
        }

        return count;
    }

    private static long OpenLimit()
    {
        foreach (string line in File.ReadLines("/proc/self/limits"))
        {
            if (line.StartsWith("Max open files", StringComparison.Ordinal))
            {
                string soft = line["Max open files".Length..].Trim().Split(' ')[0];
                return long.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out long limit) ? limit : -1;
            }
        }

        return -1;
    }

    private static long BootTimeSeconds()
    {
        foreach (string line in File.ReadLines("/proc/stat"))
        {
            if (line.StartsWith("btime ", StringComparison.Ordinal))
            {
                return Number(line["btime ".Length..]);
            }
        }

        return 0;
    }
}
