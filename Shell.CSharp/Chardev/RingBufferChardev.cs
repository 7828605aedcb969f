using System;
using StorageDaemon.Core.Chardev;

namespace StorageDaemon.Shell.Chardev;

/// <summary>Keeps the last output in memory for ringbuf-read. Always open, never any input.</summary>
internal sealed class RingBufferChardev : CharacterDevice
{
    private readonly RingBuffer _buffer;

    internal RingBufferChardev(string id, RingBufferOptions options, OutputLog? log)
        : base(id, log)
    {
        _buffer = new RingBuffer(options.CapacityBytes);
        Filename = options.Label;
        RaiseOpened();
    }

    internal override string Filename { get; }

    /// <summary>Takes the oldest bytes out, at most so many.</summary>
    internal byte[] Read(long limit) => _buffer.Read(limit);

    protected override void WriteOut(ReadOnlySpan<byte> bytes) => _buffer.Write(bytes);

    protected override void DisposeDevice()
    {
    }
}
