using System;
using System.Threading;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;

namespace StorageDaemon.Shell.Exports;

/// <summary>What the clients of one export share.</summary>
internal sealed class SharedExport
{
    private NodePath _path;
    private OpenFile[] _files;
    private int _next;

    internal SharedExport(NodePath path, bool writethrough, IOThread[] threads, OpenFile[] files)
    {
        _path = path;
        _files = files;
        Writethrough = writethrough;
        Threads = threads;
    }

    /// <summary>The compiled graph; replaced as a whole when the graph changes, while no request is in flight.</summary>
    internal NodePath Path
    {
        get => Volatile.Read(ref _path);
        set => Volatile.Write(ref _path, value);
    }

    /// <summary>The host files that the node stands on, without those of backing images; replaced with the path.</summary>
    internal OpenFile[] Files
    {
        get => Volatile.Read(ref _files);
        set => Volatile.Write(ref _files, value);
    }

    /// <summary><c>writethrough=on</c>: every write is a write with FUA.</summary>
    internal bool Writethrough { get; }

    /// <summary>Those that serve its clients. On the control thread only.</summary>
    internal IOThread[] Threads { get; set; }

    /// <summary>The thread for the next client, in turn.</summary>
    internal IOThread NextThread() => Threads[(uint)_next++ % (uint)Threads.Length];
}
