using System;

namespace StorageDaemon.Shell.Chardev;

/// <summary>What a <see cref="ByteStream"/> tells the device that uses it.</summary>
internal interface IByteStreamOwner
{
    void OnStreamBytes(Span<byte> bytes);

    void OnStreamEnd(StreamEnd end);

    /// <summary>The other side is gone while nobody reads; input that arrived before can still be read.</summary>
    void OnStreamHungUp();

    void OnStreamDrained();
}
