using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using StorageDaemon.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>
/// Requests that pass layers: each visit of a layer is a frame, and the layer's machine says what becomes of it. What
/// happens to frames is queued and worked off in a loop, however deep layers are stacked.
/// </summary>
internal sealed unsafe partial class IOThread
{
    private const int FrameChunkShift = 6;
    private const int TagBits = 10;

    private readonly List<LayerFrame[]> _frameChunks = [];
    private readonly ChildRequests _children = new();
    private readonly Queue<FrameEvent> _frameEvents = new();
    private readonly ConcurrentQueue<int> _resumedFrames = new();
    private ChildEnd? _childEnd;
    private FrameWaker? _frameWaker;
    private int _freeFrame = -1;
    private bool _inFrames;

    /// <summary>Told of the ends of child requests; the tag is the frame's number and the request's own tag.</summary>
    private sealed class ChildEnd(IOThread thread) : IRequestOwner
    {
        public void OnRequestDone(int tag, in FileRequest request) =>
            thread.Tell(new FrameEvent(
                tag >> TagBits,
                FrameEventKind.ChildDone,
                tag & ChildRequests.MaxTag,
                request.Error,
                request.Status,
                request.Completed));
    }

    /// <summary>Told when a frame's time to sleep is over.</summary>
    private sealed class FrameWaker(IOThread thread) : IRequestOwner
    {
        public void OnRequestDone(int tag, in FileRequest request) =>
            thread.Tell(new FrameEvent(tag, FrameEventKind.Resume, 0, 0));
    }

    /// <summary>A throttle group lets a frame of this thread in. From any thread.</summary>
    internal void ResumeFrame(int frame)
    {
        _resumedFrames.Enqueue(frame);
        Wake();
    }

    /// <summary>
    /// Starts a request at the top of a path. The owner is called when it has ended, possibly before this returns.
    /// </summary>
    /// <param name="request">Kind, flags, and a range of the path's top node.</param>
    /// <param name="buffer">Data to read into or write from; null for requests without data.</param>
    internal void StartOn(NodePath path, in FileRequest request, byte* buffer, IRequestOwner owner, int tag) =>
        StartOn(path, in request, buffer, owner, tag, default);

    private void StartOn(
        NodePath path, in FileRequest request, byte* buffer, IRequestOwner owner, int tag, Counting counting)
    {
        FileRequest at = request;
        bool modifies = at.Kind is RequestKind.Write or RequestKind.WriteZeroes or RequestKind.Discard;
        if (modifies && path.ReadOnly)
        {
            End(path, ref at, Errno.EPERM, owner, tag, counting);
            return;
        }

        if (at.Kind == RequestKind.Write)
        {
            DetectZeroWrite(path, ref at, buffer);
        }

        if (at.Kind != RequestKind.Flush)
        {
            if (at.Offset + at.Length > path.SizeBytes)
            {
                // The graph has changed, and there is less now than the client was told.
                End(path, ref at, Errno.EIO, owner, tag, counting);
                return;
            }

            at.Offset += path.BaseOffset;
        }

        if (modifies)
        {
            path.NoteWrite(path.StatsOf(Index), at.Offset + at.Length);
        }

        if (path.Layer == null && (at.Flags & RequestFlags.OnlyMissing) != 0)
        {
            // A file has all of itself.
            End(path, ref at, 0, owner, tag, counting);
        }
        else if (at.Kind == RequestKind.BlockStatus && path.Layer == null)
        {
            AnswerStatus(path, ref at);
            End(path, ref at, 0, owner, tag, counting);
        }
        else if (path.File is { } file)
        {
            Start(file, path, in at, buffer, owner, tag, counting);
        }
        else if (path.Layer == null)
        {
            EndOnNull(path, ref at, buffer, owner, tag, counting);
        }
        else if (path.HasShortcuts && at.Kind == RequestKind.Read
            && path.ShortcutsOf(Index).Find(at.Offset, at.Length, out Shortcut shortcut))
        {
            at.Offset += shortcut.Shift;
            StartOn(shortcut.End, in at, buffer, owner, tag, counting.Below(path));
        }
        else if (!EndsWithoutDiscard(path, ref at, owner, tag, counting))
        {
            int index = AllocateFrame();
            ref LayerFrame slot = ref FrameAt(index);
            slot.Frame = default;
            slot.Frame.Kind = at.Kind;
            // Children have options of their own.
            slot.Frame.Flags = at.Flags & ~RequestFlags.Unmap;
            slot.Frame.Offset = at.Offset;
            slot.Frame.Length = at.Length;
            slot.Frame.ViaFormat = path.ViaFormat;
            slot.Frame.ReadOnly = path.ReadOnly;
            slot.Path = path;
            slot.Memory.Own = (nint)buffer;
            slot.Memory.ChildCount = path.Layer.Children.Length;
            slot.Owner = owner;
            slot.Tag = tag;
            slot.Counting = counting;
            slot.Outstanding = 0;
            Tell(new FrameEvent(index, FrameEventKind.Start, 0, 0));
        }
    }

