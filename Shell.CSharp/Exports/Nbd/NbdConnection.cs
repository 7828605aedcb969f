using System;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using StorageDaemon.Core;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// One client in the transmission phase, on its IOThread. Input is taken in large receives and worked off request by
/// request; what the page cache can answer at once is answered at once into a shared reply buffer, and only the rest
/// becomes a request in flight with a buffer of its own. The protocol itself is <see cref="RequestModule"/> and <see cref="Core.Nbd.Reply"/>.
/// </summary>
internal sealed unsafe partial class NbdConnection : IExportClient, IReadyHandler, IRequestOwner
{
    /// <summary>Requests in flight per connection, as in the real daemon; a client that sends more waits.</summary>
    internal const int MaxInFlight = 16;

    private const int MaxHeader = 64;
    private const int MaxRoundsPerTurn = 8;
    private const int ReceiveLength = 128 << 10;

    private readonly SharedExport _export;
    private readonly Action<NbdConnection> _closed;
    private readonly Session _session;
    private readonly int _fd;
    private IOThread _thread;

    // The thread's number for the descriptor; negative while no thread watches it.
    private int _key = -1;

    // Those of the export, taken over whenever no request is in flight.
    private NodePath _path;
    private IoStats _stats;

    // Whether the path is as long as the client was told, so that requests need no further look.
    private bool _inline;

    // When the request in hand was begun, in Stopwatch ticks.
    private long _clock;

    // Requests that look a file's extents up may take long: then other connections have their turn first.
    private long _turnStart;
    private bool _turnOver;

    // Reads taken up in this turn.
    private int _readsTaken;
    private TurnPacing _pacing = new();
    private bool _readable = true;
    private bool _hangup;
    // The client does not read any more either.
    private bool _gone;

    // The client has said good-bye or closed its sending side: no more input, but all replies.
    private bool _leaving;
    private bool _closing;
    private bool _finished;

    private Header _carry;
    private int _carryLength;

    // Bytes that were received but could not be taken up yet.
    private byte* _backlog;
    private int _backlogStart;
    private int _backlogEnd;

    // Payload bytes of a refused request that are still to be thrown away.
    private ulong _skip;

    // A write whose payload is being received, and how much of it is there; -1 for none.
    private int _receiving = -1;
    private long _received;

    /// <summary>The payload that is being received is written as it comes in, and has no buffer.</summary>
    private bool _streaming;

    // A request that waits for memory.
    private Request _parked;
    private bool _hasParked;

    [InlineArray(MaxHeader)]
    private struct Header
    {
        private byte _first;
    }

    internal NbdConnection(
        IOThread thread,
        SharedExport export,
        int fd,
        in Session session,
        ReadOnlySpan<byte> unread,
        Action<NbdConnection> closed)
    {
        _thread = thread;
        _export = export;
        _fd = fd;
        _session = session;
        _closed = closed;
        _path = export.Path;
        _stats = _path.StatsOf(thread.Index);
        if (unread.Length > 0)
        {
            KeepBacklog(unread);
        }
    }

    public bool Scheduled { get; set; }

    public IOThread Thread => _thread;

    public void Attach()
    {
        TakePath();
        _key = _thread.Register(_fd, this);
        if (_key < 0)
        {
            Fail();
        }

        _thread.Schedule(this);
    }

    public void Abort()
    {
        if (!_closing)
        {
            Fail();
            _thread.Schedule(this);
        }
    }

    public void OnReady(uint events)
    {
        if ((events & (Libc.EPOLLRDHUP | Libc.EPOLLHUP | Libc.EPOLLERR)) != 0)
        {
            _hangup = true;
            _readable = true;
        }

        if ((events & (Libc.EPOLLHUP | Libc.EPOLLERR)) != 0)
        {
            _gone = true;
            if (_leaving)
            {
                Fail();
            }
        }

        if ((events & Libc.EPOLLIN) != 0)
        {
            _readable = true;
        }

        if ((events & Libc.EPOLLOUT) != 0)
        {
            _writable = true;
        }

        _thread.Schedule(this);
    }

