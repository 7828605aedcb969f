using System;
using System.Diagnostics;
using System.Globalization;
using System.Threading;
using StorageDaemon.Core;
using StorageDaemon.Core.Fuse;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Fuse;

/// <summary>Carrying requests out.</summary>
internal sealed unsafe partial class FuseChannel
{
    /// <summary>Reads up to this length are answered on the spot where the page cache has them.</summary>
    private const long InlineReadMax = 128 << 10;

    /// <summary>The data of writes up to this length are copied, so that the large buffer is free for the next message.</summary>
    private const long CopyMax = 256 << 10;

    /// <summary>A request that could not be answered at once.</summary>
    private struct Pending
    {
        internal FuseRequest Request;
        internal PoolBuffer Buffer;
        internal bool Used;

        /// <summary>Its I/O is being begun right now, and may end meanwhile.</summary>
        internal bool IsStarting;
        internal bool HasEnded;
        internal int Error;
        internal long Covered;
        internal BlockStatus Status;

        /// <summary>When it was taken up, in Stopwatch ticks.</summary>
        internal long Start;
        internal int Next;
    }

    private readonly Pending[] _pending = new Pending[MaxInFlight];
    private int _free = -1;
    private int _inFlight;
    private int _ioInFlight;

    /// <summary>A message of the kernel.</summary>
    private void Take(ReadOnlySpan<byte> message)
    {
        long start = Stopwatch.GetTimestamp();
        NodeFacts facts = default;
        facts.SizeBytes = _path.SizeBytes;
        FuseRequest request = default;
        Session.start(_mount.File, in facts, message, ref request);
        switch (request.Step)
        {
            case FuseStep.NoReply:
                return;
            case FuseStep.Reply:
                Answer(in request);
                return;
            case FuseStep.Read when TryReadNow(in request, start):
            case FuseStep.Write when TryWriteNow(in request, start):
                return;
        }

        Drive(Park(in request, start));
    }

    private bool MayDoInline(long length) =>
        _path.File is { CanReadInline: true } && length <= InlineReadMax;

    /// <summary>A read that the page cache can answer.</summary>
    private bool TryReadNow(in FuseRequest request, long start)
    {
        NodePath path = _path;
        if (!MayDoInline(request.Length))
        {
            return false;
        }

        // The reply's data on a page of their own, the header right before them.
        byte* data = _thread.ReplyScratch + BufferPool.HeaderRoom;
        IoVec iov = new() { Base = data, Length = (nuint)request.Length };
        if (Libc.Preadv2(path.File!.Fd, &iov, 1, path.BaseOffset + request.Offset, Libc.RWF_NOWAIT) != request.Length)
        {
            return false;
        }

        _stats.Note(RequestKind.Read, request.Length, start, Stopwatch.GetTimestamp(), failed: false);
        AnswerRead(in request, data);
        return true;
    }

    /// <summary>
    /// A write into the page cache, unless writes have lately been slow. A short or failed one goes the ordinary way,
    /// which finds out why.
    /// </summary>
    private bool TryWriteNow(in FuseRequest request, long start)
    {
        NodePath path = _path;
        if (path.File is not { CanReadInline: true } file || path.ReadOnly || _mount.Export.Writethrough
            || path.DetectZeroes != DetectZeroes.Off || !_thread.InlineWrites.Allowed)
        {
            return false;
        }

        long offset = path.BaseOffset + request.Offset;
        IoVec iov = new() { Base = _receive.Data, Length = (nuint)request.Length };
        nint count = Libc.Pwritev2(file.Fd, &iov, 1, offset, 0);
        long end = Stopwatch.GetTimestamp();
        _thread.InlineWrites.Note(end - start, request.Length);
        if (count != request.Length)
        {
            return false;
        }

        path.NoteWrite(_stats, offset + request.Length);
        _stats.Note(RequestKind.Write, request.Length, start, end, failed: false);
        Answer(in request);
        return true;
    }

