using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>z_stream of zlib.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ZStream
{
    internal byte* NextIn;
    internal uint AvailableIn;
    internal nuint TotalIn;
    internal byte* NextOut;
    internal uint AvailableOut;
    internal nuint TotalOut;
    internal byte* Message;
    internal nint State;
    internal nint Alloc;
    internal nint Free;
    internal nint Opaque;
    internal int DataType;
    internal nuint Adler;
    internal nuint Reserved;
}

/// <summary>libz, loaded when an image has compressed clusters.</summary>
internal static unsafe partial class Zlib
{
    internal const int Z_OK = 0;
    internal const int Z_STREAM_END = 1;
    internal const int Z_BUF_ERROR = -5;
    internal const int Z_FINISH = 4;
    internal const int Z_DEFLATED = 8;

    private const string Name = "libz.so.1";

    [LibraryImport(Name, EntryPoint = "deflateInit2_")]
    internal static partial int DeflateInit(
        ZStream* stream, int level, int method, int windowBits, int memory, int strategy, byte* version, int streamBytes);

    [LibraryImport(Name, EntryPoint = "deflateReset")]
    internal static partial int DeflateReset(ZStream* stream);

    [LibraryImport(Name, EntryPoint = "deflate")]
    internal static partial int Deflate(ZStream* stream, int flush);

    [LibraryImport(Name, EntryPoint = "deflateEnd")]
    internal static partial int DeflateEnd(ZStream* stream);

    [LibraryImport(Name, EntryPoint = "inflateInit2_")]
    internal static partial int InflateInit(ZStream* stream, int windowBits, byte* version, int streamBytes);

    [LibraryImport(Name, EntryPoint = "inflateReset")]
    internal static partial int InflateReset(ZStream* stream);

    [LibraryImport(Name, EntryPoint = "inflate")]
    internal static partial int Inflate(ZStream* stream, int flush);

    [LibraryImport(Name, EntryPoint = "inflateEnd")]
    internal static partial int InflateEnd(ZStream* stream);

    [LibraryImport(Name, EntryPoint = "zlibVersion")]
    internal static partial byte* Version();
}
