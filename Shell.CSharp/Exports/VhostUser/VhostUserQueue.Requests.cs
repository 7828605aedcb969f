using System;
using System.Collections.Generic;
using System.Diagnostics;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.VhostUser;
using StorageDaemon.Core.Virtio;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.VhostUser;

/// <summary>Carrying requests out.</summary>
internal sealed unsafe partial class VhostUserQueue
{
    /// <summary>Requests in flight per queue; while there are so many, others wait in the ring.</summary>
    private const int MaxInFlight = 1024;

    /// <summary>Transfers up to this length are done on the spot where the page cache can.</summary>
    private const long InlineMax = 128 << 10;

    /// <summary>Data that lie in several pieces go through a buffer, so many bytes of them at a time.</summary>
    private const long BounceMax = 4 << 20;

    /// <summary>What VIRTIO_BLK_T_GET_ID answers: the real daemon's.</summary>
    private static ReadOnlySpan<byte> Serial => "vhost_user_blk"u8;

    private readonly List<VhostUserRequest> _requests = [];
    private readonly Stack<VhostUserRequest> _freeRequests = new();
    private int _inFlight;

    /// <summary>A request that waits for memory.</summary>
    private VhostUserRequest? _held;

    private bool HasRoom => _freeRequests.Count > 0 || _requests.Count < MaxInFlight;

    private VhostUserRequest Reserve()
    {
        if (!_freeRequests.TryPop(out VhostUserRequest? request))
        {
            request = new VhostUserRequest(_requests.Count);
            _requests.Add(request);
        }

        _inFlight++;
        return request;
    }

    private void Release(VhostUserRequest request)
    {
        _thread.Buffers.Return(ref request.Buffer);
        _freeRequests.Push(request);
        _inFlight--;
    }

    /// <summary>A chain of the ring.</summary>
    private void Take(Span<Iovec> segments, in Chain chain, bool isRetaken)
    {
        if (_inflightLog != 0 && !isRetaken)
        {
            SplitInflight.take(default(MemoryStores), _inflightLog, chain.Id, _counter++);
        }

        VhostUserRequest request = Reserve();
        request.Head = chain.Id;
        request.SegmentCount = 0;
        request.Done = 0;
        request.Start = Stopwatch.GetTimestamp();
        switch (Blk.parse(in _device, _writesThrough, segments, in chain, ref request.Blk))
        {
            case BlkVerdict.Execute:
                request.TakeSegments(segments.Slice(request.Blk.FirstSegment, request.Blk.SegmentCount));
                if (!TryDoNow(request))
                {
                    Start(request);
                }

                break;
            case BlkVerdict.Identify:
                request.TakeSegments(segments.Slice(request.Blk.FirstSegment, request.Blk.SegmentCount));
                Blk.writeId(Serial, segments, in request.Blk);
                Complete(request, BlkWire.VIRTIO_BLK_S_OK, wroteData: true);
                break;
            case BlkVerdict.Answer:
                Complete(request, request.Blk.Status, wroteData: false);
                break;
            default:
                Release(request);
                Break(RingError.NoStatus);
                break;
        }
    }

    /// <summary>
    /// A transfer between the guest's memory and the page cache. A short or failed one goes the ordinary way, which
    /// finds out why.
    /// </summary>
    private bool TryDoNow(VhostUserRequest request)
    {
        NodePath path = _path;
        bool isWrite = request.Blk.Kind == RequestKind.Write;
        if (path.File is not { CanReadInline: true } file || request.Blk.LengthBytes > InlineMax
            || !(isWrite ? MayWriteNow(request, path) : request.Blk.Kind == RequestKind.Read))
        {
            return false;
        }

        long offset = path.BaseOffset + request.Blk.OffsetBytes;
        nint count;
        fixed (Iovec* segments = request.Segments)
        {
            count = isWrite
                ? Libc.Pwritev2(file.Fd, (IoVec*)segments, request.SegmentCount, offset, 0)
                : Libc.Preadv2(file.Fd, (IoVec*)segments, request.SegmentCount, offset, Libc.RWF_NOWAIT);
        }

        if (isWrite)
        {
            _thread.InlineWrites.Note(Stopwatch.GetTimestamp() - request.Start, request.Blk.LengthBytes);
        }

        if (count != request.Blk.LengthBytes)
        {
            return false;
        }

        if (isWrite)
        {
            path.NoteWrite(_stats, offset + request.Blk.LengthBytes);
        }

        Finish(request, 0);
        return true;
    }