    /// <summary>What a range of a file or a null device holds. A file's system has that in memory.</summary>
    private void AnswerStatus(NodePath path, ref FileRequest request)
    {
        request.Completed = request.Length;
        if (path.File is { } file)
        {
            long limit = request.Offset + request.Length;
            bool isHole = path.ExtentOf(Index).Lookup(file, request.Offset, limit, out long end);
            request.Completed = Math.Min(end, limit) - request.Offset;
            request.Status = BlockStatus.Allocated | (isHole ? BlockStatus.Zero : BlockStatus.Data);
        }
        else if (path.ReadsZeroes)
        {
            request.Status = BlockStatus.Allocated | BlockStatus.Zero;
        }
    }

    private static void DetectZeroWrite(NodePath path, ref FileRequest request, byte* buffer)
    {
        if (path.DetectZeroes == DetectZeroes.Off
            || new ReadOnlySpan<byte>(buffer, (int)request.Length).ContainsAnyExcept((byte)0))
        {
            return;
        }

        request.Kind = RequestKind.WriteZeroes;
        if (path.DetectZeroes == DetectZeroes.Unmap)
        {
            request.Flags |= RequestFlags.MayUnmap | RequestFlags.Unmap;
        }
    }

    /// <summary>
    /// Discards that a node above the layer ignores: nothing is left of them but their FUA. Zeroes keep their space.
    /// </summary>
    private bool EndsWithoutDiscard(
        NodePath path, ref FileRequest request, IRequestOwner owner, int tag, Counting counting)
    {
        if ((path.Traits & FileTraits.Unmap) != 0)
        {
            return false;
        }

        if (request.Kind == RequestKind.WriteZeroes)
        {
            if ((request.Flags & RequestFlags.Unmap) == 0)
            {
                request.Flags &= ~RequestFlags.MayUnmap;
            }
        }
        else if (request.Kind == RequestKind.Discard)
        {
            if ((request.Flags & RequestFlags.Fua) == 0)
            {
                End(path, ref request, 0, owner, tag, counting);
                return true;
            }

            request.Kind = RequestKind.Flush;
        }

        return false;
    }

    private void EndOnNull(
        NodePath path, ref FileRequest request, byte* buffer, IRequestOwner owner, int tag, Counting counting)
    {
        if (request.Kind == RequestKind.Read && buffer != null)
        {
            new Span<byte>(buffer, (int)request.Length).Clear();
        }

        // The null drivers have no quicker way than writing.
        bool refused = request.Kind == RequestKind.WriteZeroes && (request.Flags & RequestFlags.NoFallback) != 0;
        if (path.LatencyNs > 0 && !refused)
        {
            Count(path, in request, counting);
            After(path.LatencyNs, owner, tag);
        }
        else
        {
            End(path, ref request, refused ? Errno.ENOTSUP : 0, owner, tag, counting);
        }
    }

    private void End(NodePath path, ref FileRequest request, int error, IRequestOwner owner, int tag, Counting counting)
    {
        request.Op = FileOp.Done;
        request.Error = error;
        request.ZeroTail = 0;
        Count(path, in request, counting);
        owner.OnRequestDone(tag, in request);
    }

    private void Count(NodePath path, in FileRequest request, Counting counting)
    {
        if (counting.From != 0 && request.Kind != RequestKind.BlockStatus)
        {
            long now = Stopwatch.GetTimestamp();
            NodePath? passed = path;
            do
            {
                passed.StatsOf(Index).Note(request.Kind, request.Length, counting.From, now, request.Error != 0);
                passed = passed.Parent;
            }
            while (passed != counting.UpTo && passed != null);
        }
    }

