using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Cli;

/// <summary>
/// --daemonize. A process with several threads cannot fork, so the parent starts the same program again, in a session
/// of its own and with all descriptors under the same numbers, and waits on a pipe until that child is ready to serve.
/// </summary>
internal sealed unsafe class Daemonizer
{
    /// <summary>Tells the child that it is one: the number of the pipe's writing end.</summary>
    private const string ReadyVariable = "STORAGE_DAEMON_READY_FD";

    private const uint ChildUmask = 0x17; // 027
    private const int FirstFreeDescriptor = 3;

    private readonly int _readyFd;

    private Daemonizer(int readyFd) => _readyFd = readyFd;

    /// <summary>Whether the process was started by a parent that waits, or was led to believe so by its environment.</summary>
    internal static bool IsChild => Environment.GetEnvironmentVariable(ReadyVariable) is not null;

    /// <summary>
    /// In the child: detaches from the terminal's job control and sets the file mode mask. Null, with a message, where
    /// no parent waits at the other end: to start a further child then would never end. To be called before any
    /// option is processed.
    /// </summary>
    internal static Daemonizer? EnterChild()
    {
        string value = Environment.GetEnvironmentVariable(ReadyVariable) ?? "";
        if (!int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int fd)
            || fd < FirstFreeDescriptor || !IsWritablePipe(fd))
        {
            ErrorReport.ErrorWithoutLocation(
                "cannot daemonize: " + ReadyVariable + "=" + value + " in the environment names no pipe of a parent");
            return null;
        }

        Environment.SetEnvironmentVariable(ReadyVariable, null);
        _ = Libc.Fcntl(fd, Libc.F_SETFD, Libc.FD_CLOEXEC);
        _ = Libc.Umask(ChildUmask);
        foreach (int signal in new[] { Libc.SIGTSTP, Libc.SIGTTOU, Libc.SIGTTIN })
        {
            _ = Libc.Signal(signal, Libc.SIG_IGN);
        }

        SetProcessName(ErrorReport.ProgramName);
        return new Daemonizer(fd);
    }

    /// <summary>
    /// In the parent: starts the child and returns the exit code, 0 when the child serves and 1 when it failed, having
    /// said why on the terminal that it still shares.
    /// </summary>
    internal static int SpawnAndWait()
    {
        int* pipe = stackalloc int[2];
        if (Libc.Pipe2(pipe, Libc.O_CLOEXEC) < 0)
        {
            ErrorReport.ErrorWithoutLocation("cannot daemonize: " + Libc.Strerror(Libc.Errno));
            return 1;
        }

        int error = Spawn(pipe[1]);
        _ = Libc.Close(pipe[1]);
        if (error != 0)
        {
            ErrorReport.ErrorWithoutLocation("cannot daemonize: " + Libc.Strerror(error));
            return 1;
        }

        byte status;
        nint count;
        do
        {
            count = Libc.Read(pipe[0], &status, 1);
        }
        while (count < 0 && Libc.Errno == Core.Errno.EINTR);

        // The pipe's end without a byte: the child is gone.
        return count == 1 && status == 0 ? 0 : 1;
    }

    private static bool IsWritablePipe(int fd) =>
        Libc.TryStat(fd, out Statx stat) == 0 && (stat.Mode & Libc.S_IFMT) == Libc.S_IFIFO
            && (Libc.Fcntl(fd, Libc.F_GETFL, 0) & Libc.O_ACCMODE) != Libc.O_RDONLY;

    /// <summary>
    /// In the child, when it serves: leaves the working directory and the terminal, and lets the parent end.
    /// An error text when that is impossible.
    /// </summary>
    internal string? Ready()
    {
        if (Libc.Chdir("/") < 0)
        {
            return "not able to chdir to /: " + Libc.Strerror(Libc.Errno);
        }

        int devNull = Libc.Open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (devNull < 0)
        {
            return "could not open /dev/null: " + Libc.Strerror(Libc.Errno);
        }

        for (int fd = 0; fd < FirstFreeDescriptor; fd++)
        {
            _ = Libc.Dup2(devNull, fd);
        }

        if (devNull >= FirstFreeDescriptor)
        {
            _ = Libc.Close(devNull);
        }

        byte status = 0;
        _ = Libc.Write(_readyFd, &status, 1); // A parent that was killed meanwhile does not matter.
        _ = Libc.Close(_readyFd);
        return null;
    }

    /// <summary>Sets the name that ps and pgrep know the process by; it would be "exe" otherwise.</summary>
    private static void SetProcessName(string name)
    {
        fixed (byte* bytes = Encoding.UTF8.GetBytes(name + "\0"))
        {
            _ = Libc.Prctl(Libc.PR_SET_NAME, (nuint)bytes, 0, 0, 0);
        }
    }

    private static int Spawn(int readyEnd)
    {
        // The exact bytes of our own start: names of files need not be UTF-8. The environment has no variable of ours
        // yet (see IsChild).
        byte[] arguments = ReadWhole("/proc/self/cmdline");
        byte[] variable = Encoding.ASCII.GetBytes(
            ReadyVariable + "=" + readyEnd.ToString(CultureInfo.InvariantCulture) + "\0");
        byte[] environment = [.. ReadWhole("/proc/self/environ"), .. variable];

        SpawnAttributes attributes;
        SpawnFileActions actions;
        _ = Libc.SpawnAttrInit(&attributes);
        _ = Libc.SpawnAttrSetFlags(&attributes, Libc.POSIX_SPAWN_SETSID);
        _ = Libc.SpawnActionsInit(&actions);
        _ = Libc.SpawnActionsAddDup2(&actions, readyEnd, readyEnd); // onto itself: drops close-on-exec
        int error;
        int processId;
        fixed (byte* argumentBytes = arguments, environmentBytes = environment, path = "/proc/self/exe\0"u8)
        fixed (nint* argumentList = Pointers(arguments, argumentBytes))
        fixed (nint* environmentList = Pointers(environment, environmentBytes))
        {
            error = Libc.PosixSpawn(
                &processId, path, &actions, &attributes, (byte**)argumentList, (byte**)environmentList);
        }

        _ = Libc.SpawnActionsDestroy(&actions);
        _ = Libc.SpawnAttrDestroy(&attributes);
        return error;
    }

    /// <summary>The start of each NUL-terminated string, then a null pointer.</summary>
    private static nint[] Pointers(byte[] strings, byte* start)
    {
        var pointers = new List<nint>();
        int at = 0;
        while (at < strings.Length)
        {
            int length = strings.AsSpan(at).IndexOf((byte)0);
            if (length < 0)
            {
                break;
            }

            pointers.Add((nint)(start + at));
            at += length + 1;
        }

        pointers.Add(0);
        return [.. pointers];
    }

    private static byte[] ReadWhole(string path)
    {
        int fd = Libc.Open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        var whole = new List<byte>();
        byte* chunk = stackalloc byte[4096];
        nint count;
        while (fd >= 0 && (count = Libc.Read(fd, chunk, 4096)) > 0)
        {
            whole.AddRange(new ReadOnlySpan<byte>(chunk, (int)count));
        }

        if (fd >= 0)
        {
            _ = Libc.Close(fd);
        }

        return [.. whole];
    }
}