    /// <summary>Makes the request one in flight, with a buffer if it needs one.</summary>
    private int Park(in FuseRequest request, long start)
    {
        int index = _free;
        ref Pending pending = ref _pending[index];
        _free = pending.Next;
        _inFlight++;
        pending.Request = request;
        pending.Used = true;
        pending.Start = start;
        bool isWrite = request.Opcode == Wire.FUSE_WRITE;
        if (!isWrite && request.Step != FuseStep.Read)
        {
            return index;
        }

        // Where there is no memory, the large buffer is the request's, and the next message waits.
        if ((isWrite && request.Length > CopyMax)
            || !_thread.Buffers.TryRent(request.Length, anyway: false, out pending.Buffer))
        {
            pending.Buffer = _receive;
            _receive = default;
        }
        else if (isWrite)
        {
            Buffer.MemoryCopy(_receive.Data, pending.Buffer.Data, pending.Buffer.Capacity, request.Length);
        }

        return index;
    }

    /// <summary>Goes on with a request until it has to wait or is answered.</summary>
    private void Drive(int index)
    {
        ref Pending pending = ref _pending[index];
        while (true)
        {
            switch (pending.Request.Step)
            {
                case FuseStep.Reply:
                    AnswerPending(ref pending);
                    Release(index);
                    return;
                case FuseStep.Resize:
                    AskForLength(index);
                    return;
                case FuseStep.Change:
                    _mount.Change(in pending.Request);
                    Advance(ref pending);
                    break;
                default:
                    if (!EndsAtOnce(index))
                    {
                        return;
                    }

                    break;
            }
        }
    }

    /// <summary>Begins the I/O of a request; true if it has ended already.</summary>
    private bool EndsAtOnce(int index)
    {
        ref Pending pending = ref _pending[index];
        ref FuseRequest request = ref pending.Request;
        RequestKind kind = Session.ioKind(request.Step);
        FileRequest io = new() { Kind = kind, Flags = request.Flags };
        if (kind != RequestKind.Flush)
        {
            io.Offset = request.Offset;
            io.Length = request.Length;
        }

        if (_mount.Export.Writethrough && (kind is RequestKind.Write or RequestKind.WriteZeroes))
        {
            io.Flags |= RequestFlags.Fua;
        }

        pending.IsStarting = true;
        pending.HasEnded = false;
        _ioInFlight++;
        _thread.StartOn(_path, in io, pending.Buffer.Data, this, index);
        pending.IsStarting = false;
        if (pending.HasEnded)
        {
            Finish(ref pending, kind);
        }

        return pending.HasEnded;
    }

    public void OnRequestDone(int tag, in FileRequest request)
    {
        ref Pending pending = ref _pending[tag];
        _ioInFlight--;
        pending.HasEnded = true;
        pending.Error = request.Error;
        pending.Covered = request.Completed;
        pending.Status = request.Status;
        if (!pending.IsStarting)
        {
            Finish(ref pending, Session.ioKind(pending.Request.Step));
            GoOn(tag);
            TellDrained();
        }
    }

    private void Finish(ref Pending pending, RequestKind kind)
    {
        if (kind != RequestKind.BlockStatus)
        {
            long length = kind == RequestKind.Flush ? 0 : pending.Request.Length;
            _stats.Note(kind, length, pending.Start, Stopwatch.GetTimestamp(), pending.Error != 0);
        }

        Advance(ref pending);
    }

    private void Advance(ref Pending pending)
    {
        NodeFacts facts = default;
        facts.SizeBytes = _path.SizeBytes;
        Session.next(in facts, ref pending.Request, pending.Error, pending.Covered, pending.Status);
    }

