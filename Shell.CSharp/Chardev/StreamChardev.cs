using System;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// A device on descriptors that stay the same for its whole life (files, pipes, standard input and output).
/// The end of the input is reported as closed, but output goes on.
/// </summary>
internal class StreamChardev : CharacterDevice, IByteStreamOwner
{
    private readonly ByteStream _stream;
    private readonly int _inputFd;
    private readonly int _outputFd;
    private readonly bool _ownsDescriptors;

    /// <summary>A descriptor of -1 means no input or no output.</summary>
    internal StreamChardev(
        Reactor reactor, string id, OutputLog? log, string filename, int inputFd, int outputFd, bool ownsDescriptors)
        : base(id, log)
    {
        _inputFd = inputFd;
        _outputFd = outputFd;
        _ownsDescriptors = ownsDescriptors;
        Filename = filename;
        _stream = new ByteStream(reactor, inputFd, outputFd, this);
        RaiseOpened();
    }

    internal override string Filename { get; }

    internal override int PendingBytes => _stream.PendingBytes;

    internal override bool OutputOutlivesInput => true;

    void IByteStreamOwner.OnStreamBytes(Span<byte> bytes) => RaiseBytes(bytes);

    void IByteStreamOwner.OnStreamEnd(StreamEnd end) => RaiseClosed();

    void IByteStreamOwner.OnStreamHungUp()
    {
        // Whoever reads next meets the end of the input.
    }

    void IByteStreamOwner.OnStreamDrained() => RaiseDrained();

    protected override void OnInputWanted() => _stream.WantInput(WantsInput);

    protected override void WriteOut(ReadOnlySpan<byte> bytes) => _stream.Write(bytes);

    protected override void DisposeDevice()
    {
        _stream.Flush(FinalFlushMs);
        _stream.Dispose();
        if (!_ownsDescriptors)
        {
            return;
        }

        if (_outputFd >= 0)
        {
            _ = Libc.Close(_outputFd);
        }

        if (_inputFd >= 0 && _inputFd != _outputFd)
        {
            _ = Libc.Close(_inputFd);
        }
    }
}
