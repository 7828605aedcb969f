using System;
using System.Numerics;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Filters;

namespace StorageDaemon.Shell.Drivers;

/// <summary>Where reads of some bytes of a path end, past all layers that only pass them on.</summary>
/// <param name="End">The path that it ends at.</param>
/// <param name="Shift">To be added to an offset of the layer, for an offset of <see cref="End"/>'s top node.</param>
/// <param name="From">The first byte of the layer for which all of this holds.</param>
/// <param name="Until">The byte behind the last one.</param>
internal readonly record struct Shortcut(NodePath End, long Shift, long From, long Until)
{
    internal bool Covers(long offset) => offset >= From && offset < Until;
}

/// <summary>
/// What has been found out about the reads of a path: chains of images are walked once for each cluster, not for each
/// read. For one IOThread; what is kept is true as long as the path is in use (<see cref="Layer.TryRoute"/>).
/// </summary>
internal sealed class Shortcuts
{
    private const int MaxEntries = 1 << 14;

    private readonly NodePath _path;
    private readonly int _grainBits;
    private readonly Shortcut[] _entries;

    internal Shortcuts(NodePath path)
    {
        _path = path;
        _grainBits = path.Layer!.Machine.RouteGrainBits;
        long grains = (path.SizeBytes >> _grainBits) + 1;
        _entries = new Shortcut[BitOperations.RoundUpToPowerOf2((ulong)Math.Min(grains, MaxEntries))];
    }

    /// <summary>Finds where a read ends.</summary>
    /// <param name="offset">Bytes from the start of the layer's node.</param>
    /// <returns>False if it ends at the layer itself, or at more than one place.</returns>
    internal bool Find(long offset, long length, out Shortcut found)
    {
        long grain = offset >> _grainBits;
        ref Shortcut entry = ref _entries[grain & (_entries.Length - 1)];
        if (!entry.Covers(offset))
        {
            // The whole grain goes one way as a rule.
            long until = (grain + 1) << _grainBits;
            entry = Walk(grain << _grainBits, until);
            if (!entry.Covers(offset))
            {
                entry = Walk(offset, until);
            }
        }

        found = entry;
        return entry.Covers(offset) && length <= entry.Until - offset;
    }

    /// <summary>Goes down as far as it is known at once where the bytes from an offset are read.</summary>
    private Shortcut Walk(long offset, long until)
    {
        NodePath end = _path;
        long toTop = 0;
        long toLayer = 0;
        while (end.Layer is { } layer
            && TryRoute(layer.Machine, offset + toLayer, until + toLayer, out Route route))
        {
            NodePath child = layer.Children[route.Child];
            until = Math.Min(until, route.Until - toLayer);
            long toChild = toLayer + route.Shift;
            if (offset + toChild < 0 || until + toChild > child.SizeBytes)
            {
                break;
            }

            end = child;
            toTop = toChild;
            toLayer = toChild + child.BaseOffset;
        }

        return end == _path ? default : new Shortcut(end, toTop, offset, until);
    }

    private static bool TryRoute(Layer machine, long offset, long limit, out Route route)
    {
        route = default;
        lock (machine)
        {
            return machine.TryRoute(offset, limit, ref route);
        }
    }
}
