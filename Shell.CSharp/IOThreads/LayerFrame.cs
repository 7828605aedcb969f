using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>A request in flight at a layer: preallocated, found again by its number.</summary>
internal struct LayerFrame
{
    internal Frame Frame;

    /// <summary>The path that ends at the layer.</summary>
    internal NodePath Path;

    /// <summary>Kept with the slot from use to use.</summary>
    internal FrameMemory Memory;

    /// <summary>Buffers behind <see cref="FrameMemory.Scratch"/>, the first <see cref="ScratchCount"/> of them.</summary>
    internal PoolBuffer[] Scratch;

    internal int ScratchCount;

    /// <summary>Child requests under way.</summary>
    internal int Outstanding;

    internal IRequestOwner? Owner;
    internal int Tag;

    /// <summary>When the request began, if its end counts for the path; zero where the owner counts.</summary>
    internal Counting Counting;

    /// <summary>Next in the free list or in a throttle group's queue; -1 at its end.</summary>
    internal int Next;
}

/// <summary>What happened to a frame.</summary>
internal enum FrameEventKind : byte
{
    Start,
    ChildDone,
    Resume,

    /// <summary>The buffers that it asked for cannot be had.</summary>
    NoMemory,
}

/// <summary>Names a frame to other frames of its layer, on any thread.</summary>
internal sealed record FrameTicket(IOThread Thread, int Frame);

/// <summary>Something that a frame's machine is to be told.</summary>
/// <param name="Status">A child's answer to a block status, which is about the range's first bytes.</param>
internal readonly record struct FrameEvent(
    int Frame, FrameEventKind Kind, int Tag, int Error, BlockStatus Status = BlockStatus.None, long StatusBytes = 0);
