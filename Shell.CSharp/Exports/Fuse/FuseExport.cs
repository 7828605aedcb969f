using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Fuse;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Fuse;

/// <summary>Asks the control plane for another length; the answer is an error number, given on the control thread.</summary>
internal delegate void ResizeRequest(long bytes, bool growOnly, Action<int> done);

/// <summary>A mounted export: what its channels, one for each thread, share.</summary>
internal sealed class FuseExport : IExportServer
{
    private readonly FuseMount? _mount;
    private readonly ResizeRequest _resize;
    private FuseFile _file;
    private int _unmounted;

    /// <param name="mount">Null where the kernel's side of the channels is played by somebody else.</param>
    internal FuseExport(SharedExport export, FuseMount? mount, FuseFile file, ResizeRequest resize)
    {
        Export = export;
        _mount = mount;
        _file = file;
        _resize = resize;
    }

    internal SharedExport Export { get; }

    /// <summary>Absolute, without symbolic links.</summary>
    internal string Path => _mount?.Path ?? "";

    /// <summary>As the users of the file see it.</summary>
    internal FuseFile File => Volatile.Read(ref _file);

    /// <summary>Mounts an export; null, and why, if that fails.</summary>
    internal static FuseExport? TryMount(
        SharedExport export, FuseOffer offer, IEnumerable<string> taken, ResizeRequest resize, out QapiError? error)
    {
        // Before looking at what is there: a mount of ours is a regular file, too.
        if (FuseMount.TryResolve(offer.Mountpoint, out string path) == 0 && taken.Contains(path))
        {
            error = QapiErrorModule.generic("There already is a FUSE export on '" + offer.Mountpoint + "'");
            return null;
        }

        error = FuseMount.Check(offer.Mountpoint, out path);
        if (error != null)
        {
            return null;
        }

        if (FuseMount.TryMount(path, offer.AllowOther, out int errno) is { } mount)
        {
            FuseFile file = Session.create(
                offer.Writable,
                offer.Growable,
                mount.AllowOther,
                Libc.GetEffectiveUserId(),
                Libc.GetEffectiveGroupId());
            return new FuseExport(export, mount, file, resize);
        }

        error = QapiErrorModule.withHint(
            "mount: " + Libc.Strerror(errno), QapiErrorModule.generic("Failed to mount FUSE session to export"));
        return null;
    }

    /// <summary>A channel for each thread, as far as there are descriptors.</summary>
    public IEnumerable<IExportClient> Start(Action<IExportClient> ended)
    {
        List<IExportClient> channels = [];
        foreach (IOThread thread in _mount == null ? [] : Export.Threads)
        {
            int fd = channels.Count == 0 ? _mount!.Fd : _mount!.Clone();
            if (fd >= 0)
            {
                channels.Add(new FuseChannel(this, thread, fd, ended));
            }
        }

        return channels;
    }

    /// <summary>The mode or the owner of the file changes.</summary>
    internal void Change(in FuseRequest request)
    {
        FuseFile before;
        do
        {
            before = File;
        }
        while (Interlocked.CompareExchange(ref _file, Session.changed(before, in request), before) != before);
    }

    /// <summary>
    /// Asks the control plane for another length. <paramref name="done"/> is called on the control thread.
    /// </summary>
    internal void Resize(in FuseRequest request, Action<int> done) =>
        _resize(request.NewSize, request.GrowOnly, done);

    public void Stop()
    {
        if (Interlocked.Exchange(ref _unmounted, 1) == 0)
        {
            _mount?.Unmount();
        }
    }

    public void Dispose() => Stop();
}
