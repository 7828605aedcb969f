using System;
using System.Collections.Generic;

namespace StorageDaemon.Shell.Exports;

/// <summary>
/// What an export has that is not one of the clients of a common server: the way by which its own clients come. On the
/// control thread.
/// </summary>
internal interface IExportServer : IDisposable
{
    /// <summary>Those that are there from the start. <paramref name="ended"/> is called on their threads.</summary>
    IEnumerable<IExportClient> Start(Action<IExportClient> ended);

    /// <summary>The path of the export is another one now; its node may have another length.</summary>
    void Updated()
    {
    }

    /// <summary>Nobody can begin to use the export any more; its clients are about to be told to end.</summary>
    void Stop();
}