    /// <summary>Not where writes have lately been slow.</summary>
    private bool MayWriteNow(VhostUserRequest request, NodePath path) =>
        !path.ReadOnly && path.DetectZeroes == DetectZeroes.Off && request.Blk.Flags == RequestFlags.None
        && _thread.InlineWrites.Allowed;

    private void Start(VhostUserRequest request)
    {
        if (!request.IsPlain && !TryRentBuffer(request))
        {
            _held = request;
            _thread.WaitForMemory(this);
            // Memory may have come back in between.
            _thread.Schedule(this);
            return;
        }

        Drive(request);
    }

    /// <summary>A queue that has nothing else in flight gets a buffer in any case, so that it always gets on.</summary>
    private bool TryRentBuffer(VhostUserRequest request) =>
        _thread.Buffers.TryRent(
            Math.Min(request.Blk.LengthBytes, BounceMax), anyway: _inFlight == 1, out request.Buffer);

    private void StartHeld()
    {
        if (_held is { } request && !_paused && !_closing)
        {
            if (TryRentBuffer(request))
            {
                _held = null;
                Drive(request);
            }
            else
            {
                _thread.WaitForMemory(this);
            }
        }
    }

    /// <summary>Goes on with a request until it has to wait or is complete.</summary>
    private void Drive(VhostUserRequest request)
    {
        do
        {
            FileRequest io = new() { Kind = request.Blk.Kind, Flags = request.Blk.Flags };
            request.UnderWay = request.Blk.LengthBytes - request.Done;
            byte* buffer = null;
            if (request.SegmentCount == 1)
            {
                buffer = (byte*)request.Segments[0].Base;
            }
            else if (request.SegmentCount > 1)
            {
                buffer = request.Buffer.Data;
                request.UnderWay = Math.Min(request.UnderWay, BounceMax);
                if (io.Kind == RequestKind.Write)
                {
                    request.CopyUnderWay(toGuest: false);
                }
            }

            io.Offset = request.Blk.OffsetBytes + request.Done;
            io.Length = request.UnderWay;
            request.IsStarting = true;
            request.HasEnded = false;
            _thread.StartOn(_path, in io, buffer, this, request.Tag);
            request.IsStarting = false;
        }
        while (request.HasEnded && HasMore(request, _startError));
    }

    // The error of a request that ended while it was begun; looked at right after that.
    private int _startError;

    public void OnRequestDone(int tag, in FileRequest request)
    {
        VhostUserRequest mine = _requests[tag];
        if (mine.IsStarting)
        {
            mine.HasEnded = true;
            _startError = request.Error;
        }
        else if (HasMore(mine, request.Error))
        {
            Drive(mine);
        }
    }

    /// <summary>A part of a request has ended; false if the whole has.</summary>
    private bool HasMore(VhostUserRequest request, int error)
    {
        if (error == 0 && request.SegmentCount > 1 && request.Blk.Kind == RequestKind.Read)
        {
            request.CopyUnderWay(toGuest: true);
        }

        request.Done += request.UnderWay;
        if (error == 0 && request.Done < request.Blk.LengthBytes)
        {
            return true;
        }

        Finish(request, error);
        return false;
    }

    private void Finish(VhostUserRequest request, int error)
    {
        RequestKind kind = request.Blk.Kind;
        _stats.Note(kind, request.Blk.LengthBytes, request.Start, Stopwatch.GetTimestamp(), error != 0);
        Complete(request, Blk.statusOf(error), wroteData: kind == RequestKind.Read);
    }

    private void Complete(VhostUserRequest request, byte status, bool wroteData)
    {
        if (_logsPages)
        {
            MarkWritten(request, wroteData);
        }

        Put(request.Head, Blk.complete(status, in request.Blk, wroteData));
        Release(request);
        _thread.Schedule(this);
    }
}
