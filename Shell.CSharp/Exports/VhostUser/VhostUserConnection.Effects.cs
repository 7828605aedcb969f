using System;
using System.Collections.Generic;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.VhostUser;
using StorageDaemon.Core.Virtio;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Exports.VhostUser;

/// <summary>What the session wants done.</summary>
internal sealed partial class VhostUserConnection
{
    private readonly record struct MappedPart(Region Region, SharedMapping Mapping);

    private readonly bool[] _running;

    // Queues that have got anything of this front end's.
    private readonly bool[] _touched;
    private List<MappedPart> _memory = [];
    private GuestBinding _binding = GuestBinding.Empty;
    private SharedMapping? _log;
    private SharedMapping? _inflight;
    private int _newInflightFd = -1;
    private int _backendFd = -1;
    private bool _writeCache;

    // How an effect has ended that did not have to wait.
    private bool? _outcome;

    private void Run(FSharpList<Effect> effects)
    {
        foreach (Effect effect in effects)
        {
            Run(effect);
        }

        if (_outcome is { } succeeded)
        {
            _outcome = null;
            Completed(succeeded);
        }
    }

    private void Run(Effect effect)
    {
        switch (effect)
        {
            case Effect.Reply reply:
                Send(reply.Item, -1);
                break;
            case Effect.ReplyWithInflight reply:
                Send(reply.Item, _newInflightFd);
                CloseAndForget(ref _newInflightFd);
                break;
            case Effect.MapMemory map:
                MapMemory(map.Item);
                break;
            case Effect.AddMemory add:
                AddMemory(add.Item);
                break;
            case Effect.RemoveMemory remove:
                RemoveMemory(remove.Item);
                break;
            case Effect.SetKick set:
                Give(set.queue, set.hasFd, (queue, fd) => queue.UseKick(fd));
                break;
            case Effect.SetCall set:
                Give(set.queue, set.hasFd, (queue, fd) => queue.UseCall(fd));
                break;
            case Effect.SetErr set:
                Give(set.queue, set.hasFd, (queue, fd) => queue.UseErr(fd));
                break;
            case Effect.StartQueue start:
                StartQueue(start.Item);
                break;
            case Effect.RebindQueue rebind:
                Rebind(rebind.Item);
                break;
            case Effect.StopQueue stop:
                StopQueue(stop.queue);
                break;
            case Effect.UseFeatures use:
                UseFeatures(use.Item);
                break;
            case Effect.UseWriteCache use:
                _writeCache = use.Item;
                UseFeatures(_state.Acknowledged);
                break;
            case Effect.MapLog map:
                MapLog(map.lengthBytes, map.offsetBytes);
                break;
            case Effect.CreateInflight create:
                CreateInflight(create.lengthBytes);
                break;
            case Effect.UseInflight use:
                UseInflight(use.Item);
                break;
            case Effect.SendToFrontend send:
                // Where nobody reads, a change that was told before is not seen yet, either.
                _ = DescriptorMessages.TrySend(_backendFd, send.Item, -1);
                break;
            case Effect.Close close:
                Close(close.reason);
                break;
            default:
                RunPlain(effect);
                break;
        }
    }

    private void RunPlain(Effect effect)
    {
        if (effect.IsSetBackendChannel)
        {
            CloseAndForget(ref _backendFd);
            _backendFd = TakeDescriptor();
        }
        else if (effect.IsUseLogFd)
        {
            // The log is looked at anyhow; nobody has to be told of each change.
            _ = Libc.Close(TakeDescriptor());
        }
    }

    private void Send(byte[] message, int descriptor)
    {
        if (!_closed && !DescriptorMessages.TrySend(_fd, message, descriptor))
        {
            Close("a reply could not be sent");
        }
    }

    /// <summary>The next descriptor that came with the message, the caller's now; -1 without one.</summary>
    private int TakeDescriptor()
    {
        if (_descriptors.Count == 0)
        {
            return -1;
        }

        int fd = _descriptors[0];
        _descriptors.RemoveAt(0);
        return fd;
    }

    private void Give(int index, bool hasFd, Action<VhostUserQueue, int> use)
    {
        int fd = hasFd ? TakeDescriptor() : -1;
        VhostUserQueue queue = Touch(index);
        queue.Thread.Post(() => use(queue, fd));
    }

    private VhostUserQueue Touch(int index)
    {
        _touched[index] = true;
        return _queues[index];
    }

    // Queues ---------------------------------------------------------------------------------------------------------

    private void StartQueue(QueueSetup setup)
    {
        _running[setup.Queue] = true;
        VhostUserQueue queue = Touch(setup.Queue);
        GuestBinding binding = _binding;
        bool writeCache = _writeCache;
        nint inflight = _inflight != null && setup.InflightOffset.IsSome
            ? _inflight.Address + (nint)setup.InflightOffset.Value
            : 0;
        queue.Thread.Post(() => queue.Begin(setup, binding, writeCache, inflight));
    }

    private void StopQueue(int index)
    {
        VhostUserQueue queue = _queues[index];
        queue.Thread.Post(() => queue.End(position => _reactor.Post(() => Stopped(index, position))));
    }

