using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Graph;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Job;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Jobs;

/// <summary>
/// Makes the image of an overlay in a file of its own, at once: a few tables without data. On the control thread.
/// </summary>
internal sealed class OverlayMaker(IOThreadPool threads)
{
    internal Answer Make(OverlayCreation overlay)
    {
        string name = overlay.File.Filename;
        int fd = FileOpener.OpenOrCreate(name);
        if (fd < 0)
        {
            return Refuse(CreateFile.openFailure(name, Libc.Strerror(-fd)));
        }

        using OpenFile file = new(fd, AioEngine.Threads, FileTraits.None, 1);
        foreach (LockStep step in CreateFile.locks.Steps)
        {
            if (!ImageLocks.TryRun(fd, step))
            {
                return Answer.NewRefused(Locks.failure(name, step));
            }
        }

        StopSignal stop = new();
        FileTask task = CreateFile.task(overlay.File);
        FSharpResult<Unit, string> made = NodeScriptModule.resized(task, FileTaskRunner.Run(fd, task, stop));
        if (made.IsOk)
        {
            made = Write(file, overlay, stop);
        }

        return made.IsError ? Refuse(made.ErrorValue) : Answer.Finished;
    }

    private FSharpResult<Unit, string> Write(OpenFile file, OverlayCreation overlay, StopSignal stop)
    {
        IOThread thread = threads.Any();
        ResizeLeaf leaf = new(0, false, 0, FSharpList<long>.Empty);
        ScriptNode node = new(PathOf(file), FSharpResult<ResizeLeaf, QapiError>.NewOk(leaf), file);
        ScriptNodes nodes = new([node], stop, (_, _) => { });
        _ = ScriptRunner.TryRun(
            thread,
            nodes,
            CreateOverlay.script(overlay, FuncConvert.FromFunc<int, string>(Libc.Strerror)),
            out FSharpResult<Unit, string> made);
        return made;
    }

    private NodePath PathOf(OpenFile file) => new(threads.IndexCount)
    {
        File = file,
        BaseOffset = 0,
        SizeBytes = Core.Graph.Path.GrowingBytes,
        ReadOnly = false,
        Traits = FileTraits.Unmap,
        DetectZeroes = Drivers.DetectZeroes.Off,
        Nodes = [],
    };

    private static Answer Refuse(string text) => Answer.NewRefused(QapiErrorModule.generic(text));
}
