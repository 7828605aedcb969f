using System;
using System.Collections.Generic;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Ring;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>The life of a request on a file: its slot, the ring or workers it goes to, and its end.</summary>
internal sealed unsafe partial class IOThread
{
    /// <summary>
    /// Starts a request on a file. The owner is called when it has ended, possibly before this returns.
    /// </summary>
    /// <param name="file">The file at the end of the path.</param>
    /// <param name="path">The path, for its traits and counts.</param>
    /// <param name="prototype">Kind, flags, and a range of the file.</param>
    /// <param name="buffer">Data to read into or write from; null for requests without data.</param>
    /// <param name="tag">Comes back with the end.</param>
    /// <param name="counting">What its end counts for.</param>
    private void Start(
        OpenFile file,
        NodePath path,
        in FileRequest prototype,
        byte* buffer,
        IRequestOwner owner,
        int tag,
        Counting counting)
    {
        int index = AllocateSlot();
        ref IoSlot slot = ref SlotAt(index);
        slot.Request = prototype;
        slot.File = file;
        slot.Buffer = buffer;
        slot.Owner = owner;
        slot.Tag = tag;
        slot.Path = path;
        slot.Counting = counting;
        slot.Traits = file.Traits | path.Traits;
        FileRequestModule.start(slot.Traits, ref slot.Request);
        if (slot.Request.Op == FileOp.Fdatasync && file.FlushError != 0)
        {
            slot.Request.Op = FileOp.Done;
            slot.Request.Error = file.FlushError;
        }

        slot.Gated = false;
        if (file.Gate is { } gate && slot.Request.Op != FileOp.Done
            && (slot.Request.Kind is RequestKind.Write or RequestKind.WriteZeroes or RequestKind.Discard))
        {
            slot.Gated = true;
            bool alone = !file.IsAligned(slot.Request.Offset, slot.Request.Length, buffer);
            if (!gate.TryEnter(this, index, alone))
            {
                return;
            }
        }

        Drive(index, ref slot);
    }

    /// <summary>A request that waited at its file's write gate has been let in.</summary>
    internal void Resume(int index) => Drive(index, ref SlotAt(index));

    private void Drive(int index, ref IoSlot slot)
    {
        if (slot.Request.Op == FileOp.Done)
        {
            Finish(index, ref slot);
        }
        else if (_waitingHead >= 0 || !TrySubmit(index, ref slot))
        {
            slot.Next = -1;
            if (_waitingHead < 0)
            {
                _waitingHead = index;
            }
            else
            {
                SlotAt(_waitingTail).Next = index;
            }

            _waitingTail = index;
        }
    }

    private bool TrySubmit(int index, ref IoSlot slot)
    {
        ref FileRequest request = ref slot.Request;
        OpenFile file = slot.File!;
        Submission submission = new()
        {
            UserData = ((ulong)slot.Generation << 32) | (uint)index,
            Op = request.Op,
            Offset = request.Offset + request.Completed,
            Length = request.OpLength,
            Buffer = request.Op == FileOp.WriteZeroBuffer ? Zeroes
                : slot.Buffer == null ? null
                : slot.Buffer + request.Completed,
        };
        submission.Fd = submission.Buffer == null
            ? file.Fd
            : file.FdFor(submission.Offset, submission.Length, submission.Buffer);
        IRing ring = file.Engine == AioEngine.IoUring && UringRing.Supports(request.Op)
            ? Ring()
            : Workers();
        return ring.TrySubmit(submission);
    }

    private IRing Ring()
    {
        if (!_ringTried)
        {
            _ringTried = true;
            _ring = _ringFactory(Name, MaxBatch);
            if (_ring != null)
            {
                Watch(_ring.PollFd, UringKey, Libc.EPOLLIN);
            }
        }

        // With no io_uring the workers stand for the ring, too.
        return _ring ?? Workers();
    }

    private WorkerRing Workers()
    {
        if (_workers == null)
        {
            _workers = new WorkerRing(Name + "-worker", MaxWorkers, _workerFd);
            Watch(_workers.PollFd, WorkersKey, Libc.EPOLLIN);
        }

        return _workers;
    }

    private void Finish(int index, ref IoSlot slot)
    {
        FileRequest request = slot.Request;
        OpenFile file = slot.File!;
        IRequestOwner owner = slot.Owner!;
        int tag = slot.Tag;
        file.Learn(request.Learnt);
        if (slot.Gated)
        {
            slot.Gated = false;
            file.Gate!.Leave();
        }

        if (request.Error != 0 && (request.Kind == RequestKind.Flush || request.SyncFailed))
        {
            file.SetFlushError(request.Error);
        }

        if (request.Kind is RequestKind.WriteZeroes or RequestKind.Discard)
        {
            file.NoteHole();
        }

        if (request.Kind == RequestKind.Discard && (slot.Traits & FileTraits.Unmap) != 0)
        {
            file.NoteDiscard(request.Length, request.Error == 0);
        }

        Count(slot.Path!, in request, slot.Counting);
        if (request.ZeroTail > 0)
        {
            // What lies past the end of the file.
            new Span<byte>(slot.Buffer + request.Length - request.ZeroTail, (int)request.ZeroTail).Clear();
        }

        slot.Generation++;
        slot.File = null;
        slot.Path = null;
        slot.Owner = null;
        slot.Next = _freeSlot;
        _freeSlot = index;
        owner.OnRequestDone(tag, request);
    }

    private ref IoSlot SlotAt(int index) => ref _slotChunks[index >> ChunkShift][index & ((1 << ChunkShift) - 1)];

    private int AllocateSlot()
    {
        if (_freeSlot < 0)
        {
            IoSlot[] chunk = new IoSlot[1 << ChunkShift];
            int first = _slotChunks.Count << ChunkShift;
            _slotChunks.Add(chunk);
            for (int i = chunk.Length - 1; i >= 0; i--)
            {
                chunk[i].Next = _freeSlot;
                _freeSlot = first + i;
            }
        }

        int index = _freeSlot;
        _freeSlot = SlotAt(index).Next;
        return index;
    }

    private bool ReapAll()
    {
        bool any = _ring != null && ReapFrom(_ring);
        return (_workers != null && ReapFrom(_workers)) || any;
    }

    private bool ReapFrom(IRing ring)
    {
        if (ring.InFlight == 0 || !ring.HasCompletions)
        {
            return false;
        }

        int count = ring.Reap(_completions);
        for (int i = 0; i < count; i++)
        {
            ref Completion completion = ref _completions[i];
            int index = (int)(uint)completion.UserData;
            ref IoSlot slot = ref SlotAt(index);
            if (slot.Generation != (uint)(completion.UserData >> 32))
            {
                continue;
            }

            FileRequestModule.step(slot.Traits, ref slot.Request, completion.Result);
            Drive(index, ref slot);
        }

        return count > 0;
    }

    private void SubmitWaiting()
    {
        while (_waitingHead >= 0)
        {
            int index = _waitingHead;
            ref IoSlot slot = ref SlotAt(index);
            int next = slot.Next;
            if (!TrySubmit(index, ref slot))
            {
                return;
            }

            _waitingHead = next;
        }
    }
}
