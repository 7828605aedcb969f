using System;
using System.Linq;
using StorageDaemon.Core.Graph;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Drivers;

namespace StorageDaemon.Shell.Filters;

/// <summary>Makes of the core's data path, which has numbers of nodes, one with their files and machines.</summary>
/// <param name="beyondLimit">Told, on an IOThread, of writes beyond a path's limit.</param>
internal sealed class PathCompiler(FileTable files, NodeTable nodes, Action<NodePath, long> beyondLimit)
{
    /// <param name="threads">More than the greatest index of the threads that will serve the path.</param>
    internal NodePath Compile(DataPath path, int threads)
    {
        Leaf.NullLeaf? nullLeaf = path.Leaf as Leaf.NullLeaf;
        Leaf.LayerLeaf? layer = path.Leaf as Leaf.LayerLeaf;
        return new NodePath(threads)
        {
            File = path.Leaf is Leaf.FileLeaf leaf ? files[leaf.Item] : null,
            Layer = layer == null
                ? null
                : nodes.Layer(layer.Item1, layer.Item2, [.. layer.children.Select(child => Compile(child, threads))]),
            BaseOffset = path.BaseOffset,
            SizeBytes = path.SizeBytes,
            ReadOnly = path.ReadOnly,
            ViaFormat = path.ViaFormat,
            Traits = (path.Discard ? FileTraits.Unmap : FileTraits.None)
                | (path.NoFlush ? FileTraits.NoFlush : FileTraits.None),
            DetectZeroes = path.DetectZeroes.IsDetectZeroesOff ? DetectZeroes.Off
                : path.DetectZeroes.IsDetectZeroesOn ? DetectZeroes.On
                : DetectZeroes.Unmap,
            LatencyNs = nullLeaf?.latencyNs ?? 0,
            ReadsZeroes = nullLeaf?.readZeroes ?? false,
            ExtentsFile = path.Extents.IsValueSome ? files[path.Extents.Value.Item1] : null,
            ExtentsOffset = path.Extents.IsValueSome ? path.Extents.Value.Item2 : 0,
            WriteLimit = path.WriteLimit,
            BeyondLimit = beyondLimit,
            Nodes = [.. path.Passes.Select(pass => new PassedNode(pass.Item1, pass.Item2))],
        };
    }

    /// <summary>Takes new limits of writes over into a path of the same nodes.</summary>
    internal static void Limit(NodePath path, DataPath limits)
    {
        path.WriteLimit = limits.WriteLimit;
        if (path.Layer is { } layer && limits.Leaf is Leaf.LayerLeaf below)
        {
            foreach ((NodePath child, DataPath childLimits) in layer.Children.Zip(below.children))
            {
                Limit(child, childLimits);
            }
        }
    }
}