    /// <summary>Queues what happened to a frame and works the queue off, unless that is being done already.</summary>
    private void Tell(FrameEvent happened)
    {
        _frameEvents.Enqueue(happened);
        if (!_inFrames)
        {
            _inFrames = true;
            while (_frameEvents.TryDequeue(out FrameEvent next))
            {
                Step(in next);
            }

            _inFrames = false;
        }
    }

    private bool RunResumedFrames()
    {
        bool any = false;
        while (_resumedFrames.TryDequeue(out int frame))
        {
            Tell(new FrameEvent(frame, FrameEventKind.Resume, 0, 0));
            any = true;
        }

        return any;
    }

    private void Step(in FrameEvent happened)
    {
        ref LayerFrame slot = ref FrameAt(happened.Frame);
        PathLayer layer = slot.Path.Layer!;
        Layer machine = layer.Machine;
        if (machine.IsStateful)
        {
            lock (machine)
            {
                RunMachine(machine, ref slot, in happened);
            }
        }
        else
        {
            RunMachine(machine, ref slot, in happened);
        }

        if (_children.HasNotices)
        {
            LayerNotices?.Invoke(layer.Node, _children.Notices);
        }

        WakeParked();
        SendChildren(happened.Frame, ref slot, layer);
        switch (slot.Frame.Op)
        {
            case FrameOp.Done when slot.Outstanding == 0:
                FinishFrame(happened.Frame, ref slot);
                break;
            case FrameOp.Sleep when slot.Outstanding == 0:
                slot.Frame.Op = FrameOp.Wait;
                _timers.Add(slot.Frame.WakeNs, _frameWaker ??= new FrameWaker(this), happened.Frame);
                break;
            case FrameOp.Admit:
                Admit(happened.Frame, ref slot, layer);
                break;
            case FrameOp.Rent:
                Rent(happened.Frame, ref slot);
                break;
        }
    }

    private void RunMachine(Layer machine, ref LayerFrame slot, in FrameEvent happened)
    {
        long now = Stopwatch.GetTimestamp();
        switch (happened.Kind)
        {
            case FrameEventKind.Start:
                machine.Prepare(slot.Memory, ref slot.Frame);
                if (TryRentScratch(ref slot))
                {
                    machine.Start(now, slot.Memory, ref slot.Frame, _children);
                }
                else
                {
                    slot.Frame.Error = Errno.ENOMEM;
                    slot.Frame.Op = FrameOp.Done;
                }

                break;
            case FrameEventKind.ChildDone:
                slot.Outstanding--;
                slot.Frame.Status = happened.Status;
                slot.Frame.StatusBytes = happened.StatusBytes;
                machine.ChildDone(now, slot.Memory, ref slot.Frame, happened.Tag, happened.Error, _children);
                break;
            case FrameEventKind.NoMemory:
                machine.OutOfMemory(now, slot.Memory, ref slot.Frame, _children);
                break;
            default:
                machine.Resume(now, slot.Memory, ref slot.Frame, _children);
                break;
        }
    }

    /// <summary>Frames of this and other threads that the machine lets go on.</summary>
    private void WakeParked()
    {
        foreach (object woken in _children.Woken)
        {
            FrameTicket ticket = (FrameTicket)woken;
            if (ticket.Thread == this)
            {
                Tell(new FrameEvent(ticket.Frame, FrameEventKind.Resume, 0, 0));
            }
            else
            {
                ticket.Thread.ResumeFrame(ticket.Frame);
            }
        }
    }

    private void Rent(int index, ref LayerFrame slot)
    {
        slot.Frame.Op = FrameOp.Wait;
        ReturnScratch(ref slot);
        bool rented = TryRentScratch(ref slot);
        Tell(new FrameEvent(index, rented ? FrameEventKind.Resume : FrameEventKind.NoMemory, 0, 0));
    }

    private void Admit(int index, ref LayerFrame slot, PathLayer layer)
    {
        bool isWrite = slot.Frame.Kind is RequestKind.Write or RequestKind.WriteZeroes or RequestKind.Discard;
        slot.Frame.Op = FrameOp.Wait;
        if (layer.Throttle is not { } member || member.TryEnter(this, index, isWrite, slot.Frame.AdmitBytes))
        {
            Tell(new FrameEvent(index, FrameEventKind.Resume, 0, 0));
        }
    }