    /// <summary>
    /// The next step, unless the channel is to rest or to end: a request that has more to do then waits, or is dropped.
    /// </summary>
    private void GoOn(int index)
    {
        if (_closing && _pending[index].Request.Step != FuseStep.Reply)
        {
            _pending[index].Request.Step = FuseStep.Reply;
            _pending[index].Request.Error = Errno.EIO;
        }

        Drive(index);
        _thread.Schedule(this);
    }

    /// <summary>
    /// The control plane decides about the node's length, and rests all exports for it. A thread of this process may be
    /// what the control plane waits for: it is refused, so that nobody waits for himself.
    /// </summary>
    private void AskForLength(int index)
    {
        ref Pending pending = ref _pending[index];
        if (IsOwnThread(pending.Request.Pid))
        {
            LengthDecided(index, Errno.EBUSY);
            return;
        }

        _mount.Resize(in pending.Request, errno => Thread.Post(() => LengthDecided(index, errno)));
    }

    private static bool IsOwnThread(uint thread) =>
        Libc.Access("/proc/self/task/" + thread.ToString(CultureInfo.InvariantCulture), 0) == 0;

    private void LengthDecided(int index, int errno)
    {
        ref Pending pending = ref _pending[index];
        if (_finished || !pending.Used)
        {
            return;
        }

        pending.Error = errno;
        Advance(ref pending);
        GoOn(index);
    }

    private void AnswerPending(ref Pending pending)
    {
        if (pending.Request.Opcode == Wire.FUSE_READ && pending.Request.Error == 0)
        {
            AnswerRead(in pending.Request, pending.Buffer.Data);
        }
        else
        {
            Answer(in pending.Request);
        }
    }

    private void Answer(in FuseRequest request)
    {
        NodeFacts facts = default;
        facts.SizeBytes = _path.SizeBytes;
        if (Session.tellsAttributes(in request))
        {
            LookUp(ref facts);
        }

        byte* reply = stackalloc byte[Wire.MaxReplyLength];
        int length = Session.reply(
            _mount.File, in facts, in request, new Span<byte>(reply, Wire.MaxReplyLength));

        // An error tells that whoever asked has given up meanwhile, or that the file system is mounted no longer.
        _ = Libc.Write(_fd, reply, (nuint)length);
    }

    /// <summary>The data are there, and room for the header before them.</summary>
    private void AnswerRead(in FuseRequest request, byte* data)
    {
        NodeFacts facts = default;
        byte* reply = stackalloc byte[Wire.MaxReplyLength];
        int header = Session.reply(
            _mount.File, in facts, in request, new Span<byte>(reply, Wire.MaxReplyLength));
        new ReadOnlySpan<byte>(reply, header).CopyTo(new Span<byte>(data - header, header));
        _ = Libc.Write(_fd, data - header, (nuint)(header + request.Length));
    }

    private void LookUp(ref NodeFacts facts)
    {
        foreach (OpenFile file in _mount.Export.Files)
        {
            facts.AllocatedBytes += Math.Max(0, FileOpener.AllocatedSize(file.Fd));
        }

        facts.AlignmentBytes = _path.File?.Alignment ?? 1;
        DateTime now = DateTime.UtcNow;
        long ticks = (now - DateTime.UnixEpoch).Ticks;
        facts.Seconds = ticks / TimeSpan.TicksPerSecond;
        facts.Nanoseconds = (int)(ticks % TimeSpan.TicksPerSecond) * 100;
    }

    private void Release(int index)
    {
        ref Pending pending = ref _pending[index];
        if (_receive.IsNull && pending.Buffer.Capacity == Session.MaxTransfer && !_finished)
        {
            _receive = pending.Buffer;
            pending.Buffer = default;
        }

        _thread.Buffers.Return(ref pending.Buffer);
        pending.Used = false;
        pending.Next = _free;
        _free = index;
        _inFlight--;
    }

    private void ReleaseAll()
    {
        for (int i = 0; i < MaxInFlight; i++)
        {
            if (_pending[i].Used)
            {
                Release(i);
            }
        }
    }
}
