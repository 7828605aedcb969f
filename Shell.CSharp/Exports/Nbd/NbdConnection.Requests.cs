using System;
using System.Threading;
using System.Diagnostics;
using System.Runtime.InteropServices;
using StorageDaemon.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>A request that could not be answered at once.</summary>
internal unsafe struct Pending
{
    internal Request Request;
    internal PoolBuffer Buffer;
    internal bool Used;

    /// <summary>
    /// A read of a range with holes: the number of stretches, then the end of each in bytes from the range's start,
    /// negative for a hole. Native memory; null for plain data.
    /// </summary>
    internal long* Stretches;

    /// <summary>How many of the stretches have been read or passed over.</summary>
    internal int NextStretch;

    /// <summary>
    /// Bytes of the payload that are written already and do not stand in the buffer, or of a read that are in the
    /// queue or sent.
    /// </summary>
    internal long Written;

    /// <summary>Where the part of the payload ends that the buffer takes.</summary>
    internal long PieceEnd;

    /// <summary>When the request was taken up, and what it counts as.</summary>
    internal long Start;
    internal RequestKind Kind;

    /// <summary>What is known of a block status's range so far; the descriptors stand in the buffer.</summary>
    internal ExtentList Extents;

    /// <summary>How often the layers have been asked for it.</summary>
    internal int StatusInquiries;

    /// <summary>They are being asked right now, and have answered meanwhile so that they are to be asked on.</summary>
    internal bool IsAsking;
    internal bool AskOn;
}

/// <summary>Carrying requests out.</summary>
internal sealed unsafe partial class NbdConnection
{
    /// <summary>Cached reads from this length up go from the page cache to the socket without a copy.</summary>
    private const long SendfileMin = 48 << 10;

    /// <summary>Writes from this length up are written piece by piece as they come in.</summary>
    private const long StreamMin = 48 << 10;

    private Pending[] _pending = [];
    private int _inFlight;
    private int _ioInFlight;

    public int InFlight => Volatile.Read(ref _inFlight);
    private long _heldBytes;
    private DataExtent _extent;

    /// <summary>Starts a request whose header is decoded. Of the bytes after it, those of its payload may be used.</summary>
    private void Execute(ref Request request, ReadOnlySpan<byte> bytes, out int payloadUsed)
    {
        payloadUsed = 0;
        if (request.Command == Wire.NBD_CMD_DISC)
        {
            _leaving = true;
            return;
        }

        if (request.Command == Wire.NBD_CMD_BLOCK_STATUS && request.PayloadLength > 0
            && !TakeStatusPayload(ref request, bytes, out payloadUsed))
        {
            return;
        }

        Reason reason = RequestModule.check(in _session, in request);
        if (reason != Reason.None)
        {
            Refuse(in request, reason, payloadUsed);
            return;
        }

        switch (request.Command)
        {
            case Wire.NBD_CMD_READ:
                Read(ref request);
                break;
            case Wire.NBD_CMD_WRITE:
                Write(ref request, bytes, out payloadUsed);
                break;
            case Wire.NBD_CMD_BLOCK_STATUS:
                BlockStatus(ref request);
                break;
            case Wire.NBD_CMD_WRITE_ZEROES:
                StartPlain(ref request, RequestKind.WriteZeroes);
                break;
            case Wire.NBD_CMD_TRIM:
                StartPlain(ref request, RequestKind.Discard);
                break;
            case Wire.NBD_CMD_FLUSH:
                StartPlain(ref request, RequestKind.Flush);
                break;
            case Wire.NBD_CMD_CACHE:
                Prefetch(ref request);
                break;
            default:
                throw new UnreachableException();
        }
    }

    /// <summary>Answers with an error and drops the payload, or the connection where its end cannot be found.</summary>
    private void Refuse(in Request request, Reason reason, int payloadUsed)
    {
        ReplyRefusal(in request, reason);
        if (RequestModule.closesConnection(reason))
        {
            _leaving = true;
        }
        else
        {
            _skip = request.PayloadLength - (ulong)payloadUsed;
        }
    }

