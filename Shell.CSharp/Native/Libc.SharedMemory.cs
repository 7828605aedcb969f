using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>Memory that is shared with other processes.</summary>
internal static unsafe partial class Libc
{
    internal const uint MFD_CLOEXEC = 1;
    internal const uint MFD_ALLOW_SEALING = 2;
    internal const int F_ADD_SEALS = 1033;
    internal const nint F_SEAL_SEAL = 1;
    internal const nint F_SEAL_SHRINK = 2;
    internal const int MAP_NORESERVE = 0x4000;

    [LibraryImport(Name, EntryPoint = "memfd_create", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int MemfdCreate(string name, uint flags);
}
