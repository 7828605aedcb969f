using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>Threads as the kernel numbers them, and the processors that they may run on.</summary>
internal static unsafe partial class Libc
{
    [LibraryImport(Name, EntryPoint = "gettid")]
    internal static partial int GetTid();

    /// <summary>Lets another thread that waits for this processor run first.</summary>
    [LibraryImport(Name, EntryPoint = "sched_yield")]
    internal static partial int SchedYield();

    /// <summary>A mask of processors, one bit each, in whole words of 8 bytes.</summary>
    [LibraryImport(Name, EntryPoint = "sched_setaffinity")]
    internal static partial int SchedSetAffinity(int threadId, nuint length, void* mask);

    [LibraryImport(Name, EntryPoint = "sched_getaffinity")]
    internal static partial int SchedGetAffinity(int threadId, nuint length, void* mask);
}
