using System;
using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>
/// The C library by blittable signatures. Every call returns the raw result; <see cref="Errno"/> must be read at
/// once after a failure, since any other call (even a console write) overwrites it.
/// Parts by subject: Libc.Files.cs, Libc.Sockets.cs, Libc.Process.cs, Libc.Poll.cs.
/// </summary>
internal static unsafe partial class Libc
{
    internal const string Name = "libc";

    [LibraryImport(Name, EntryPoint = "__errno_location")]
    private static partial int* ErrnoLocation();

    /// <summary>errno of the calling thread.</summary>
    internal static int Errno => *ErrnoLocation();

    [LibraryImport(Name, EntryPoint = "strerror_r")]
    private static partial byte* StrerrorR(int errnum, byte* buffer, nuint length);

    /// <summary>The C library's text for an error number, as the real daemon prints it.</summary>
    internal static string Strerror(int errnum)
    {
        byte* buffer = stackalloc byte[256];
        return Marshal.PtrToStringUTF8((nint)StrerrorR(errnum, buffer, 256)) ?? "";
    }
}
