using System;

namespace StorageDaemon.Shell.Chardev;

/// <summary>Bytes waiting to be written: grows at the end, shrinks at the start.</summary>
internal sealed class OutputBuffer
{
    private const int KeptCapacity = 64 * 1024;

    private byte[] _bytes = [];
    private int _start;
    private int _end;

    internal int Length => _end - _start;

    internal Span<byte> Pending => _bytes.AsSpan(_start, Length);

    internal void Append(ReadOnlySpan<byte> more)
    {
        if (_bytes.Length - _end < more.Length)
        {
            MakeRoom(more.Length);
        }

        more.CopyTo(_bytes.AsSpan(_end));
        _end += more.Length;
    }

    /// <summary>Forgets bytes from the start; an empty buffer gives a large allocation back.</summary>
    internal void Consume(int count)
    {
        _start += count;
        if (_start == _end)
        {
            Clear();
        }
    }

    internal void Clear()
    {
        _start = 0;
        _end = 0;
        if (_bytes.Length > KeptCapacity)
        {
            _bytes = [];
        }
    }

    private void MakeRoom(int more)
    {
        int needed = checked(Length + more);
        byte[] target = needed > _bytes.Length / 2 ? new byte[Math.Max(4096, checked(needed * 2))] : _bytes;
        Pending.CopyTo(target);
        _end = Length;
        _start = 0;
        _bytes = target;
    }
}
