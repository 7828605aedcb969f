using Microsoft.FSharp.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;

namespace StorageDaemon.Shell.Filters;

/// <summary>The nodes that a script works on, and what it may do beside reading and writing.</summary>
internal interface IScriptChildren
{
    /// <summary>A request begins: the child's path stays as it is until <see cref="Leave"/>.</summary>
    NodePath Enter(int child);

    /// <summary>The request has ended.</summary>
    void Leave();

    /// <summary>Bytes that the child has now.</summary>
    long Measure(int child);

    /// <summary>Whether the script is to end here.</summary>
    bool IsStopped { get; }

    FSharpResult<Unit, string> Resize(int child, long bytes, GrowthMode mode);

    void Report(long current, long total);
}
