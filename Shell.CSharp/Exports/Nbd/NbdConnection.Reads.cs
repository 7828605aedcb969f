using System;
using System.Runtime.InteropServices;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// Reads: from the page cache at once, from the page cache to the socket without a copy, or through the ring; holes are
/// told apart where the client can be told of them.
/// </summary>
internal sealed unsafe partial class NbdConnection
{
    /// <summary>Reads up to this length are answered through the shared reply buffer.</summary>
    private const long InlineReadMax = 64 << 10;

    /// <summary>Of a short read, answered on the spot: 4 KiB blocks in turn.</summary>
    private const int MaxInlineChunks = 17;

    /// <summary>More stretches of holes and data than this are answered as data.</summary>
    private const int MaxSparseChunks = 512;

    private void Read(ref Request request)
    {
        NodePath path = _path;
        long length = (long)request.Length;
        if (length == 0)
        {
            ReplyDone(in request);
            return;
        }

        if (path.IsNull && path.LatencyNs == 0)
        {
            ReadNull(ref request, path);
            return;
        }

        bool mayHaveHoles = MayHaveHoles(in request, path);
        if (mayHaveHoles && TryReadSparse(ref request, path))
        {
            return;
        }

        // The look-up may just have found that it is all data.
        mayHaveHoles = mayHaveHoles && MayHaveHoles(in request, path);
        if (_inline && path.File is { CanReadInline: true } file && !mayHaveHoles)
        {
            long offset = path.BaseOffset + (long)request.Offset;
            if (length <= InlineReadMax && _outCount == 0 && TryReadInline(in request, file, offset, length))
            {
                return;
            }

            if (length >= SendfileMin && IsCached(file, offset, length))
            {
                ReadWithoutBuffer(ref request, file.Fd, offset, length);
                return;
            }
        }

        if (!TryTake(ref request, length, mayBeCut: _inFlight == 0, out int index))
        {
            return;
        }

        if (_pending[index].Buffer.Capacity < length)
        {
            StartPiecewise(index);
            return;
        }

        if (mayHaveHoles && FindStretches(in request, path) is var stretches && stretches != null)
        {
            _pending[index].Stretches = stretches;
            _pending[index].NextStretch = 0;
            StartNextStretch(index);
            return;
        }

        FileRequest read = new() { Kind = RequestKind.Read, Offset = (long)request.Offset, Length = length };
        StartIo(in read, _pending[index].Buffer.Data, index);
    }

    /// <summary>Whether the client may be told of holes, and the range is not known to have none.</summary>
    private bool MayHaveHoles(in Request request, NodePath path) =>
        _inline && path.ExtentsFile is { } file && WantsHoles(in request)
            && !_extent.Covers(file, path.ExtentsOffset + (long)request.Offset, (long)request.Length);

    /// <summary>
    /// Reads the next stretch of data, or replies when none is left. Holes are not read: that would bring pages of
    /// zeroes into the cache, which count as data from then on.
    /// </summary>
    private void StartNextStretch(int index)
    {
        ref Pending pending = ref _pending[index];
        while (pending.NextStretch < pending.Stretches[0])
        {
            long start = pending.NextStretch == 0 ? 0 : Math.Abs(pending.Stretches[pending.NextStretch]);
            long end = pending.Stretches[++pending.NextStretch];
            if (end > 0)
            {
                FileRequest read = new()
                {
                    Kind = RequestKind.Read,
                    Offset = (long)pending.Request.Offset + start,
                    Length = end - start,
                };
                StartIo(in read, pending.Buffer.Data + start, index);
                return;
            }
        }

        QueueSparse(index);
    }

    /// <summary>Whether a read may be answered with hole chunks.</summary>
    private bool WantsHoles(in Request request) =>
        _session.Mode != ReplyMode.Simple && (request.Flags & Wire.NBD_CMD_FLAG_DF) == 0;

    private void ReadNull(ref Request request, NodePath path)
    {
        if (path.ReadsZeroes && WantsHoles(in request))
        {
            CountAtOnce(RequestKind.Read, request.Length);
            ReplyHole(in request);
        }
        else
        {
            ReplyZeroData(ref request);
        }
    }

    /// <summary>A cached read into the shared reply buffer; false if the page cache does not hold all of it.</summary>
    private bool TryReadInline(in Request request, OpenFile file, long offset, long length)
    {
        int header = Reply.readHeaderLength(in _session, request.Length);
        byte* reply = ReserveReply(header + (int)length);
        if (_outCount != 0)
        {
            // Making room has filled the queue: what is gathered now could overtake it.
            return false;
        }

        IoVec iov = new() { Base = reply + header, Length = (nuint)length };
        nint count = Libc.Preadv2(file.Fd, &iov, 1, offset, Libc.RWF_NOWAIT);
        if (count != length)
        {
            return false;
        }

        _ = Reply.writeRead(in _session, new Span<byte>(reply, header), in request);
        CommitReply(header + (int)length);
        CountAtOnce(RequestKind.Read, request.Length);
        return true;
    }

