using System.Diagnostics;
using StorageDaemon.Shell.Drivers;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>For which paths the end of a request counts; <c>default</c> where the owner counts.</summary>
/// <param name="From">When the request began, in <see cref="Stopwatch"/> ticks; zero if nothing is to be counted.</param>
/// <param name="UpTo">The first path above the request's own that it does not count for.</param>
internal readonly record struct Counting(long From, NodePath? UpTo)
{
    /// <summary>The same for a request that goes on at a path further below, past all those between.</summary>
    /// <param name="path">Where it comes from.</param>
    internal Counting Below(NodePath path) =>
        From != 0 ? this : new Counting(Stopwatch.GetTimestamp(), path);
}
