using System;
using System.Diagnostics;
using System.Linq;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Graph;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Qcow2;
using StorageDaemon.Shell.Cli;
using StorageDaemon.Shell.Codecs;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Filters;

/// <summary>Opens nodes that have to read their children to find out what they are. On the control thread.</summary>
internal sealed class LayerOpener(PathCompiler paths, NodeTable nodes, IOThreadPool threads)
{
    /// <param name="path">Ends in the layer to be opened.</param>
    internal Answer Open(DataPath path)
    {
        Leaf.LayerLeaf leaf = (Leaf.LayerLeaf)path.Leaf;
        NodePath[] children = Children(leaf);
        OpenContext context = new(Libc.Strerror, MakeCodec);
        FSharpList<ChildFile> files = ListModule.OfSeq(children.Select(child =>
            new ChildFile(
                child.RealLength,
                child.File == null ? 0 : Math.Max(0, FileOpener.AllocatedSize(child.File.Fd)),
                child.File is { } file && (file.Traits & FileTraits.BlockDevice) == 0)));
        FSharpResult<OpenedNode, QapiError> opened = Run(
            children, Opening.script(path, leaf.Item2, leaf.children, files, context));
        if (opened.IsError)
        {
            return Answer.NewRefused(opened.ErrorValue);
        }

        if (opened.ResultValue is OpenedNode.LacksDataFile lacking)
        {
            return Answer.NewLayerLacksDataFile(lacking.Item);
        }

        OpenedNode.IsOpen node = (OpenedNode.IsOpen)opened.ResultValue;
        nodes.Adopt(leaf.Item1, leaf.Item2, node.Item1);
        return Answer.NewLayerIsOpen(node.Item2);
    }

    /// <summary>Lets images write what is only in memory. Nobody uses them; an error leaves no more than a crash would.</summary>
    /// <param name="paths">Each ends in an image.</param>
    internal void Settle(FSharpList<DataPath> paths)
    {
        foreach (DataPath path in paths)
        {
            FSharpResult<Unit, int> settled = RunIdle(path, Idle.close);
            if (settled.IsError)
            {
                ErrorReport.Warning("Could not write the metadata of an image: " + Libc.Strerror(settled.ErrorValue));
            }
        }
    }

    /// <summary>Gives an image, which nobody uses, another length.</summary>
    internal Answer Resize(DataPath path, long bytes)
    {
        if (nodes.Machine(((Leaf.LayerLeaf)path.Leaf).Item1) is not Qcow2Layer machine)
        {
            throw new UnreachableException();
        }

        Header header = machine.Image.Header;
        ImageLength length = ImageLengthModule.plan(header, bytes);
        FSharpResult<Unit, int> result = RunOn(path, length.Before);
        if (result.IsOk)
        {
            result = RunIdle(path, length.Change.Invoke);
        }

        if (result.IsOk)
        {
            result = RunOn(Core.Graph.Path.withSize(bytes, path), length.After);
        }

        return result.IsError
            ? Answer.NewRefused(QapiErrorModule.withErrno(
                result.ErrorValue,
                ImageLengthModule.error(header, result.ErrorValue, Libc.Strerror(result.ErrorValue))))
            : Answer.NewMeasured(bytes);
    }

    /// <summary>Changes an image's metadata. No request is under way.</summary>
    internal Answer Change(DataPath path, ImageChange change)
    {
        Leaf.LayerLeaf leaf = (Leaf.LayerLeaf)path.Leaf;
        if (nodes.Machine(leaf.Item1) is not Qcow2Layer machine)
        {
            throw new UnreachableException();
        }

        // The real daemon has microseconds, too.
        (long seconds, long ticks) = Math.DivRem((DateTime.UtcNow - DateTime.UnixEpoch).Ticks, TimeSpan.TicksPerSecond);
        uint nanoseconds = (uint)(ticks / TimeSpan.TicksPerMicrosecond * 1000);
        FSharpResult<NodeFacts, int> result = Run(
            Children(leaf), ImageChangeModule.script(change, (uint)seconds, nanoseconds, machine.Image));
        return result.IsError
            ? Answer.NewImageNotChanged(result.ErrorValue, Libc.Strerror(result.ErrorValue))
            : Answer.NewImageChanged(result.ResultValue);
    }