    /// <summary>
    /// The payload of a block status request: decoded if it is there, or received first (then false). One that cannot
    /// be valid is left to be dropped.
    /// </summary>
    private bool TakeStatusPayload(ref Request request, ReadOnlySpan<byte> bytes, out int payloadUsed)
    {
        payloadUsed = 0;
        if (request.PayloadLength > (ulong)RequestModule.maxStatusPayloadLength(in _session))
        {
            return true;
        }

        int length = (int)request.PayloadLength;
        if (bytes.Length >= length)
        {
            RequestModule.decodeStatusPayload(in _session, bytes[..length], ref request);
            payloadUsed = length;
            return true;
        }

        if (TryTake(ref request, length, mayBeCut: true, out int index))
        {
            ExpectPiece(ref _pending[index]);
            _receiving = index;
            _received = 0;
            payloadUsed = TakePayload(bytes);
        }

        return false;
    }

    private void Write(ref Request request, ReadOnlySpan<byte> bytes, out int payloadUsed)
    {
        payloadUsed = 0;
        NodePath path = _path;
        long length = (long)request.Length;
        if (length == 0)
        {
            ReplyDone(in request);
            return;
        }

        if (bytes.Length >= length && path.File is { } file && TryWriteInline(in request, path, file, bytes[..(int)length]))
        {
            payloadUsed = (int)length;
            return;
        }

        bool streams = length >= StreamMin && MayWriteInline(in request, path);
        if (!TryTake(ref request, streams ? 0 : length, mayBeCut: true, out int index))
        {
            return;
        }

        _receiving = index;
        _received = 0;
        _streaming = streams;
        if (!streams)
        {
            ExpectPiece(ref _pending[index]);
        }

        payloadUsed = TakePayload(bytes);
    }

    /// <summary>
    /// A write into the page cache on the spot, unless writes have lately been slow (the kernel throttles writers of
    /// dirty pages, and the thread has other clients).
    /// </summary>
    private bool TryWriteInline(in Request request, NodePath path, OpenFile file, ReadOnlySpan<byte> data)
    {
        long offset = path.BaseOffset + (long)request.Offset;
        if (!MayWriteInline(in request, path) || !WriteNow(file, offset, data))
        {
            return false;
        }

        path.NoteWrite(_stats, offset + data.Length);
        CountAtOnce(RequestKind.Write, request.Length);
        ReplyDone(in request);
        return true;
    }

    private bool MayWriteInline(in Request request, NodePath path) =>
        _inline && path.File is { CanReadInline: true } && !path.ReadOnly && !IsFua(in request)
            && path.DetectZeroes == DetectZeroes.Off && _thread.InlineWrites.Allowed;

    /// <summary>False for a short or failed write: the ordinary way finds out why.</summary>
    private bool WriteNow(OpenFile file, long offset, ReadOnlySpan<byte> data)
    {
        fixed (byte* bytes = data)
        {
            IoVec iov = new() { Base = bytes, Length = (nuint)data.Length };
            long start = Stopwatch.GetTimestamp();
            nint count = Libc.Pwritev2(file.Fd, &iov, 1, offset, 0);
            _thread.InlineWrites.Note(Stopwatch.GetTimestamp() - start, data.Length);
            return count == data.Length;
        }
    }

    /// <summary>
    /// Writes what has come of a long payload, while the client sends the rest: the pieces stay in the processor's cache
    /// on their way, and neither side waits for the other. A write that breaks off with its connection may be there in
    /// part, as it may be after any unanswered request. Returns the bytes used.
    /// </summary>
    private int TakeStreamed(ReadOnlySpan<byte> bytes)
    {
        int index = _receiving;
        ref Pending pending = ref _pending[index];
        NodePath path = _path;
        long length = (long)pending.Request.Length;
        int count = (int)Math.Min(length - _received, bytes.Length);
        ReadOnlySpan<byte> part = bytes[..count];
        long offset = path.BaseOffset + (long)pending.Request.Offset + _received;
        if (!MayWriteInline(in pending.Request, path) || !WriteNow(path.File!, offset, part))
        {
            return BufferRest(index, part);
        }

        _received += count;
        if (_received == length)
        {
            _receiving = -1;
            _streaming = false;
            path.NoteWrite(_stats, offset + count);
            pending.Kind = RequestKind.Write;
            CountEnd(ref pending, failed: false);
            ReplyDone(in pending.Request);
            Release(index);
        }

        return count;
    }

