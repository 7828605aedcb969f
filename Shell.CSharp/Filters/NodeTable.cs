using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using StorageDaemon.Core.Filter;
using StorageDaemon.Core.Graph;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Qcow2;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Filters;

/// <summary>
/// What lives as long as a node and is no file: the machine of a filter, its place in a throttle group, and the counts
/// of paths that are gone. On the control thread only.
/// </summary>
/// <param name="reactor">The control thread's.</param>
internal sealed class NodeTable(Reactor reactor)
{
    private sealed record Filter(Driver Driver, Layer Machine, ThrottleMember? Throttle)
    {
        /// <summary>The next time that its caches are cleaned.</summary>
        internal ReactorTimer? Cleaning { get; set; }
    }

    private readonly Dictionary<long, Filter> _filters = [];
    private readonly Dictionary<long, IoStats> _retired = [];
    private readonly Dictionary<string, ThrottleGroup> _groups = [];

    internal void CreateGroup(string id, ThrottleLimits limits) => _groups.Add(id, new ThrottleGroup(limits));

    internal void SetGroupLimits(string id, ThrottleLimits limits) => _groups[id].SetLimits(limits);

    internal void RemoveGroup(string id) => _ = _groups.Remove(id);

    /// <summary>A node's layer over the given paths; all paths through the node share its machine.</summary>
    internal PathLayer Layer(long node, Driver driver, NodePath[] children)
    {
        _ = _filters.TryGetValue(node, out Filter? filter);
        if (filter?.Machine is PreallocateLayer growing && driver is Driver.Preallocate preallocate)
        {
            // It goes on with what it knows of its file.
            lock (growing)
            {
                growing.Tune(preallocate.Item);
                growing.Observe(children[0].RealLength);
            }
        }
        else if (filter?.Machine is Qcow2Layer image)
        {
            // Nobody uses it while its children change.
            lock (image)
            {
                int backing = image.BackingChildNumber;
                bool hasBacking = backing < children.Length;
                image.SetBacking(hasBacking ? backing : -1, hasBacking ? children[backing].SizeBytes : 0);
            }
        }
        else if (filter == null || !filter.Driver.Equals(driver))
        {
            // New, or reopened with other options.
            filter?.Throttle?.Leave();
            filter = Create(driver, children);
            _filters[node] = filter;
        }

        Settle(filter.Machine, children);
        return new PathLayer
        {
            Node = node,
            Machine = filter.Machine,
            Children = children,
            Throttle = filter.Throttle,
        };
    }

    /// <summary>Tells machines what they have to know of the image below them.</summary>
    private static void Settle(Layer machine, NodePath[] children)
    {
        if (machine is CopyOnReadLayer copying)
        {
            long grain = ImageBelow(children[0])?.GrainBytes ?? 0;
            copying.Ground = new CopyGround(grain, [.. children.Select(child => child.SizeBytes)]);
        }
        else if (machine is CompressLayer compressing)
        {
            compressing.Tune(ImageBelow(children[0])?.ClusterBytes ?? 0, children[0].SizeBytes);
        }
    }

    /// <summary>The image that a path's requests reach in the end; null if there is none.</summary>
    private static Image? ImageBelow(NodePath path)
    {
        PathLayer? layer = path.Layer;
        while (layer != null && layer.Machine is not Qcow2Layer)
        {
            layer = layer.Children[0].Layer;
        }

        return (layer?.Machine as Qcow2Layer)?.Image;
    }

    /// <summary>A node has made its machine while it was opened.</summary>
    internal void Adopt(long node, Driver driver, Layer machine)
    {
        if (_filters.TryGetValue(node, out Filter? former))
        {
            if (former.Machine is Qcow2Layer { Image: Image image })
            {
                // Whoever reads what its metadata were is not told of changes by the new one.
                image.BreakView();
            }

            Release(former);
        }

        Filter filter = new(driver, machine, null);
        _filters[node] = filter;
        CleanLater(filter);
    }

