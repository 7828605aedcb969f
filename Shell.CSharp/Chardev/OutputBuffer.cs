using System;

namespace StorageDaemon.Shell.Chardev;

/// <summary>Bytes waiting to be written: grows at the end, shrinks at the start.</summary>
internal sealed class OutputBuffer
{
    private const int KeptCapacity = 64 * 1024;

    private byte[] bytes = [];
    private int start;
    private int end;

    internal int Length => end - start;

    internal Span<byte> Pending => bytes.AsSpan(start, Length);

    internal void Append(ReadOnlySpan<byte> more)
    {
        if (bytes.Length - end < more.Length)
        {
            MakeRoom(more.Length);
        }

        more.CopyTo(bytes.AsSpan(end));
        end += more.Length;
    }

    /// <summary>Forgets bytes from the start; an empty buffer gives a large allocation back.</summary>
    internal void Consume(int count)
    {
        start += count;
        if (start == end)
        {
            Clear();
        }
    }

    internal void Clear()
    {
        start = 0;
        end = 0;
        if (bytes.Length > KeptCapacity)
        {
            bytes = [];
        }
    }

    private void MakeRoom(int more)
    {
        int needed = checked(Length + more);
        byte[] target = needed > bytes.Length / 2 ? new byte[Math.Max(4096, checked(needed * 2))] : bytes;
        Pending.CopyTo(target);
        end = Length;
        start = 0;
        bytes = target;
    }
}