    public bool Run()
    {
        if (_finished)
        {
            return false;
        }

        _turnOver = false;
        _turnStart = Stopwatch.GetTimestamp();
        _clock = _turnStart;
        if (!_closing)
        {
            FlushQueue();
            if (_pieceDue && !_paused && !_closing)
            {
                ReadPiece();
            }

            TakeInput();
            FlushScratch();
            if (_readsTaken > 0)
            {
                _pacing.TurnEnded(Stopwatch.GetTimestamp(), _readsTaken);
                _readsTaken = 0;
            }

            FlushQueue();
        }

        if (_leaving && _inFlight == 0 && _outCount == 0)
        {
            Fail();
        }

        if (_closing)
        {
            TryFinish();
            return false;
        }

        // Also when sending has just made room for requests: nothing else would wake the connection up then.
        return CanReceive && (_readable || _backlogEnd > _backlogStart);
    }

    /// <summary>Whether a further request may be taken up.</summary>
    private bool CanTake => !_paused && !_closing && !_leaving && !_hasParked && _piecewise < 0
        && _inFlight < MaxInFlight
        && _outCount < QueueLength && _copiedBytes < MaxCopiedBytes;

    /// <summary>Whether bytes may be received: also the payload of a request that has been taken up or refused.</summary>
    private bool CanReceive => !_pieceInFlight
        && (CanTake || (!_paused && !_closing && !_leaving && (_receiving >= 0 || _skip > 0)));

    private void TakeInput()
    {
        if (_hasParked && !_paused)
        {
            Request parked = _parked;
            _hasParked = false;
            Execute(ref parked, default, out _);
        }

        if (_backlogEnd > _backlogStart && CanReceive)
        {
            ReadOnlySpan<byte> bytes = new(_backlog + _backlogStart, _backlogEnd - _backlogStart);
            _backlogStart += Process(bytes);
            if (_backlogStart == _backlogEnd)
            {
                NativeMemory.Free(_backlog);
                _backlog = null;
                _backlogStart = _backlogEnd = 0;
            }
        }

        if (!_readable || (_receiving < 0 && !_pacing.MayReceive(_turnStart, _fd)))
        {
            return;
        }

        for (int round = 0; round < MaxRoundsPerTurn && _readable && CanReceive && !_turnOver; round++)
        {
            if (_backlogEnd > _backlogStart)
            {
                return;
            }

            Receive();
        }
    }

    /// <summary>One receive: the rest of a payload straight into its buffer, and what follows into the shared buffer.</summary>
    private void Receive()
    {
        IoVec* iov = stackalloc IoVec[2];
        long payload = 0;
        int vectors = 0;
        if (_receiving >= 0 && !_streaming)
        {
            ref Pending pending = ref _pending[_receiving];
            payload = pending.PieceEnd - _received;
            byte* place = pending.Buffer.Data + (_received - pending.Written);
            iov[vectors++] = new IoVec { Base = place, Length = (nuint)payload };
        }

        iov[vectors++] = new IoVec { Base = _thread.ReceiveScratch, Length = ReceiveLength };
        nint count = vectors == 1
            ? Libc.Recv(_fd, _thread.ReceiveScratch, ReceiveLength, 0)
            : Libc.Readv(_fd, iov, vectors);
        if (count <= 0)
        {
            int errno = Libc.Errno;
            if (count == 0)
            {
                EndInput();
            }
            else if (errno == Errno.EAGAIN)
            {
                _readable = false;
            }
            else if (errno != Errno.EINTR)
            {
                Fail();
            }

            return;
        }

        _clock = Stopwatch.GetTimestamp();
        if (count < payload + ReceiveLength)
        {
            // The socket is empty: the next edge tells of more, unless the last one has been seen already.
            _readable = _hangup;
        }

        long intoPayload = Math.Min(count, payload);
        if (intoPayload > 0)
        {
            _received += intoPayload;
            FinishPayloadIfComplete();
        }

        int length = (int)(count - intoPayload);
        if (length > 0)
        {
            ReadOnlySpan<byte> bytes = new(_thread.ReceiveScratch, length);
            int used = Process(bytes);
            if (used < length && !_closing && !_leaving)
            {
                KeepBacklog(bytes[used..]);
            }
        }
    }

