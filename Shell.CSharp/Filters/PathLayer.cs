using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;

namespace StorageDaemon.Shell.Filters;

/// <summary>A node with a machine of its own, over the paths of its children.</summary>
internal sealed class PathLayer
{
    internal required long Node { get; init; }

    /// <summary>The machine; all paths through the node share it.</summary>
    internal required Layer Machine { get; init; }

    internal required NodePath[] Children { get; init; }

    /// <summary>The node's place in its throttle group; null for other drivers.</summary>
    internal ThrottleMember? Throttle { get; init; }
}