    /// <summary>Has an image forget, time and again, what of its tables nobody has used for a while.</summary>
    private void CleanLater(Filter filter)
    {
        if (filter.Machine is Qcow2Layer { Image: { CacheCleanIntervalS: > 0 } image } machine)
        {
            filter.Cleaning = reactor.AfterMs(image.CacheCleanIntervalS * 1000, () =>
            {
                lock (machine)
                {
                    image.CleanCaches();
                }

                CleanLater(filter);
            });
        }
    }

    /// <summary>Gives back what a machine has of its own.</summary>
    private static void Release(Filter filter)
    {
        filter.Throttle?.Leave();
        filter.Cleaning?.Cancel();
        if (filter.Machine is Qcow2Layer { Image.Codec: IDisposable codec })
        {
            codec.Dispose();
        }
    }

    /// <summary>The machine of a node; null if it has none.</summary>
    internal Layer? Machine(long node) => _filters.TryGetValue(node, out Filter? filter) ? filter.Machine : null;

    /// <summary>Nobody reads earlier metadata of an image any more.</summary>
    internal void EndView(long node)
    {
        if (Machine(node) is Qcow2Layer machine)
        {
            lock (machine)
            {
                machine.Image.EndView();
            }
        }
    }

    private Filter Create(Driver driver, NodePath[] children) => driver switch
    {
        Driver.Throttle throttle => new Filter(driver, new ThrottleLayer(), _groups[throttle.group].Join()),
        Driver.Quorum quorum => new Filter(driver, new QuorumLayer(quorum.Item), null),
        Driver.BlkDebug debug =>
            new Filter(driver, new BlkDebugLayer(debug.Item.Limits, [.. debug.Item.Rules]), null),
        Driver.Preallocate preallocate =>
            new Filter(driver, new PreallocateLayer(preallocate.Item, children[0].RealLength), null),
        Driver.BlkLogWrites log => new Filter(driver, LogWritesLayer.Create(log.Item), null),
        _ when driver.IsCopyOnRead => new Filter(driver, new CopyOnReadLayer(), null),
        _ when driver.IsCompress => new Filter(driver, new CompressLayer(), null),
        _ when driver.IsBlkVerify => new Filter(driver, new BlkVerifyLayer(), null),
        _ => throw new UnreachableException(),
    };

    /// <summary>A node lets its file grow ahead no longer: its machine, which is forgotten; null if it had none.</summary>
    internal PreallocateLayer? EndPreallocation(long node)
    {
        if (!_filters.TryGetValue(node, out Filter? filter) || filter.Machine is not PreallocateLayer machine)
        {
            return null;
        }

        _ = _filters.Remove(node);
        return machine;
    }

    /// <summary>Nodes are gone.</summary>
    internal void Forget(IEnumerable<long> gone)
    {
        foreach (long node in gone)
        {
            if (_filters.Remove(node, out Filter? filter))
            {
                Release(filter);
            }

            _ = _retired.Remove(node);
        }
    }

    /// <summary>Keeps what a path has counted for the nodes on it.</summary>
    internal void Retire(NodePath path) => AddTo(_retired, path);

    /// <summary>The counts of paths that are gone, by node; the caller may add to them.</summary>
    internal Dictionary<long, IoStats> RetiredStats()
    {
        Dictionary<long, IoStats> copies = [];
        foreach ((long node, IoStats stats) in _retired)
        {
            IoStats copy = new();
            copy.Add(stats, 0);
            copies.Add(node, copy);
        }

        return copies;
    }

    /// <summary>Adds a path's counts, and those of the paths below it, to the nodes on them.</summary>
    internal static void AddTo(Dictionary<long, IoStats> sums, NodePath path)
    {
        foreach (PassedNode passed in path.Nodes)
        {
            if (!sums.TryGetValue(passed.Node, out IoStats? sum))
            {
                sum = new IoStats();
                sums.Add(passed.Node, sum);
            }

            path.AddStatsTo(sum, passed.LeafOffset);
        }

        foreach (NodePath child in path.Layer?.Children ?? [])
        {
            AddTo(sums, child);
        }
    }
}
