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

    /// <summary>Readers need no larger one for what is written here (4 KiB, "Compressed Clusters Descriptor").</summary>
    private const int WriteWindow = -12;

    private const int DefaultLevel = -1;
    private const int DeflateMethod = 8;
    private const int DefaultMemory = 9;

    private ZStream* _stream;
    private ZStream* _deflate;

    public bool Decompress(ReadOnlySpan<byte> input, Span<byte> output)
    {
        if (!TryReset())
        {
            return false;
        }

        fixed (byte* source = input)
        fixed (byte* target = output)
        {
            Point(_stream, source, input.Length, target, output.Length);
            int result = Zlib.Inflate(_stream, Zlib.Z_FINISH);

            // The sectors behind the data belong to somebody else: a full cluster is all that is wanted.
            return (result == Zlib.Z_STREAM_END || result == Zlib.Z_BUF_ERROR) && _stream->AvailableOut == 0;
        }
    }

    public int Compress(ReadOnlySpan<byte> input, Span<byte> output)
    {
        if (!TryResetDeflate())
        {
            return 0;
        }

        fixed (byte* source = input)
        fixed (byte* target = output)
        {
            Point(_deflate, source, input.Length, target, output.Length);
            return Zlib.Deflate(_deflate, Zlib.Z_FINISH) == Zlib.Z_STREAM_END
                ? output.Length - (int)_deflate->AvailableOut
                : 0;
        }
    }

    private static void Point(ZStream* stream, byte* source, int inputBytes, byte* target, int outputBytes)
    {
        stream->NextIn = source;
        stream->AvailableIn = (uint)inputBytes;
        stream->NextOut = target;
        stream->AvailableOut = (uint)outputBytes;
    }

    private bool TryResetDeflate()
    {
        if (_deflate != null)
        {
            return Zlib.DeflateReset(_deflate) == Zlib.Z_OK;
        }

        ZStream* stream = (ZStream*)NativeMemory.AllocZeroed((nuint)sizeof(ZStream));
        int result = Zlib.DeflateInit(
            stream, DefaultLevel, DeflateMethod, WriteWindow, DefaultMemory, 0, Zlib.Version(), sizeof(ZStream));
        return Keep(ref _deflate, stream, result);
    }

    private bool TryReset()
    {
        if (_stream != null)
        {
            return Zlib.InflateReset(_stream) == Zlib.Z_OK;
        }

        ZStream* stream = (ZStream*)NativeMemory.AllocZeroed((nuint)sizeof(ZStream));
        return Keep(ref _stream, stream, Zlib.InflateInit(stream, RawWindow, Zlib.Version(), sizeof(ZStream)));
    }

    /// <summary>A new stream stays for later calls, unless it could not be begun.</summary>
    private static bool Keep(ref ZStream* place, ZStream* stream, int result)
    {
        if (result != Zlib.Z_OK)
        {
            NativeMemory.Free(stream);
            return false;
        }

        place = stream;
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

        if (_deflate != null)
        {
            _ = Zlib.DeflateEnd(_deflate);
            NativeMemory.Free(_deflate);
            _deflate = null;
        }

        GC.SuppressFinalize(this);
    }

    ~DeflateClusters() => Dispose();
}