    /// <summary>
    /// The client sends no more, but may still read: a request that has come in parts only is dropped, the others are
    /// answered.
    /// </summary>
    private void EndInput()
    {
        if (_gone)
        {
            Fail();
            return;
        }

        _leaving = true;
        if (_receiving >= 0)
        {
            Release(_receiving);
            _receiving = -1;
            _streaming = false;
        }
    }

    private void KeepBacklog(ReadOnlySpan<byte> bytes)
    {
        _backlog = (byte*)NativeMemory.Alloc((nuint)bytes.Length);
        bytes.CopyTo(new Span<byte>(_backlog, bytes.Length));
        _backlogStart = 0;
        _backlogEnd = bytes.Length;
    }

    /// <summary>Works received bytes off until they end or no more can be taken; returns how many were used.</summary>
    private int Process(ReadOnlySpan<byte> bytes)
    {
        int position = 0;
        while (position < bytes.Length && !_closing && !_leaving && !_turnOver)
        {
            ReadOnlySpan<byte> rest = bytes[position..];
            if (_skip > 0)
            {
                int skipped = (int)Math.Min(_skip, (ulong)rest.Length);
                _skip -= (ulong)skipped;
                position += skipped;
            }
            else if (_pieceInFlight)
            {
                break;
            }
            else if (_receiving >= 0)
            {
                position += TakePayload(rest);
            }
            else if (!CanTake)
            {
                break;
            }
            else
            {
                int used = TakeHeader(rest, out Request request, out bool complete);
                if (used < 0)
                {
                    ReplyRefusal(in request, Reason.BadMagic);
                    _leaving = true;
                    break;
                }

                position += used;
                if (complete)
                {
                    _readsTaken += request.Command == Wire.NBD_CMD_READ ? 1 : 0;
                    Execute(ref request, bytes[position..], out int payloadUsed);
                    position += payloadUsed;
                }
            }
        }

        return position;
    }

    private int TakePayload(ReadOnlySpan<byte> bytes)
    {
        if (_streaming)
        {
            return TakeStreamed(bytes);
        }

        ref Pending pending = ref _pending[_receiving];
        int count = (int)Math.Min(pending.PieceEnd - _received, bytes.Length);
        bytes[..count].CopyTo(new Span<byte>(pending.Buffer.Data + (_received - pending.Written), count));
        _received += count;
        FinishPayloadIfComplete();
        return count;
    }

    /// <summary>
    /// Decodes a header, putting it together from the last receive's rest where it was cut. Returns the bytes used
    /// (all of them if the header is still incomplete), or -1 for a protocol error.
    /// </summary>
    private int TakeHeader(ReadOnlySpan<byte> bytes, out Request request, out bool complete)
    {
        request = default;
        complete = true;
        if (_carryLength == 0)
        {
            int direct = RequestModule.decode(in _session, bytes, ref request);
            if (direct != 0)
            {
                return direct;
            }

            complete = false;
            bytes.CopyTo(_carry);
            _carryLength = bytes.Length;
            return bytes.Length;
        }

        int added = Math.Min(MaxHeader - _carryLength, bytes.Length);
        bytes[..added].CopyTo(((Span<byte>)_carry)[_carryLength..]);
        int used = RequestModule.decode(in _session, ((ReadOnlySpan<byte>)_carry)[..(_carryLength + added)], ref request);
        if (used == 0)
        {
            complete = false;
            _carryLength += added;
            return added;
        }

        int fresh = used < 0 ? -1 : used - _carryLength;
        _carryLength = 0;
        return fresh;
    }

    /// <summary>No more input and no more output; requests in flight run to their end.</summary>
    private void Fail() => _closing = true;

    private void TryFinish()
    {
        if (_ioInFlight > 0)
        {
            return;
        }

        _finished = true;
        _thread.Unregister(_fd, _key);
        _ = Libc.Close(_fd);
        ReleaseAll();
        NativeMemory.Free(_backlog);
        _backlog = null;
        _closed(this);
    }
}
