using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>sigset_t (glibc): 1024 signals.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct SigSet
{
    internal fixed ulong Words[16];
}

/// <summary>struct signalfd_siginfo (uapi/linux/signalfd.h); only the members that are read have names.</summary>
[StructLayout(LayoutKind.Sequential, Size = SizeBytes)]
internal struct SignalFdSigInfo
{
    internal const int SizeBytes = 128;

    internal uint Signal;
    internal int Errno;
    internal int Code;
    internal uint ProcessId;
}

/// <summary>struct flock of fcntl(2) on 64-bit Linux.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FLock
{
    internal short Type;
    internal short Whence;
    internal long Start;
    internal long Length;
    internal int ProcessId;
}

/// <summary>posix_spawnattr_t (glibc); opaque, initialised and read by the library only.</summary>
[StructLayout(LayoutKind.Sequential, Size = SizeBytes)]
internal struct SpawnAttributes
{
    internal const int SizeBytes = 336;

    internal long First;
}

/// <summary>posix_spawn_file_actions_t (glibc); opaque, initialised and read by the library only.</summary>
[StructLayout(LayoutKind.Sequential, Size = SizeBytes)]
internal struct SpawnFileActions
{
    internal const int SizeBytes = 80;

    internal long First;
}

/// <summary>Processes, signals, locks of files by record, the working directory.</summary>
internal static unsafe partial class Libc
{
    internal const int SIGHUP = 1;
    internal const int SIGINT = 2;
    internal const int SIGUSR1 = 10;
    internal const int SIGPIPE = 13;
    internal const int SIGTERM = 15;
    internal const int SIGTSTP = 20;
    internal const int SIGTTIN = 21;
    internal const int SIGTTOU = 22;
    internal const nint SIG_DFL = 0;
    internal const nint SIG_IGN = 1;
    internal const int SIG_BLOCK = 0;
    internal const int SIG_UNBLOCK = 1;
    internal const int SFD_NONBLOCK = 0x800;
    internal const int SFD_CLOEXEC = 0x80000;
    internal const int POSIX_SPAWN_SETSID = 0x80;
    internal const int PR_SET_NAME = 15;
    internal const int F_SETLK = 6;
    internal const int F_OFD_SETLK = 37;
    internal const short F_WRLCK = 1;
    internal const short SEEK_SET = 0;
    internal const int WNOHANG = 1;
    internal const int SC_CLK_TCK = 2;

    [LibraryImport(Name, EntryPoint = "pthread_sigmask")]
    internal static partial int PthreadSigmask(int how, SigSet* set, SigSet* previous);

    [LibraryImport(Name, EntryPoint = "signalfd")]
    internal static partial int SignalFd(int fd, SigSet* set, int flags);

    [LibraryImport(Name, EntryPoint = "signal")]
    internal static partial nint Signal(int signal, nint handler);

    [LibraryImport(Name, EntryPoint = "kill")]
    internal static partial int Kill(int processId, int signal);

    [LibraryImport(Name, EntryPoint = "getpid")]
    internal static partial int GetPid();

    [LibraryImport(Name, EntryPoint = "getppid")]
    internal static partial int GetParentPid();

    [LibraryImport(Name, EntryPoint = "sysconf")]
    internal static partial long SysConf(int name);

    [LibraryImport(Name, EntryPoint = "unsetenv", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int UnsetEnv(string name);

    [LibraryImport(Name, EntryPoint = "waitpid")]
    internal static partial int WaitPid(int processId, int* status, int options);

    [LibraryImport(Name, EntryPoint = "prctl")]
    internal static partial int Prctl(int option, nuint argument2, nuint argument3, nuint argument4, nuint argument5);

    [LibraryImport(Name, EntryPoint = "umask")]
    internal static partial uint Umask(uint mask);

    [LibraryImport(Name, EntryPoint = "chdir", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Chdir(string path);

    [LibraryImport(Name, EntryPoint = "getcwd")]
    internal static partial byte* GetCwd(byte* buffer, nuint length);

    [LibraryImport(Name, EntryPoint = "dup2")]
    internal static partial int Dup2(int from, int to);

    [LibraryImport(Name, EntryPoint = "pipe2")]
    internal static partial int Pipe2(int* pair, int flags);

    [LibraryImport(Name, EntryPoint = "unlink", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Unlink(string path);

    [LibraryImport(Name, EntryPoint = "symlink", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Symlink(string target, string path);

    [LibraryImport(Name, EntryPoint = "readlink", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint Readlink(string path, byte* buffer, nuint length);

    [LibraryImport(Name, EntryPoint = "ftruncate")]
    internal static partial int FTruncate(int fd, long length);

    [LibraryImport(Name, EntryPoint = "posix_spawnattr_init")]
    internal static partial int SpawnAttrInit(SpawnAttributes* attributes);

    [LibraryImport(Name, EntryPoint = "posix_spawnattr_setflags")]
    internal static partial int SpawnAttrSetFlags(SpawnAttributes* attributes, short flags);

    [LibraryImport(Name, EntryPoint = "posix_spawnattr_destroy")]
    internal static partial int SpawnAttrDestroy(SpawnAttributes* attributes);

    [LibraryImport(Name, EntryPoint = "posix_spawn_file_actions_init")]
    internal static partial int SpawnActionsInit(SpawnFileActions* actions);

    [LibraryImport(Name, EntryPoint = "posix_spawn_file_actions_adddup2")]
    internal static partial int SpawnActionsAddDup2(SpawnFileActions* actions, int from, int to);

    [LibraryImport(Name, EntryPoint = "posix_spawn_file_actions_destroy")]
    internal static partial int SpawnActionsDestroy(SpawnFileActions* actions);

    /// <summary>posix_spawn(3); returns the error number itself, not -1.</summary>
    [LibraryImport(Name, EntryPoint = "posix_spawn")]
    internal static partial int PosixSpawn(
        int* processId,
        byte* path,
        SpawnFileActions* actions,
        SpawnAttributes* attributes,
        byte** arguments,
        byte** environment);
}
