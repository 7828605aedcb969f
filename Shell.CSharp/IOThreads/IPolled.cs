namespace StorageDaemon.Shell.IOThreads;

/// <summary>
/// A handler whose work can be seen without a system call. While its thread is awake it looks, and whoever has work
/// need not say so.
/// </summary>
internal interface IPolled : IReadyHandler
{
    /// <summary>Whether there is work.</summary>
    bool HasWork { get; }

    /// <summary>The thread is going to sleep: from now on work must be told. True if there is some already.</summary>
    bool AskToBeTold();
}
