using System.Diagnostics;
using System.Linq;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Graph;
using StorageDaemon.Core.Io;
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
        IOThread thread = threads.Any();
        NodePath[] children = [.. leaf.children.Select(child => paths.Compile(child, threads.IndexCount))];
        FSharpList<long> lengths = ListModule.OfSeq(children.Select(child => child.RealLength));
        _ = ScriptRunner.TryRun(
            thread,
            new OpeningChildren(children),
            Opening.script(leaf.Item2, leaf.children, lengths, Libc.Strerror),
            out FSharpResult<LayerOpened, QapiError> opened);
        if (opened.IsError)
        {
            return Answer.NewRefused(opened.ErrorValue);
        }

        nodes.Adopt(leaf.Item1, leaf.Item2, opened.ResultValue.Machine);
        return Answer.NewLayerIsOpen(opened.ResultValue.SizeBytes, opened.ResultValue.AlignmentBytes);
    }

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
