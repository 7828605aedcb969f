using System;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// Requests for which there is no memory. A connection that holds none may have one small buffer whatever others hold,
/// and works a request off in pieces of that size: so clients that do not read their replies neither keep others
/// waiting nor take memory beyond the budget.
/// </summary>
internal sealed unsafe partial class NbdConnection
{
    /// <summary>Bytes that a connection gets in any case.</summary>
    internal const long ShareLength = 64 << 10;

    // A read that is answered in pieces; -1 for none. No other request is taken up meanwhile: a reply to that could
    // come between the pieces.
    private int _piecewise = -1;

    // The last piece has been sent, the next one is to be read.
    private bool _pieceDue;

    // A piece of the payload that is being received is being written; the next one has to wait for its buffer.
    private bool _pieceInFlight;

    private bool TryRentShare(long length, out PoolBuffer buffer)
    {
        buffer = default;
        return _heldBytes == 0 && TryRentPiece(length, out buffer);
    }

    /// <summary>
    /// A small buffer for a payload of which a part is written already, so that it cannot wait. False only if the
    /// system has no memory.
    /// </summary>
    private bool TryRentPiece(long length, out PoolBuffer buffer)
    {
        if (!_thread.Buffers.TryRent(Math.Min(length, ShareLength), anyway: true, out buffer))
        {
            return false;
        }

        _heldBytes += buffer.Capacity;
        return true;
    }

    private void StartPiecewise(int index)
    {
        _piecewise = index;
        ReadPiece();
    }

    private void ReadPiece()
    {
        _pieceDue = false;
        ref Pending pending = ref _pending[_piecewise];
        FileRequest read = new()
        {
            Kind = RequestKind.Read,
            Offset = (long)pending.Request.Offset + pending.Written,
            Length = PieceLength(in pending),
        };
        StartIo(in read, pending.Buffer.Data, _piecewise);
    }

    private static long PieceLength(in Pending pending) =>
        Math.Min(pending.Buffer.Capacity, (long)pending.Request.Length - pending.Written);

    /// <summary>
    /// A chunk for each piece where the client takes chunks; otherwise the header of the whole reply goes before the
    /// first one.
    /// </summary>
    private void QueuePiece(int index)
    {
        ref Pending pending = ref _pending[index];
        ref Request request = ref pending.Request;
        long count = PieceLength(in pending);
        bool isLast = pending.Written + count == (long)request.Length;
        byte* start = pending.Buffer.Data;
        int header = Reply.readHeaderLength(in _session, request.Length);
        if (WantsHoles(in request))
        {
            start -= header;
            _ = Reply.writeDataChunk(
                in _session,
                new Span<byte>(start, header),
                in request,
                isLast,
                request.Offset + (ulong)pending.Written,
                (uint)count);
        }
        else if (pending.Written == 0)
        {
            start -= header;
            _ = Reply.writeRead(in _session, new Span<byte>(start, header), in request);
        }

        if (isLast)
        {
            CountEnd(ref pending, failed: false);
        }

        int length = (int)(pending.Buffer.Data - start + count);
        pending.Written += count;
        Push(new OutItem { Data = start, Length = length, Pending = index });
    }

    /// <summary>Whether the error of a piece can still be told to the client: its header may have promised data.</summary>
    private bool CanTellError(int index) =>
        index != _piecewise || _pending[index].Written == 0 || WantsHoles(in _pending[index].Request);

    /// <summary>What has been sent was a piece of a read, and another one follows.</summary>
    private bool GoesOn(int index)
    {
        if (index != _piecewise || _closing || _pending[index].Written == (long)_pending[index].Request.Length)
        {
            return false;
        }

        _pieceDue = true;
        _thread.Schedule(this);
        return true;
    }

    /// <summary>The buffer takes as much of the payload as it holds.</summary>
    private static void ExpectPiece(ref Pending pending) =>
        pending.PieceEnd = Math.Min(
            (long)pending.Request.PayloadLength, pending.Written + pending.Buffer.Capacity);

    /// <summary>A piece of the payload that is being received has been written, or not.</summary>
    private void EndPayloadPiece(ref Pending pending, bool failed)
    {
        _pieceInFlight = false;
        if (failed)
        {
            _skip = pending.Request.PayloadLength - (ulong)_received;
            _receiving = -1;
        }
        else
        {
            pending.Written = pending.PieceEnd;
            ExpectPiece(ref pending);
        }
    }
}
