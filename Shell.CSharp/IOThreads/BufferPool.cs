using System;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.IOThreads;

/// <summary>One buffer: page-aligned data with a page before it, where a reply's header fits right before the data.</summary>
internal unsafe struct PoolBuffer
{
    internal byte* Data;
    internal int SizeClass;

    internal readonly bool IsNull => Data == null;

    /// <summary>Bytes that <see cref="Data"/> holds.</summary>
    internal readonly long Capacity => BufferPool.CapacityOf(SizeClass);
}

/// <summary>
/// Native buffers of one IOThread, kept for reuse because the first touch of fresh memory costs more than the I/O.
/// Free buffers go back to the kernel when the thread idles.
/// </summary>
internal sealed unsafe class BufferPool : IDisposable
{
    internal const int HeaderRoom = 4096;
    private const int MaxCachedPerClass = 64;

    private static readonly long[] Capacities = [4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 32 << 20];

    private readonly nint[][] _free = new nint[Capacities.Length][];
    private readonly int[] _freeCount = new int[Capacities.Length];
    private readonly MemoryBudget _budget;
    private long _cachedBytes;

    internal BufferPool(MemoryBudget budget)
    {
        _budget = budget;
        for (int i = 0; i < _free.Length; i++)
        {
            _free[i] = new nint[MaxCachedPerClass];
        }
    }

    /// <summary>The largest length that a buffer can have: the largest payload of the protocols.</summary>
    internal static long MaxLength => Capacities[^1];

    internal static long CapacityOf(int sizeClass) => Capacities[sizeClass];

    /// <summary>
    /// A buffer of at least that length, counted against the budget; false if the budget is used up.
    /// <paramref name="anyway"/> goes beyond it.
    /// </summary>
    internal bool TryRent(long length, bool anyway, out PoolBuffer buffer)
    {
        int sizeClass = 0;
        while (Capacities[sizeClass] < length)
        {
            sizeClass++;
        }

        buffer = default;
        if (anyway)
        {
            _budget.TakeAnyway(Capacities[sizeClass]);
        }
        else if (!_budget.TryTake(Capacities[sizeClass]))
        {
            return false;
        }

        buffer.SizeClass = sizeClass;
        if (_freeCount[sizeClass] > 0)
        {
            buffer.Data = (byte*)_free[sizeClass][--_freeCount[sizeClass]];
            _cachedBytes -= Capacities[sizeClass];
            _budget.Unkeep(Capacities[sizeClass]);
            return true;
        }

        void* memory = Libc.Mmap(
            null,
            (nuint)(Capacities[sizeClass] + HeaderRoom),
            Libc.PROT_READ | Libc.PROT_WRITE,
            Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS,
            -1,
            0);
        if (memory == Libc.MapFailed)
        {
            _budget.Release(Capacities[sizeClass]);
            return false;
        }

        buffer.Data = (byte*)memory + HeaderRoom;
        return true;
    }

    internal void Return(ref PoolBuffer buffer)
    {
        if (buffer.IsNull)
        {
            return;
        }

        int sizeClass = buffer.SizeClass;
        long capacity = Capacities[sizeClass];
        if (_freeCount[sizeClass] < MaxCachedPerClass && _budget.TryKeep(capacity))
        {
            _free[sizeClass][_freeCount[sizeClass]++] = (nint)buffer.Data;
            _cachedBytes += capacity;
        }
        else
        {
            Unmap(buffer.Data, sizeClass);
        }

        buffer = default;
        _budget.Release(capacity);
    }

    /// <summary>Gives all free buffers back to the kernel.</summary>
    internal void Trim()
    {
        if (_cachedBytes == 0)
        {
            return;
        }

        for (int sizeClass = 0; sizeClass < _free.Length; sizeClass++)
        {
            while (_freeCount[sizeClass] > 0)
            {
                Unmap((byte*)_free[sizeClass][--_freeCount[sizeClass]], sizeClass);
            }
        }

        _budget.Unkeep(_cachedBytes);
        _cachedBytes = 0;
    }

    private static void Unmap(byte* data, int sizeClass) =>
        _ = Libc.Munmap(data - HeaderRoom, (nuint)(Capacities[sizeClass] + HeaderRoom));

    public void Dispose() => Trim();
}
