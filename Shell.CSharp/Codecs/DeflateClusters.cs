using System;
using System.Runtime.InteropServices;
using StorageDaemon.Core.Qcow2;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Codecs;

/// <summary>
/// Clusters compressed with deflate, without zlib's header ("Compressed Clusters Descriptor"). One stream serves one
/// image, whose machine calls it for one request at a time.
/// </summary>
internal sealed unsafe class DeflateClusters : IClusterCodec, IDisposable
{
    /// <summary>Any window; writers use a smaller one.</summary>
    private const int RawWindow = -15;

    private ZStream* _stream;

    public bool Decompress(ReadOnlySpan<byte> input, Span<byte> output)
    {
        if (!TryReset())
        {
            return false;
        }

        fixed (byte* source = input)
        fixed (byte* target = output)
        {
            _stream->NextIn = source;
            _stream->AvailableIn = (uint)input.Length;
            _stream->NextOut = target;
            _stream->AvailableOut = (uint)output.Length;
            int result = Zlib.Inflate(_stream, Zlib.Z_FINISH);

            // The sectors behind the data belong to somebody else: a full cluster is all that is wanted.
            return (result == Zlib.Z_STREAM_END || result == Zlib.Z_BUF_ERROR) && _stream->AvailableOut == 0;
        }
    }

    private bool TryReset()
    {
        if (_stream != null)
        {
            return Zlib.InflateReset(_stream) == Zlib.Z_OK;
        }

        ZStream* stream = (ZStream*)NativeMemory.AllocZeroed((nuint)sizeof(ZStream));
        if (Zlib.InflateInit(stream, RawWindow, Zlib.Version(), sizeof(ZStream)) != Zlib.Z_OK)
        {
            NativeMemory.Free(stream);
            return false;
        }

        _stream = stream;
        return true;
    }

    public void Dispose()
    {
        if (_stream != null)
        {
            _ = Zlib.InflateEnd(_stream);
            NativeMemory.Free(_stream);
            _stream = null;
        }

        GC.SuppressFinalize(this);
    }

    ~DeflateClusters() => Dispose();
}
