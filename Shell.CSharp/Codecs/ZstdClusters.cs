using System;
using StorageDaemon.Core.Qcow2;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Codecs;

/// <summary>Clusters compressed with Zstandard: one frame each. One context serves one image.</summary>
internal sealed unsafe class ZstdClusters : IClusterCodec, IDisposable
{
    private nint _decompressor;

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

    public void Dispose()
    {
        if (_decompressor != 0)
        {
            _ = Zstd.FreeDecompressor(_decompressor);
            _decompressor = 0;
        }

        GC.SuppressFinalize(this);
    }

    ~ZstdClusters() => Dispose();
}
