using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>libzstd, loaded when an image says that its clusters are compressed with it.</summary>
internal static unsafe partial class Zstd
{
    private const string Name = "libzstd.so.1";

    [LibraryImport(Name, EntryPoint = "ZSTD_createDCtx")]
    internal static partial nint CreateDecompressor();

    [LibraryImport(Name, EntryPoint = "ZSTD_freeDCtx")]
    internal static partial nuint FreeDecompressor(nint decompressor);

    [LibraryImport(Name, EntryPoint = "ZSTD_findFrameCompressedSize")]
    internal static partial nuint FindFrameCompressedSize(byte* source, nuint length);

    [LibraryImport(Name, EntryPoint = "ZSTD_decompressDCtx")]
    internal static partial nuint Decompress(
        nint decompressor, byte* target, nuint capacity, byte* source, nuint length);

    [LibraryImport(Name, EntryPoint = "ZSTD_createCCtx")]
    internal static partial nint CreateCompressor();

    [LibraryImport(Name, EntryPoint = "ZSTD_freeCCtx")]
    internal static partial nuint FreeCompressor(nint compressor);

    [LibraryImport(Name, EntryPoint = "ZSTD_compressCCtx")]
    internal static partial nuint Compress(
        nint compressor, byte* target, nuint capacity, byte* source, nuint length, int level);

    [LibraryImport(Name, EntryPoint = "ZSTD_isError")]
    internal static partial uint IsError(nuint result);
}
