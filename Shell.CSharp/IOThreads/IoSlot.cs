using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>Who is told, on the IOThread, when a request on a file has ended.</summary>
internal interface IRequestOwner
{
    /// <param name="tag">What the owner passed to <see cref="IOThread.Start"/>.</param>
    /// <param name="request">The finished request; its slot is free again when this returns.</param>
    void OnRequestDone(int tag, in FileRequest request);
}

/// <summary>A request in flight: preallocated, found again by its number and generation.</summary>
internal unsafe struct IoSlot
{
    internal FileRequest Request;
    internal OpenFile? File;

    /// <summary>The file's traits and the path's when the request began.</summary>
    internal FileTraits Traits;
    internal IRequestOwner? Owner;

    /// <summary>The path whose counts the request's end belongs to, and when it began; zero where the owner counts.</summary>
    internal NodePath? Path;
    internal Counting Counting;
    internal byte* Buffer;
    internal int Tag;

    /// <summary>The request has been let through the file's write gate.</summary>
    internal bool Gated;

    /// <summary>Counts the uses of the slot, so that a stale completion cannot hit its next use.</summary>
    internal uint Generation;

    /// <summary>Next in the free list or in the list of slots that wait for room in a ring; -1 at its end.</summary>
    internal int Next;
}
