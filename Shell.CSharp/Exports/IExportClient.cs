using StorageDaemon.Shell.IOThreads;

namespace StorageDaemon.Shell.Exports;

/// <summary>
/// Whatever takes requests for an export up and sends them down its path: a connection, a queue. It lives on one
/// IOThread at a time, and all its members are called there, unless they say otherwise.
/// </summary>
internal interface IExportClient : IDrainable
{
    /// <summary>The thread that it lives on. On the control thread, too.</summary>
    IOThread Thread { get; }

    /// <summary>Requests that have begun and not ended. On any thread.</summary>
    int InFlight { get; }

    /// <summary>Begins to serve.</summary>
    void Attach();

    /// <summary>
    /// Gets ready to go on another thread, while it rests. Tells when it is ready.
    /// </summary>
    void Leave(Drain drain);

    /// <summary>From <see cref="IDrainable.Resume"/> on it goes on there; on the control thread, after <see cref="Leave"/>.</summary>
    void MoveTo(IOThread thread);

    /// <summary>Takes no more requests up, and ends when none is in flight.</summary>
    void Abort();
}
