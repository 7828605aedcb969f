using System;
using System.Threading;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>What the connections of one NBD export share.</summary>
internal sealed class NbdExport
{
    private NodePath _path;
    private int _next;

    internal NbdExport(NodePath path, bool writethrough, IOThread[] threads)
    {
        _path = path;
        Writethrough = writethrough;
        Threads = threads;
    }

    /// <summary>The compiled graph; replaced as a whole when the graph changes, while no request is in flight.</summary>
    internal NodePath Path
    {
        get => Volatile.Read(ref _path);
        set => Volatile.Write(ref _path, value);
    }

    /// <summary><c>writethrough=on</c>: every write is a write with FUA.</summary>
    internal bool Writethrough { get; }

    /// <summary>Those that serve its connections. On the control thread only.</summary>
    internal IOThread[] Threads { get; set; }

    /// <summary>The thread for the next connection, in turn.</summary>
    internal IOThread NextThread() => Threads[(uint)_next++ % (uint)Threads.Length];
}

/// <summary>A piece of output that waits for the socket.</summary>
internal unsafe struct OutItem
{
    /// <summary>Bytes to send first.</summary>
    internal byte* Data;
    internal int Length;

    /// <summary>
    /// Then a range of a file, straight from the page cache, or zeroes where the descriptor is negative; length zero if
    /// none.
    /// </summary>
    internal int FileFd;
    internal long FileOffset;
    internal long FileLength;

    /// <summary>The descriptor is this item's own, to close when sent.</summary>
    internal bool OwnsFile;

    /// <summary>The request in flight that ends when this is sent; -1 for none.</summary>
    internal int Pending;

    /// <summary>Native memory to free when sent; null for none.</summary>
    internal byte* Owned;

    /// <summary>Bytes of <see cref="Owned"/> that count against what a client may leave unread.</summary>
    internal int CopiedBytes;
}
