using System;
using System.Diagnostics;
using System.Runtime.InteropServices;
using StorageDaemon.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// Output. Replies made on the spot gather in the thread's reply buffer and leave with one send per turn. Replies of
/// requests in flight, and what the socket would not take, wait in a queue; while it is not empty nothing new is
/// gathered, so pieces leave in order and whole.
/// </summary>
internal sealed unsafe partial class NbdConnection
{
    // Each request in flight has at most one item, and the rest of a gathered batch may be one more.
    private const int QueueLength = 32;
    private const int MaxVectors = 16;

    // In place of a descriptor: what is sent is zeroes.
    private const int NoFile = -1;

    private const long LongTurnNs = 2_000_000;

    // Replies that wait for a client that does not read; with more than this no further request is taken up.
    private const long MaxCopiedBytes = 1 << 20;

    private OutItem[] _out = [];
    private int _outHead;
    private int _outCount;
    private int _gathered;
    private long _copiedBytes;
    private bool _writable = true;
    private byte* _headers;

    private void AllocatePending()
    {
        _pending = new Pending[MaxInFlight];
        _headers = (byte*)NativeMemory.Alloc(MaxInFlight * MaxHeader);
    }

    private void ReleaseAll()
    {
        while (_outCount > 0)
        {
            PopItem();
        }

        for (int i = 0; i < _pending.Length; i++)
        {
            if (_pending[i].Used)
            {
                Release(i);
            }
        }

        NativeMemory.Free(_headers);
        _headers = null;
    }

    /// <summary>Room in the reply buffer; what is there already leaves first if need be.</summary>
    private byte* ReserveReply(int length)
    {
        if (_gathered + length > IOThread.ScratchLength)
        {
            FlushScratch();
        }

        return _thread.ReplyScratch + _gathered;
    }

    private void CommitReply(int length) => _gathered += length;

    /// <summary>A reply without payload, at once if nothing waits.</summary>
    private void ReplyDone(in Request request)
    {
        Span<byte> reply = stackalloc byte[MaxHeader];
        int length = request.Command == Wire.NBD_CMD_READ
            ? Reply.writeRead(in _session, reply, in request)
            : Reply.writeSuccess(in _session, reply, in request);
        SendReply(reply[..length]);
    }

    private void ReplyHole(in Request request)
    {
        Span<byte> reply = stackalloc byte[MaxHeader];
        int length = Reply.writeHoleChunk(
            in _session, reply, in request, true, request.Offset, (uint)request.Length);
        SendReply(reply[..length]);
    }

    private void ReplyRefusal(in Request request, Reason reason) =>
        SendReply(Reply.error(
            in _session,
            in request,
            RequestModule.refusalError(reason),
            RequestModule.reasonText(in _session, reason, in request)));

    private void SendReply(ReadOnlySpan<byte> reply)
    {
        if (_outCount == 0)
        {
            reply.CopyTo(new Span<byte>(ReserveReply(reply.Length), reply.Length));
        }

        if (_outCount == 0)
        {
            CommitReply(reply.Length);
        }
        else
        {
            // Making room may just have filled the queue.
            QueueCopy(reply);
        }
    }

    private void ReplyZeroData(ref Request request)
    {
        int length = (int)request.Length;
        if (length > InlineReadMax || _outCount > 0)
        {
            ReadWithoutBuffer(ref request, NoFile, 0, length);
            return;
        }

        int header = Reply.readHeaderLength(in _session, request.Length);
        byte* reply = ReserveReply(header + length);
        if (_outCount > 0)
        {
            // Making room has filled the queue: what is gathered now could overtake it.
            ReadWithoutBuffer(ref request, NoFile, 0, length);
            return;
        }

        _ = Reply.writeRead(in _session, new Span<byte>(reply, header), in request);
        new Span<byte>(reply + header, length).Clear();
        CommitReply(header + length);
        CountAtOnce(RequestKind.Read, request.Length);
    }

    /// <summary>A read whose data go to the socket from the page cache, or are zeroes without a file.</summary>
    private void ReadWithoutBuffer(ref Request request, int fileFd, long offset, long length)
    {
        if (!TryTake(ref request, 0, mayBeCut: false, out int index))
        {
            return;
        }

        _pending[index].Kind = RequestKind.Read;
        byte* header = _headers + (index * MaxHeader);
        int headerLength = Reply.writeRead(in _session, new Span<byte>(header, MaxHeader), in request);
        Push(new OutItem
        {
            Data = header,
            Length = headerLength,
            FileFd = fileFd,
            FileOffset = offset,
            FileLength = length,
            Pending = index,
        });
    }

    /// <summary>The header goes right before the data, so that both are one piece.</summary>
    private void QueueRead(int index)
    {
        ref Pending pending = ref _pending[index];
        int header = Reply.readHeaderLength(in _session, pending.Request.Length);
        byte* start = pending.Buffer.Data - header;
        _ = Reply.writeRead(in _session, new Span<byte>(start, header), in pending.Request);
        Push(new OutItem { Data = start, Length = header + (int)pending.Request.Length, Pending = index });
    }

    private void QueueDone(int index)
    {
        byte* header = _headers + (index * MaxHeader);
        int length = Reply.writeSuccess(in _session, new Span<byte>(header, MaxHeader), in _pending[index].Request);
        Push(new OutItem { Data = header, Length = length, Pending = index });
    }

    private void QueueError(int index, int errno)
    {
        byte[] reply = ErrorReply(in _pending[index].Request, errno);
        Release(index);
        QueueCopy(reply);
    }

    private void ReplyError(in Request request, int errno) => SendReply(ErrorReply(in request, errno));