    /// <summary>From here on the payload goes the ordinary way: into a buffer, and through the ring.</summary>
    private int BufferRest(int index, ReadOnlySpan<byte> part)
    {
        ref Pending pending = ref _pending[index];
        long rest = (long)pending.Request.Length - _received;
        _streaming = false;
        if (!TryRent(rest, out pending.Buffer) && !TryRentPiece(rest, out pending.Buffer))
        {
            ReplyError(in pending.Request, Errno.ENOMEM);
            _skip = (ulong)rest;
            _receiving = -1;
            Release(index);
            return 0;
        }

        pending.Written = _received;
        ExpectPiece(ref pending);
        return TakePayload(part);
    }

    private bool IsFua(in Request request) =>
        _export.Writethrough || (request.Flags & Wire.NBD_CMD_FLAG_FUA) != 0;

    private void FinishPayloadIfComplete()
    {
        int index = _receiving;
        ref Pending pending = ref _pending[index];
        if (_received < pending.PieceEnd)
        {
            return;
        }

        if (pending.PieceEnd == (long)pending.Request.PayloadLength)
        {
            _receiving = -1;
        }
        else
        {
            _pieceInFlight = true;
        }

        if (pending.Request.Command == Wire.NBD_CMD_BLOCK_STATUS)
        {
            FinishStatusPayload(index);
            return;
        }

        FileRequest write = new()
        {
            Kind = RequestKind.Write,
            Flags = IsFua(in pending.Request) ? RequestFlags.Fua : RequestFlags.None,
            Offset = (long)pending.Request.Offset + pending.Written,
            Length = pending.PieceEnd - pending.Written,
        };
        StartIo(in write, pending.Buffer.Data, index);
    }

    private void FinishStatusPayload(int index)
    {
        Request request = _pending[index].Request;
        ReadOnlySpan<byte> payload = new(_pending[index].Buffer.Data, (int)request.PayloadLength);
        RequestModule.decodeStatusPayload(in _session, payload, ref request);
        Release(index);
        Reason reason = RequestModule.check(in _session, in request);
        if (reason == Reason.None)
        {
            BlockStatus(ref request);
        }
        else
        {
            ReplyRefusal(in request, reason);
        }
    }

    private void StartPlain(ref Request request, RequestKind kind)
    {
        if (kind != RequestKind.Flush && request.Length == 0)
        {
            ReplyDone(in request);
            return;
        }

        if (!TryTake(ref request, 0, mayBeCut: false, out int index))
        {
            return;
        }

        FileRequest prototype = new()
        {
            Kind = kind,
            Offset = kind == RequestKind.Flush ? 0 : (long)request.Offset,
            Length = kind == RequestKind.Flush ? 0 : (long)request.Length,
        };
        if (kind == RequestKind.WriteZeroes)
        {
            if ((request.Flags & Wire.NBD_CMD_FLAG_NO_HOLE) == 0)
            {
                prototype.Flags |= RequestFlags.MayUnmap;
            }

            if ((request.Flags & Wire.NBD_CMD_FLAG_FAST_ZERO) != 0)
            {
                prototype.Flags |= RequestFlags.NoFallback;
            }
        }

        // A trim is not written through, but a client may ask for it to be durable.
        bool fua = kind == RequestKind.WriteZeroes
            ? IsFua(in request)
            : (request.Flags & Wire.NBD_CMD_FLAG_FUA) != 0;
        if (fua && (kind is RequestKind.WriteZeroes or RequestKind.Discard))
        {
            prototype.Flags |= RequestFlags.Fua;
        }

        StartIo(in prototype, null, index);
    }

    /// <summary>
    /// Brings the first stretch of data of the range into the cache. Holes are left alone: pages of zeroes over
    /// preallocated space would count as data from then on.
    /// </summary>
    private void Prefetch(ref Request request)
    {
        NodePath path = _path;
        if (path.ExtentsFile is { } file && request.Length > 0)
        {
            long offset = path.ExtentsOffset + (long)request.Offset;
            bool isHole = _extent.Lookup(file, offset, offset + (long)request.Length, out long end);
            if (isHole)
            {
                ReplyDone(in request);
                return;
            }

            request.Length = Math.Min(request.Length, (ulong)(end - offset));
        }

        StartPlain(ref request, RequestKind.Prefetch);
    }

    private void StartIo(in FileRequest request, byte* buffer, int index)
    {
        _ioInFlight++;
        _pending[index].Kind = request.Kind;
        _thread.StartOn(_path, in request, buffer, this, index);
    }

    /// <summary>A request has been answered on the spot.</summary>
    private void CountAtOnce(RequestKind kind, ulong lengthBytes)
    {
        long now = Stopwatch.GetTimestamp();
        _stats.Note(kind, (long)lengthBytes, _clock, now, failed: false);
        _clock = now;
    }

