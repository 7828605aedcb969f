using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>io_uring_sqe (uapi/linux/io_uring.h): 64 bytes; only the members that this daemon sets are named.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
internal struct IoUringSqe
{
    [FieldOffset(0)] internal byte Opcode;
    [FieldOffset(1)] internal byte Flags;
    [FieldOffset(2)] internal ushort IoPriority;
    [FieldOffset(4)] internal int Fd;
    [FieldOffset(8)] internal ulong Offset;
    [FieldOffset(16)] internal ulong Address;
    [FieldOffset(24)] internal uint Length;
    [FieldOffset(28)] internal uint OpFlags;
    [FieldOffset(32)] internal ulong UserData;
}

/// <summary>io_uring_cqe: 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct IoUringCqe
{
    internal ulong UserData;
    internal int Result;
    internal uint Flags;
}

/// <summary>io_sqring_offsets.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct IoSqRingOffsets
{
    internal uint Head, Tail, RingMask, RingEntries, Flags, Dropped, Array, Reserved;
    internal ulong UserAddress;
}

/// <summary>io_cqring_offsets.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct IoCqRingOffsets
{
    internal uint Head, Tail, RingMask, RingEntries, Overflow, Cqes, Flags, Reserved;
    internal ulong UserAddress;
}

/// <summary>io_uring_params: 120 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct IoUringParams
{
    internal uint SqEntries, CqEntries, Flags, SqThreadCpu, SqThreadIdle, Features, WqFd;
    internal fixed uint Reserved[3];
    internal IoSqRingOffsets SqOffsets;
    internal IoCqRingOffsets CqOffsets;
}

/// <summary>Numbers of uapi/linux/io_uring.h and asm/unistd_64.h.</summary>
internal static class IoUring
{
    internal const long SysSetup = 425;
    internal const long SysEnter = 426;

    internal const uint IORING_SETUP_CQSIZE = 1 << 3;
    internal const uint IORING_SETUP_COOP_TASKRUN = 1 << 8;
    internal const uint IORING_SETUP_TASKRUN_FLAG = 1 << 9;
    internal const uint IORING_FEAT_SINGLE_MMAP = 1;
    internal const uint IORING_FEAT_NODROP = 2;
    internal const uint IORING_ENTER_GETEVENTS = 1;
    internal const uint IORING_SQ_CQ_OVERFLOW = 2;
    internal const uint IORING_SQ_TASKRUN = 4;
    internal const uint IORING_FSYNC_DATASYNC = 1;

    internal const long IORING_OFF_SQ_RING = 0;
    internal const long IORING_OFF_CQ_RING = 0x8000000;
    internal const long IORING_OFF_SQES = 0x10000000;

    internal const byte IORING_OP_FSYNC = 3;
    internal const byte IORING_OP_FALLOCATE = 17;
    internal const byte IORING_OP_READ = 22;
    internal const byte IORING_OP_WRITE = 23;
    internal const byte IORING_OP_FADVISE = 24;
}