    private byte[] ErrorReply(in Request request, int errno) => Reply.error(
        in _session,
        in request,
        RequestModule.errorOfErrno(errno),
        RequestModule.reasonText(in _session, RequestModule.failureReason(request.Command), in request));

    private void QueueCopy(ReadOnlySpan<byte> bytes)
    {
        byte* copy = (byte*)NativeMemory.Alloc((nuint)bytes.Length);
        bytes.CopyTo(new Span<byte>(copy, bytes.Length));
        _copiedBytes += bytes.Length;
        Push(new OutItem { Data = copy, Length = bytes.Length, Pending = -1, Owned = copy, CopiedBytes = bytes.Length });
    }

    private void Push(in OutItem item)
    {
        if (_gathered > 0)
        {
            FlushScratch();
        }

        if (_out.Length == 0)
        {
            _out = new OutItem[QueueLength];
        }
        else if (_outCount == _out.Length)
        {
            Grow();
        }

        _out[(_outHead + _outCount) & (_out.Length - 1)] = item;
        _outCount++;
    }

    /// <summary>Replies to a client that does not read may exceed the usual bound a little; its input stops then.</summary>
    private void Grow()
    {
        OutItem[] larger = new OutItem[_out.Length * 2];
        for (int i = 0; i < _outCount; i++)
        {
            larger[i] = _out[(_outHead + i) & (_out.Length - 1)];
        }

        _out = larger;
        _outHead = 0;
    }

    private void PopItem()
    {
        ref OutItem item = ref _out[_outHead];
        NativeMemory.Free(item.Owned);
        item.Owned = null;
        if (item.OwnsFile)
        {
            _ = Libc.Close(item.FileFd);
        }

        _copiedBytes -= item.CopiedBytes;
        if (item.Pending >= 0 && !GoesOn(item.Pending))
        {
            Release(item.Pending);
        }

        _outHead = (_outHead + 1) & (_out.Length - 1);
        _outCount--;
    }

    /// <summary>Sends what was gathered; what the socket does not take goes to the head of the empty queue.</summary>
    private void FlushScratch()
    {
        int length = _gathered;
        _gathered = 0;
        if (length > 0 && _outCount > 0)
        {
            QueueCopy(new ReadOnlySpan<byte>(_thread.ReplyScratch, length));
            return;
        }

        int sent = 0;
        while (sent < length && !_closing)
        {
            nint count = Libc.Send(_fd, _thread.ReplyScratch + sent, (nuint)(length - sent), Libc.MSG_NOSIGNAL);
            if (count >= 0)
            {
                sent += (int)count;
                continue;
            }

            int errno = Libc.Errno;
            if (errno == Errno.EAGAIN)
            {
                _writable = false;
                QueueCopy(new ReadOnlySpan<byte>(_thread.ReplyScratch + sent, length - sent));
                return;
            }

            if (errno != Errno.EINTR)
            {
                Fail();
            }
        }
    }

    private void FlushQueue()
    {
        while (_outCount > 0 && _writable && !_closing)
        {
            if (_out[_outHead].Length > 0)
            {
                SendItems();
            }
            else
            {
                SendFileRange(ref _out[_outHead]);
            }
        }
    }

    /// <summary>Sends the memory of as many items as follow one another without a file range between them.</summary>
    private void SendItems()
    {
        IoVec* iov = stackalloc IoVec[MaxVectors];
        int vectors = 0;
        bool fileFollows = false;
        while (vectors < MaxVectors && vectors < _outCount && !fileFollows)
        {
            ref OutItem item = ref _out[(_outHead + vectors) & (_out.Length - 1)];
            iov[vectors++] = new IoVec { Base = item.Data, Length = (nuint)item.Length };
            fileFollows = item.FileLength > 0;
        }

        MsgHdr message = new() { Vectors = iov, VectorCount = (nuint)vectors };
        nint count = Libc.SendMsg(_fd, &message, Libc.MSG_NOSIGNAL | (fileFollows ? Libc.MSG_MORE : 0));
        if (count < 0)
        {
            NoteSendError(Libc.Errno);
            return;
        }

        while (count > 0)
        {
            ref OutItem item = ref _out[_outHead];
            int taken = (int)Math.Min(count, item.Length);
            item.Data += taken;
            item.Length -= taken;
            count -= taken;
            if (item.Length == 0)
            {
                if (item.FileLength > 0)
                {
                    return;
                }

                PopItem();
            }
        }
    }

    private void SendFileRange(ref OutItem item)
    {
        long offset = item.FileOffset;
        nint count = item.FileFd == NoFile ? 0 : Libc.Sendfile(_fd, item.FileFd, &offset, (nuint)item.FileLength);
        if (count < 0)
        {
            NoteSendError(Libc.Errno);
            return;
        }

        if (count == 0)
        {
            // There is no file, or it has become shorter than the export: the rest reads as zeroes.
            count = Libc.Send(
                _fd,
                IOThread.Zeroes,
                (nuint)Math.Min(item.FileLength, Core.Io.FileRequestModule.ZeroBufferLength),
                Libc.MSG_NOSIGNAL);
            if (count < 0)
            {
                NoteSendError(Libc.Errno);
                return;
            }
        }

        item.FileOffset += count;
        item.FileLength -= count;
        if (item.FileLength == 0)
        {
            CountEnd(ref _pending[item.Pending], failed: false);
            PopItem();
        }
    }

    private void NoteSendError(int errno)
    {
        if (errno == Errno.EAGAIN)
        {
            _writable = false;
        }
        else if (errno != Errno.EINTR)
        {
            // The peer is gone, or the file failed in the middle of a reply that has promised its data.
            Fail();
        }
    }
}
