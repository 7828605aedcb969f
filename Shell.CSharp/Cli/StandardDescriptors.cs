using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Cli;

/// <summary>Standard input, output and error.</summary>
internal static class StandardDescriptors
{
    private const int Count = 3;

    /// <summary>
    /// Opens /dev/null where the caller has closed them. Otherwise sockets and images would get their numbers, and
    /// messages would go there. To be called before anything is opened.
    /// </summary>
    internal static void Fill()
    {
        for (int fd = 0; fd < Count; fd++)
        {
            // Numbers are given from the lowest on, so the missing one is what is opened.
            if (Libc.Fcntl(fd, Libc.F_GETFD, 0) < 0)
            {
                _ = Libc.Open("/dev/null", Libc.O_RDWR, 0);
            }
        }
    }
}
