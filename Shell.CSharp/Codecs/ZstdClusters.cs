using System;
using StorageDaemon.Core.Qcow2;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Codecs;

/// <summary>Clusters compressed with Zstandard: one frame each. One context serves one image.</summary>
internal sealed unsafe class ZstdClusters : IClusterCodec, IDisposable
{
    /// <summary>The library's own default.</summary>
    private const int Level = 3;

    private nint _decompressor;
    private nint _compressor;

    public bool Decompress(ReadOnlySpan<byte> input, Span<byte> output)
    {
        if (_decompressor == 0)
        {
            _decompressor = Zstd.CreateDecompressor();
        }

        fixed (byte* source = input)
        fixed (byte* target = output)
        {
            // What follows the frame in its last sector is somebody else's.
            nuint frame = Zstd.FindFrameCompressedSize(source, (nuint)input.Length);
            if (_decompressor == 0 || Zstd.IsError(frame) != 0)
            {
                return false;
            }

            nuint written = Zstd.Decompress(_decompressor, target, (nuint)output.Length, source, frame);
            return Zstd.IsError(written) == 0 && written == (nuint)output.Length;
        }
    }

    public int Compress(ReadOnlySpan<byte> input, Span<byte> output)
    {
        if (_compressor == 0)
        {
            _compressor = Zstd.CreateCompressor();
        }

        fixed (byte* source = input)
        fixed (byte* target = output)
        {
            if (_compressor == 0)
            {
                return 0;
            }

            nuint written = Zstd.Compress(
                _compressor, target, (nuint)output.Length, source, (nuint)input.Length, Level);
            return Zstd.IsError(written) == 0 ? (int)written : 0;
        }
    }

    public void Dispose()
    {
        if (_compressor != 0)
        {
            _ = Zstd.FreeCompressor(_compressor);
            _compressor = 0;
        }

        if (_decompressor != 0)
        {
            _ = Zstd.FreeDecompressor(_decompressor);
            _decompressor = 0;
        }

        GC.SuppressFinalize(this);
    }

    ~ZstdClusters() => Dispose();
}