    /// <summary>Sends the machine's child requests. Those that end at once are only queued, so the sink stays whole.</summary>
    private void SendChildren(int index, ref LayerFrame slot, PathLayer layer)
    {
        int count = _children.Count;
        if (count == 0)
        {
            _children.Clear();
            return;
        }

        slot.Outstanding += count;
        Counting counting = new(Stopwatch.GetTimestamp(), slot.Path);
        ChildEnd owner = _childEnd ??= new ChildEnd(this);
        for (int i = 0; i < count; i++)
        {
            ref readonly ChildRequest child = ref _children.At(i);
            FileRequest request = new()
            {
                Kind = child.Kind,
                Flags = child.Flags,
                Offset = child.Offset,
                Length = child.Length,
            };
            byte* buffer = AddressOf(in child, slot.Memory);
            StartOn(layer.Children[child.Child], in request, buffer, owner, (index << TagBits) | child.Tag, counting);
        }

        _children.Clear();
    }

    private static byte* AddressOf(in ChildRequest child, FrameMemory memory)
    {
        if (child.Buffer == (int)FrameBuffer.Address)
        {
            return (byte*)child.BufferOffset;
        }

        nint start = child.Buffer == (int)FrameBuffer.None ? 0
            : child.Buffer == (int)FrameBuffer.Own ? memory.Own
            : memory.Scratch[child.Buffer];
        return start == 0 ? null : (byte*)start + child.BufferOffset;
    }

    /// <summary>
    /// Buffers of a layer's own are counted against the budget but not refused by it: a request that is under way would
    /// else wait for itself. False where the process can have no more memory.
    /// </summary>
    private bool TryRentScratch(ref LayerFrame slot)
    {
        int wanted = slot.Frame.ScratchCount;
        long length = slot.Frame.ScratchBytes > 0 ? slot.Frame.ScratchBytes : slot.Frame.Length;
        if (slot.Scratch.Length < wanted)
        {
            Array.Resize(ref slot.Scratch, wanted);
            nint[] addresses = slot.Memory.Scratch;
            Array.Resize(ref addresses, wanted);
            slot.Memory.Scratch = addresses;
        }

        for (int i = 0; i < wanted; i++)
        {
            if (!Buffers.TryRent(length, anyway: true, out slot.Scratch[i]))
            {
                return false;
            }

            slot.Memory.Scratch[i] = (nint)slot.Scratch[i].Data;
            slot.ScratchCount = i + 1;
        }

        return true;
    }

    private void ReturnScratch(ref LayerFrame slot)
    {
        for (int i = 0; i < slot.ScratchCount; i++)
        {
            Buffers.Return(ref slot.Scratch[i]);
        }

        slot.ScratchCount = 0;
    }

    private void FinishFrame(int index, ref LayerFrame slot)
    {
        FileRequest request = new()
        {
            Kind = slot.Frame.Kind,
            Flags = slot.Frame.Flags,
            Offset = slot.Frame.Offset,
            Length = slot.Frame.Length,
            Completed = slot.Frame.StatusBytes,
            Status = slot.Frame.Status,
        };
        ReturnScratch(ref slot);
        NodePath path = slot.Path;
        IRequestOwner owner = slot.Owner!;
        int tag = slot.Tag;
        Counting counting = slot.Counting;
        int error = slot.Frame.Error;
        if (request.Kind == RequestKind.BlockStatus && error == 0
            && (request.Completed <= 0 || request.Completed > request.Length))
        {
            // Whoever asks on from there must get on.
            error = Errno.EIO;
        }

        slot.Owner = null;
        slot.Path = null!;
        slot.Next = _freeFrame;
        _freeFrame = index;
        End(path, ref request, error, owner, tag, counting);
    }

    private ref LayerFrame FrameAt(int index) =>
        ref _frameChunks[index >> FrameChunkShift][index & ((1 << FrameChunkShift) - 1)];

    private int AllocateFrame()
    {
        if (_freeFrame < 0)
        {
            LayerFrame[] chunk = new LayerFrame[1 << FrameChunkShift];
            int first = _frameChunks.Count << FrameChunkShift;
            _frameChunks.Add(chunk);
            for (int i = chunk.Length - 1; i >= 0; i--)
            {
                chunk[i].Memory = new FrameMemory { Ticket = new FrameTicket(this, first + i) };
                chunk[i].Scratch = [];
                chunk[i].Next = _freeFrame;
                _freeFrame = first + i;
            }
        }

        int index = _freeFrame;
        _freeFrame = FrameAt(index).Next;
        return index;
    }
}
