namespace StorageDaemon.Shell.Native;

/// <summary>Keys that the kernel keeps (keyctl(2)); the C library has no wrapper.</summary>
internal static unsafe partial class Libc
{
    internal const int KEYCTL_READ = 11;

    private const long SysKeyctl = 250;

    /// <summary>The length of a key's payload, of which as much as fits is copied; -1 with errno.</summary>
    internal static long KeyctlRead(int serial, void* buffer, nuint length) =>
        Syscall(SysKeyctl, KEYCTL_READ, serial, (nint)buffer, (nint)length, 0, 0);
}