    private void UseFeatures(ulong features)
    {
        bool writeCache = _writeCache;
        for (int i = 0; i < _queues.Length; i++)
        {
            if (_running[i])
            {
                VhostUserQueue queue = _queues[i];
                queue.Thread.Post(() => queue.UseFeatures(features, writeCache));
            }
        }
    }

    private void Rebind(QueueSetup setup)
    {
        VhostUserQueue queue = _queues[setup.Queue];
        GuestBinding binding = _binding;
        queue.Thread.Post(() => queue.Rebind(binding, setup, () => _reactor.Post(() => Completed(true))));
    }

    /// <summary>
    /// Gives the running queues another binding; then drops what only the one before had, and tells the outcome.
    /// </summary>
    private void UseBinding(GuestBinding binding, Action dropOld)
    {
        _binding = binding;
        int waiting = 0;
        Action oneLess = () =>
        {
            if (--waiting == 0)
            {
                dropOld();
                Completed(true);
            }
        };

        for (int i = 0; i < _queues.Length; i++)
        {
            if (_running[i])
            {
                waiting++;
                VhostUserQueue queue = _queues[i];
                queue.Thread.Post(() => queue.Rebind(binding, null, () => _reactor.Post(oneLess)));
            }
        }

        if (waiting == 0)
        {
            dropOld();
            _outcome = true;
        }
    }

    // Memory ---------------------------------------------------------------------------------------------------------

    private SharedMapping? MapNext(ulong offset, ulong length)
    {
        int fd = TakeDescriptor();
        if (fd < 0)
        {
            return null;
        }

        SharedMapping? mapping = SharedMapping.TryMap(fd, offset, length);
        _ = Libc.Close(fd);
        return mapping;
    }

    private static void Drop(IEnumerable<MappedPart> parts)
    {
        foreach (MappedPart part in parts)
        {
            part.Mapping.Dispose();
        }
    }

    private void MapMemory(FSharpList<RegionMessage> regions)
    {
        List<MappedPart> parts = [];
        foreach (RegionMessage region in regions)
        {
            if (MapNext(region.MmapOffset, region.Region.LengthBytes) is not { } mapping)
            {
                Drop(parts);
                _outcome = false;
                return;
            }

            parts.Add(new MappedPart(region.Region, mapping));
        }

        UseMemory(parts, _memory);
    }

    private void AddMemory(RegionMessage region)
    {
        if (MapNext(region.MmapOffset, region.Region.LengthBytes) is { } mapping)
        {
            UseMemory([.. _memory, new MappedPart(region.Region, mapping)], []);
        }
        else
        {
            _outcome = false;
        }
    }

    private void RemoveMemory(Region region)
    {
        List<MappedPart> gone = _memory.FindAll(part => part.Region.Equals(region));
        UseMemory(_memory.FindAll(part => !part.Region.Equals(region)), gone);
    }

    private void UseMemory(List<MappedPart> parts, List<MappedPart> gone)
    {
        FSharpResult<MemoryTable, RegionError> table = MemoryTable.Create(
            parts.ConvertAll(part => (part.Region, part.Mapping.Address)).ToArray());
        if (table.IsError)
        {
            // The session has checked them: nothing is left to be told.
            Drop(parts.FindAll(part => !_memory.Contains(part)));
            _outcome = false;
            return;
        }

        _memory = parts;
        UseBinding(_binding with { Memory = table.ResultValue }, () => Drop(gone));
    }

    private void MapLog(ulong length, ulong offset)
    {
        SharedMapping? mapping = MapNext(offset, length);
        if (mapping == null || (mapping.Address & 3) != 0)
        {
            mapping?.Dispose();
            _outcome = false;
            return;
        }

        SharedMapping? old = _log;
        _log = mapping;
        UseBinding(
            _binding with { Log = mapping.Address, LogLength = mapping.Length }, () => old?.Dispose());
    }

    private void CreateInflight(ulong length)
    {
        CloseAndForget(ref _newInflightFd);
        _newInflightFd = Libc.MemfdCreate("vhost-user-inflight", Libc.MFD_CLOEXEC | Libc.MFD_ALLOW_SEALING);
        _outcome = _newInflightFd >= 0
            && Libc.FTruncate(_newInflightFd, (long)length) == 0
            && Libc.Fcntl(_newInflightFd, Libc.F_ADD_SEALS, Libc.F_SEAL_SHRINK | Libc.F_SEAL_SEAL) == 0;
        if (_outcome == false)
        {
            CloseAndForget(ref _newInflightFd);
        }
    }

    private void UseInflight(InflightArea area)
    {
        SharedMapping? mapping = MapNext(area.OffsetBytes, area.LengthBytes);
        _outcome = mapping != null;
        if (mapping != null)
        {
            // No queue runs.
            _inflight?.Dispose();
            _inflight = mapping;
        }
    }

    private static void CloseAndForget(ref int fd)
    {
        if (fd >= 0)
        {
            _ = Libc.Close(fd);
            fd = -1;
        }
    }

    /// <summary>Unmaps all that was the front end's; no queue has it any more.</summary>
    internal void Release()
    {
        Drop(_memory);
        _memory = [];
        _log?.Dispose();
        _log = null;
        _inflight?.Dispose();
        _inflight = null;
        CloseAndForget(ref _newInflightFd);
        CloseAndForget(ref _backendFd);
    }
}