    private static bool IsCached(OpenFile file, long offset, long length)
    {
        CacheStatRange range = new() { Offset = (ulong)offset, Length = (ulong)length };
        CacheStat stat;
        if (Libc.Syscall(Libc.SYS_cachestat, file.Fd, (nint)(&range), (nint)(&stat), 0, 0, 0) < 0)
        {
            return false;
        }

        const int pageShift = 12;
        ulong pages = (((ulong)(offset + length) - 1) >> pageShift) - ((ulong)offset >> pageShift) + 1;
        return stat.Cache >= pages;
    }

    /// <summary>
    /// Answers a read that touches holes: a hole chunk where all is hole, several chunks where the page cache can give
    /// the data. False if it is plain data after all, or must be read in the ordinary way.
    /// </summary>
    private bool TryReadSparse(ref Request request, NodePath path)
    {
        OpenFile file = path.ExtentsFile!;
        long offset = path.ExtentsOffset + (long)request.Offset;
        long length = (long)request.Length;
        long end = offset + length;
        bool isHole = _extent.Lookup(file, offset, end, out long extentEnd);
        if (extentEnd >= end)
        {
            if (isHole)
            {
                CountAtOnce(RequestKind.Read, request.Length);
                ReplyHole(in request);
            }

            return isHole;
        }

        if (length > InlineReadMax || _outCount != 0 || file != path.File || !file.CanReadInline)
        {
            return false;
        }

        int room = (int)length + (MaxInlineChunks * Reply.MaxHeaderLength);
        byte* reply = ReserveReply(room);
        if (_outCount != 0)
        {
            return false;
        }

        int used = 0;
        long position = offset;
        for (int chunk = 0; chunk < MaxInlineChunks; chunk++)
        {
            long chunkLength = Math.Min(extentEnd, end) - position;
            bool last = position + chunkLength == end;
            Span<byte> target = new(reply + used, room - used);
            if (isHole)
            {
                used += Reply.writeHoleChunk(
                    in _session, target, in request, last, request.Offset + (ulong)(position - offset), (uint)chunkLength);
            }
            else
            {
                int header = Reply.writeDataChunk(
                    in _session, target, in request, last, request.Offset + (ulong)(position - offset), (uint)chunkLength);
                IoVec iov = new() { Base = reply + used + header, Length = (nuint)chunkLength };
                if (Libc.Preadv2(file.Fd, &iov, 1, position, Libc.RWF_NOWAIT) != chunkLength)
                {
                    return false;
                }

                used += header + (int)chunkLength;
            }

            if (last)
            {
                CommitReply(used);
                CountAtOnce(RequestKind.Read, request.Length);
                return true;
            }

            position += chunkLength;
            isHole = _extent.Lookup(file, position, end, out extentEnd);
        }

        return false;
    }

    private void FinishRead(int index)
    {
        if (_pending[index].Stretches != null)
        {
            StartNextStretch(index);
        }
        else
        {
            QueueRead(index);
        }
    }

    /// <summary>The stretches of a range (see <see cref="Pending.Stretches"/>), or null if it is worth no more than data.</summary>
    private long* FindStretches(in Request request, NodePath path)
    {
        OpenFile file = path.ExtentsFile!;
        long offset = path.ExtentsOffset + (long)request.Offset;
        long length = (long)request.Length;
        long* stretches = (long*)NativeMemory.Alloc((MaxSparseChunks + 1) * sizeof(long));
        long count = 0;
        for (long position = 0; position < length;)
        {
            if (count == MaxSparseChunks)
            {
                NativeMemory.Free(stretches);
                return null;
            }

            bool isHole = _extent.Lookup(file, offset + position, offset + length, out long end);
            position = Math.Min(end - offset, length);
            stretches[++count] = isHole ? -position : position;
        }

        *stretches = count;
        return stretches;
    }

    /// <summary>A read with holes: a chunk for each stretch, the data from where they were read to.</summary>
    private void QueueSparse(int index)
    {
        ref Pending pending = ref _pending[index];
        ref Request request = ref pending.Request;
        int count = (int)pending.Stretches[0];
        byte* headers = (byte*)NativeMemory.Alloc((nuint)(count * Reply.MaxHeaderLength));
        long start = 0;
        for (int i = 0; i < count; i++)
        {
            long mark = pending.Stretches[i + 1];
            bool isHole = mark < 0;
            long end = Math.Abs(mark);
            bool last = i == count - 1;
            uint length = (uint)(end - start);
            OutItem item = new() { Data = headers + (i * Reply.MaxHeaderLength), Pending = -1 };
            Span<byte> header = new(item.Data, Reply.MaxHeaderLength);
            ulong at = request.Offset + (ulong)start;
            item.Length = isHole
                ? Reply.writeHoleChunk(in _session, header, in request, last, at, length)
                : Reply.writeDataChunk(in _session, header, in request, last, at, length);
            if (!isHole)
            {
                Push(in item);
                item = new OutItem { Data = pending.Buffer.Data + start, Length = (int)length, Pending = -1 };
            }

            if (last)
            {
                item.Pending = index;
                item.Owned = headers;
            }

            Push(in item);
            start = end;
        }
    }
}
