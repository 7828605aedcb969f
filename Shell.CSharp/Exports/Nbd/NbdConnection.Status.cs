using System;
using System.Diagnostics;
using StorageDaemon.Core.Io;
using StorageDaemon.Core.Nbd;
using StorageDaemon.Shell.Drivers;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// Block status. Files and null devices are asked on the spot; layers are sent requests, one for each extent, until the
/// range is covered or the reply is full. A reply may stop short of the range, and the client asks on.
/// </summary>
internal sealed unsafe partial class NbdConnection
{
    // Bytes of one block status reply; each extent costs two look-ups.
    private const int StatusLength = 32 << 10;

    // Most questions to layers for one reply: neighbours that are alike count once in a reply, but cost as much.
    private const int MaxStatusInquiries = 4096;

    private ExtentList _extents;

    /// <summary>For each selected context the extents of the range, as many as fit.</summary>
    private void BlockStatus(ref Request request)
    {
        if (_path.Layer != null)
        {
            StartStatus(ref request);
            return;
        }

        Span<byte> reply = new(_thread.ReceiveScratch + ReceiveLength, StatusLength);
        int contexts = CountContexts(in request);
        int used = 0;
        for (int nth = 1; nth <= contexts; nth++)
        {
            Span<byte> descriptors = DescriptorsIn(reply[used..], contexts);
            Extents.start(in _session, in request, descriptors.Length, ref _extents);
            DescribeAllocation(in request, descriptors);
            used += WriteStatusChunk(in request, reply[used..], nth, contexts, in _extents);
        }

        SendReply(reply[..used]);
        _turnOver = Stopwatch.GetTimestamp() - _turnStart > LongTurnNs;
    }

    private int CountContexts(in Request request)
    {
        int count = 0;
        for (int context = 0; context < _session.Contexts.Length; context++)
        {
            count += RequestModule.wantsContext(in request, context) ? 1 : 0;
        }

        return count;
    }

    /// <summary>The room for one context's descriptors in what is left of a reply.</summary>
    private Span<byte> DescriptorsIn(Span<byte> reply, int contexts)
    {
        int header = Reply.statusHeaderLength(in _session);
        return reply.Slice(header, (StatusLength / contexts) - header);
    }

    /// <summary>Puts the header before the descriptors of the nth context that the request wants.</summary>
    private int WriteStatusChunk(in Request request, Span<byte> reply, int nth, int contexts, in ExtentList extents)
    {
        int context = -1;
        for (int left = nth; left > 0; left--)
        {
            do
            {
                context++;
            }
            while (!RequestModule.wantsContext(in request, context));
        }

        _ = Reply.writeStatusChunk(
            in _session, reply, in request, nth == contexts, _session.Contexts[context].Id, extents.Count);
        return Reply.statusHeaderLength(in _session) + Extents.payloadLength(in extents);
    }

    /// <summary><c>base:allocation</c>: holes and data of the file, or what a null device says.</summary>
    private void DescribeAllocation(in Request request, Span<byte> descriptors)
    {
        NodePath path = _path;
        long position = (long)request.Offset;
        long end = position + (long)request.Length;
        if (path.ExtentsFile is not { } file)
        {
            uint state = !path.IsNull ? 0
                : path.ReadsZeroes ? Wire.NBD_STATE_HOLE | Wire.NBD_STATE_ZERO
                : Wire.NBD_STATE_HOLE;
            _ = Extents.add(ref _extents, descriptors, request.Length, state);
            return;
        }

        bool more = true;
        while (more)
        {
            long limit = path.ExtentsOffset + end;
            bool isHole = _extent.Lookup(file, path.ExtentsOffset + position, limit, out long extentEnd);
            long next = Math.Min(extentEnd, limit) - path.ExtentsOffset;
            more = Extents.add(
                ref _extents,
                descriptors,
                (ulong)(next - position),
                isHole ? Wire.NBD_STATE_HOLE | Wire.NBD_STATE_ZERO : 0);
            position = next;
        }
    }

    private void StartStatus(ref Request request)
    {
        if (!TryTake(ref request, StatusLength, mayBeCut: false, out int index))
        {
            return;
        }

        ref Pending pending = ref _pending[index];
        Span<byte> descriptors = StatusDescriptors(in pending);
        Extents.start(in _session, in pending.Request, descriptors.Length, ref pending.Extents);
        pending.StatusInquiries = 0;
        AskLayers(index);
        _turnOver = Stopwatch.GetTimestamp() - _turnStart > LongTurnNs;
    }

    private Span<byte> StatusDescriptors(in Pending pending) =>
        DescriptorsIn(new Span<byte>(pending.Buffer.Data, StatusLength), CountContexts(in pending.Request));

    /// <summary>Asks for one extent after another, as long as the answers come at once.</summary>
    private void AskLayers(int index)
    {
        ref Pending pending = ref _pending[index];
        pending.IsAsking = true;
        do
        {
            pending.AskOn = false;
            pending.StatusInquiries++;
            long covered = (long)pending.Extents.CoveredBytes;
            FileRequest question = new()
            {
                Kind = RequestKind.BlockStatus,
                Offset = (long)pending.Request.Offset + covered,
                Length = (long)pending.Request.Length - covered,
            };
            StartIo(in question, null, index);
        }
        while (pending.AskOn);
        pending.IsAsking = false;
    }

    /// <summary>The layers have said what the next bytes of the range hold.</summary>
    private void TakeStatus(int index, in FileRequest answer)
    {
        ref Pending pending = ref _pending[index];
        if (_closing)
        {
            Release(index);
        }
        else if (answer.Error != 0)
        {
            QueueError(index, answer.Error);
        }
        else if (TakeExtent(ref pending, in answer))
        {
            if (pending.IsAsking)
            {
                pending.AskOn = true;
            }
            else
            {
                AskLayers(index);
            }
        }
        else
        {
            QueueStatus(index);
        }
    }

    /// <summary>Whether the layers are to be asked on.</summary>
    private bool TakeExtent(ref Pending pending, in FileRequest answer)
    {
        uint state = ((answer.Status & Core.Io.BlockStatus.Data) == 0 ? Wire.NBD_STATE_HOLE : 0)
            | ((answer.Status & Core.Io.BlockStatus.Zero) != 0 ? Wire.NBD_STATE_ZERO : 0);
        return Extents.add(ref pending.Extents, StatusDescriptors(in pending), (ulong)answer.Completed, state)
            && !_paused
            && pending.StatusInquiries < MaxStatusInquiries;
    }

    /// <summary>All contexts tell of allocation: the others' descriptors are copies of the first one's.</summary>
    private void QueueStatus(int index)
    {
        ref Pending pending = ref _pending[index];
        Span<byte> reply = new(pending.Buffer.Data, StatusLength);
        int contexts = CountContexts(in pending.Request);
        Span<byte> first = StatusDescriptors(in pending)[..Extents.payloadLength(in pending.Extents)];
        int used = 0;
        for (int nth = 1; nth <= contexts; nth++)
        {
            if (nth > 1)
            {
                first.CopyTo(DescriptorsIn(reply[used..], contexts));
            }

            used += WriteStatusChunk(in pending.Request, reply[used..], nth, contexts, in pending.Extents);
        }

        Push(new OutItem { Data = pending.Buffer.Data, Length = used, Pending = index });
    }
}