    private void CountEnd(ref Pending pending, bool failed) =>
        _stats.Note(
            pending.Kind,
            pending.Kind == RequestKind.Flush ? 0 : (long)pending.Request.Length,
            pending.Start,
            Stopwatch.GetTimestamp(),
            failed);

    /// <summary>
    /// Makes the request one in flight, with a buffer of that length, or with a shorter one if it may be cut. False if
    /// there is no memory: then it is parked and runs again when some comes back.
    /// </summary>
    private bool TryTake(ref Request request, long bufferLength, bool mayBeCut, out int index)
    {
        index = -1;
        if (!TryRent(bufferLength, out PoolBuffer buffer) && !(mayBeCut && TryRentShare(bufferLength, out buffer)))
        {
            if (mayBeCut && _inFlight == 0)
            {
                // Not the budget but the system has no memory: none of our own will come back.
                ReplyError(in request, Errno.ENOMEM);
                _skip = request.PayloadLength;
            }
            else
            {
                _parked = request;
                _hasParked = true;
            }

            return false;
        }

        if (_pending.Length == 0)
        {
            AllocatePending();
        }

        index = 0;
        while (_pending[index].Used)
        {
            index++;
        }

        ref Pending pending = ref _pending[index];
        pending.Request = request;
        pending.Buffer = buffer;
        pending.Written = 0;
        pending.Start = _clock;
        pending.Used = true;
        _inFlight++;
        return true;
    }

    /// <summary>
    /// A buffer for a request. No connection holds more than its part of the budget, and one that holds nothing is
    /// always given a small one: see <see cref="ShareLength"/>.
    /// </summary>
    private bool TryRent(long length, out PoolBuffer buffer)
    {
        buffer = default;
        if (length == 0)
        {
            return true;
        }

        if (_heldBytes > 0 && _heldBytes + length > _thread.Budget.PerConnection)
        {
            return false;
        }

        bool anyway = _heldBytes == 0 && length <= ShareLength;
        if (!_thread.Buffers.TryRent(length, anyway, out buffer))
        {
            _thread.WaitForMemory(this);
            if (!_thread.Buffers.TryRent(length, anyway, out buffer))
            {
                return false;
            }
        }

        _heldBytes += buffer.Capacity;
        return true;
    }

    private void ReturnBuffer(ref Pending pending)
    {
        if (!pending.Buffer.IsNull)
        {
            _heldBytes -= pending.Buffer.Capacity;
            _thread.Buffers.Return(ref pending.Buffer);
        }
    }

    private void Release(int index)
    {
        ref Pending pending = ref _pending[index];
        ReturnBuffer(ref pending);
        NativeMemory.Free(pending.Stretches);
        pending.Stretches = null;
        pending.Used = false;
        _inFlight--;
        if (index == _piecewise)
        {
            _piecewise = -1;
        }

        if (_hasParked && !_closing)
        {
            _thread.Schedule(this);
        }
    }

    public void OnRequestDone(int tag, in FileRequest request)
    {
        ref Pending pending = ref _pending[tag];
        _ioInFlight--;
        _thread.Schedule(this);
        if (pending.Kind == RequestKind.BlockStatus)
        {
            TakeStatus(tag, in request);
            TellDrained();
            return;
        }

        bool isPayloadPiece = _pieceInFlight && tag == _receiving;
        if (isPayloadPiece)
        {
            EndPayloadPiece(ref pending, failed: request.Error != 0);
        }

        if (_closing)
        {
            Release(tag);
        }
        else if (request.Error != 0)
        {
            CountEnd(ref pending, failed: true);
            if (CanTellError(tag))
            {
                QueueError(tag, request.Error);
            }
            else
            {
                Fail();
                Release(tag);
            }
        }
        else if (isPayloadPiece)
        {
            // The rest of the payload follows.
        }
        else if (tag == _piecewise)
        {
            QueuePiece(tag);
        }
        else if (pending.Request.Command == Wire.NBD_CMD_READ)
        {
            if (pending.Stretches == null)
            {
                CountEnd(ref pending, failed: false);
            }

            FinishRead(tag);
        }
        else
        {
            CountEnd(ref pending, failed: false);
            ReturnBuffer(ref pending);
            QueueDone(tag);
        }

        TellDrained();
    }
}