    /// <summary>Begins a view of an image, which nobody uses at the moment.</summary>
    internal Answer BeginView(DataPath path)
    {
        if (ImageOf(path) is not { } image)
        {
            throw new UnreachableException();
        }

        FSharpResult<MetadataView, int> view = Run(Children((Leaf.LayerLeaf)path.Leaf), OnlineCheck.beginView(image));
        return view.IsError
            ? NotWritten(view.ErrorValue)
            : Answer.NewViewHasBegun(view.ResultValue, OnlineCheck.estimate(image), OnlineCheck.isMarked(image));
    }

    /// <summary>Repairs the file of an image that nobody uses. Once that has begun the image is to be opened anew.</summary>
    internal Answer Repair(DataPath path, CheckFix fix)
    {
        if (ImageOf(path) is not { } image)
        {
            throw new UnreachableException();
        }

        NodePath[] children = Children((Leaf.LayerLeaf)path.Leaf);
        FSharpResult<Unit, int> prepared = Run(children, OnlineCheck.prepareRepair(image));
        if (prepared.IsError)
        {
            return NotWritten(prepared.ErrorValue);
        }

        FSharpResult<CheckReport, CheckError> repaired = Run(children, OnlineCheck.repair(image, fix));
        return Answer.NewRepaired(repaired.IsError
            ? FSharpResult<CheckReport, string>.NewError(
                FindingText.ofError(FSharpFunc<int, string>.FromConverter(Libc.Strerror), repaired.ErrorValue))
            : FSharpResult<CheckReport, string>.NewOk(repaired.ResultValue));
    }

    private Image? ImageOf(DataPath path) =>
        (nodes.Machine(((Leaf.LayerLeaf)path.Leaf).Item1) as Qcow2Layer)?.Image;

    private static Answer NotWritten(int errno) => Answer.NewRefused(QapiErrorModule.generic(
        "Could not write the metadata of an image: " + Libc.Strerror(errno)));

    private FSharpResult<Unit, int> RunOn(DataPath path, IoScript<FSharpResult<Unit, int>> script) =>
        Run([Compile(path)], script);

    private FSharpResult<Unit, int> RunIdle(DataPath path, Func<Image, IoScript<FSharpResult<Unit, int>>> script)
    {
        Leaf.LayerLeaf leaf = (Leaf.LayerLeaf)path.Leaf;
        NodePath[] children = Children(leaf);
        return nodes.Machine(leaf.Item1) is Qcow2Layer machine
            ? Run(children, script(machine.Image))
            : FSharpResult<Unit, int>.NewOk(null!);
    }

    /// <summary>Runs a script to its end. Nothing happens to the graph meanwhile.</summary>
    private T Run<T>(NodePath[] children, IoScript<T> script)
    {
        _ = ScriptRunner.TryRun(threads.Any(), new OpeningChildren(children), script, out T result);
        return result;
    }

    private NodePath[] Children(Leaf.LayerLeaf leaf) =>
        [.. leaf.children.Select(Compile)];

    /// <summary>A path that the threads that there are can serve; one is made if there is none.</summary>
    private NodePath Compile(DataPath path)
    {
        _ = threads.Any();
        return paths.Compile(path, threads.IndexCount);
    }

    private static IClusterCodec MakeCodec(byte compressionType) =>
        compressionType == 0 ? new DeflateClusters() : new ZstdClusters();
    /// <summary>Nothing happens to the graph while a node is opened.</summary>
    private sealed class OpeningChildren(NodePath[] paths) : IScriptChildren
    {
        public NodePath Enter(int child) => paths[child];

        public void Leave()
        {
        }

        public long Measure(int child) => paths[child].RealLength;

        public bool IsStopped => false;

        public FSharpResult<Unit, string> Resize(int child, long bytes, GrowthMode mode) =>
            throw new UnreachableException();

        public void Report(long current, long total)
        {
        }
    }
}
