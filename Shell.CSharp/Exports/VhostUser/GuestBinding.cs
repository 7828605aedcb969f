using StorageDaemon.Core.Virtio;

namespace StorageDaemon.Shell.Exports.VhostUser;

/// <summary>What queues see of the guest: its memory, and the log of pages that they change. Immutable.</summary>
/// <param name="Memory">The guest's memory in this process.</param>
/// <param name="Log">Where the dirty log is; zero without one.</param>
/// <param name="LogLength">In bytes.</param>
internal sealed record GuestBinding(MemoryTable Memory, nint Log, ulong LogLength)
{
    internal static GuestBinding Empty { get; } = new(MemoryTable.Empty, 0, 0);
}
