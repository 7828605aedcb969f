using System;
using System.Text;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Cli;

/// <summary>
/// Lines for people on standard error: program name, place (the option being processed), message. Written with one
/// system call each, so that lines of several processes do not mix; the console classes, which would install signal
/// handlers, stay out of it.
/// </summary>
internal static unsafe class ErrorReport
{
    /// <summary>The base name under which the program was started.</summary>
    internal static string ProgramName { get; private set; } = "qemu-storage-daemon";

    /// <summary>What is being processed, e.g. "--chardev socket,id=c"; null outside of the command line.</summary>
    internal static string? Location { get; set; }

    /// <summary>Takes the program's name from argv[0], which may be a path.</summary>
    internal static void Init(string argument0)
    {
        string name = argument0[(argument0.LastIndexOf('/') + 1)..];
        if (name.Length > 0)
        {
            ProgramName = name;
        }
    }

    /// <summary>PROGRAM: [PLACE: ]MESSAGE, then a hint on a line of its own.</summary>
    internal static void Error(string message, string? hint = null) =>
        WriteLine(Prefix + message + (hint is null ? "" : "\n" + hint));

    internal static void Warning(string message, string? hint = null) => Error("warning: " + message, hint);

    internal static void Info(string message) => Error("info: " + message);

    /// <summary>An error that has nothing to do with the option being processed.</summary>
    internal static void ErrorWithoutLocation(string message) => WriteLine(ProgramName + ": " + message);

    /// <summary>A line on standard error as it is.</summary>
    internal static void WriteLine(string line) => Write(2, line + "\n");

    /// <summary>Text on standard output as it is (help, version).</summary>
    internal static void Print(string text) => Write(1, text);

    private static string Prefix => ProgramName + ": " + (Location is null ? "" : Location + ": ");

    private static void Write(int fd, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        fixed (byte* start = bytes)
        {
            int done = 0;
            while (done < bytes.Length)
            {
                nint count = Libc.Write(fd, start + done, (nuint)(bytes.Length - done));
                if (count > 0)
                {
                    done += (int)count;
                    continue;
                }

                // The other end may have set the descriptor non-blocking; waiting is right for a message.
                int error = count < 0 ? Libc.Errno : Core.Errno.EIO;
                var polled = new PollFd { Fd = fd, Events = (short)Libc.EPOLLOUT };
                bool retry = error == Core.Errno.EINTR
                    || (error == Core.Errno.EAGAIN && Libc.Poll(&polled, 1, 1000) > 0);
                if (!retry)
                {
                    return;
                }
            }
        }
    }
}
