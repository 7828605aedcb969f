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
    private readonly ByteStream stream;
    private readonly int inputFd;
    private readonly int outputFd;
    private readonly bool ownsDescriptors;

    /// <summary>A descriptor of -1 means no input or no output.</summary>
    internal StreamChardev(
        Reactor reactor, string id, OutputLog? log, string filename, int inputFd, int outputFd, bool ownsDescriptors)
        : base(id, log)
    {
        this.inputFd = inputFd;
        this.outputFd = outputFd;
        this.ownsDescriptors = ownsDescriptors;
        Filename = filename;
        stream = new ByteStream(reactor, inputFd, outputFd, this);
        RaiseOpened();
    }

    internal override string Filename { get; }

    internal override int PendingBytes => stream.PendingBytes;

    void IByteStreamOwner.OnStreamBytes(Span<byte> bytes) => RaiseBytes(bytes);

    void IByteStreamOwner.OnStreamEnd(StreamEnd end) => RaiseClosed();

    void IByteStreamOwner.OnStreamHungUp()
    {
        // Whoever reads next meets the end of the input.
    }

    void IByteStreamOwner.OnStreamDrained() => RaiseDrained();

    protected override void OnInputWanted() => stream.WantInput(WantsInput);

    protected override void WriteOut(ReadOnlySpan<byte> bytes) => stream.Write(bytes);

    protected override void DisposeDevice()
    {
        stream.Flush(FinalFlushMs);
        stream.Dispose();
        if (!ownsDescriptors)
        {
            return;
        }

        if (outputFd >= 0)
        {
            _ = Libc.Close(outputFd);
        }

        if (inputFd >= 0 && inputFd != outputFd)
        {
            _ = Libc.Close(inputFd);
        }
    }
}
